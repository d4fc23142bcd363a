//! What a storm came to, in figures.

use std::time::Duration;

use super::judge::Verdict;
use crate::stage::Backend;

/// The most memory that a process may come to hold, in MiB. A fresh one holds about 50 with debugging on; what grows with
/// messages or faults would show.
const LARGEST_MIB: u64 = 200;

#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) took: Duration,
    pub(super) kills: u64,
    pub(super) stalls: u64,
    pub(super) restarts: u64,
    /// Tickets purged or doubled.
    pub(super) tickets: u64,
    pub(super) ledger: u64,
    pub(super) queue: u64,
    pub(super) provider: u64,
    /// Receipts lost, doubled, shuffled or late.
    pub(super) receipts: u64,
    pub(super) looks_at_sums: u64,
    pub(super) longest_rescue: Duration,
    pub(super) largest_kib: u64,
    /// The most arrivals in any one second.
    pub(super) worst_window: usize,
}

impl Figures {
    /// A row of the table in RELIABILITY.md, under its head.
    pub(super) fn row(&self, backend: Backend, rate: u32, verdict: &Verdict) -> String {
        let head = "| backend | messages | took | kills | stalls | restarts | tickets | ledger | queue | provider | receipts \
                    | lost | twice | twice, all receipts lost | for a person | worst second | longest rescue | largest process | looks at sums |";
        let rule = "|---|".to_owned() + &"---|".repeat(18);
        let name = match backend {
            Backend::Sqlite => "SQLite",
            Backend::Postgres => "Postgres",
            Backend::RabbitMq => "Postgres + RabbitMQ",
            Backend::Sqs => "Postgres + SQS",
        };
        format!(
            "{head}\n{rule}\n| {name} | {} | {:.0} s | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} of {rate} \
             | {:.1} s | {} MiB | {} |",
            verdict.messages,
            self.took.as_secs_f64(),
            self.kills,
            self.stalls,
            self.restarts,
            self.tickets,
            self.ledger,
            self.queue,
            self.provider,
            self.receipts,
            verdict.lost.len(),
            verdict.twice.len() + verdict.twice_though_held.len(),
            verdict.twice_without_receipt.len(),
            verdict.for_a_person,
            self.worst_window,
            self.longest_rescue.as_secs_f64(),
            self.largest_kib >> 10,
            self.looks_at_sums,
        )
    }

    #[track_caller]
    pub(super) fn assert_good(&self) {
        assert!(self.largest_kib >> 10 <= LARGEST_MIB, "a process came to hold {} KiB", self.largest_kib);
        assert!(self.kills > 0 && self.looks_at_sums > 0, "it was no storm: {self:?}");
    }
}
