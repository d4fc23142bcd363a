//! What one take brought, and how it is settled: on a channel of its own, which ends with the last of its deliveries.
//!
//! Whatever is not settled by then goes back at once, for the broker gives a closed channel's items out again. So does all
//! of a connection that is lost; settling it then does nothing.

use std::{collections::BTreeSet, fmt, sync::Arc};

use lapin::{
    BasicProperties, Channel,
    options::{BasicAckOptions, BasicNackOptions},
    types::AMQPValue,
};
use tokio::sync::Mutex;

use super::trouble::{Trouble, call};
use crate::{Delivery, Handle, QueueResult, TRACEPARENT};

/// What to say of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// They are done.
    Acknowledge,
    /// Others may have them.
    Release,
}

/// What one take brought.
pub(super) struct Taken {
    channel: Channel,
    /// The broker's numbers of what is not settled, counted from 1 on each channel. Held while it is being settled, so
    /// that the broker hears of it in the same order.
    open: Mutex<BTreeSet<u64>>,
}

/// How a delivery is found again.
#[derive(Clone)]
pub(crate) struct Tag {
    taken: Arc<Taken>,
    number: u64,
}

impl Taken {
    /// The deliveries of one take, as they came on its channel.
    pub(super) fn deliveries(channel: Channel, came: Vec<lapin::message::Delivery>) -> Vec<Delivery> {
        let open = Mutex::new(came.iter().map(|delivery| delivery.delivery_tag).collect());
        let taken = Arc::new(Self { channel, open });
        let delivery = |came: lapin::message::Delivery| Delivery {
            body: came.data,
            traceparent: traceparent(&came.properties),
            message_id: came.properties.message_id().as_ref().map(ToString::to_string),
            handle: Handle::RabbitMq(Tag { taken: taken.clone(), number: came.delivery_tag }),
        };
        came.into_iter().map(delivery).collect()
    }

    async fn settle(&self, numbers: &BTreeSet<u64>, settlement: Settlement) -> Result<(), Trouble> {
        let mut open = self.open.lock().await;
        for Frame { number, multiple } in frames(&open, numbers) {
            match settlement {
                Settlement::Acknowledge => {
                    call(self.channel.basic_ack(number, BasicAckOptions { multiple })).await?;
                }
                Settlement::Release => {
                    call(self.channel.basic_nack(number, BasicNackOptions { multiple, requeue: true })).await?;
                }
            }
            if multiple {
                *open = open.split_off(&(number + 1));
            } else {
                open.remove(&number);
            }
        }
        Ok(())
    }
}

/// Settles deliveries of any number of takes. What was settled before, or has gone back since, is left as it is.
pub(super) async fn settle(deliveries: &[Delivery], settlement: Settlement) -> QueueResult<()> {
    let mut takes: Vec<(&Arc<Taken>, BTreeSet<u64>)> = Vec::new();
    for delivery in deliveries {
        let Handle::RabbitMq(Tag { taken, number }) = &delivery.handle else { continue };
        match takes.iter_mut().find(|(other, _)| Arc::ptr_eq(other, taken)) {
            Some((_, numbers)) => {
                numbers.insert(*number);
            }
            None => takes.push((taken, BTreeSet::from([*number]))),
        }
    }
    for (taken, numbers) in takes {
        if let Err(trouble) = taken.settle(&numbers, settlement).await {
            tracing::debug!(
                error = &trouble as &dyn std::error::Error,
                items = numbers.len(),
                "items could not be settled on a connection that is gone; the broker gives them out again"
            );
        }
    }
    Ok(())
}

fn traceparent(properties: &BasicProperties) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// What is said to the broker at a time: about one number, or about all up to it.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    number: u64,
    multiple: bool,
}

/// The frames that settle `numbers`, as far as they are open: one for all before the first that stays open, and one for
/// each after it. The broker takes a number that it does not know as a reason to close the channel.
fn frames(open: &BTreeSet<u64>, numbers: &BTreeSet<u64>) -> Vec<Frame> {
    let first_to_stay = open.difference(numbers).next().copied().unwrap_or(u64::MAX);
    let settled = || open.intersection(numbers).copied();
    let together = settled().take_while(|number| *number < first_to_stay).last();
    let together = together.map(|number| Frame { number, multiple: true });
    let single = settled().filter(|number| *number > first_to_stay).map(|number| Frame { number, multiple: false });
    together.into_iter().chain(single).collect()
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.taken, &other.taken) && self.number == other.number
    }
}

impl Eq for Tag {}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({} on channel {})", self.number, self.taken.channel.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_settled_together_and_others_alone() {
        let all = |number| Frame { number, multiple: true };
        let one = |number| Frame { number, multiple: false };
        let cases: [(&[u64], &[u64], &[Frame]); 7] = [
            (&[1, 2, 3], &[1, 2, 3], &[all(3)]),
            (&[1, 2, 3], &[1, 2], &[all(2)]),
            (&[1, 2, 3, 4], &[1, 3, 4], &[all(1), one(3), one(4)]),
            (&[1, 2, 3], &[2, 3], &[one(2), one(3)]),
            // 1 and 3 were settled before: 4 may take them along, and is not told of them again.
            (&[2, 4], &[2, 3, 4], &[all(4)]),
            (&[2], &[1], &[]),
            (&[], &[1, 2], &[]),
        ];
        for (open, numbers, expected) in cases {
            let set = |numbers: &[u64]| numbers.iter().copied().collect();
            assert_eq!(frames(&set(open), &set(numbers)), expected, "{numbers:?} of {open:?}");
        }
    }
}
