// Enqueues jobs through RabbitMQ: node enqueue_rabbitmq.mjs JOB.json…
//
// Needs amqplib and the lines that `kabar migrate` makes. AMQP_URL says where: amqp://USER:PASSWORD@HOST:5672

import { readFile } from "node:fs/promises";
import amqp from "amqplib";

// Resolves once the broker has the job on disk. Where it rejects, enqueuing the job again is right: the same id again
// is the same job, so give every job an id of your own, such as an invoice's.
function enqueue(channel, job) {
  return new Promise((resolve, reject) => {
    // Where no queue is bound, the broker hands a mandatory message back, and confirms it all the same.
    const handedBack = (message) => {
      if (message.properties.messageId === job.id) reject(new Error("no queue takes jobs: run `kabar migrate`"));
    };
    channel.on("return", handedBack);
    channel.publish(
      "kabar",
      "jobs",
      Buffer.from(JSON.stringify(job)),
      { contentType: "application/json", persistent: true, messageId: job.id, mandatory: true },
      (error) => {
        channel.off("return", handedBack);
        if (error) reject(error);
        else resolve();
      },
    );
  });
}

const connection = await amqp.connect(process.env.AMQP_URL);
try {
  // A plain channel says nothing of what became of a message.
  const channel = await connection.createConfirmChannel();
  for (const file of process.argv.slice(2)) {
    const job = JSON.parse(await readFile(file, "utf8"));
    await enqueue(channel, job);
    console.log(job.id);
  }
} finally {
  await connection.close();
}
