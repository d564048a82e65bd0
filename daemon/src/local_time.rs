//! Times as people read them in traces and logs: `2026-02-02 12:00:00.123 +0300`, in KMI_TIMEZONE.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use kmid_core::time::Time;

/// The zone in force, shared by all who write times; a reload changes it for everyone at once.
#[derive(Debug, Clone)]
pub struct Zone(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    zone: TimeZone,
    /// The second that was written last, as whole seconds since the Unix epoch: thousands of lines can have the same.
    last: Option<(i64, String)>,
}

impl Zone {
    /// Starts with this zone.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self(Arc::new(Mutex::new(Shared { zone, last: None })))
    }

    /// Replaces it.
    pub fn set(&self, zone: TimeZone) {
        *self.lock() = Shared { zone, last: None };
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time in the zone in force.
    #[must_use]
    pub fn format(&self, time: Time) -> String {
        let Shared { zone, last } = &mut *self.lock();
        let second = time.as_millis().div_euclid(1000);
        match last {
            Some((known, text)) if *known == second => {
                let millis = u32::try_from(time.as_millis().rem_euclid(1000)).unwrap_or(0);
                let mut same = String::with_capacity(text.len());
                same.push_str(&text[..MILLIS.start]);
                three_digits(&mut same, millis);
                same.push_str(&text[MILLIS.end..]);
                same
            }
            _ => {
                let text = format_time(time, zone);
                *last = Some((second, text.clone()));
                text
            }
        }
    }
}

/// Where the milliseconds stand in a time that is written out.
const MILLIS: std::ops::Range<usize> = 20..23;

/// The time in this zone. An offset with seconds, as zones had before 1930, is cut to minutes.
#[must_use]
pub fn format_time(time: Time, zone: &TimeZone) -> String {
    let timestamp = time.timestamp();
    let offset = zone.to_offset(timestamp);
    let local = offset.to_datetime(timestamp);
    let year = local.year().unsigned_abs();
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    // Digit by digit: this runs twice for every request, and general formatting showed in its profile.
    let mut text = String::with_capacity(29);
    two_digits(&mut text, year / 100);
    two_digits(&mut text, year % 100);
    for (before, number) in [
        ('-', local.month()),
        ('-', local.day()),
        (' ', local.hour()),
        (':', local.minute()),
        (':', local.second()),
    ] {
        text.push(before);
        two_digits(&mut text, number.unsigned_abs());
    }
    text.push('.');
    let millis = local.millisecond().unsigned_abs();
    three_digits(&mut text, millis);
    text.push(' ');
    text.push(sign);
    two_digits(&mut text, minutes / 60);
    two_digits(&mut text, minutes % 60);
    text
}

fn three_digits(text: &mut String, number: impl Into<u32>) {
    let number = number.into();
    digit(text, number / 100);
    two_digits(text, number % 100);
}

fn two_digits(text: &mut String, number: impl Into<u32>) {
    let number = number.into();
    digit(text, number / 10);
    digit(text, number % 10);
}

fn digit(text: &mut String, number: impl Into<u32>) {
    text.push(char::from_digit(number.into() % 10, 10).unwrap_or('?'));
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn times_follow_the_zone() {
        let time = Time::parse("2026-02-02T09:00:00.123Z").unwrap();
        for (zone, text) in [
            ("UTC", "2026-02-02 09:00:00.123 +0000"),
            ("Europe/Moscow", "2026-02-02 12:00:00.123 +0300"),
            ("America/St_Johns", "2026-02-02 05:30:00.123 -0330"),
            ("Asia/Kathmandu", "2026-02-02 14:45:00.123 +0545"),
        ] {
            assert_eq!(format_time(time, &TimeZone::get(zone).unwrap()), text, "{zone}");
        }
    }

    #[test]
    fn summer_time_and_the_ends_of_time() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let summer = Time::parse("2026-07-01T00:00:00Z").unwrap();
        assert_eq!(format_time(summer, &berlin), "2026-07-01 02:00:00.000 +0200");
        for time in [Time::from_millis(i64::MIN), Time::from_millis(i64::MAX)] {
            let zone = TimeZone::fixed(jiff::tz::offset(25));
            assert!(format_time(time, &zone).ends_with(" +2500"));
        }
    }

    #[test]
    fn a_second_that_is_known_is_written_as_a_new_one() {
        let zone = Zone::new(TimeZone::get("America/St_Johns").unwrap());
        for millis in
            [-1, 0, 1, 999, 1000, 1_000, 999, 1_769_999_999_999, 1_769_999_999_007, i64::MAX, i64::MIN]
        {
            let time = Time::from_millis(millis);
            assert_eq!(zone.format(time), format_time(time, &zone.lock().zone.clone()), "{millis}");
        }
    }

    #[test]
    fn a_shared_zone_changes_for_all() {
        let zone = Zone::new(TimeZone::UTC);
        let other = zone.clone();
        zone.set(TimeZone::fixed(jiff::tz::offset(-3)));
        assert_eq!(other.format(Time::from_millis(0)), "1969-12-31 21:00:00.000 -0300");
    }
}
