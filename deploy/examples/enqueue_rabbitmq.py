"""Enqueues jobs through RabbitMQ: enqueue_rabbitmq.py JOB.json…

Needs pika 1.3 or newer, and the lines that `kabar migrate` makes. AMQP_URL says where: amqp://USER:PASSWORD@HOST:5672
"""

import json
import os
import sys

import pika


def enqueue(channel, job):
    """Returns once the broker has the job on disk; raises where it has not, and enqueuing it again is then right.

    Give every job an id of your own, such as an invoice's: the same id again is the same job, so that whoever does not
    know whether it was enqueued may do it again. A job without one takes the broker's message id in its place.
    """
    channel.basic_publish(
        exchange="kabar",
        routing_key="jobs",
        body=json.dumps(job).encode(),
        properties=pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            message_id=job["id"],
        ),
        # Where no queue is bound, the broker otherwise drops the job and says that all is well.
        mandatory=True,
    )


def main(files):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    with connection:
        channel = connection.channel()
        # Without this, publishing says nothing of what became of it.
        channel.confirm_delivery()
        for file in files:
            with open(file, encoding="utf-8") as text:
                job = json.load(text)
            enqueue(channel, job)
            print(job["id"])


if __name__ == "__main__":
    main(sys.argv[1:])
