//! The tokens that let requests in.

use std::sync::Arc;

use crate::key::Secret;

/// A token with the name of whoever holds it.
#[derive(Debug, Clone)]
pub struct Named {
    /// Letters, digits, `.`, `_` and `-`; what traces say.
    pub name: Arc<str>,
    /// What the client presents.
    pub secret: Secret,
}

/// Every token in force: the one without a name, and those with names.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// KMI_PROXY_TOKEN
    pub unnamed: Option<Secret>,
    /// KMI_PROXY_TOKENS, in their order
    pub named: Vec<Named>,
}

impl Tokens {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unnamed.is_none() && self.named.is_empty()
    }

    /// One that this machine's own programs may use.
    #[must_use]
    pub fn own(&self) -> Option<&Secret> {
        self.unnamed.as_ref().or_else(|| self.named.first().map(|token| &token.secret))
    }

    /// All of them.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.unnamed.iter().chain(self.named.iter().map(|token| &token.secret))
    }

    /// The token that one of the given values is: `None` when none fits, `Some(None)` for the one without a name.
    /// Each value is compared with each token to the end, so that the time tells nothing of which one was near.
    #[must_use]
    pub fn find(&self, given: &[Option<&[u8]>]) -> Option<Option<&Arc<str>>> {
        let presented = |secret: &Secret| {
            given.iter().flatten().fold(false, |found, given| secret.matches(given) | found)
        };
        let mut found = self.unnamed.as_ref().is_some_and(presented).then_some(None);
        for token in &self.named {
            if presented(&token.secret) {
                found = found.or(Some(Some(&token.name)));
            }
        }
        found
    }

    /// Whether both hold the same tokens under the same names.
    #[must_use]
    pub fn same_named(&self, other: &Self) -> bool {
        let same =
            |(one, other): (&Named, &Named)| one.name == other.name && same(&one.secret, &other.secret);
        self.named.len() == other.named.len() && self.named.iter().zip(&other.named).all(same)
    }

    /// Whether the token without a name is the same in both.
    #[must_use]
    pub fn same_unnamed(&self, other: &Self) -> bool {
        match (&self.unnamed, &other.unnamed) {
            (None, None) => true,
            (Some(one), Some(other)) => same(one, other),
            _ => false,
        }
    }
}

fn same(one: &Secret, other: &Secret) -> bool {
    one.matches(other.expose().as_bytes())
}
