//! The log as its users see it: order, seam, loss and end.

use std::fs;
use std::io::Read as _;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::*;

const ROOMY: FileLimit = FileLimit { max_bytes: 1 << 20, backups: 1 };

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn backlog(tail: &mut Tail) -> Vec<String> {
    let mut text = String::new();
    for (file, len) in &mut tail.backlog {
        file.take(*len).read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Waits for an event that must come; the bound only keeps a broken test from hanging.
fn within<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

#[test]
fn flush_means_in_the_file_and_order_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), ROOMY).unwrap();
    (0..1000).for_each(|n| log.push(n.to_string()));
    within(log.flush());
    let lines: Vec<usize> = read(log.path()).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines, (0..1000).collect::<Vec<_>>());
    assert_eq!(log.lost(), 0);
}

#[test]
fn lines_are_written_without_anyone_asking() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), ROOMY).unwrap();
    within(async {
        let mut tail = log.tail().await.unwrap();
        log.push("by itself".to_owned());
        let line = tail.live.recv().await.unwrap();
        assert_eq!((line.seq, line.text.as_str()), (1, "by itself"));
    });
    assert_eq!(read(log.path()), "by itself\n", "a line is live when it is in the file");
}

#[test]
fn a_line_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), ROOMY).unwrap();
    log.push("a\nb\r\nc".to_owned());
    within(log.flush());
    assert_eq!(read(log.path()), "a b  c\n");
}

/// Four threads push while files rotate every few lines and readers come at any moment: each reader sees every line
/// exactly once, each thread's lines in their order.
#[test]
fn nothing_is_lost_or_doubled_at_the_seam() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let limit = FileLimit { max_bytes: 300, backups: 200 };
    let log = LineLog::open(dir.path().join("x"), limit).unwrap();
    let (pushed, seen_some) = mpsc::channel();
    let pushers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (log, pushed) = (log.clone(), pushed.clone());
            std::thread::spawn(move || {
                for n in 0..EACH {
                    log.push(format!("{thread} {n}"));
                    if n % 100 == 0 {
                        pushed.send(()).unwrap();
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(pushed);
    let tails = within(async {
        let mut tails = Vec::new();
        // One reader for each hundred lines of each thread, while the threads go on.
        while let Ok(()) = seen_some.recv() {
            tails.push(log.tail().await.unwrap());
        }
        tails
    });
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    log.push("end".to_owned());
    assert!(tails.len() > 4);
    for mut tail in tails {
        let mut lines = backlog(&mut tail);
        within(async {
            while lines.last().is_none_or(|line| line != "end") {
                lines.push(tail.live.recv().await.unwrap().text.clone());
            }
        });
        lines.pop();
        assert_eq!(lines.len(), THREADS * EACH);
        for thread in 0..THREADS {
            let prefix = format!("{thread} ");
            let own: Vec<usize> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(&prefix))
                .map(|n| n.parse().unwrap())
                .collect();
            assert_eq!(own, (0..EACH).collect::<Vec<_>>());
        }
    }
    assert!(dir.path().join("x.9").exists(), "the files did rotate");
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_reader_that_falls_behind_is_told_how_far() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), ROOMY).unwrap();
    within(async {
        let mut tail = log.tail().await.unwrap();
        (0..5000).for_each(|n| log.push(n.to_string()));
        log.flush().await;
        let Err(RecvError::Lagged(missed)) = tail.live.recv().await else { panic!("it should lag") };
        let next = tail.live.recv().await.unwrap();
        assert_eq!(next.seq, missed + 1);
        assert_eq!(next.text, missed.to_string());
    });
}

#[test]
fn a_backlog_ends_at_the_seam() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), FileLimit { max_bytes: 4, backups: 2 }).unwrap();
    within(async {
        ["a", "b", "c"].iter().for_each(|line| log.push((*line).to_owned()));
        let mut tail = log.tail().await.unwrap();
        // Rotation goes on under the reader: its handles and lengths do not move.
        ["d", "e", "f", "g", "h"].iter().for_each(|line| log.push((*line).to_owned()));
        log.flush().await;
        assert_eq!(backlog(&mut tail), ["a", "b", "c"]);
        assert_eq!(tail.live.recv().await.unwrap().text, "d");
    });
}

/// Holds the writer's thread until the test lets it go.
enum Held {
    Line,
    Gate(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>),
}

impl Record for Held {
    fn write_line(&self, out: &mut Vec<u8>) {
        out.push(b'x');
        if let Self::Gate(reached, open) = self {
            reached.send(()).unwrap();
            open.lock().unwrap().recv().unwrap();
        }
    }

    fn size_hint(&self) -> usize {
        1
    }
}

#[test]
fn a_full_queue_loses_and_counts_instead_of_growing() {
    let dir = tempfile::tempdir().unwrap();
    let log = RecordLog::<Held>::open(dir.path().join("x"), ROOMY).unwrap();
    let (reached, is_reached) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    log.push(Held::Gate(reached, Mutex::new(opened)));
    is_reached.recv().unwrap();
    (0..queue::MAX_RECORDS + 7).for_each(|_| log.push(Held::Line));
    log.lines().push("y".repeat(queue::MAX_BYTES));
    open.send(()).unwrap();
    within(log.lines().flush());
    assert_eq!(log.lines().lost(), 8);
    assert_eq!(read(log.lines().path()).lines().count(), queue::MAX_RECORDS + 1);
}

/// What the writer of this test reported.
static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_report(report: &Report<'_>) {
    let text = match report {
        Report::Failed { .. } => "failed".to_owned(),
        Report::Lost { count, .. } => format!("lost {count}"),
    };
    REPORTS.lock().unwrap().push(text);
}

#[test]
fn loss_is_counted_and_reported_once_writing_works() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, path) = (dir.path().join("logs"), dir.path().join("logs").join("x"));
    // A file stands where the directory should be.
    fs::write(&logs, "").unwrap();
    let log = RecordLog::<String>::open_reporting(path.clone(), ROOMY, keep_report).unwrap().lines();
    within(async {
        for _ in 0..3 {
            log.push("gone".to_owned());
            log.flush().await;
        }
        assert_eq!(log.lost(), 3);
        assert!(log.tail().await.is_err(), "the files cannot be opened, and a reader is told");
        fs::remove_file(&logs).unwrap();
        // A line that is not flushed in time waits out the pause and is lost too: write until one is kept.
        for _ in 0..1000 {
            let lost = log.lost();
            log.push("kept".to_owned());
            log.flush().await;
            if log.lost() == lost {
                break;
            }
        }
        log.push("also".to_owned());
        log.flush().await;
    });
    assert_eq!(read(&path), "kept\nalso\n");
    assert_eq!(*REPORTS.lock().unwrap(), ["failed".to_owned(), format!("lost {}", log.lost())]);
}

#[test]
fn closing_writes_the_rest_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = LineLog::open(dir.path().join("x"), ROOMY).unwrap();
    log.push("last".to_owned());
    log.close();
    assert_eq!(read(log.path()), "last\n");
    log.push("too late".to_owned());
    assert_eq!(log.lost(), 1);
    within(async {
        log.flush().await;
        assert_eq!(log.tail().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_last_handle_writes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let log = RecordLog::<String>::open(path.clone(), ROOMY).unwrap();
    let lines = log.lines();
    log.push("record".to_owned());
    drop(log);
    lines.push("line".to_owned());
    drop(lines);
    assert_eq!(read(&path), "record\nline\n");
}

struct Bomb;

impl Record for Bomb {
    fn write_line(&self, _out: &mut Vec<u8>) {
        panic!("a record that panics, on purpose");
    }
}

#[test]
fn a_writer_that_died_is_counted_and_hangs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = RecordLog::open(dir.path().join("x"), ROOMY).unwrap();
    log.push(Bomb);
    within(log.lines().flush());
    assert_eq!(within(log.lines().tail()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    log.push(Bomb);
    assert!(log.lines().lost() >= 1);
}

#[cfg(unix)]
#[test]
fn private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    rustix::process::umask(rustix::fs::Mode::empty());
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let log = LineLog::open(logs.join("x"), FileLimit { max_bytes: 2, backups: 1 }).unwrap();
    log.push("a".to_owned());
    log.push("b".to_owned());
    within(log.flush());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&logs), 0o700);
    assert_eq!((mode(log.path()), mode(&logs.join("x.1"))), (0o600, 0o600));
}
