//! The command line.

/// What to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Fewer requests and rounds, for a first look.
    pub quick: bool,
    /// Interleaved rounds a scenario.
    pub rounds: usize,
    /// Measure only scenarios whose name contains this.
    pub only: Option<String>,
    /// Which proxies.
    pub kmid: bool,
    /// Which proxies.
    pub nginx: bool,
    /// Which proxies; not unless it is named.
    pub bare: bool,
}

const USAGE: &str = "options: --quick, --rounds N (1 to 99), --only TEXT, --targets kmid,nginx,bare";

impl Options {
    /// Reads the arguments; `--bench` is cargo's.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { quick: false, rounds: 0, only: None, kmid: true, nginx: true, bare: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value; {USAGE}"));
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options.quick = true,
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|n| (1..=99).contains(n));
                    options.rounds = rounds.ok_or_else(|| format!("--rounds takes 1 to 99; {USAGE}"))?;
                }
                "--only" => options.only = Some(value()?.clone()),
                "--targets" => {
                    let names: Vec<&str> = value()?.split(',').collect();
                    let has = |name: &str| names.contains(&name);
                    (options.kmid, options.nginx, options.bare) = (has("kmid"), has("nginx"), has("bare"));
                }
                _ => return Err(format!("{argument} is not known; {USAGE}")),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 3 } else { 5 };
        }
        Ok(options)
    }

    /// Whether a scenario is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|text| name.contains(text.as_str()))
    }

    /// A count, a fifth of it in a quick run.
    pub(crate) fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(5) } else { full }
    }
}
