# The two lines. Standard queues: order and single delivery are the ledger's business, not the queue's.
#
# There is no redrive policy. What cannot be understood is acknowledged and kept in the ledger as a dead letter with its
# reason (`kabar dead list`). An item that is received often is one whose takers died, and must not get lost for that.

locals {
  lines = {
    # Jobs of other services: kept as long as SQS can, should intake stand still.
    jobs = { retention_seconds = 14 * 24 * 3600 }
    # Tickets. One that nobody took for an hour is worthless: the dispatcher has long written others.
    batches = { retention_seconds = 3600 }
  }
}

resource "aws_sqs_queue" "line" {
  for_each = local.lines

  name                      = "${var.prefix}-${each.key}"
  message_retention_seconds = each.value.retention_seconds

  # As `kabar migrate` makes them. kabar names its own when it takes; this is for others that look at the queue.
  visibility_timeout_seconds = 60

  # 1 MiB, the most that SQS and kabar take.
  max_message_size = 1048576

  # Waits for the first item in place of answering empty, for takers that name no wait of their own.
  receive_wait_time_seconds = 20

  # Encrypted at rest with a key of SQS's own; job bodies hold phone numbers.
  sqs_managed_sse_enabled = true

  tags = var.tags
}

# Who may use the queues is said by the policies in policies.tf, attached to roles. The queues themselves add that
# nobody may by plain HTTP.
data "aws_iam_policy_document" "tls_only" {
  for_each = aws_sqs_queue.line

  statement {
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "tls_only" {
  for_each = aws_sqs_queue.line

  queue_url = each.value.url
  policy    = data.aws_iam_policy_document.tls_only[each.key].json
}
