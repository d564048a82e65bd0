//! The table at the end.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::options::Options;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One figure of kmid, beside the same of something else or a limit.
#[derive(Debug)]
pub(crate) struct Row {
    /// What, in which unit.
    pub name: String,
    /// kmid's.
    pub kmid: Option<f64>,
    /// nginx's, or that of kmid without something.
    pub other: Option<f64>,
    /// The largest ratio that is good.
    pub ratio_target: Option<f64>,
    /// The largest value that is good.
    pub limit: Option<f64>,
}

impl Report {
    /// Adds a row.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a row with a limit of its own.
    pub(crate) fn limit(&mut self, name: &str, value: f64, limit: f64) {
        self.row(Row {
            name: name.into(),
            kmid: Some(value),
            other: None,
            ratio_target: None,
            limit: Some(limit),
        });
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Says where this was measured.
    pub(crate) fn machine(&mut self, options: &Options) {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let nginx =
            Command::new("nginx").arg("-v").output().map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
        let profile =
            if cfg!(debug_assertions) { "DEBUG BUILD, figures mean nothing" } else { "release build" };
        self.note(format!(
            "{cores} cores, {}, {}, {profile}, medians of {} interleaved rounds",
            model.unwrap_or("unknown CPU"),
            nginx.map_or("no nginx".into(), |text| text.trim().replace("nginx version: ", "")),
            options.rounds
        ));
    }

    /// Prints it.
    pub(crate) fn print(&self, took: Duration) {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        println!("{:width$}  {:>10}  {:>10}  {:>6}  {:>8}", "", "kmid", "nginx", "ratio", "target");
        for row in &self.rows {
            let ratio = row.kmid.zip(row.other).map(|(kmid, other)| kmid / other);
            let (target, good) = match (row.ratio_target, row.limit) {
                (Some(most), _) => (format!("<= {most}x"), ratio.map(|ratio| ratio <= most)),
                (None, Some(most)) => (format!("<= {most}"), row.kmid.map(|value| value <= most)),
                (None, None) => (String::new(), None),
            };
            println!(
                "{:width$}  {:>10}  {:>10}  {:>6}  {target:>8}  {}",
                row.name,
                figure(row.kmid),
                figure(row.other),
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}x")),
                match good {
                    Some(true) => "ok",
                    Some(false) => "MISSED",
                    None => "",
                }
            );
        }
        for note in &self.notes {
            println!("{note}");
        }
        println!("took {:.0} s", took.as_secs_f64());
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or(
        String::new(),
        |value| if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") },
    )
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
