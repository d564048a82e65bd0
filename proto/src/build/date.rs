//! A day from seconds, for the build script, which should need no other crate.

/// `2026-11-23` of seconds since the Unix epoch; `None` before it and beyond the year 9999.
pub(crate) fn of_epoch(seconds: u64) -> Option<String> {
    let days = seconds / 86_400;
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days, with March as the first month.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (seconds, day) in [
            (0, Some("1970-01-01")),
            (86_399, Some("1970-01-01")),
            (951_782_400, Some("2000-02-29")),
            (951_868_800, Some("2000-03-01")),
            (1_795_392_000, Some("2026-11-23")),
            (4_107_542_400, Some("2100-03-01")),
            (253_402_300_799, Some("9999-12-31")),
            (253_402_300_800, None),
            (u64::MAX, None),
        ] {
            assert_eq!(of_epoch(seconds).as_deref(), day, "{seconds}");
        }
    }
}
