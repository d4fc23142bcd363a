//! Which statuses a message will have, and when each is due.

use std::time::Duration;

use fastrand::Rng;

use crate::config::WebhookTarget;
use crate::faults::Faults;
use crate::sends::register::draw;
use crate::webhooks::update::Status;

/// The longest delay between two statuses: a day.
const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The faults that concern webhooks, without the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebhookFaults {
    loss_share: f64,
    duplicate_share: f64,
    shuffle: bool,
}

impl WebhookFaults {
    pub(crate) fn shuffles(self) -> bool {
        self.shuffle
    }
}

impl From<&Faults> for WebhookFaults {
    fn from(faults: &Faults) -> Self {
        Self {
            loss_share: faults.webhook_loss_share,
            duplicate_share: faults.webhook_duplicate_share,
            shuffle: faults.webhook_shuffle,
        }
    }
}

/// One status and how long after the acceptance it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) status: Status,
    pub(crate) after: Duration,
    /// When it happened, which is not when it is told if the order is shuffled.
    pub(crate) happened_after: Duration,
}

/// The plan of one message: its statuses in the order in which they are due, and how many were left out.
pub(crate) fn plan(fails: bool, target: &WebhookTarget, faults: WebhookFaults, rng: &mut Rng) -> (Vec<Planned>, u64) {
    let read = !fails && draw(rng, target.read_share);
    let course: &[Status] = match (fails, read) {
        (true, _) => &[Status::Failed],
        (false, false) => &[Status::Sent, Status::Delivered],
        (false, true) => &[Status::Sent, Status::Delivered, Status::Read],
    };
    let mut elapsed = Duration::ZERO;
    let mut planned = Vec::with_capacity(course.len() * 2);
    for status in course {
        elapsed += step(target.delay, rng);
        planned.push(Planned { status: *status, after: elapsed, happened_after: elapsed });
    }
    let whole = planned.len();
    planned.retain(|_| !draw(rng, faults.loss_share));
    let lost = (whole - planned.len()) as u64;
    for index in 0..planned.len() {
        if draw(rng, faults.duplicate_share) {
            let again = planned[index];
            planned.push(Planned { after: again.after + step(target.delay, rng), ..again });
        }
    }
    if faults.shuffle {
        let mut times: Vec<Duration> = planned.iter().map(|planned| planned.after).collect();
        rng.shuffle(&mut times);
        planned.iter_mut().zip(times).for_each(|(planned, after)| planned.after = after);
        // Equal times (no delay) would keep the order.
        rng.shuffle(&mut planned);
    }
    planned.sort_by_key(|planned| planned.after);
    (planned, lost)
}

/// The time to the next status: half to one and a half of the delay.
fn step(delay: Duration, rng: &mut Rng) -> Duration {
    if delay.is_zero() { delay } else { delay.min(DELAY_MAX).mul_f64(0.5 + rng.f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(read_share: f64) -> WebhookTarget {
        WebhookTarget { url: String::new(), app_secret: String::new(), delay: Duration::from_secs(1), read_share }
    }

    fn statuses(planned: &[Planned]) -> Vec<Status> {
        planned.iter().map(|planned| planned.status).collect()
    }

    #[test]
    fn a_message_takes_its_course_in_order() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..200 {
            let (planned, lost) = plan(false, &target(1.0), WebhookFaults::default(), &mut rng);
            assert_eq!(statuses(&planned), [Status::Sent, Status::Delivered, Status::Read]);
            assert_eq!(lost, 0);
            assert!(planned[0].after >= Duration::from_millis(500));
            assert!(planned[2].after <= Duration::from_millis(4_500));
        }
        let (planned, _) = plan(false, &target(0.0), WebhookFaults::default(), &mut rng);
        assert_eq!(statuses(&planned), [Status::Sent, Status::Delivered]);
        let (planned, _) = plan(true, &target(1.0), WebhookFaults::default(), &mut rng);
        assert_eq!(statuses(&planned), [Status::Failed]);
    }

    #[test]
    fn statuses_are_lost_doubled_and_shuffled_as_told() {
        let mut rng = Rng::with_seed(2);
        let lossy = WebhookFaults { loss_share: 1.0, ..WebhookFaults::default() };
        assert_eq!(plan(false, &target(1.0), lossy, &mut rng), (Vec::new(), 3));
        let doubled = WebhookFaults { duplicate_share: 1.0, ..WebhookFaults::default() };
        assert_eq!(plan(false, &target(1.0), doubled, &mut rng).0.len(), 6);
        let shuffled = WebhookFaults { shuffle: true, ..WebhookFaults::default() };
        let read_first =
            (0..300).filter(|_| plan(false, &target(1.0), shuffled, &mut rng).0[0].status == Status::Read).count();
        assert!((60..140).contains(&read_first), "{read_first} of 300 began with read");
    }
}
