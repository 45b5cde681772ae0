//! Ctrl-C: it stops what is going on, and ends the program where nothing is.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use crate::failure::INTERRUPTED;

type Stop = Box<dyn Fn() + Send>;

/// What the next Ctrl-C stops.
static CURRENT: Mutex<Option<Stop>> = Mutex::new(None);

fn swap(stop: Option<Stop>) -> Option<Stop> {
    std::mem::replace(&mut *CURRENT.lock().unwrap_or_else(PoisonError::into_inner), stop)
}

/// Takes Ctrl-C over from the system.
pub(crate) fn install() -> anyhow::Result<()> {
    let on_interrupt = || {
        if let Some(stop) = swap(None) {
            return stop();
        }
        // There is nothing to stop, or a second Ctrl-C came before the first had its effect.
        eprintln!();
        std::process::exit(INTERRUPTED.into());
    };
    ctrlc::set_handler(on_interrupt).context("Ctrl-C cannot be handled")
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
