variable "prefix" {
  description = "What the queues' names begin with: KABAR_QUEUE_URL is then sqs://PREFIX."
  type        = string
  default     = "kabar"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.prefix))
    error_message = "1 to 64 letters, digits, - and _, as kabar itself demands."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
