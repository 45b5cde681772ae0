//! What each contestant wrote, side by side, with the first token that differs from the reference's marked.

use egui::text::LayoutJob;
use egui::{Color32, RichText, ScrollArea, TextFormat, Ui};
use inglenook::measure::compare::{Comparison, Measured};

use crate::gui::page::Page;
use crate::gui::theme::{Tokens, gap, regular, strong, text};

/// A column is no narrower than this.
const NARROWEST: f32 = 240.0;

/// Draws the columns; says how wide they are.
pub(super) fn show(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) -> f32 {
    ui.label(RichText::new(page.t.compare_texts_hint()).size(text::SMALL).color(page.tokens.text_muted));
    let written: Vec<(&str, &Measured)> = comparison
        .entries
        .iter()
        .filter_map(|entry| Some((entry.label.as_str(), entry.measured()?)))
        .collect();
    let count = written.len().max(1) as f32;
    let width = ((ui.available_width() - gap::LARGE * (count - 1.0)) / count).max(NARROWEST);
    let columns = ScrollArea::horizontal().id_salt("texts").show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap::LARGE;
            for (label, measured) in written {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    ui.label(RichText::new(label).font(strong(text::CONTROL)));
                    ui.label(marked(measured, page.tokens, width));
                });
            }
        });
    });
    columns.content_size.x
}

/// The text; the first token that differs is on the ember.
fn marked(measured: &Measured, tokens: &Tokens, width: f32) -> LayoutJob {
    let mut job = LayoutJob::default();
    job.wrap.max_width = width;
    let format = |color, background| TextFormat {
        font_id: regular(text::CONTROL),
        color,
        background,
        line_height: Some(text::CONTROL * text::LINE),
        ..TextFormat::default()
    };
    for (place, piece) in measured.pieces.iter().enumerate() {
        let ground = Color32::TRANSPARENT;
        let format = match measured.first_difference {
            Some(first) if place == first => format(tokens.on_ember, tokens.ember),
            Some(first) if place > first => format(tokens.text_muted, ground),
            _ => format(tokens.text, ground),
        };
        job.append(piece, 0.0, format);
    }
    job
}
