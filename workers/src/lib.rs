//! The workers of kabar and the fleet that runs them.
//!
//! The way of the data: a job comes in through the `gateway`, the `intake` or the command line and is written down; the
//! `scheduler` adds those that fall due; the `planner` turns each into messages; the `dispatcher` hands out tickets for
//! senders with due messages; a `courier` claims, paces, sends and writes down what came of it; the `recorder` applies
//! what providers report later; the `janitor` repairs.

pub mod cli;
pub mod context;
pub mod courier;
pub mod dispatcher;
pub mod fleet;
pub mod gateway;
mod intake;
mod janitor;
mod planner;
mod recorder;
mod scheduler;
mod steps;

/// Every request makes and drops a few dozen small pieces of memory on whichever thread is free, which is what the
/// system's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
