//! The page that compares: who takes part, how far it is, and what came out.
//!
//! What is measured and how is the library's (`inglenook::measure::compare`); this only shows it. The comparison runs as a [`Job`].

mod charts;
mod kept;
mod results;
mod setup;
mod strip;
mod texts;

use std::collections::BTreeSet;

use egui::Ui;
use inglenook::measure::Stage;
use inglenook::measure::compare::{Comparison, Entry};

use crate::gui::job::Job;
use crate::gui::page::Page;
use crate::gui::parts::{card, page as place, section};
use crate::gui::state::State;
use crate::store::ComparisonEntry;

/// Formats of weights that are offered, as users type them.
pub(crate) const WEIGHTS: [&str; 6] = ["stored", "f16", "int8", "nf4", "int4", "w8a8"];
/// The same for the cache.
pub(crate) const CACHES: [&str; 2] = ["f16", "int8"];

/// The state of the page.
pub(crate) struct CompareView {
    /// Chosen devices, by what `ingle devices` calls them.
    pub(crate) devices: BTreeSet<String>,
    pub(crate) weights: BTreeSet<&'static str>,
    pub(crate) caches: BTreeSet<&'static str>,
    /// None until somebody has typed: the language's own.
    pub(crate) prompt: Option<String>,
    pub(crate) generate: usize,
    pub(crate) repeats: usize,
    pub(crate) running: Option<Running>,
    pub(crate) shown: Option<Comparison>,
    /// The name that the shown one is to be kept under.
    pub(crate) name: String,
    /// The number that the shown one is kept under.
    pub(crate) shown_id: Option<i64>,
    pub(crate) kept: Vec<ComparisonEntry>,
    pub(crate) trouble: Option<String>,
}

impl Default for CompareView {
    fn default() -> Self {
        Self {
            devices: BTreeSet::new(),
            weights: BTreeSet::from(["stored", "int8"]),
            caches: BTreeSet::from(["f16"]),
            prompt: None,
            generate: 48,
            repeats: 3,
            running: None,
            shown: None,
            name: String::new(),
            shown_id: None,
            kept: vec![],
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
    #[allow(dead_code, reason = "the page that compares is being added to")]
    Finished(Box<Entry>),
    /// The end: what came out, or why nothing did.
    Done(Result<Box<Comparison>, String>),
}

impl CompareView {
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
        ui.label(egui::RichText::new(t.compare_intro()).color(page.tokens.text_muted));
        card(ui, |ui| setup::show(ui, &mut view, state, page));
        if let Some(comparison) = &view.shown {
            if comparison.cancelled {
                ui.label(egui::RichText::new(t.compare_cut_short()).color(page.tokens.warning));
            }
            section(ui, t.compare_speed());
            card(ui, |ui| results::show(ui, comparison, page));
            section(ui, t.compare_texts());
            card(ui, |ui| texts::show(ui, comparison, page));
            section(ui, t.compare_strip());
            card(ui, |ui| strip::show(ui, comparison, page));
            section(ui, t.compare_time());
            card(ui, |ui| charts::operators(ui, comparison, page));
            section(ui, t.compare_roofline());
            card(ui, |ui| charts::roofline(ui, comparison, page));
        }
        section(ui, t.compare_kept());
        card(ui, |ui| kept::show(ui, &mut view, page));
    });
    state.compare = view;
}
