//! A table of formats and devices: what each takes, whether it fits, and how fast it would be.

use egui::{Grid, RichText, Ui};
use inglenook::backend::format::WeightFormat;
use inglenook::fit::Fit;
use inglenook::model::WeightChoice;

use crate::gui::library::{Cell, FormatOutlook, Outlook, Subject};
use crate::gui::page::Page;
use crate::gui::state::State;
use crate::gui::theme::{gap, text};
use crate::gui::words::Language;
use crate::text::gibibytes;

pub(super) fn show(ui: &mut Ui, state: &mut State, subject: &Subject, page: &Page<'_>) {
    let t = page.t;
    let outlook = match state.library.outlook(subject) {
        None => {
            ui.label(t.reckoning());
            return;
        }
        Some(Err(why)) => {
            ui.label(RichText::new(t.cannot_reckon(why)).color(page.tokens.danger));
            return;
        }
        Some(Ok(outlook)) => outlook.clone(),
    };
    // Choosing makes sense where something can be loaded.
    let choosable = matches!(subject, Subject::Folder(_));
    egui::ScrollArea::horizontal().id_salt(("outlook", format!("{subject:?}"))).show(ui, |ui| {
        Grid::new(("formats", format!("{subject:?}"))).spacing([gap::LARGE, gap::SMALL]).striped(true).show(
            ui,
            |ui| {
                head(ui, state, &outlook, page);
                for format in &outlook.formats {
                    row(ui, state, format, choosable, page);
                }
            },
        );
    });
}

fn head(ui: &mut Ui, state: &State, outlook: &Outlook, page: &Page<'_>) {
    let t = page.t;
    let small = |ui: &mut Ui, words: &str| {
        ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
    };
    small(ui, t.format_label());
    small(ui, t.format_memory());
    for cell in outlook.formats.first().iter().flat_map(|format| &format.cells) {
        let card = state.devices.iter().find(|card| card.device.info.id == cell.device);
        let name = card.map_or("", |card| card.device.info.name.as_str());
        small(ui, &format!("{}  {name}", cell.device));
    }
    ui.end_row();
}

fn row(ui: &mut Ui, state: &mut State, format: &FormatOutlook, choosable: bool, page: &Page<'_>) {
    let t = page.t;
    let words = if format.choice == WeightChoice::Stored {
        format!("{} ({})", format.name, t.format_stored())
    } else {
        format.name.clone()
    };
    if choosable {
        let is = state.library.weights == format.choice;
        let radio = ui.radio(is, words).accessible_name(t.format_choose(&format.name));
        if radio.on_hover_text(explained(t, format)).clicked() {
            state.library.weights = format.choice;
        }
    } else {
        ui.label(words).on_hover_text(explained(t, format));
    }
    let parts = format.footprint;
    ui.label(gibibytes(parts.total())).on_hover_text(t.memory_of(
        &gibibytes(parts.weights),
        &gibibytes(parts.cache),
        &gibibytes(parts.activations),
    ));
    for cell in &format.cells {
        device(ui, cell, page);
    }
    ui.end_row();
}

fn device(ui: &mut Ui, cell: &Cell, page: &Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let (fit, color) = match cell.fit {
            Fit::Fits { spare } => (t.fits_with(&gibibytes(spare)), tokens.good),
            Fit::Short { missing } => (t.misses(&gibibytes(missing)), tokens.danger),
            Fit::Unknown => (t.fits_unknown().to_owned(), tokens.text_muted),
        };
        let mut label = ui.label(RichText::new(fit).size(text::SMALL).color(color));
        if cell.longest > 0 && cell.longest < 1 << 30 {
            label = label.on_hover_text(t.fits_context(cell.longest));
        }
        if matches!(cell.fit, Fit::Short { .. }) {
            return;
        }
        let rate = match cell.rate {
            Some((empty, full)) => {
                label.on_hover_text(t.rate_when_full(full));
                rate(t, empty)
            }
            None => t.not_measured().to_owned(),
        };
        ui.label(RichText::new(rate).size(text::SMALL).color(tokens.text));
    });
}

/// A speed, with a digit more where it is slow.
pub(super) fn rate(t: Language, rate: f64) -> String {
    if rate < 10.0 { t.about_slow_rate(rate) } else { t.about_rate(rate) }
}

/// What a format costs and gains.
fn explained(t: Language, format: &FormatOutlook) -> String {
    let words = match format.choice {
        WeightChoice::Format(WeightFormat::Int8(_)) => t.format_int8(),
        WeightChoice::Format(WeightFormat::W8a8(_)) => t.format_w8a8(),
        WeightChoice::Format(WeightFormat::Int4(_) | WeightFormat::Nf4) => t.format_four_bits(),
        WeightChoice::Stored | WeightChoice::Auto | WeightChoice::Format(_) => t.format_exact(),
    };
    format!("{}. {words}", t.format_bits(format.bits))
}
