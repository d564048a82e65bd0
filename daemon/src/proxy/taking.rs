//! Answers over HTTP/2 that their client does not take. Its system acknowledges every byte and its program every ping,
//! and still a stream whose window it never opens would keep a key's slot for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// It is noticed within a quarter of the limit.
const TICKS: u32 = 4;

tokio::task_local! {
    static OF_THIS_STREAM: Arc<Taking>;
}

/// How far the client has taken the answer of a stream.
#[derive(Debug, Default)]
pub(super) struct Taking {
    pieces: AtomicU64,
    /// A piece is on its way, and the next one is not asked for.
    waits: AtomicBool,
}

impl Taking {
    /// That of the stream whose task asks, if it is watched.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        OF_THIS_STREAM.try_with(Arc::clone).ok()
    }

    /// The next piece was asked for; `has_come` is whether there was one to be had.
    pub(super) fn asked(&self, has_come: bool) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.waits.store(has_come, Ordering::Relaxed);
    }

    /// Returns when the client has taken nothing of what there is for so long.
    async fn stands_still(&self, longest: Duration) {
        let (mut seen, mut quiet) = (0, 0);
        while quiet < TICKS {
            tokio::time::sleep(longest / TICKS).await;
            let pieces = self.pieces.load(Ordering::Relaxed);
            let still = self.waits.load(Ordering::Relaxed) && pieces == seen;
            quiet = if still { quiet + 1 } else { 0 };
            seen = pieces;
        }
    }
}

/// Serves a stream while its client takes the answer; dropped, the stream is reset.
pub(super) async fn while_taken(stream: impl Future, longest: Duration) {
    let taking = Arc::<Taking>::default();
    tokio::select! {
        biased;
        _ = OF_THIS_STREAM.scope(Arc::clone(&taking), stream) => {}
        () = taking.stands_still(longest) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(120);

    /// Seconds until a stream is given up that does this.
    async fn given_up_after(stream: impl Future) -> u64 {
        let began = Instant::now();
        while_taken(stream, LONGEST).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_waits_for_the_client_is_given_up() {
        let taking = || Taking::of_this_stream().expect("it is watched");
        let not_taken = async {
            taking().asked(true);
            pending::<()>().await;
        };
        assert!((120..=150).contains(&given_up_after(not_taken).await));
        // Slow, and never still for so long.
        let slow = async {
            for _ in 0..10 {
                taking().asked(true);
                sleep(LONGEST - Duration::from_secs(1)).await;
            }
        };
        assert_eq!(given_up_after(slow).await, 1190);
        // The upstream is silent, not the client.
        let silent = async {
            taking().asked(true);
            taking().asked(false);
            sleep(LONGEST * 10).await;
        };
        assert_eq!(given_up_after(silent).await, 1200);
    }
}
