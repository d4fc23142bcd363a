"""Enqueues jobs through Amazon SQS: enqueue_sqs.py PREFIX JOB.json…

Needs boto3 and the policy `producers` of ../terraform. Region, credentials and endpoint come from the usual AWS_*
variables; PREFIX is the one in KABAR_QUEUE_URL=sqs://PREFIX.
"""

import json
import os
import sys

import boto3


def enqueue(sqs, queue_url, job):
    """Returns once SQS has the job; raises where that is not known, and enqueuing it again is then right.

    Give every job an id of your own, such as an invoice's: the same id again is the same job. SQS makes a new message
    id for every call, boto3 repeats calls by itself, and SQS may deliver twice: without an id of its own, each of them
    would send the message again.
    """
    if not job.get("id"):
        raise ValueError("the job has no id")
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(job))


def main(prefix, files):
    # By itself boto3 reads AWS_DEFAULT_REGION alone.
    sqs = boto3.client("sqs", region_name=os.environ.get("AWS_REGION"))
    queue_url = sqs.get_queue_url(QueueName=f"{prefix}-jobs")["QueueUrl"]
    for file in files:
        with open(file, encoding="utf-8") as text:
            job = json.load(text)
        enqueue(sqs, queue_url, job)
        print(job["id"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
