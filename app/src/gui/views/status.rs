//! The line below: which device writes, how fast, and how much memory it takes. The other devices are a glance away.

use egui::{Align, Layout, Response, RichText, Sense, Ui, vec2};

use super::model_menu::why;
use crate::gui::command::Command;
use crate::gui::desk::Facts;
use crate::gui::live::Phase;
use crate::gui::page::Page;
use crate::gui::parts::Meter;
use crate::gui::state::{ModelState, State};
use crate::gui::theme::{gap, text};
use crate::text::gibibytes;

pub(super) fn show(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = gap::SMALL;
        match &state.model {
            ModelState::None => {
                dot(ui, page.tokens.text_faint);
                small(ui, page, page.t.no_model());
            }
            ModelState::Loading(loading) => {
                dot(ui, page.tokens.warning);
                let device = if loading.device.is_empty() { page.t.looking() } else { &loading.device };
                small(ui, page, &page.t.loading_on(&loading.model, device));
                let share = loading.done_bytes as f32 / loading.total_bytes.max(1) as f32;
                Meter::new(share, page.t.loading_progress()).show(ui);
            }
            ModelState::Open(facts) => open(ui, state, facts, page),
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(keys) = Command::Palette.keys(ui.ctx()) {
                small(ui, page, &format!("{keys}  {}", page.t.palette()));
            }
        });
    });
}

fn open(ui: &mut Ui, state: &State, facts: &Facts, page: &Page<'_>) {
    let t = page.t;
    dot(ui, page.tokens.good);
    let line = format!("{}  ·  {}", facts.device.name, facts.tier);
    small(ui, page, &line).on_hover_ui(|ui| devices(ui, state, facts, page));
    small(ui, page, "·");
    small(ui, page, &facts.weights).on_hover_text(t.weights_in(&facts.weights, &facts.weights_reason));
    small(ui, page, "·");
    small(ui, page, &gibibytes(facts.footprint.total())).on_hover_text(t.memory_parts(
        &gibibytes(facts.footprint.weights),
        &gibibytes(facts.footprint.cache),
        &gibibytes(facts.footprint.activations),
    ));
    let live = state.chats.current.writing().and_then(|reply| state.live.get(&reply));
    if let Some(live) = live {
        small(ui, page, "·");
        match &live.phase {
            Phase::Waiting => small(ui, page, t.waiting()),
            Phase::Reading { done, total } => small(ui, page, &t.reading(*done, *total)),
            Phase::Restoring(reason) => small(ui, page, t.restoring()).on_hover_text(reason),
            Phase::Writing => {
                let rate = live.rate().map_or(String::new(), |rate| t.rate(rate));
                small(ui, page, &rate)
            }
        };
    } else if let Some(statistics) = state.last_reply().and_then(|reply| reply.statistics.as_ref())
        && statistics.tokens_per_second > 0.0
    {
        small(ui, page, "·");
        small(ui, page, &t.rate(f64::from(statistics.tokens_per_second)));
    }
}

/// The device in use, with its driver, and why the others are not.
fn devices(ui: &mut Ui, state: &State, facts: &Facts, page: &Page<'_>) {
    let t = page.t;
    ui.strong(&facts.device.name);
    ui.label(t.device_kind_and_driver(&facts.device.kind.to_string(), &facts.device.driver));
    for card in &state.devices {
        ui.add_space(gap::TINY);
        ui.label(format!("{}  {}", card.device.info.id, card.device.info.name));
        ui.label(RichText::new(why(t, state, card)).small().color(page.tokens.text_muted));
    }
    for missing in &state.missing {
        ui.add_space(gap::TINY);
        ui.label(&missing.what);
        ui.label(RichText::new(&missing.reason).small().color(page.tokens.text_muted));
    }
}

fn small(ui: &mut Ui, page: &Page<'_>, words: &str) -> Response {
    let words = RichText::new(words).size(text::SMALL).color(page.tokens.text_muted);
    ui.add(egui::Label::new(words).selectable(false).sense(Sense::hover()))
}

fn dot(ui: &mut Ui, color: egui::Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 3.5, color);
}
