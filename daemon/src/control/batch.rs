//! Answers as lines, each within the bound: one alone, and those of a batch together.

use kmi_proto::codec::{MAX_LINE, encode};
use kmi_proto::envelope::{Id, MAX_BATCH, Response};
use kmi_proto::error::{Kind, RpcError};

/// Room that is kept for each call of a batch that is still to come: its answer may be an error without an id.
const RESERVE: usize = 512;
const _: () = assert!(MAX_BATCH * RESERVE < MAX_LINE / 2);

/// An answer as a line; what is too long to be sent becomes an error with the same id.
pub(super) fn encode_response(response: Response) -> Vec<u8> {
    let id = response.id.clone();
    encode(&response).unwrap_or_else(|error| {
        let error = RpcError::new(Kind::AnswerTooLong, format!("the answer cannot be sent: {error}"));
        instead(id, error, MAX_LINE)
    })
}

/// The answers of a batch, put together as they come. What has no room any more beside those before it becomes an error
/// under its own id: what the others have done is still to be told.
pub(super) struct BatchAnswer {
    /// `[`, and the answers with a comma behind each.
    array: Vec<u8>,
    /// Calls without an answer so far.
    to_come: usize,
}

impl BatchAnswer {
    /// For so many calls.
    pub(super) fn to(calls: usize) -> Self {
        Self { array: vec![b'['], to_come: calls }
    }

    /// Takes the answer to the next call; a notification has none.
    pub(super) fn add(&mut self, response: Option<Response>) {
        self.to_come = self.to_come.saturating_sub(1);
        let Some(response) = response else { return };
        let id = response.id.clone();
        let mut answer = encode_response(response);
        let room = MAX_LINE.saturating_sub(self.array.len() + self.to_come * RESERVE);
        // Its line end is where the comma will stand.
        if answer.len() > room {
            let why = "the answers of this batch are too long to be sent together; ask for this one alone";
            answer = instead(id, RpcError::new(Kind::AnswerTooLong, why), room);
        }
        answer.pop();
        self.array.extend(answer);
        self.array.push(b',');
    }

    /// The line, when there is an answer at all: notifications alone get none, not an empty array.
    pub(super) fn encoded(mut self) -> Option<Vec<u8>> {
        self.array.pop_if(|last| *last == b',')?;
        self.array.extend(b"]\n");
        Some(self.array)
    }
}

/// An error in place of an answer; without its id where that would not fit into `room` either.
fn instead(id: Id, error: RpcError, room: usize) -> Vec<u8> {
    let encoded = encode(&Response::new(id, Err(error.clone()))).ok().filter(|line| line.len() <= room);
    encoded.or_else(|| encode(&Response::new(Id::Null, Err(error))).ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
