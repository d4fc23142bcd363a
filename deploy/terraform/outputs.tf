output "queue_url" {
  description = "The value of KABAR_QUEUE_URL."
  value       = "sqs://${var.prefix}"
}

output "queues" {
  description = "Addresses of the queues, by line; producers send to `jobs`."
  value       = { for line, queue in aws_sqs_queue.line : line => queue.url }
}

output "policies" {
  description = "ARNs of the policies to attach: `workers`, `producers`, `migrate`."
  value       = { for name, policy in aws_iam_policy.kabar : name => policy.arn }
}
