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
    /// Where the person is, where it is known; else their number's country decides.
    timezone: Option<String>,
    /// That the person agrees to marketing, where it is known.
    consent: Option<Consent>,
    /// The channels on which the person may not be sent to.
    blocks: Vec<Block>,
    /// What the person wants no more.
    opt_outs: Vec<OptOut>,
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

/// That a person agrees to marketing.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Consent {
    /// Where they said so.
    source: String,
    /// When.
    at: Timestamp,
}

impl From<&kabar_store::Consent> for Consent {
    fn from(consent: &kabar_store::Consent) -> Self {
        Self { source: consent.source.clone(), at: Timestamp(consent.at) }
    }
}

/// A person wants no more messages on a channel.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct OptOut {
    /// Such as `whatsapp`.
    channel: String,
    /// Of which messages: `marketing` or `all`.
    covers: &'static str,
    /// What said so: their message, a provider, a person.
    source: String,
    /// When it was said.
    said_at: Timestamp,
}

impl From<&kabar_store::OptOut> for OptOut {
    fn from(opt_out: &kabar_store::OptOut) -> Self {
        Self {
            channel: opt_out.channel.clone(),
            covers: opt_out.covers.as_str(),
            source: opt_out.source.clone(),
            said_at: Timestamp(opt_out.said_at),
        }
    }
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
            timezone: recipient.timezone.map(|zone| zone.name().to_owned()),
            consent: recipient.consent.as_ref().map(Consent::from),
            blocks: recipient.blocks.iter().map(block).collect(),
            opt_outs: recipient.opt_outs.iter().map(OptOut::from).collect(),
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
