//! The rules of the ledger as a small machine: what each of the store's operations does to messages, without SQL.
//!
//! It serves twice. The checker in `tests/checker` walks through every order of events around it and looks for one that
//! loses a message or sends one twice. The conformance suite runs the same random operations on this machine and on a
//! real ledger and compares the two after each, so that what the checker proves is proven of the code that runs.

mod ledger;

pub use ledger::{Attempt, Came, LeaseIndex, Ledger, Message, Rules};
