//! Times as people read them.

use jiff::Timestamp;

use super::View;
use crate::tr;

/// A time of the wire, RFC 3339.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The `ts` of a trace line: `2026-02-02 12:00:00.123 +0300`, in the zone that the daemon had then.
pub(crate) fn of_trace(ts: &str) -> Option<Timestamp> {
    jiff::Zoned::strptime("%Y-%m-%d %H:%M:%S%.f %z", ts).ok().map(|time| time.timestamp())
}

impl View<'_> {
    /// `12:00:00` of a trace line, in the person's zone.
    pub(crate) fn trace_clock(&self, ts: &str) -> String {
        match of_trace(ts) {
            Some(time) => time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string(),
            None => ts.to_owned(),
        }
    }

    /// The whole time of a trace line, in the person's zone.
    pub(crate) fn trace_time(&self, ts: &str) -> String {
        match of_trace(ts) {
            Some(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f %z").to_string(),
            None => ts.to_owned(),
        }
    }

    /// The person's zone as KMI_TIMEZONE takes it; of one without a name its offset at present.
    pub(crate) fn zone_name(&self) -> String {
        match self.zone.iana_name() {
            Some(name) => name.to_owned(),
            None => self.now.to_zoned(self.zone.clone()).strftime("%:z").to_string(),
        }
    }

    /// `in 2 h 5 min`, `5 min ago`, `now`
    pub(crate) fn relative(&self, time: Timestamp) -> String {
        let seconds = time.as_second() - self.now.as_second();
        match seconds {
            0 => tr!(self.messages, "time-now"),
            1.. => tr!(self.messages, "time-in", span = self.span(seconds.unsigned_abs())),
            _ => tr!(self.messages, "time-ago", span = self.span(seconds.unsigned_abs())),
        }
    }

    /// The same for a time of the wire; what is no time is shown as it came.
    pub(crate) fn relative_text(&self, text: &str) -> String {
        parse(text).map_or_else(|| text.to_owned(), |time| self.relative(time))
    }

    /// `2 h 5 min`: the two largest units, rounded down.
    pub(crate) fn span(&self, seconds: u64) -> String {
        let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let messages = self.messages;
        match (d, h, m) {
            (0, 0, 0) => tr!(messages, "span-s", s = s),
            (0, 0, _) if m < 5 && s > 0 => tr!(messages, "span-m-s", m = m, s = s),
            (0, 0, _) => tr!(messages, "span-m", m = m),
            (0, _, 0) => tr!(messages, "span-h", h = h),
            (0, ..) => tr!(messages, "span-h-m", h = h, m = m),
            (_, 0, _) => tr!(messages, "span-d", d = d),
            _ => tr!(messages, "span-d-h", d = d, h = h),
        }
    }

    /// `14:05` today, `2026-11-24 14:05` on another day, in the person's zone.
    pub(crate) fn clock(&self, time: Timestamp) -> String {
        let local = time.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone());
        let format = if local.date() == today.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        local.strftime(format).to_string()
    }

    /// `in 2 h 5 min (14:05)`
    pub(crate) fn moment(&self, text: &str) -> String {
        match parse(text) {
            Some(time) => {
                tr!(self.messages, "time-moment", relative = self.relative(time), clock = self.clock(time))
            }
            None => text.to_owned(),
        }
    }

    /// Bytes as people read them: `9.2 MB`.
    pub(crate) fn bytes(&self, count: u64) -> String {
        let messages = self.messages;
        let mut value = count as f64;
        let mut thousands = 0;
        while value >= 1000.0 && thousands < 4 {
            value /= 1000.0;
            thousands += 1;
        }
        let value =
            if thousands == 0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") };
        match thousands {
            0 => tr!(messages, "unit-b", value = value),
            1 => tr!(messages, "unit-kb", value = value),
            2 => tr!(messages, "unit-mb", value = value),
            3 => tr!(messages, "unit-gb", value = value),
            _ => tr!(messages, "unit-tb", value = value),
        }
    }

    /// Milliseconds as people read them: `850 ms`, `12.3 s`.
    pub(crate) fn millis(&self, ms: u64) -> String {
        if ms < 1000 {
            tr!(self.messages, "unit-ms", value = ms.to_string())
        } else {
            tr!(self.messages, "unit-s", value = format!("{:.1}", ms as f64 / 1000.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::output::locale::{Locale, Messages};
    use crate::output::style::Look;

    fn view(messages: &Messages) -> View<'_> {
        View {
            messages,
            look: Look { color: false, boxes: false, width: None },
            now: "2026-11-23T12:00:00Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(3)),
        }
    }

    #[test]
    fn relative_times_in_both_languages() {
        let (en, ru) = (Messages::new(Locale::En), Messages::new(Locale::Ru));
        let cases = [
            ("2026-11-23T14:05:10Z", "in 2 h 5 min", "через 2 ч 5 мин"),
            ("2026-11-23T11:57:30Z", "2 min 30 s ago", "2 мин 30 с назад"),
            ("2026-11-23T12:00:07Z", "in 7 s", "через 7 с"),
            ("2026-11-23T12:00:00Z", "now", "сейчас"),
            ("2026-11-26T12:00:00Z", "in 3 d", "через 3 дн"),
            ("2026-11-20T10:00:00Z", "3 d 2 h ago", "3 дн 2 ч назад"),
            ("2026-11-23T13:00:00Z", "in 1 h", "через 1 ч"),
            ("garbage", "garbage", "garbage"),
        ];
        for (time, english, russian) in cases {
            assert_eq!(view(&en).relative_text(time), english);
            assert_eq!(view(&ru).relative_text(time), russian);
        }
    }

    #[test]
    fn clocks_follow_the_zone() {
        let en = Messages::new(Locale::En);
        assert_eq!(view(&en).moment("2026-11-23T20:30:00Z"), "in 8 h 30 min (23:30)");
        assert_eq!(view(&en).moment("2026-11-23T21:30:00Z"), "in 9 h 30 min (2026-11-24 00:30)");
    }

    #[test]
    fn trace_lines_are_read_in_the_persons_zone() {
        let en = Messages::new(Locale::En);
        assert_eq!(view(&en).trace_clock("2026-11-23 23:30:00.123 +0000"), "02:30:00");
        assert_eq!(view(&en).trace_time("2026-11-23 23:30:00.123 +0000"), "2026-11-24 02:30:00.123 +0300");
        assert_eq!(view(&en).trace_clock("of tomorrow"), "of tomorrow");
        assert_eq!(view(&en).zone_name(), "+03:00");
        let tokyo = View { zone: TimeZone::get("Asia/Tokyo").unwrap(), ..view(&en) };
        assert_eq!(tokyo.zone_name(), "Asia/Tokyo");
    }

    #[test]
    fn sizes_and_durations() {
        let (en, ru) = (Messages::new(Locale::En), Messages::new(Locale::Ru));
        for (count, english, russian) in
            [(999, "999 B", "999 Б"), (9_200_000, "9.2 MB", "9.2 МБ"), (123_400_000, "123 MB", "123 МБ")]
        {
            assert_eq!((view(&en).bytes(count), view(&ru).bytes(count)), (english.into(), russian.into()));
        }
        for (ms, english, russian) in [(850, "850 ms", "850 мс"), (12_340, "12.3 s", "12.3 с")] {
            assert_eq!((view(&en).millis(ms), view(&ru).millis(ms)), (english.into(), russian.into()));
        }
    }
}
