use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kmi_proto::envelope::MAX_BATCH;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

use super::super::dispatch::{Reply, Service};
use super::super::feed::Shape;
use super::super::feed::tests::{line, tail, wanted};
use super::super::streams::MAX_STREAMS;
use super::*;
use crate::line_log::Line;

/// Methods that do what a test needs.
#[derive(Default)]
struct Fake {
    /// Requests to `wait` that are in flight.
    waiting: AtomicUsize,
    began_waiting: Notify,
    go_on: Gate,
    stopped: Mutex<Option<bool>>,
    feeds: Mutex<Vec<Feed>>,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Service for Fake {
    async fn call(&self, request: Request, _peer: Peer) -> Result<Reply, RpcError> {
        match request.method.as_str() {
            "echo" => Ok(Reply::Result(request.params.unwrap_or_default())),
            "big" => Ok(Reply::Result("x".repeat(MAX_LINE).into())),
            "fill" => Ok(Reply::Result("x".repeat(MAX_LINE / 2).into())),
            "refuse" => Err(RpcError::new(Kind::Policy, "no").retry_at(Some("soon".to_owned()))),
            "panic" => panic!("on purpose"),
            "stop" => Ok(Reply::Stop { force: true }),
            "tail" => Ok(Reply::Stream(Box::new(self.feeds.lock().unwrap().pop().unwrap()))),
            "wait" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.began_waiting.notify_one();
                self.go_on.0.acquire().await.unwrap().forget();
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                Ok(Reply::Result("waited".into()))
            }
            other => Err(RpcError::new(Kind::MethodNotFound, other)),
        }
    }

    async fn stop(&self, force: bool, _peer: Peer) {
        *self.stopped.lock().unwrap() = Some(force);
    }
}

/// The client's end of a session.
struct Talk {
    read: BufReader<ReadHalf<DuplexStream>>,
    write: Option<WriteHalf<DuplexStream>>,
    fake: Arc<Fake>,
    stopping: CancellationToken,
    session: JoinHandle<()>,
}

/// A session whose transport holds `capacity` bytes each way.
fn session_of(capacity: usize) -> Talk {
    let fake = Arc::<Fake>::default();
    let stopping = CancellationToken::new();
    let (ours, theirs) = tokio::io::duplex(capacity);
    let session = tokio::spawn(run(theirs, Arc::clone(&fake), Peer::default(), stopping.clone()));
    let (read, write) = tokio::io::split(ours);
    Talk { read: BufReader::new(read), write: Some(write), fake, stopping, session }
}

impl Talk {
    async fn say(&mut self, text: &str) {
        self.write.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    async fn call(&mut self, id: u64, method: &str) {
        self.say(&format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method}))).await;
    }

    async fn cancel(&mut self, id: u64, subscription: u64) {
        let params = json!({"subscription": subscription});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "stream.cancel", "params": params});
        self.say(&format!("{call}\n")).await;
    }

    /// The next line; null at the end.
    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.read.read_line(&mut line).await {
            Ok(length) if length > 0 => serde_json::from_str(&line).unwrap(),
            _ => Value::Null,
        }
    }

    async fn hear_error(&mut self) -> (Value, i64, String) {
        let line = self.hear().await;
        let kind = line["error"]["data"]["kind"].as_str().unwrap_or_default().to_owned();
        (line["id"].clone(), line["error"]["code"].as_i64().unwrap_or_default(), kind)
    }

    async fn close_writing(&mut self) {
        self.write.take().unwrap().shutdown().await.unwrap();
    }

    /// Sets the feed of the next `tail` and returns the sender of its live lines.
    fn feed(&self, backlog: &str, capacity: usize, follow: bool) -> broadcast::Sender<Arc<Line>> {
        let (tail, sender) = tail(&[backlog], capacity);
        self.fake.feeds.lock().unwrap().push(Feed::new(tail, Shape::Text, wanted(None, None, follow)));
        sender
    }
}

fn item(subscription: u64, seq: u64, item: &str) -> Value {
    let params = json!({"subscription": subscription, "seq": seq, "item": item});
    json!({"jsonrpc": "2.0", "method": "stream.item", "params": params})
}

fn end(subscription: u64, reason: &str) -> Value {
    let params = json!({"subscription": subscription, "reason": reason});
    json!({"jsonrpc": "2.0", "method": "stream.end", "params": params})
}

#[tokio::test]
async fn answers_carry_their_ids_and_notifications_get_none() {
    let mut talk = session_of(1024);
    talk.say("\r\n{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1]}\n").await;
    talk.say("{\"jsonrpc\":\"2.0\",\"method\":\"of.tomorrow\"}\r\n").await;
    talk.say("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"echo\",\"params\":{\"x\":1}}\r\n").await;
    assert_eq!(talk.hear().await, json!({"jsonrpc": "2.0", "id": "a", "result": {"x": 1}}));
    talk.say("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"refuse\"}\n").await;
    let refusal = json!({"code": -32010, "message": "no", "data": {"kind": "policy", "retry_at": "soon"}});
    assert_eq!(talk.hear().await, json!({"jsonrpc": "2.0", "id": null, "error": refusal}));
}

#[tokio::test]
async fn what_is_broken_is_answered_and_the_connection_goes_on() {
    let mut talk = session_of(64 * 1024);
    talk.say("GET / HTTP/1.1\n").await;
    assert_eq!(talk.hear_error().await, (Value::Null, -32700, "parse_error".to_owned()));
    talk.say("{\"id\":5}\n").await;
    assert_eq!(talk.hear_error().await, (json!(5), -32600, "invalid_request".to_owned()));
    talk.say(&"x".repeat(MAX_LINE + 2)).await;
    assert_eq!(talk.hear_error().await, (Value::Null, -32001, "line_too_long".to_owned()));
    talk.say("the rest of it\n").await;
    talk.call(6, "of.tomorrow").await;
    assert_eq!(talk.hear_error().await, (json!(6), -32601, "method_not_found".to_owned()));
    talk.call(7, "stream.cancel").await;
    assert_eq!(talk.hear_error().await, (json!(7), -32602, "invalid_params".to_owned()));
    talk.call(8, "big").await;
    assert_eq!(talk.hear_error().await, (json!(8), -32004, "answer_too_long".to_owned()));
    talk.call(9, "panic").await;
    assert_eq!(talk.hear_error().await, (json!(9), -32603, "internal_error".to_owned()));
    talk.call(10, "echo").await;
    assert_eq!(talk.hear().await["id"], 10);
}

#[tokio::test]
async fn batches_are_answered_together() {
    let mut talk = session_of(1024);
    let call = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    talk.say("[{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}]\n[]\n").await;
    assert_eq!(talk.hear_error().await.1, -32600);
    talk.say(&format!(
        "{}\n",
        json!([call(1, "echo"), 7, {"jsonrpc": "2.0", "method": "echo"}, call(2, "no")])
    ))
    .await;
    let answers = talk.hear().await;
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": 1, "result": null}));
    assert_eq!((&answers[1]["id"], answers[1]["error"]["code"].as_i64()), (&Value::Null, Some(-32600)));
    assert_eq!((answers[2]["id"].as_u64(), answers[2]["error"]["code"].as_i64()), (Some(2), Some(-32601)));
    talk.say(&format!("{}\n", json!([call(1, "fill"), call(2, "fill"), call(3, "fill")]))).await;
    // What was done is told, and what has no room has its own error.
    let answers = talk.hear().await;
    assert_eq!((&answers[0]["id"], answers[0]["result"].is_string()), (&json!(1), true));
    for (place, id) in [(1, 2), (2, 3)] {
        let error = &answers[place];
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(id), &json!(-32004)));
    }
    talk.say(&format!("{}\n", json!(vec![call(1, "echo"); MAX_BATCH + 1]))).await;
    assert_eq!(talk.hear_error().await.1, -32600);
}

#[tokio::test]
async fn requests_overlap_up_to_a_bound() {
    let mut talk = session_of(64 * 1024);
    talk.call(0, "wait").await;
    talk.call(1, "echo").await;
    assert_eq!(talk.hear().await["id"], 1);
    for id in 1..MAX_IN_FLIGHT as u64 {
        talk.call(id, "wait").await;
    }
    while talk.fake.waiting.load(Ordering::SeqCst) < MAX_IN_FLIGHT {
        talk.fake.began_waiting.notified().await;
    }
    // The next one is not begun before a place is free, so the one that waits is answered first.
    talk.call(99, "echo").await;
    talk.fake.go_on.0.add_permits(1);
    assert_eq!(talk.hear().await["result"], "waited");
    assert_eq!(talk.hear().await["id"], 99);
    talk.fake.go_on.0.add_permits(MAX_IN_FLIGHT);
    for _ in 1..MAX_IN_FLIGHT {
        assert_eq!(talk.hear().await["result"], "waited");
    }
}

/// A call with two thirds of all that a line may have.
fn large(id: u64, method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": ["x".repeat(MAX_LINE / 3 * 2)]})
}

/// The clock stands still until nobody has anything to do, so that a second shows what will never come by itself.
const IDLE: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_waits_of_a_connection_is_bounded_in_bytes() {
    let mut talk = session_of(2 * MAX_LINE);
    talk.say(&format!("{}\n", json!([large(1, "wait")]))).await;
    talk.fake.began_waiting.notified().await;
    talk.say(&format!("{}\n", large(2, "echo"))).await;
    assert!(tokio::time::timeout(IDLE, talk.hear()).await.is_err(), "two lines are held at once");
    talk.fake.go_on.0.add_permits(1);
    assert_eq!(talk.hear().await[0]["result"], "waited");
    assert_eq!(talk.hear().await["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_takes_its_place_until_it_is_written() {
    let mut talk = session_of(1024);
    talk.say(&format!("{}\n", large(1, "echo"))).await;
    talk.say(&format!("{}\n", large(2, "wait"))).await;
    let begun = tokio::time::timeout(IDLE, talk.fake.began_waiting.notified()).await;
    assert!(begun.is_err(), "the next one began behind an answer that nobody has");
    assert_eq!(talk.hear().await["id"], 1);
    talk.fake.began_waiting.notified().await;
    talk.fake.go_on.0.add_permits(1);
    assert_eq!(talk.hear().await["id"], 2);
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_still_gets_its_answers() {
    let mut talk = session_of(1024);
    let _sender = talk.feed("old\n", 4, true);
    talk.call(1, "wait").await;
    talk.call(2, "tail").await;
    assert_eq!(talk.hear().await["result"], json!({"subscription": 1}));
    // The last line has no line end, as `printf` without `\n` writes it.
    talk.say("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"wait\"}").await;
    talk.close_writing().await;
    assert_eq!(talk.hear().await, item(1, 0, "old"));
    assert_eq!(talk.hear().await, end(1, "complete"));
    talk.fake.go_on.0.add_permits(2);
    let mut ids = [talk.hear().await["id"].clone(), talk.hear().await["id"].clone()];
    ids.sort_by_key(Value::as_u64);
    assert_eq!(ids, [json!(1), json!(3)]);
    assert_eq!(talk.hear().await, Value::Null);
    talk.session.await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_session() {
    let mut talk = session_of(1024);
    let sender = talk.feed("", 4, true);
    talk.call(1, "tail").await;
    assert_eq!(talk.hear().await["id"], 1);
    drop((talk.read, talk.write));
    talk.session.await.unwrap();
    assert_eq!(sender.receiver_count(), 0);
}

#[tokio::test]
async fn a_stream_follows_its_answer_and_goes_on_beside_requests() {
    let mut talk = session_of(1024);
    let sender = talk.feed("one\ntwo\n", 4, true);
    talk.call(1, "tail").await;
    assert_eq!(talk.hear().await["result"], json!({"subscription": 1}));
    assert_eq!(talk.hear().await, item(1, 0, "one"));
    assert_eq!(talk.hear().await, item(1, 1, "two"));
    sender.send(line(1, "three")).unwrap();
    assert_eq!(talk.hear().await, item(1, 2, "three"));
    talk.call(2, "echo").await;
    assert_eq!(talk.hear().await["id"], 2);
    talk.cancel(3, 1).await;
    assert_eq!(talk.hear().await, end(1, "cancelled"));
    assert_eq!(talk.hear().await["result"], json!({"cancelled": true}));
    talk.cancel(4, 1).await;
    assert_eq!(talk.hear().await["result"], json!({"cancelled": false}));
    assert_eq!(sender.receiver_count(), 0);
}

#[tokio::test]
async fn a_stream_without_follow_ends_by_itself() {
    let mut talk = session_of(1024);
    let _sender = talk.feed("one\n", 4, false);
    let _other = talk.feed("", 4, false);
    let tail = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tail"});
    // A stream whose name nobody would learn is not opened.
    talk.say("{\"jsonrpc\":\"2.0\",\"method\":\"tail\"}\n").await;
    talk.say(&format!("{}\n", json!([tail(1), {"jsonrpc": "2.0", "id": 2, "method": "echo"}]))).await;
    let answers = talk.hear().await;
    assert_eq!(answers[0]["result"], json!({"subscription": 1}));
    assert_eq!(answers[1]["id"], 2);
    assert_eq!(talk.hear().await, item(1, 0, "one"));
    assert_eq!(talk.hear().await, end(1, "complete"));
}

#[tokio::test]
async fn a_cancel_in_the_batch_that_opens_the_stream_does_not_hang() {
    let mut talk = session_of(1024);
    let _sender = talk.feed("one\n", 4, true);
    let params = json!({"subscription": 1});
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "tail"},
        {"jsonrpc": "2.0", "id": 2, "method": "stream.cancel", "params": params}]);
    talk.say(&format!("{batch}\n")).await;
    assert_eq!(talk.hear().await[1]["result"], json!({"cancelled": true}));
    assert_eq!(talk.hear().await, end(1, "cancelled"));
}

#[tokio::test]
async fn streams_of_a_connection_are_bounded() {
    let mut talk = session_of(4096);
    let senders: Vec<_> = (0..=MAX_STREAMS).map(|_| talk.feed("", 4, true)).collect();
    for id in 1..=MAX_STREAMS as u64 {
        talk.call(id, "tail").await;
        assert_eq!(talk.hear().await["result"], json!({"subscription": id}));
    }
    talk.call(50, "tail").await;
    assert_eq!(talk.hear_error().await, (json!(50), -32003, "busy".to_owned()));
    assert_eq!(senders.len(), MAX_STREAMS + 1);
}

#[tokio::test]
async fn a_reader_that_does_not_read_slows_nobody_and_hears_what_it_missed() {
    const CAPACITY: usize = 16;
    let mut talk = session_of(64);
    let sender = talk.feed("", CAPACITY, true);
    talk.call(1, "tail").await;
    assert_eq!(talk.hear().await["id"], 1);
    let total = 1000;
    for seq in 0..total {
        // Never waits, whatever the reader does.
        sender.send(line(seq, &format!("line {seq}"))).unwrap();
        tokio::task::yield_now().await;
    }
    let (mut items, mut missed, mut next_seq) = (0, 0, 0);
    while items + missed < total {
        let line = talk.hear().await;
        let params = &line["params"];
        if line["method"] == "stream.item" {
            next_seq = params["seq"].as_u64().unwrap() + 1;
            assert_eq!(params["item"], format!("line {}", next_seq - 1));
            items += 1;
        } else {
            assert_eq!(line["method"], "stream.dropped");
            missed += params["count"].as_u64().unwrap();
        }
    }
    assert_eq!((items + missed, next_seq), (total, total));
    assert!(missed > 0 && items >= CAPACITY as u64, "{items} {missed}");
}

#[tokio::test(start_paused = true)]
async fn unread_answers_stop_the_reading_of_requests() {
    let mut talk = session_of(64);
    let request = format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": "echo"}));
    let mut sent = 0_u64;
    // Writing stops when the queue, the places in flight and the transport are full.
    let bound = (QUEUE + MAX_IN_FLIGHT) as u64 + 2 * (READ_SIZE / request.len()) as u64;
    while tokio::time::timeout(IDLE, talk.say(&request)).await.is_ok() {
        sent += 1;
        assert!(sent <= bound, "{sent} requests were taken from a client that reads nothing");
    }
    assert!(sent >= QUEUE as u64, "{sent} requests only");
    for _ in 0..sent {
        assert_eq!(talk.hear().await["id"], 1);
    }
}

#[tokio::test]
async fn a_stop_is_answered_first() {
    let mut talk = session_of(1024);
    talk.call(1, "stop").await;
    assert_eq!(talk.hear().await, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    talk.close_writing().await;
    assert_eq!(talk.hear().await, Value::Null);
    talk.session.await.unwrap();
    assert_eq!(*talk.fake.stopped.lock().unwrap(), Some(true));
}

#[tokio::test]
async fn a_stop_counts_even_when_nobody_waits_for_its_answer() {
    let mut talk = session_of(1024);
    talk.call(1, "stop").await;
    drop((talk.read, talk.write));
    talk.session.await.unwrap();
    assert_eq!(*talk.fake.stopped.lock().unwrap(), Some(true));
}

#[tokio::test]
async fn the_daemons_end_ends_streams_and_sessions_but_answers_what_is_in_flight() {
    let mut talk = session_of(1024);
    let _sender = talk.feed("", 4, true);
    talk.call(1, "tail").await;
    assert_eq!(talk.hear().await["id"], 1);
    talk.call(2, "wait").await;
    talk.fake.began_waiting.notified().await;
    talk.stopping.cancel();
    assert_eq!(talk.hear().await, end(1, "stopping"));
    talk.fake.go_on.0.add_permits(1);
    assert_eq!(talk.hear().await["result"], "waited");
    assert_eq!(talk.hear().await, Value::Null);
    talk.session.await.unwrap();
}
