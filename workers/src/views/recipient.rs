//! A person's number as one tenant knows it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;

/// The 24-hour window had closed; the person opens it again by writing (the store lifts the block by this code).
const WINDOW_CLOSED: i64 = 131_047;

/// A person's number as one tenant knows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Recipient {
    /// In E.164.
    phone: String,
    name: Option<String>,
    /// Values by field name, for the placeholders of broadcasts.
    fields: BTreeMap<String, String>,
    /// The channels on which the person may not be sent to.
    blocks: Vec<Block>,
    /// Since when the person wants no marketing messages.
    opted_out_at: Option<Timestamp>,
    /// What said so.
    opted_out_by: Option<String>,
    /// When a provider last said that the number cannot be reached.
    unreachable_at: Option<Timestamp>,
    /// When the person last wrote to us.
    last_inbound_at: Option<Timestamp>,
    /// Since when the number is known.
    created_at: Timestamp,
}

/// A person may not be sent to on a channel.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Block {
    /// Such as `whatsapp`.
    channel: String,
    /// Why, in a sentence.
    reason: String,
    /// The provider's code; null where a person set the block.
    code: Option<i64>,
    /// What made it: an attempt, a receipt, a person.
    source: String,
    /// Since when.
    blocked_at: Timestamp,
    /// What ends it.
    lifted_by: String,
}

impl From<&kabar_store::Recipient> for Recipient {
    fn from(recipient: &kabar_store::Recipient) -> Self {
        let block = |block: &kabar_store::Block| Block {
            channel: block.channel.clone(),
            reason: block.reason.clone(),
            code: block.code,
            source: block.source.clone(),
            blocked_at: Timestamp(block.blocked_at),
            lifted_by: lifted_by(block, recipient),
        };
        Self {
            phone: recipient.phone.to_string(),
            name: recipient.name.clone(),
            fields: recipient.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            blocks: recipient.blocks.iter().map(block).collect(),
            opted_out_at: recipient.opted_out_at.map(Timestamp),
            opted_out_by: recipient.opted_out_by.clone(),
            unreachable_at: recipient.unreachable_at.map(Timestamp),
            last_inbound_at: recipient.last_inbound_at.map(Timestamp),
            created_at: Timestamp(recipient.created_at),
        }
    }
}

/// What ends a block.
pub(crate) fn lifted_by(block: &kabar_store::Block, recipient: &kabar_store::Recipient) -> String {
    let by_hand = format!("`kabar recipient unblock {}`", recipient.phone);
    if block.code == Some(WINDOW_CLOSED) { format!("a message from the person, or {by_hand}") } else { by_hand }
}
