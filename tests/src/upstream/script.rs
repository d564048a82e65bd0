//! Which reply a request gets.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::{Reply, Seen, api};

/// Stands for every key.
pub const ANY: &str = "*";

type Answer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// Queued replies first, then functions, then what the API answers by itself; an exact key before [`ANY`].
#[derive(Default)]
pub struct Script {
    rules: Mutex<Vec<Rule>>,
}

struct Rule {
    key: String,
    endpoint: String,
    queue: VecDeque<Reply>,
    always: Option<Answer>,
}

impl Rule {
    fn fits(&self, key: &str, endpoint: &str) -> bool {
        self.key == key && self.endpoint == endpoint
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Script {
    /// Queues one reply.
    pub fn push(&self, key: &str, endpoint: &str, reply: Reply) {
        self.with_rule(key, endpoint, |rule| rule.queue.push_back(reply));
    }

    /// Sets the answer for when nothing is queued.
    pub fn always(&self, key: &str, endpoint: &str, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.with_rule(key, endpoint, |rule| rule.always = Some(Arc::new(answer)));
    }

    fn with_rule(&self, key: &str, endpoint: &str, change: impl FnOnce(&mut Rule)) {
        let mut rules = self.rules.lock().unwrap();
        let at = rules.iter().position(|rule| rule.fits(key, endpoint)).unwrap_or_else(|| {
            rules.push(Rule {
                key: key.into(),
                endpoint: endpoint.into(),
                queue: VecDeque::new(),
                always: None,
            });
            rules.len() - 1
        });
        change(&mut rules[at]);
    }

    /// The queued reply for a request whose head has come.
    pub(super) fn queued(&self, seen: &Seen) -> Option<Reply> {
        let key = seen.key().unwrap_or_default();
        let mut rules = self.rules.lock().unwrap();
        [key.as_str(), ANY].into_iter().find_map(|key| {
            rules
                .iter_mut()
                .find(|rule| rule.fits(key, seen.endpoint()))
                .and_then(|rule| rule.queue.pop_front())
        })
    }

    /// The answer for a request whose body has come, when nothing was queued.
    pub(super) fn answer(&self, seen: &Seen) -> Reply {
        let key = seen.key().unwrap_or_default();
        let function = {
            let rules = self.rules.lock().unwrap();
            [key.as_str(), ANY].into_iter().find_map(|key| {
                rules.iter().find(|rule| rule.fits(key, seen.endpoint())).and_then(|rule| rule.always.clone())
            })
        };
        function.map_or_else(|| api::answer(seen), |answer| answer(seen))
    }
}
