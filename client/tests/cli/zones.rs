//! Whose rules the times follow that a person sees.

use std::os::unix::fs::symlink;

use crate::fixed;
use crate::kmi::{Home, Run, output};

/// A zone file of one offset.
const FIVE_HOURS_EAST: &[u8] = include_bytes!("../../../tests/data/five-hours-east.tzif");

#[test]
fn the_systems_zone_counts_and_is_opened_without_a_list_of_all() {
    let home = Home::new();
    fixed::running(&home);
    let (zones, elsewhere) = (home.path().join("zones"), home.path().join("elsewhere"));
    std::fs::create_dir(&zones).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("Moscow"), FIVE_HOURS_EAST).unwrap();
    // Whoever lists the folder and what is below it does not find what lies behind a link.
    symlink(&elsewhere, zones.join("Europe")).unwrap();
    for (name, value) in [
        ("KMI_TIMEZONE", "europe/moscow"),
        ("TZ", "Europe/Moscow"),
        ("TZ", ":/usr/share/zoneinfo/Europe/Moscow"),
    ] {
        let mut command = home.command(["plan"]);
        command.env_remove("KMI_TIMEZONE").env("TZDIR", &zones).env(name, value);
        let run = Run::of(output(&mut command)).code(0);
        assert!(run.out.contains("15:30)"), "{name}={value}: {}", run.out);
    }
    // Without a file of the system's the program has its own.
    let mut command = home.command(["plan"]);
    let run = Run::of(output(command.env("TZDIR", "/nonexistent").env("KMI_TIMEZONE", "Asia/Tokyo"))).code(0);
    assert!(run.out.contains("19:30)"), "{}", run.out);
}
