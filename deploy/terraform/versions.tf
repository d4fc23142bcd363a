terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6.8.0 is the first to let a message have 1 MiB.
      version = "~> 6.8"
    }
  }
}
