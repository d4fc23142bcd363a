//! The right to send one batch for one sender.

use serde::{Deserialize, Serialize};

/// The right to send one batch for one sender. It names no messages: whoever takes it claims the best that are due then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The sender, by the ledger's id.
    pub sender: i64,
}

impl Ticket {
    /// The ticket as an item of a line.
    #[must_use]
    pub fn to_body(self) -> String {
        format!("{{\"sender\":{}}}", self.sender)
    }

    /// The ticket in an item; none where the item is no ticket.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_its_item() {
        let ticket = Ticket { sender: 42 };
        assert_eq!(Ticket::from_body(ticket.to_body().as_bytes()), Some(ticket));
        assert_eq!(Ticket::from_body(b"42"), None);
    }
}
