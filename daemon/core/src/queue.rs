//! Requests that wait for a key: fair between sessions, first come first served within one.

use std::collections::BTreeMap;

use crate::session::SessionId;

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Requests that name no session are one line together: whoever does not say who they are cannot be told from
    /// one client that asks a thousand times.
    session: Option<SessionId>,
    number: u64,
}

/// What is decided about one who waits.
#[derive(Debug)]
pub enum Turn<R> {
    /// It leaves the queue with this.
    Done(R),
    /// It waits on.
    Waits,
}

/// Waiting requests. Sessions take turns; within a session the first that came is the first.
#[derive(Debug)]
pub struct Queue<W> {
    lines: BTreeMap<Option<SessionId>, Line<W>>,
    /// The sessions by their place in the round.
    round: BTreeMap<u64, Option<SessionId>>,
    /// Numbers given out so far, to tickets and places in the round.
    numbers: u64,
    length: usize,
}

#[derive(Debug)]
struct Line<W> {
    /// Its place in the round.
    place: u64,
    /// By number, so in order of arrival.
    waiters: BTreeMap<u64, W>,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { lines: BTreeMap::new(), round: BTreeMap::new(), numbers: 0, length: 0 }
    }
}

impl<W> Queue<W> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes a place behind all that wait in the session; `None` when `most` wait already. A session that had nobody
    /// waiting comes last in the round.
    pub fn push(&mut self, session: Option<SessionId>, most: usize, waiter: W) -> Option<Ticket> {
        if self.length >= most {
            return None;
        }
        let number = self.next_number();
        let line = self.lines.entry(session).or_insert_with(|| {
            self.round.insert(number, session);
            Line { place: number, waiters: BTreeMap::new() }
        });
        line.waiters.insert(number, waiter);
        self.length += 1;
        Some(Ticket { session, number })
    }

    /// Gives up a place; `None` when its turn has come already.
    pub fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let line = self.lines.get_mut(&ticket.session)?;
        let waiter = line.waiters.remove(&ticket.number)?;
        self.length -= 1;
        if line.waiters.is_empty() {
            self.round.remove(&line.place);
            self.lines.remove(&ticket.session);
        }
        Some(waiter)
    }

    /// Asks the waiters in their order until one is done, and takes that one out; its session comes last in the
    /// round then.
    pub fn serve<R>(&mut self, mut ask: impl FnMut(&W) -> Turn<R>) -> Option<(W, R)> {
        let (ticket, answer) = self.round.values().find_map(|session| {
            let mut waiters = self.lines.get(session)?.waiters.iter();
            waiters.find_map(|(number, waiter)| match ask(waiter) {
                Turn::Done(answer) => Some((Ticket { session: *session, number: *number }, answer)),
                Turn::Waits => None,
            })
        })?;
        let waiter = self.remove(ticket)?;
        self.comes_last(ticket.session);
        Some((waiter, answer))
    }

    /// Everybody, in the order of their turns; the queue is empty then.
    pub fn take_all(&mut self) -> Vec<W> {
        std::iter::from_fn(|| self.serve(|_| Turn::Done(()))).map(|(waiter, ())| waiter).collect()
    }

    fn comes_last(&mut self, session: Option<SessionId>) {
        let place = self.next_number();
        if let Some(line) = self.lines.get_mut(&session) {
            self.round.remove(&line.place);
            line.place = place;
            self.round.insert(place, session);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
