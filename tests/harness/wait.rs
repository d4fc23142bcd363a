//! The one way to wait in a test: for a condition, never for a time.

use std::{fmt::Display, panic::Location, time::Duration};

use tokio::time::Instant;

/// How often a condition is looked at: often enough that a test loses no time, seldom enough to leave the cores alone.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a condition may answer: `bool`, `Option` with what was waited for, or `Result` with what is still missing.
pub trait Answer {
    /// What is known once the condition holds.
    type Found;

    /// What was found, or in words what is missing.
    ///
    /// # Errors
    /// When the condition does not hold yet.
    fn found(self) -> Result<Self::Found, String>;
}

impl Answer for bool {
    type Found = ();

    fn found(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("it was still false".to_owned()) }
    }
}

impl<T> Answer for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "there was still nothing".to_owned())
    }
}

impl<T, E: Display> Answer for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|missing| missing.to_string())
    }
}

/// Waits until `condition` holds, and gives what it found.
///
/// A condition that can say what is missing should answer `Result<_, String>`: its last words end up in the failure.
///
/// # Panics
/// When it does not hold within `within`, naming the caller's line.
#[track_caller]
pub fn eventually<A, C>(within: Duration, mut condition: C) -> impl Future<Output = A::Found>
where
    A: Answer,
    C: AsyncFnMut() -> A,
{
    let caller = Location::caller();
    async move {
        let until = Instant::now() + within;
        loop {
            // Asked before the time is looked at, so that it is asked once more after a long pause of the machine.
            let late = Instant::now() >= until;
            match condition().await.found() {
                Ok(found) => return found,
                Err(missing) if late => panic!("waited {within:?} at {caller}, in vain: {missing}"),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_what_was_found() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(10), async || {
            looks += 1;
            (looks == 3).then_some("it")
        })
        .await;
        assert_eq!(found, "it");
    }

    #[tokio::test]
    #[should_panic(expected = "in vain: 2 of 3")]
    async fn it_fails_with_the_last_words() {
        eventually(Duration::from_millis(50), async || Err::<(), _>("2 of 3")).await;
    }
}
