//! The end of a connection whose client may still be sending. Closed with bytes unread, the system resets it, and throws
//! away the answer that the client has not read yet.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::listener::Ending;

/// So many bytes are thrown away at most.
const MOST: usize = 64 * 1024 * 1024;
/// It takes so long at most.
const LONGEST: Duration = Duration::from_secs(10);
/// A client that sends nothing for so long has read its answer, or will not.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Read at once.
const PIECE: usize = 16 * 1024;

/// Says that nothing more comes, and throws away what does until the client closes, too; within bounds, and not while
/// kmid ends.
pub(super) async fn let_read<S: AsyncRead + AsyncWrite + Unpin>(stream: S, ending: &Ending) {
    tokio::select! {
        _ = timeout(LONGEST, discard(stream)) => {}
        () = ending.drain.cancelled() => {}
        () = ending.abort.cancelled() => {}
    }
}

async fn discard<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    // Where it fails the client is gone, and reading says so.
    let _ = stream.shutdown().await;
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while read < MOST
        && let Ok(Ok(more)) = timeout(LONGEST_PAUSE, stream.read(&mut piece)).await
        && more > 0
    {
        read += more;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_without_end_is_left_by_bytes() {
        let (ours, mut theirs) = tokio::io::duplex(PIECE);
        let sending = async {
            let mut sent = 0;
            while theirs.write_all(&[0; PIECE]).await.is_ok() {
                sent += PIECE;
            }
            sent
        };
        let ending = Ending::default();
        let ((), sent) = tokio::join!(let_read(ours, &ending), sending);
        assert!((MOST..MOST + 4 * PIECE).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn and_by_time_whether_silent_or_slow_and_when_kmid_ends() {
        let began = Instant::now();
        let (ours, _theirs) = tokio::io::duplex(1);
        let_read(ours, &Ending::default()).await;
        assert_eq!(began.elapsed(), LONGEST_PAUSE);

        let began = Instant::now();
        let (ours, mut theirs) = tokio::io::duplex(1);
        let slow = async {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let ending = Ending::default();
        tokio::select! {
            () = let_read(ours, &ending) => {}
            () = slow => {}
        }
        assert_eq!(began.elapsed(), LONGEST);

        let (ours, _theirs) = tokio::io::duplex(1);
        let ending = Ending::default();
        ending.drain.cancel();
        let began = Instant::now();
        let_read(ours, &ending).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
