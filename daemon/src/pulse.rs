//! A sign of life on demand: whoever watches asks, and a loop that is alive answers between two of its turns. Nothing
//! happens while nobody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// Shared by a loop, which answers, and the one that watches it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    asked: Notify,
    answered: Notify,
}

impl Pulse {
    /// For the loop, as one of the events it waits for: returns when it was asked, and has answered. Safe to drop
    /// while it waits.
    pub async fn beat(&self) {
        self.0.asked.notified().await;
        self.0.answered.notify_one();
    }

    /// For the watcher: whether the loop answered in time.
    pub async fn asked(&self, patience: Duration) -> bool {
        self.0.asked.notify_one();
        tokio::time::timeout(patience, self.0.answered.notified()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_turns_answers_and_a_hung_one_does_not() {
        let pulse = Pulse::default();
        let turning = tokio::spawn({
            let pulse = pulse.clone();
            async move {
                loop {
                    pulse.beat().await;
                }
            }
        });
        for _ in 0..3 {
            assert!(pulse.asked(LONG).await);
        }
        turning.abort();
        assert!(turning.await.unwrap_err().is_cancelled());
        assert!(!pulse.asked(LONG).await);
        assert!(!pulse.asked(LONG).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_was_given_up_is_answered_later() {
        let pulse = Pulse::default();
        assert!(!pulse.asked(LONG).await);
        tokio::time::timeout(LONG, pulse.beat()).await.unwrap();
        // Once asked, once answered: nothing is left over that could hang the loop.
        assert!(tokio::time::timeout(LONG, pulse.beat()).await.is_err());
    }
}
