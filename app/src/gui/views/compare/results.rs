//! Speed, memory and agreement of each contestant, as a table.

use egui::{Grid, RichText, ScrollArea, Ui};
use inglenook::measure::Series;
use inglenook::measure::compare::{Comparison, Entry, Measured, Outcome};

use crate::gui::page::Page;
use crate::gui::theme::{gap, mono, strong, text};

/// Draws the table; says how wide it is.
pub(super) fn show(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) -> f32 {
    let t = page.t;
    // Two columns of nothing would push what matters out of sight; the note below says why they are missing.
    let power = comparison.entries.iter().filter_map(Entry::measured).any(|one| one.power.watts().is_some());
    let mut header = vec![
        t.compare_contestant(),
        t.compare_first_token(),
        t.compare_prefill(),
        t.compare_decode(),
        t.compare_bytes(),
        t.compare_share(),
        t.compare_memory(),
    ];
    if power {
        header.extend([t.compare_watts(), t.compare_joules()]);
    }
    header.extend([t.compare_same_top(), t.compare_divergence(), t.compare_difference()]);
    let table = ScrollArea::horizontal().id_salt("speed").show(ui, |ui| {
        Grid::new("speed").num_columns(header.len()).striped(true).spacing([gap::LARGE, gap::SMALL]).show(
            ui,
            |ui| {
                for words in header {
                    ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
                }
                ui.end_row();
                for (place, entry) in comparison.entries.iter().enumerate() {
                    let name = RichText::new(&entry.label).font(strong(text::CONTROL));
                    ui.label(name).on_hover_text(format!("{} · {}", entry.device_name, entry.tier));
                    match &entry.outcome {
                        Outcome::NotRun => {
                            ui.label(t.compare_not_run());
                        }
                        Outcome::Failed { reason } => {
                            ui.label(RichText::new(reason).color(page.tokens.danger));
                        }
                        Outcome::Done(measured) => {
                            let is_reference = comparison.reference == Some(place);
                            row(ui, measured, is_reference, power, page);
                        }
                    }
                    ui.end_row();
                }
            },
        );
    });
    if !power {
        for note in comparison.power_notes() {
            ui.label(RichText::new(note).size(text::SMALL).color(page.tokens.text_faint));
        }
    }
    table.content_size.x
}

fn row(ui: &mut Ui, measured: &Measured, is_reference: bool, power: bool, page: &Page<'_>) {
    let t = page.t;
    let cell = |ui: &mut Ui, words: String| {
        ui.label(RichText::new(words).font(mono(text::SMALL)));
    };
    cell(ui, with_spread(&measured.first_token_seconds, 1e3, "ms"));
    cell(ui, with_spread(&measured.prefill, 1.0, ""));
    cell(ui, with_spread(&measured.decode, 1.0, ""));
    cell(ui, format!("{:.1}", measured.bytes_per_token / 1e6));
    cell(ui, format!("{:.0} %", 100.0 * measured.share_of_bandwidth()));
    cell(ui, crate::text::gibibytes(measured.memory.total()));
    if power {
        for value in [measured.power.watts(), measured.power.joules_per_token()] {
            let words = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
            ui.label(RichText::new(words).font(mono(text::SMALL))).on_hover_text(measured.power.about());
        }
    }
    cell(ui, format!("{:.1} %", 100.0 * measured.agreement.same_top));
    cell(ui, format!("{:.2e}", measured.agreement.mean_divergence));
    let difference = match measured.first_difference {
        _ if is_reference => t.compare_reference().to_owned(),
        Some(place) => t.compare_at_token(place),
        None => t.compare_none().to_owned(),
    };
    ui.label(difference);
    if !measured.repeatable {
        ui.label(RichText::new(t.compare_not_repeatable()).color(page.tokens.warning));
    }
}

/// The median, and half the distance between the largest and the smallest.
fn with_spread(series: &Series, factor: f64, unit: &str) -> String {
    let (median, spread) = (series.median() * factor, series.spread() * factor / 2.0);
    let space = if unit.is_empty() { "" } else { " " };
    format!("{median:.1} ± {spread:.1}{space}{unit}")
}
