//! The page that compares: who takes part, how far it is, and what came out.
//!
//! What is measured and how is the library's (`inglenook::measure::compare`); this only shows it. The comparison runs as a [`Job`].
//! So do contestants that write side by side, which is for show ([`Beside`]).

mod charts;
mod columns;
mod kept;
mod report;
mod results;
mod setup;
mod strip;
mod texts;

use std::collections::BTreeSet;
use std::path::PathBuf;

use egui::Ui;
use inglenook::measure::Stage;
use inglenook::measure::compare::Comparison;

use crate::gui::beside::Beside;
use crate::gui::job::Job;
use crate::gui::page::Page;
use crate::gui::parts::{card, page as place, section};
use crate::gui::state::State;
use crate::store::ComparisonEntry;

pub(crate) use report::picture;

/// Formats of weights that are offered, as users type them.
pub(crate) const WEIGHTS: [&str; 6] = ["stored", "f16", "int8", "nf4", "int4", "w8a8"];
/// The same for the cache.
pub(crate) const CACHES: [&str; 2] = ["f16", "int8"];

/// How contestants take part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One after another, measured.
    #[default]
    Fair,
    /// All at once, to look at.
    Beside,
}

/// The state of the page.
pub(crate) struct CompareView {
    pub(crate) mode: Mode,
    /// Chosen devices, by what `ingle devices` calls them.
    pub(crate) devices: BTreeSet<String>,
    /// Whether the device in use was chosen for a beginning.
    pub(crate) begun: bool,
    pub(crate) weights: BTreeSet<&'static str>,
    pub(crate) caches: BTreeSet<&'static str>,
    /// None until somebody has typed: the language's own.
    pub(crate) prompt: Option<String>,
    pub(crate) generate: usize,
    pub(crate) repeats: usize,
    pub(crate) running: Option<Running>,
    /// Those that write side by side, or did last.
    pub(crate) beside: Option<Beside>,
    pub(crate) shown: Option<Comparison>,
    /// The name that the shown one is to be kept under.
    pub(crate) name: String,
    /// The number that the shown one is kept under.
    pub(crate) shown_id: Option<i64>,
    pub(crate) kept: Vec<ComparisonEntry>,
    /// The one whose name is being typed.
    pub(crate) renaming: Option<(i64, String)>,
    /// Deleted ones whose results are on their way, so that they can be brought back.
    pub(crate) deleted: Vec<ComparisonEntry>,
    /// A picture that is being drawn.
    pub(crate) picture: Option<Job<Drawn>>,
    pub(crate) trouble: Option<String>,
}

impl Default for CompareView {
    fn default() -> Self {
        Self {
            mode: Mode::Fair,
            devices: BTreeSet::new(),
            begun: false,
            weights: BTreeSet::from(["stored", "int8"]),
            caches: BTreeSet::from(["f16"]),
            prompt: None,
            generate: 48,
            repeats: 3,
            running: None,
            beside: None,
            shown: None,
            name: String::new(),
            shown_id: None,
            kept: vec![],
            renaming: None,
            deleted: vec![],
            picture: None,
            trouble: None,
        }
    }
}

/// A comparison on its way.
pub(crate) struct Running {
    pub(crate) job: Job<Report>,
    pub(crate) labels: Vec<String>,
    pub(crate) at: Option<At>,
    /// Those whose turn is over.
    pub(crate) finished: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct At {
    pub(crate) subject: usize,
    pub(crate) stage: Stage,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// What the job has to say.
pub(crate) enum Report {
    At(At),
    /// One had its turn.
    Finished,
    /// The end: what came out, or why nothing did.
    Done(Result<Box<Comparison>, String>),
}

/// A picture that was written, or why it was not.
pub(crate) struct Drawn {
    pub(crate) path: PathBuf,
    pub(crate) result: Result<(), String>,
}

impl CompareView {
    /// Whether contestants are at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some() || self.beside.as_ref().is_some_and(|beside| !beside.is_over())
    }

    /// How many take part.
    pub(crate) fn count(&self) -> usize {
        self.devices.len() * self.weights.len() * self.caches.len()
    }
}

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    // Taken out while it is drawn beside the rest of the state.
    let mut view = std::mem::take(&mut state.compare);
    place(ui, t.view_compare(), 1040.0, |ui| {
        let intro = if view.mode == Mode::Fair { t.compare_intro() } else { t.beside_intro() };
        ui.label(egui::RichText::new(intro).color(page.tokens.text_muted));
        card(ui, |ui| setup::show(ui, &mut view, state, page));
        if view.mode == Mode::Beside {
            if let Some(beside) = &view.beside {
                section(ui, t.beside());
                columns::show(ui, beside, page);
            }
            return;
        }
        if let Some(comparison) = &view.shown {
            report::show(ui, comparison, page);
        }
        section(ui, t.compare_kept());
        card(ui, |ui| kept::show(ui, &mut view, page));
    });
    state.compare = view;
}
