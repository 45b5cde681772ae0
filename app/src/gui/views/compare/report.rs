//! Everything that a comparison found, section by section: on the page and, as a whole, in a picture.

use egui::{Frame, RichText, Ui, Vec2, vec2};
use inglenook::measure::compare::Comparison;

use super::{charts, results, strip, texts};
use crate::gui::page::Page;
use crate::gui::parts::{card, section};
use crate::gui::theme::{gap, strong, text};
use crate::gui::words::Language;

/// Around a picture.
const MARGIN: f32 = gap::HUGE;
/// What a card adds to its content on both sides, with its line.
const CARD: f32 = 2.0 * gap::LARGE + 2.0;

/// Draws the report; says how wide it would like to be for nothing to be hidden.
pub(super) fn show(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) -> f32 {
    let t = page.t;
    let mut wanted = 0.0f32;
    about(ui, comparison, page);
    section(ui, t.compare_speed());
    wanted = wanted.max(card(ui, |ui| results::show(ui, comparison, page)));
    section(ui, t.compare_texts());
    wanted = wanted.max(card(ui, |ui| texts::show(ui, comparison, page)));
    section(ui, t.compare_strip());
    card(ui, |ui| strip::show(ui, comparison, page));
    section(ui, t.compare_time());
    card(ui, |ui| charts::operators(ui, comparison, page));
    section(ui, t.compare_roofline());
    card(ui, |ui| charts::roofline(ui, comparison, page));
    wanted + CARD
}

/// Draws the report for a picture; says how large it is.
pub(crate) fn picture(ui: &mut Ui, comparison: &Comparison, t: Language) -> Vec2 {
    // Nothing can be pressed in a picture.
    let mut commands = vec![];
    let page = Page::new(t, ui, &mut commands);
    let shown = Frame::new().inner_margin(MARGIN).show(ui, |ui| {
        let title = RichText::new(&comparison.model).font(strong(text::DISPLAY)).color(page.tokens.text);
        ui.label(title);
        ui.add_space(gap::SMALL);
        show(ui, comparison, &page)
    });
    vec2(shown.inner + 2.0 * MARGIN, shown.response.rect.bottom())
}

/// What was compared, on which machine and when.
fn about(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) {
    let t = page.t;
    let settings = &comparison.settings;
    let small = |words: String| RichText::new(words).size(text::SMALL).color(page.tokens.text_muted);
    ui.add_space(gap::SMALL);
    ui.label(RichText::new(format!("“{}”", comparison.prompt.trim())).color(page.tokens.text));
    ui.label(small(format!("{} · {}", comparison.model, comparison.machine.line())));
    ui.label(small(t.compare_done(comparison.prompt_tokens, settings.generate, settings.repeats)));
    if comparison.cancelled {
        ui.label(RichText::new(t.compare_cut_short()).color(page.tokens.warning));
    }
}
