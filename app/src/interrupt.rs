//! Ctrl-C: it stops what is going on, and ends the program where nothing is.

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;

use crate::failure::INTERRUPTED;

type Stop = Box<dyn Fn() + Send>;

/// What the next Ctrl-C stops.
static CURRENT: Mutex<Option<Stop>> = Mutex::new(None);

fn swap(stop: Option<Stop>) -> Option<Stop> {
    std::mem::replace(&mut *CURRENT.lock().unwrap_or_else(PoisonError::into_inner), stop)
}

/// Takes Ctrl-C over from the system; asked again, it changes nothing, so that each part of a command may ask.
pub(crate) fn install() -> anyhow::Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let on_interrupt = || {
        if let Some(stop) = swap(None) {
            return stop();
        }
        // There is nothing to stop, or a second Ctrl-C came before the first had its effect.
        eprintln!();
        std::process::exit(INTERRUPTED.into());
    };
    let install = || ctrlc::set_handler(on_interrupt).map_err(|error| error.to_string());
    let installed = INSTALLED.get_or_init(install).clone();
    installed.map_err(anyhow::Error::msg).context("Ctrl-C cannot be handled")
}

/// While this lives, Ctrl-C stops something.
pub(crate) struct Stoppable(());

impl Stoppable {
    pub(crate) fn new(stop: impl Fn() + Send + 'static) -> Self {
        swap(Some(Box::new(stop)));
        Self(())
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        swap(None);
    }
}
