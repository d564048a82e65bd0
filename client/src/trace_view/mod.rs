//! `kmi trace` on the whole terminal: what the daemon says and what a person presses meet in the [`model`], and each
//! change is drawn anew.

mod columns;
mod detail;
mod draw;
mod feed;
mod input;
mod keys;
mod model;
mod requests;
mod terminal;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use kmi_proto::methods::requests::TailParams;
use ratatui::crossterm::event;

use crate::app::App;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::{rehearsal, tr};
use feed::Update;
use model::Model;
use terminal::Screen;

/// How long a key is waited for before the daemon is listened to again.
const LOOK_UP: Duration = Duration::from_millis(50);

/// How long the screen may take to end by itself after a signal.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(1);

/// Updates taken in between two looks at the keyboard.
const AT_ONCE: usize = 1000;

/// Whether there is a terminal to fill and nobody asked for lines.
pub(crate) fn possible(app: &App) -> bool {
    app.terminal
        && !app.json
        && app.look.boxes
        && io::stdin().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Runs until the person or a signal ends it.
pub(crate) fn run(app: &App, params: TailParams) -> Outcome {
    // This connection starts the daemon and compares versions, in words that are still read as lines.
    drop(connect::require(app, Start::OnDemand)?);
    let fail = |error: io::Error| {
        Failure::new(Exit::Failed, tr!(app.messages, "error-terminal", why = error.to_string()))
    };
    let address = kmi_proto::endpoint::address(&app.settings.socket)
        .map_err(|error| fail(io::Error::other(error.to_string())))?;
    let ended = signals().map_err(fail)?;
    // Taken first, so that a thread that fails finds the terminal in our hands and gives it back.
    let mut screen = Screen::take().map_err(fail)?;
    let updates = feed::start(address, params).map_err(fail)?;
    watch(app, &mut screen, &updates, &ended).map_err(fail)?;
    Ok(Exit::Ok)
}

fn watch(app: &App, screen: &mut Screen, updates: &Receiver<Update>, ended: &AtomicBool) -> io::Result<()> {
    let mut model = Model::default();
    let mut drawn = None;
    let mut changed = true;
    while !model.done && !ended.load(Ordering::SeqCst) {
        let view = app.view();
        // Rates and relative times change by themselves.
        if changed || drawn != Some(view.now.as_second()) {
            let mut bottom = 0;
            screen.draw(|frame| bottom = draw::draw(frame, &model, &view))?;
            model.scroll_at_most(bottom);
            drawn = Some(view.now.as_second());
            rehearsal::panic_at("screen");
        }
        changed = take_in(&mut model, updates)?;
        // While much comes in, the keyboard is looked at, but not waited for.
        if event::poll(if changed { Duration::ZERO } else { LOOK_UP })? {
            let event = event::read()?;
            if let Some(action) = input::action(&event, model.typing) {
                model.act(action);
            }
            changed = true;
        }
    }
    Ok(())
}

/// Takes in what came from the daemon; whether anything did.
fn take_in(model: &mut Model, updates: &Receiver<Update>) -> io::Result<bool> {
    for taken in 0..AT_ONCE {
        match updates.try_recv() {
            Ok(update) => model.update(update),
            Err(TryRecvError::Empty) => return Ok(taken > 0),
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("nothing feeds the screen")),
        }
    }
    Ok(true)
}

/// Becomes true when the process is asked to end, so that the terminal is given back first.
fn signals() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT])?;
        let told = Arc::clone(&ended);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                told.store(true, Ordering::SeqCst);
                // When the terminal is gone crossterm 0.29 reads its end for ever and nobody looks any more.
                std::thread::sleep(GRACE);
                terminal::give_back();
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })?;
    }
    Ok(ended)
}
