//! Contestants that write side by side, for show: a column for each, with what it has written and how fast it is.

use egui::{Frame, Label, Margin, RichText, ScrollArea, Stroke, Ui};
use inglenook::chat::Ending;

use crate::gui::beside::{Beside, Column, ColumnState};
use crate::gui::page::Page;
use crate::gui::parts::Meter;
use crate::gui::theme::{gap, mono, radius, strong, text};

/// A column is no narrower than this.
const NARROWEST: f32 = 230.0;

pub(super) fn show(ui: &mut Ui, beside: &Beside, page: &Page<'_>) {
    let t = page.t;
    if let Some(reason) = &beside.trouble {
        ui.label(RichText::new(t.compare_failed(reason)).color(page.tokens.danger));
        return;
    }
    ui.label(RichText::new(t.beside_unfair()).color(page.tokens.text_muted));
    ui.add_space(gap::SMALL);
    let count = beside.columns.len().max(1) as f32;
    let width = ((ui.available_width() - gap::MEDIUM * (count - 1.0)) / count).max(NARROWEST);
    ScrollArea::horizontal().id_salt("beside").show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap::MEDIUM;
            for one in &beside.columns {
                column(ui, one, width, page);
            }
        });
    });
}

fn column(ui: &mut Ui, column: &Column, width: f32, page: &Page<'_>) {
    let tokens = page.tokens;
    let frame = Frame::new()
        .fill(tokens.raised)
        .stroke(Stroke::new(1.0, tokens.line))
        .corner_radius(radius::LARGE)
        .inner_margin(Margin::same(gap::MEDIUM as i8));
    frame.show(ui, |ui| {
        ui.vertical(|ui| {
            ui.set_width(width - 2.0 * gap::MEDIUM - 2.0);
            ui.spacing_mut().item_spacing.y = gap::TINY;
            ui.label(RichText::new(&column.label).font(strong(text::CONTROL)));
            let device = RichText::new(&column.device).size(text::SMALL).color(tokens.text_faint);
            ui.add(Label::new(device).truncate());
            state(ui, column, page);
            ui.add_space(gap::TINY);
            let words =
                RichText::new(&column.text).size(text::CONTROL).line_height(Some(text::CONTROL * text::LINE));
            ui.add(Label::new(words).wrap());
        });
    });
}

/// How fast it is, and how far.
fn state(ui: &mut Ui, column: &Column, page: &Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let muted = |ui: &mut Ui, words: &str| {
        ui.label(RichText::new(words).size(text::SMALL).color(tokens.text_muted));
    };
    match &column.state {
        ColumnState::Waiting => muted(ui, t.beside_waiting()),
        ColumnState::Loading { done, total } => {
            let share = *done as f32 / (*total).max(1) as f32;
            Meter::new(share, t.compare_loading()).width(ui.available_width()).show(ui);
        }
        ColumnState::Ready => muted(ui, t.beside_ready()),
        ColumnState::Writing => {
            let rate = column.live.rate().map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"));
            speed(ui, &rate, column.live.tokens, page);
        }
        ColumnState::Ended { ending, tokens, rate } => {
            let rate = if *rate > 0.0 { format!("{rate:.1}") } else { "–".to_owned() };
            speed(ui, &rate, *tokens, page);
            muted(
                ui,
                match ending {
                    Ending::StopToken(_) | Ending::StopText => t.beside_finished(),
                    Ending::MaxTokens | Ending::ContextFull => t.beside_cut_off(),
                    Ending::Cancelled => t.beside_stopped(),
                },
            );
        }
        ColumnState::Failed(reason) => {
            let words = RichText::new(t.beside_failed(reason)).color(tokens.danger);
            ui.add(Label::new(words).wrap());
        }
    }
}

fn speed(ui: &mut Ui, rate: &str, count: usize, page: &Page<'_>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(page.t.beside_rate(rate)).font(mono(text::CONTROL)).color(page.tokens.text));
        ui.label(RichText::new(page.t.tokens(count)).size(text::SMALL).color(page.tokens.text_muted));
    });
}
