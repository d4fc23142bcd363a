//! A process ends between two steps that belong together: what the ledger must say then, to the message, and that all
//! ends exactly once.
//!
//! All points come one after the other on one stage, each with a broadcast of its own, since leases take their time. The
//! process that dies is told its point by a variable; see `workers/src/fault.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use kabar_domain::message::{MessageState, StateCounts};
use kabar_queue::Line;
use kabar_sandbox::Faults;
use kabar_store::{DEFAULT_TENANT, MessageStory};
use kabar_tests::{KabarProcess, Relay, eventually, guests::phone, ports::free_address};
use serde_json::json;

use crate::stage::{Backend, ENDS_WITHIN, Stage, WITHIN, assert_no_errors, on_every_backend};

const RATE: u32 = 100;
/// In each broadcast: more than one batch.
const GUESTS: usize = 40;
/// How many messages may have been started when a process dies: those with slots in the next 50 ms.
const STARTED_AT_MOST: usize = 5;
/// So much later an attempt must be than one whose absence its receipt is to prove.
const LATER: Duration = Duration::from_millis(2_100);
/// What a process that ends itself without unwinding leaves as its status.
const ABORTED: i32 = 6;

on_every_backend!(a_process_that_ends_between_two_steps);

async fn a_process_that_ends_between_two_steps(backend: Backend) {
    let mut scene = Scene::open(backend).await;
    scene.after_the_claim().await;
    scene.before_tickets_are_acknowledged().await;
    scene.before_tickets_are_published().await;
    scene.before_a_job_is_acknowledged().await;
    scene.before_a_webhook_is_answered().await;
    scene.after_the_answer().await;
    scene.in_the_middle_of_a_body().await;
    scene.where_the_way_breaks_in_the_middle_of_a_body().await;
    scene.after_the_start().await;
    scene.all_ended_exactly_once().await;
}

struct Scene {
    stage: Stage,
    /// Plans, records and repairs; sends nothing.
    keeper: KabarProcess,
    guests: usize,
}

impl Scene {
    async fn open(backend: Backend) -> Self {
        let settings = [("KABAR_FLEET_LEASE", "3s"), ("KABAR_DOUBT_GRACE", "8s")];
        let stage = Stage::on_backend(backend, RATE, &settings).await;
        let keeper = stage.process_with("planner,recorder,janitor").await;
        stage.report_to(&keeper);
        Self { stage, keeper, guests: 0 }
    }

    /// A broadcast to guests that nobody has written to.
    async fn broadcast(&mut self, id: &str) -> Broadcast {
        let guests = self.guests..self.guests + GUESTS;
        self.guests = guests.end;
        Broadcast { job: self.stage.broadcast(id, guests.clone()).await, guests }
    }

    /// A process that dispatches, takes jobs in and sends, and ends itself at this point.
    fn doomed(&self, point: &str) -> KabarProcess {
        let workers = ["run", "--only", "gateway,intake,dispatcher,courier"];
        self.stage.home.start_with(&free_address().to_string(), &[("KABAR_FAULT_POINT", point)], &workers)
    }

    /// The messages of a broadcast once nothing is in the hands of the process that ended.
    async fn rescued(&self, broadcast: &Broadcast) -> Messages {
        let held = |counts: &StateCounts| counts.get(MessageState::Claimed) + counts.get(MessageState::Sending);
        self.stage.counts_where(broadcast.job, |counts| held(counts) == 0).await;
        let messages = self.messages(broadcast).await;
        messages.assert_exact();
        messages
    }

    async fn messages(&self, broadcast: &Broadcast) -> Messages {
        let store = &self.stage.store;
        let listed = store.messages_of_job(broadcast.job, 0, 1_000).await.expect("the messages can be listed");
        let mut stories = Vec::new();
        for message in listed {
            stories.push(store.message_story(DEFAULT_TENANT, message.id).await.expect("the story can be read"));
        }
        assert_eq!(stories.len(), GUESTS, "all are planned");
        let accepted = self.stage.sandbox.arrivals().into_iter().filter(|arrival| arrival.accepted);
        let mut with_provider: BTreeMap<String, usize> = BTreeMap::new();
        for arrival in accepted {
            *with_provider.entry(format!("+{}", arrival.to)).or_default() += 1;
        }
        Messages { stories, with_provider }
    }

    /// A process in good health sends the rest, doubtful ones included once they are settled.
    async fn finish(&self, broadcast: &Broadcast) -> Messages {
        let healthy = self.stage.process_with("intake,dispatcher,courier").await;
        self.stage.done(broadcast.job).await;
        assert_no_errors(&healthy);
        healthy.stop().await;
        let messages = self.messages(broadcast).await;
        for guest in broadcast.guests.clone() {
            assert_eq!(messages.with_provider.get(&phone(guest)), Some(&1), "guest {guest}");
        }
        messages
    }

    async fn after_the_claim(&mut self) {
        let mut doomed = self.doomed("after-claim:1");
        let broadcast = self.broadcast("after-claim").await;
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        let messages = self.rescued(&broadcast).await;
        assert_eq!(messages.ids(MessageState::Queued).len(), GUESTS, "nothing was started");
        let messages = self.finish(&broadcast).await;
        messages.assert_sent_again(0);
    }

    async fn before_tickets_are_acknowledged(&mut self) {
        let mut doomed = self.doomed("before-ack:1");
        let broadcast = self.broadcast("before-ack").await;
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        let messages = self.rescued(&broadcast).await;
        assert!(messages.ids(MessageState::InDoubt).len() <= STARTED_AT_MOST);
        // The ticket comes again and claims what is there, or nothing.
        self.finish(&broadcast).await;
    }

    async fn before_tickets_are_published(&mut self) {
        let before = self.stage.tickets().await;
        let mut doomed = self.doomed("before-publish:1");
        let broadcast = self.broadcast("before-publish").await;
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        assert_eq!(self.stage.tickets().await, before, "the ledger notes tickets that nobody has");
        let messages = self.rescued(&broadcast).await;
        assert_eq!(messages.ids(MessageState::Queued).len(), GUESTS, "nothing was claimed");
        self.finish(&broadcast).await;
    }

    async fn before_a_job_is_acknowledged(&mut self) {
        let guest = self.guests;
        self.guests += 1;
        let job = json!({"type": "send", "id": "job", "to": phone(guest), "content": {"text": {"body": "Halo"}}});
        let queue = self.stage.open_queue().await;
        let mut doomed = self.doomed("before-job-ack:1");
        queue.publish(Line::Jobs, &[job.to_string()]).await.expect("a job is published");
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        let written = self.stage.store.job_id(DEFAULT_TENANT, "job").await.expect("the job can be looked for");
        assert!(written.is_some(), "the job is written down before it is acknowledged");
        // It comes again by itself after a while that each queue has; here it does at once.
        queue.publish(Line::Jobs, &[job.to_string()]).await.expect("a job is published");
        let healthy = self.stage.process_with("intake,dispatcher,courier").await;
        self.stage.done(written.unwrap_or_default()).await;
        eventually(WITHIN, async || queue.ready(Line::Jobs).await.is_ok_and(|ready| ready == 0)).await;
        assert_no_errors(&healthy);
        healthy.stop().await;
        queue.close().await;
    }

    async fn before_a_webhook_is_answered(&mut self) {
        let broadcast = self.broadcast("before-webhook-answer").await;
        let mut doomed = self.doomed("before-webhook-answer:2");
        doomed.ready().await;
        self.stage.report_to(&doomed);
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        // The provider has got no answer, and posts the same again.
        self.stage.report_to(&self.keeper);
        self.rescued(&broadcast).await;
        self.finish(&broadcast).await;
        self.stage.sandbox.webhooks_idle().await;
        let reported = [MessageState::Delivered, MessageState::Read];
        self.stage
            .counts_where(broadcast.job, |counts| {
                reported.into_iter().map(|state| counts.get(state)).sum::<u64>() == GUESTS as u64
            })
            .await;
    }

    async fn after_the_answer(&mut self) {
        // Without webhooks for now, nothing but the answer could tell.
        self.stage.sandbox.set_faults(Faults { webhook_loss_share: 1.0, ..Faults::default() });
        let mut doomed = self.doomed("after-answer:1");
        let broadcast = self.broadcast("after-answer").await;
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        let messages = self.rescued(&broadcast).await;
        let doubtful = messages.ids(MessageState::InDoubt).len();
        assert!((1..=STARTED_AT_MOST).contains(&doubtful), "{doubtful} in doubt");
        let accepted = messages.stories.iter().filter(|story| messages.with_provider(story) == 1).count();
        assert!(accepted > 0, "the provider has accepted the one whose answer was lost");
        // Evidence would be missing for ever: a person looks at the handset and says what happened.
        for story in messages.stories.iter().filter(|story| story.state == MessageState::InDoubt) {
            let was_sent = messages.with_provider(story) == 1;
            self.stage.store.resolve_message(DEFAULT_TENANT, story.id, was_sent).await.expect("it can be resolved");
        }
        self.stage.sandbox.set_faults(Faults::default());
        self.finish(&broadcast).await;
    }

    /// Starts a process whose requests to the provider stop in the middle of their body.
    async fn stopped_in_bodies(&mut self, id: &str) -> (Relay, KabarProcess, Broadcast) {
        let relay = Relay::to(&self.stage.sandbox.address().to_string()).await;
        relay.stop_in_bodies();
        let base = format!("http://{}", relay.address());
        let workers = ["run", "--only", "gateway,dispatcher,courier"];
        let process =
            self.stage.home.start_with(&free_address().to_string(), &[("WHATSAPP_API_BASE", &base)], &workers);
        let broadcast = self.broadcast(id).await;
        eventually(WITHIN, async || relay.stopped_in_bodies() >= 3).await;
        (relay, process, broadcast)
    }

    async fn in_the_middle_of_a_body(&mut self) {
        let (relay, process, broadcast) = self.stopped_in_bodies("mid-body").await;
        process.kill().await;
        let messages = self.rescued(&broadcast).await;
        let doubtful = messages.ids(MessageState::InDoubt).len();
        let stopped = relay.stopped_in_bodies();
        assert!((stopped..=stopped + STARTED_AT_MOST).contains(&doubtful), "{doubtful} in doubt, {stopped} stopped");
        assert_eq!(messages.with_provider.get(&phone(broadcast.guests.start)), None);
        relay.mend();
        let messages = self.finish(&broadcast).await;
        messages.assert_sent_again(doubtful);
    }

    /// The process goes on, and knows that it does not know.
    async fn where_the_way_breaks_in_the_middle_of_a_body(&mut self) {
        let (relay, process, broadcast) = self.stopped_in_bodies("way-broken").await;
        relay.cut();
        // No connection is no doubt: what comes after waits, with nothing spent.
        let doubtful = eventually(WITHIN, async || {
            let doubtful = self.messages(&broadcast).await.ids(MessageState::InDoubt);
            (doubtful.len() >= 3).then_some(doubtful).ok_or("the broken requests are not in doubt yet")
        })
        .await;
        process.stop().await;
        let stopped = Instant::now();
        let messages = self.rescued(&broadcast).await;
        assert!(doubtful.iter().all(|id| messages.stories.iter().any(|story| story.id == *id)));
        // Nobody had to wait for a lease: the rest goes when it is late enough to prove something.
        eventually(WITHIN, async || stopped.elapsed() > LATER).await;
        let messages = self.finish(&broadcast).await;
        let again = messages.stories.iter().filter(|story| story.outcomes().contains(&"absent")).count();
        assert!(again >= doubtful.len(), "{again} of {} sent again by evidence", doubtful.len());
    }

    async fn after_the_start(&mut self) {
        let mut doomed = self.doomed("after-start:1");
        let broadcast = self.broadcast("after-start").await;
        assert_aborted(doomed.wait(ENDS_WITHIN).await);
        let messages = self.rescued(&broadcast).await;
        let doubtful = messages.ids(MessageState::InDoubt).len();
        assert!((1..=STARTED_AT_MOST).contains(&doubtful), "{doubtful} in doubt");
        assert_eq!(messages.ids(MessageState::Queued).len(), GUESTS - doubtful, "the rest is known not to have left");
        let left = messages.stories.iter().filter(|story| messages.with_provider(story) > 0).count();
        assert_eq!(left, 0, "nothing had left");
        let messages = self.finish(&broadcast).await;
        messages.assert_sent_again(doubtful);
    }

    async fn all_ended_exactly_once(self) {
        assert_no_errors(&self.keeper);
        self.stage.assert_each_once_within(self.guests, RATE as usize);
        self.keeper.stop().await;
    }
}

struct Broadcast {
    job: i64,
    guests: Range<usize>,
}

/// What the ledger says of each message of a broadcast, and what the provider has accepted, by number.
struct Messages {
    stories: Vec<MessageStory>,
    with_provider: BTreeMap<String, usize>,
}

impl Messages {
    fn ids(&self, state: MessageState) -> BTreeSet<i64> {
        self.stories.iter().filter(|story| story.state == state).map(|story| story.id).collect()
    }

    fn with_provider(&self, story: &MessageStory) -> usize {
        self.with_provider.get(story.phone.as_str()).copied().unwrap_or(0)
    }

    /// After a rescue, each message waits and never left, is in doubt with an attempt without an outcome, or is with the
    /// provider.
    #[track_caller]
    fn assert_exact(&self) {
        for story in &self.stories {
            let accepted = self.with_provider(story);
            assert!(accepted <= 1, "accepted {accepted} times: {story:?}");
            let open = story.attempts.iter().filter(|attempt| attempt.ended_at.is_none()).count();
            match story.state {
                MessageState::Queued => assert_eq!((accepted, open), (0, 0), "it waits: {story:?}"),
                MessageState::InDoubt => assert!(!story.attempts.is_empty(), "what is in doubt was started: {story:?}"),
                _ => assert_eq!(accepted, 1, "it is said to be sent: {story:?}"),
            }
        }
    }

    /// So many were taken as absent and sent again. Of all others no attempt but the last left, for a busy machine
    /// forfeits a slot now and then.
    #[track_caller]
    fn assert_sent_again(&self, doubtful: usize) {
        let again = self.stories.iter().filter(|story| story.outcomes().contains(&"absent")).count();
        assert_eq!(again, doubtful, "sent again");
        for story in &self.stories {
            let outcomes = story.outcomes();
            let earlier = outcomes.split_last().map_or(&[][..], |(_, earlier)| earlier);
            assert!(earlier.iter().all(|outcome| ["absent", "not_sent"].contains(outcome)), "{story:?}");
        }
    }
}

trait Outcomes {
    fn outcomes(&self) -> Vec<&str>;
}

impl Outcomes for MessageStory {
    fn outcomes(&self) -> Vec<&str> {
        self.attempts.iter().map(|attempt| attempt.outcome.as_deref().unwrap_or_default()).collect()
    }
}

#[track_caller]
fn assert_aborted(status: ExitStatus) {
    assert_eq!(status.signal(), Some(ABORTED), "it was to end itself: {status}");
}
