# Three policies for three kinds of principals. Attach them to roles; nobody needs two. Batched calls are covered by the
# actions of the single ones.

# `kabar run` and the command line: take jobs; publish and take tickets.
data "aws_iam_policy_document" "workers" {
  statement {
    sid = "TakeAndLook"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ReceiveMessage",
    ]
    resources = [for queue in aws_sqs_queue.line : queue.arn]
  }

  statement {
    sid       = "PublishTickets"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.line["batches"].arn]
  }
}

# Other services: enqueue jobs and nothing else. They cannot read what others enqueued.
data "aws_iam_policy_document" "producers" {
  statement {
    sid       = "EnqueueJobs"
    actions   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = [aws_sqs_queue.line["jobs"].arn]
  }
}

# `kabar migrate`, which finds the queues made here as they should be, and makes them where Terraform did not.
data "aws_iam_policy_document" "migrate" {
  statement {
    sid = "MakeLines"
    actions = [
      "sqs:CreateQueue",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
    ]
    resources = [for queue in aws_sqs_queue.line : queue.arn]
  }
}

locals {
  policies = {
    workers = {
      description = "kabar's workers: take jobs, publish and take tickets"
      json        = data.aws_iam_policy_document.workers.json
    }
    producers = {
      description = "Services that enqueue jobs for kabar"
      json        = data.aws_iam_policy_document.producers.json
    }
    migrate = {
      description = "kabar migrate: find or make the queues"
      json        = data.aws_iam_policy_document.migrate.json
    }
  }
}

resource "aws_iam_policy" "kabar" {
  for_each = local.policies

  name        = "${var.prefix}-${each.key}"
  description = each.value.description
  policy      = each.value.json
  tags        = var.tags
}
