//! One suite per port, run on every implementation of it. A known gap is a named test.

mod inputs;
mod queue;
mod rabbitmq;
mod store;
