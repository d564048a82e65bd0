//! kmid as a service: under a real `systemd --user` where one can be had, and the parts that need none.

mod changed;
mod inherited;
mod install;
mod restart;
mod running;
mod told;
