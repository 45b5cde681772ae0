//! What the pages of models and devices can be asked to do.

use std::path::PathBuf;

use crate::gui::state::State;
use crate::gui::words::Language;

/// Something to do with models that are not open, or with devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LibraryCommand {
    /// Looks for models again.
    Look,
    /// Takes what was typed: a folder is looked into, a name is asked for at the hub.
    Add(String),
    /// Looks into a folder no more.
    ForgetFolder(PathBuf),
    /// Downloads a model, or the rest of one.
    Download(String),
    StopDownload,
    /// Measures how fast devices read their memory.
    Measure,
    /// Checks the kernels of a device anew.
    Check(String),
    StopCheck,
    ForgetVerdicts,
}

impl LibraryCommand {
    /// What it is called in menus; what has a subject is in none.
    pub(crate) const fn name(&self, t: Language) -> &'static str {
        match self {
            Self::Look => t.look_for_models(),
            Self::StopDownload => t.download_stop(),
            Self::Measure => t.measure_devices(),
            Self::StopCheck => t.check_stop(),
            Self::ForgetVerdicts => t.forget_verdicts(),
            Self::Add(_) | Self::ForgetFolder(_) | Self::Download(_) | Self::Check(_) => "",
        }
    }

    /// Whether it can be done now.
    pub(crate) fn is_possible(&self, state: &State) -> bool {
        match self {
            Self::StopDownload => {
                state.library.download.as_ref().is_some_and(|download| download.end.is_none())
            }
            Self::Measure => !state.devices.is_empty() && !state.library.is_measuring(),
            _ => true,
        }
    }
}
