//! kmid as a service: under a real `systemd --user` where one can be had, and the parts that need none.

mod changed;
mod inherited;
mod install;
mod restart;
mod running;
mod told;

use tokio::sync::{Mutex, MutexGuard};

/// One manager at a time: they are heavy, and tests wait for their restarts.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
