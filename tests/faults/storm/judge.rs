//! The provider's record against the ledger, message by message.

use std::collections::BTreeMap;

use kabar_domain::message::{MessageState, Phase};
use kabar_store::{DEFAULT_TENANT, MessageStory, MessageSummary};

use super::load::{Broadcast, Load};
use kabar_tests::guests::phone;

use crate::stage::Stage;

/// Messages that are listed at once.
const PAGE: u32 = 1_000;

/// The provider took an attempt over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Acceptance {
    attempt: i64,
    /// Whether it told us so by a receipt, and had our 200 for it.
    reported: bool,
}

#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) messages: usize,
    /// Said to be with the provider, which has not got them; or neither done nor with a person.
    pub(super) lost: Vec<String>,
    /// Accepted twice though an answer or a receipt told of the first.
    pub(super) twice: Vec<String>,
    /// Accepted twice, and no receipt of the first ever came.
    pub(super) twice_without_receipt: Vec<String>,
    /// Accepted twice under a policy that leaves doubt to a person.
    pub(super) twice_though_held: Vec<String>,
    /// In doubt for good.
    pub(super) for_a_person: usize,
}

impl Verdict {
    pub(super) async fn of(stage: &Stage, load: &Load) -> Self {
        let mut verdict = Self::default();
        let reported = stage.sandbox.reported();
        let mut accepted: BTreeMap<String, Vec<Acceptance>> = BTreeMap::new();
        for arrival in stage.sandbox.arrivals().into_iter().filter(|arrival| arrival.accepted) {
            let named = arrival.opaque.and_then(|opaque| stage.store.attempt_of(&opaque));
            let (_, attempt) = named.expect("each request names its attempt");
            let reported = arrival.wamid.is_some_and(|wamid| reported.contains(&wamid));
            accepted.entry(format!("+{}", arrival.to)).or_default().push(Acceptance { attempt, reported });
        }
        for broadcast in &load.broadcasts {
            let messages = all_of(stage, broadcast).await;
            for guest in broadcast.guests.clone() {
                let number = phone(guest);
                match messages.get(&number) {
                    Some(message) => {
                        let attempts = accepted.remove(&number).unwrap_or_default();
                        verdict.judge(stage, broadcast, message, attempts).await;
                    }
                    None => verdict.lost.push(format!("guest {guest} has no message")),
                }
                verdict.messages += 1;
            }
        }
        verdict
    }

    /// Judges one message, which the provider has accepted so often.
    async fn judge(
        &mut self,
        stage: &Stage,
        broadcast: &Broadcast,
        message: &MessageSummary,
        mut accepted: Vec<Acceptance>,
    ) {
        let (id, state, times) = (message.id, message.state, accepted.len());
        let with_provider =
            [MessageState::Accepted, MessageState::Sent, MessageState::Delivered, MessageState::Read].contains(&state);
        if state.phase() == Phase::Attention {
            self.for_a_person += 1;
        } else if !with_provider || times == 0 {
            self.lost.push(format!("message {id} is {state}, accepted {times} times: {:?}", message.reason));
        }
        accepted.sort_unstable();
        if let Some((_, earlier)) = accepted.split_last()
            && !earlier.is_empty()
        {
            let story = stage.store.message_story(DEFAULT_TENANT, id).await.expect("the story can be read");
            let told = format!("message {id}, {accepted:?}: {:#?}", story.attempts);
            let distinct = accepted.windows(2).all(|pair| pair[0].attempt < pair[1].attempt);
            let silent = |one: &Acceptance| !one.reported && was_taken_as_absent(&story, one.attempt);
            match (broadcast.held, distinct && earlier.iter().all(silent)) {
                (true, _) => self.twice_though_held.push(told),
                (false, false) => self.twice.push(told),
                (false, true) => self.twice_without_receipt.push(told),
            }
        }
    }

    /// Nothing is lost, and nothing is sent twice where receipts come, or where doubt is left to a person.
    #[track_caller]
    pub(super) fn assert_good(&self) {
        assert!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        assert!(self.twice_though_held.is_empty(), "sent twice though held: {:#?}", self.twice_though_held);
        assert!(self.twice.is_empty(), "sent twice in spite of a receipt: {:#?}", self.twice);
        for told in &self.twice_without_receipt {
            println!("sent twice, for no receipt of the first came: {told}");
        }
    }
}

/// Whether the policy on doubt had an attempt sent again for want of a receipt, and none has come to this day.
fn was_taken_as_absent(story: &MessageStory, number: i64) -> bool {
    story.attempts.iter().any(|attempt| {
        let receipt = attempt.sent_at.or(attempt.delivered_at).or(attempt.read_at);
        attempt.number == number && attempt.outcome.as_deref() == Some("absent") && receipt.is_none()
    })
}

async fn all_of(stage: &Stage, broadcast: &Broadcast) -> BTreeMap<String, MessageSummary> {
    let mut messages = BTreeMap::new();
    let Some(job) = broadcast.job else { return messages };
    let mut after = 0;
    loop {
        let page = stage.store.messages_of_job(job, after, PAGE).await.expect("the messages can be listed");
        let Some(last) = page.last() else { return messages };
        after = last.id;
        messages.extend(page.into_iter().map(|message| (message.phone.as_str().to_owned(), message)));
    }
}
