//! What goes wrong around a daemon that runs for months: its disk, its clock, its end, its readers. Each time it goes
//! on serving, or says what failed, why, and what to do.

mod clock;
mod disk;
mod kill;
mod reader;
