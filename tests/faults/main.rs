//! What must hold when a worker dies, a service is away or a provider misbehaves.

mod disk_full;
mod sqs;
