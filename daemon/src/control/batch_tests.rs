#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answered(responses: Vec<Option<Response>>) -> Vec<Value> {
    let mut answer = BatchAnswer::to(responses.len());
    for response in responses {
        answer.add(response);
    }
    let Some(line) = answer.encoded() else { return Vec::new() };
    assert!(line.len() <= MAX_LINE + 1, "{} bytes", line.len());
    assert_eq!(line.last(), Some(&b'\n'));
    serde_json::from_slice(&line).unwrap()
}

fn result(id: u64, length: usize) -> Option<Response> {
    Some(Response::new(id.into(), Ok("x".repeat(length).into())))
}

/// What came of each: its length, or nothing where it is an error.
fn outline(answers: &[Value]) -> Vec<(Value, Option<usize>)> {
    let one = |answer: &Value| {
        let length = answer["result"].as_str().map(str::len);
        if length.is_none() {
            assert_eq!(answer["error"]["data"]["kind"], "answer_too_long");
        }
        (answer["id"].clone(), length)
    };
    answers.iter().map(one).collect()
}

#[test]
fn only_what_has_no_room_is_replaced() {
    let half = MAX_LINE / 2;
    let answers = answered(vec![
        result(1, 10),
        result(2, half),
        None,
        result(3, half),
        result(4, MAX_LINE),
        result(5, 10),
    ]);
    let expected = [(1, Some(10)), (2, Some(half)), (3, None), (4, None), (5, Some(10))]
        .map(|(id, length)| (json!(id), length));
    assert_eq!(outline(&answers), expected);
}

#[test]
fn a_batch_of_notifications_has_no_answer() {
    assert!(answered(vec![None, None]).is_empty());
}

#[test]
fn ids_that_leave_no_room_are_left_out() {
    let id = || Id::String("i".repeat(MAX_LINE / 3));
    let answers = answered((0..4).map(|_| Some(Response::new(id(), Ok(Value::Null)))).collect());
    assert_eq!(answers.len(), 4);
    assert!(answers[0]["result"].is_null() && answers[1]["result"].is_null());
    assert_eq!(answers[3]["id"], Value::Null);
    assert_eq!(answers[3]["error"]["code"], -32004);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_call_has_its_answer_in_a_line_that_fits(lengths in prop::collection::vec(0..MAX_LINE / 8, 1..=MAX_BATCH)) {
        let responses = lengths.iter().zip(1..).map(|(&length, id)| result(id, length)).collect();
        let answers = answered(responses);
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64()).collect();
        prop_assert_eq!(ids, (1..=lengths.len() as u64).map(Some).collect::<Vec<_>>());
        for ((_, seen), sent) in outline(&answers).into_iter().zip(lengths) {
            prop_assert!(seen.is_none_or(|seen| seen == sent));
        }
    }
}
