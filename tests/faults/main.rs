//! What must hold when a worker dies, a service is away or a provider misbehaves.

mod disk_full;
mod rabbitmq;
mod rabbitmq_fleet;
mod sqs;
