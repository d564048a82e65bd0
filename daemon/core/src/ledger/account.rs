//! One account: its windows and its traffic.

use super::Figure;
use super::burn::Burn;
use super::window::Window;
use crate::kimi::quota::Quota;
use crate::outcome::FullWindow;
use crate::policy::{Left, Windows};
use crate::time::Time;

#[derive(Debug, Default)]
pub(super) struct Account {
    /// Those of the last poll, which bounds them.
    windows: Vec<Window>,
    /// Weighed tokens.
    burn: Burn,
}

impl Account {
    pub(super) fn poll(&mut self, quota: &Quota, read_at: Time) {
        let mut old = std::mem::take(&mut self.windows);
        self.windows = quota
            .windows
            .iter()
            .map(|polled| match old.iter().position(|window| window.name == polled.name) {
                Some(at) => {
                    let mut window = old.swap_remove(at);
                    window.poll(polled, read_at);
                    window
                }
                None => Window::new(polled, read_at),
            })
            .collect();
    }

    pub(super) fn spend(&mut self, tokens: f64, now: Time) {
        self.burn.add(tokens, now);
        self.windows.iter_mut().for_each(|window| window.spend(tokens, now));
    }

    /// A refusal that does not say which window is full means the one with the least left: it is said of the 5-hour
    /// window in the words of the billing cycle [kimi-code#2121, 2026-11].
    pub(super) fn refused(&mut self, full: FullWindow, until: Time, now: Time) {
        let named: fn(&Window) -> bool = match full {
            FullWindow::Week => |window| window.name == "7d",
            FullWindow::Month => |window| window.name.starts_with("month"),
            FullWindow::Unknown => |_| true,
        };
        let candidates = self.windows.iter_mut().filter(|window| named(window));
        let least = candidates.min_by(|a, b| a.by_polls(now).percent.total_cmp(&b.by_polls(now).percent));
        if let Some(window) = least {
            window.refuse(until, now);
        }
    }

    pub(super) fn forgive(&mut self) {
        self.windows.iter_mut().for_each(Window::forgive);
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.burn.absorb(other.burn);
        if self.windows.is_empty() {
            self.windows = other.windows;
        }
    }

    pub(super) fn is_unread(&self) -> bool {
        self.windows.is_empty()
    }

    pub(super) fn burn(&self, now: Time) -> f64 {
        self.burn.per_hour(now)
    }

    pub(super) fn figures(&self, now: Time) -> impl Iterator<Item = Figure> {
        let tokens = self.burn(now);
        self.windows.iter().map(move |window| window.figure(tokens, now))
    }

    pub(super) fn worst_percent(&self, now: Time) -> Option<f64> {
        self.windows.iter().map(|window| window.known(now).percent).min_by(f64::total_cmp)
    }

    pub(super) fn windows(&self, pool_burn: f64, polls_only: bool, now: Time) -> Windows {
        let left = |window: &Window| {
            let known = if polls_only { window.by_polls(now) } else { window.known(now) };
            Left {
                percent: known.percent,
                resets_at: window.resets_at.filter(|reset| *reset > now),
                length: window.length,
                burn: window.rate().map(|rate| rate * pool_burn),
                pace: self.pace(window),
            }
        };
        self.windows.iter().map(left).collect()
    }

    /// Percent of a window an hour that the shorter windows let through when they are used to the full.
    fn pace(&self, long: &Window) -> Option<f64> {
        let long_rate = long.rate()?;
        let through = |short: &Window| {
            let length = short.length.filter(|length| long.length.is_none_or(|long| *length < long))?;
            Some(100.0 / (length.as_secs_f64() / 3600.0) * long_rate / short.rate()?)
        };
        self.windows.iter().filter_map(through).min_by(f64::total_cmp)
    }

    /// Weighed tokens in the longest window.
    pub(super) fn size(&self) -> Option<f64> {
        let longest = self.windows.iter().max_by_key(|window| window.length)?;
        longest.rate().map(|rate| 100.0 / rate)
    }

    /// Weighed tokens until the first window is empty.
    pub(super) fn tokens_left(&self, now: Time) -> Option<f64> {
        let left = |window: &Window| window.rate().map(|rate| window.known(now).percent / rate);
        let known: Option<Vec<f64>> = self.windows.iter().map(left).collect();
        known?.into_iter().min_by(f64::total_cmp)
    }
}
