//! A model on this machine: what it is, what automatic loading would come to, and, where it is chosen, all the choices.

use egui::{Button, ComboBox, RichText, Ui};
use inglenook::backend::format::CacheFormat;
use inglenook::fit::Fit;
use inglenook::model::WeightChoice;
use inglenook::models::hub::library::{LocalModel, ModelState};

use super::table;
use crate::gui::command::Command;
use crate::gui::desk::OpenOrder;
use crate::gui::library::{LibraryCommand, Outlook, Subject};
use crate::gui::page::Page;
use crate::gui::parts::{primary, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, strong, text};
use crate::gui::words::Language;
use crate::text::gibibytes;

/// Contexts that can be chosen besides the usual one and the longest.
const CONTEXTS: [usize; 6] = [2048, 4096, 8192, 16_384, 32_768, 131_072];

pub(super) fn show(ui: &mut Ui, state: &mut State, model: &LocalModel, is_open: bool, page: &mut Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let chosen = state.library.chosen.as_deref() == Some(model.path.as_path());
    let subject = Subject::Folder(model.path.clone());
    ui.horizontal(|ui| {
        let name = RichText::new(&model.name).font(strong(text::TITLE)).color(tokens.text);
        let button = ui.add(Button::selectable(chosen, name).frame_when_inactive(false));
        if button.on_hover_text(model.path.display().to_string()).clicked() {
            state.library.chosen = if chosen { None } else { Some(model.path.clone()) };
        }
        if is_open {
            ui.label(RichText::new(t.model_open()).size(text::SMALL).color(tokens.good));
        }
        if state.library.built_in.as_deref() == Some(model.path.as_path()) {
            ui.label(RichText::new(t.model_built_in()).size(text::SMALL).color(tokens.ember));
        }
    });
    ui.label(RichText::new(about(t, model)).size(text::SMALL).color(tokens.text_muted));
    match &model.state {
        ModelState::Supported => {}
        ModelState::Unsupported(why) => return trouble(ui, page, t.model_unsupported(), why),
        ModelState::Broken(why) => {
            trouble(ui, page, t.model_broken(), why);
            // What the hub gave it can give again.
            if model.revision.is_some() && quiet(ui, t.download_again()).clicked() {
                page.send(Command::Library(LibraryCommand::Download(model.name.clone())));
            }
            return;
        }
    }
    summary(ui, state, &subject, page);
    if chosen {
        ui.add_space(gap::SMALL);
        choices(ui, state, &subject, page);
        table::show(ui, state, &subject, page);
        ui.add_space(gap::SMALL);
    }
    let words = if is_open { t.load_again_so() } else { t.load() };
    let pressed = if chosen { primary(ui, words) } else { quiet(ui, words) };
    if pressed.accessible_name(t.load_model(&model.name)).clicked() {
        page.send(Command::Load(Box::new(order(state, model, chosen))));
    }
}

/// What would be loaded: with the choices that are shown, else as is set.
fn order(state: &State, model: &LocalModel, chosen: bool) -> OpenOrder {
    let library = &state.library;
    if !chosen {
        return state.settings.order(model.path.clone());
    }
    OpenOrder {
        folder: model.path.clone(),
        device: library.device.clone().unwrap_or_else(|| "auto".to_owned()),
        weights: library.weights,
        cache: library.cache,
        context: library.context,
    }
}

fn about(t: Language, model: &LocalModel) -> String {
    let count = |count: u64| match count as f64 {
        count if count >= 1e9 => t.billion(count / 1e9),
        count => t.million(count / 1e6),
    };
    let parts = [
        model.family.clone(),
        model.parameters.map(|parameters| t.model_parameters(&count(parameters))),
        model.dtype.as_ref().map(|dtype| t.model_stored_as(dtype)),
        Some(gibibytes(model.bytes)),
        model.revision.clone(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ·  ")
}

fn trouble(ui: &mut Ui, page: &Page<'_>, what: &str, why: &str) {
    ui.label(RichText::new(what).color(page.tokens.danger));
    ui.label(RichText::new(why).size(text::SMALL).color(page.tokens.text_muted));
}

/// What loading it without any choice would come to.
fn summary(ui: &mut Ui, state: &State, subject: &Subject, page: &Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let (words, color) = match state.library.outlook(subject) {
        None => (t.reckoning().to_owned(), tokens.text_faint),
        Some(Err(why)) => (t.cannot_reckon(why), tokens.danger),
        Some(Ok(outlook)) => match line(t, state, outlook) {
            Some(line) => (line, tokens.text),
            None => (t.fits_nowhere().to_owned(), tokens.danger),
        },
    };
    ui.label(RichText::new(words).color(color));
}

fn line(t: Language, state: &State, outlook: &Outlook) -> Option<String> {
    let (format, cell) = outlook.automatic()?;
    let card = state.devices.iter().find(|card| card.device.info.id == cell.device);
    let name = card.map_or_else(|| cell.device.to_string(), |card| card.device.info.name.clone());
    let rate = cell.rate.map_or(t.not_measured().to_owned(), |(rate, _)| table::rate(t, rate));
    let fit = match cell.fit {
        Fit::Fits { spare } => t.fits_with(&gibibytes(spare)),
        Fit::Unknown => t.fits_unknown().to_owned(),
        Fit::Short { missing } => t.misses(&gibibytes(missing)),
    };
    Some([t.summary_on(&format.name, &name), rate, fit].join("  ·  "))
}

/// The cache, the context and the device; the format of the weights is chosen in the table.
fn choices(ui: &mut Ui, state: &mut State, subject: &Subject, page: &Page<'_>) {
    let t = page.t;
    let made_for = match state.library.outlook(subject) {
        Some(Ok(outlook)) => Some(outlook.made_for),
        _ => None,
    };
    let State { library, devices, .. } = state;
    ui.horizontal_wrapped(|ui| {
        ui.label(t.cache());
        let note = |cache: CacheFormat| match cache {
            CacheFormat::Int8 => format!("{cache}: {}", t.cache_int8_note()),
            CacheFormat::F16 => format!("{cache}: {}", t.cache_f16_note()),
        };
        let combo = ComboBox::from_id_salt("library cache").selected_text(note(library.cache));
        let shown = combo.show_ui(ui, |ui| {
            for cache in [CacheFormat::F16, CacheFormat::Int8] {
                ui.selectable_value(&mut library.cache, cache, note(cache));
            }
        });
        shown.response.accessible_name(t.cache());
        ui.label(t.context());
        let words = library.context.map_or(t.automatic().to_owned(), |tokens| t.tokens(tokens));
        let shown = ComboBox::from_id_salt("library context").selected_text(words).show_ui(ui, |ui| {
            ui.selectable_value(&mut library.context, None, t.automatic());
            let longest = made_for.unwrap_or(usize::MAX);
            for tokens in CONTEXTS.into_iter().filter(|tokens| *tokens < longest).chain(made_for) {
                ui.selectable_value(&mut library.context, Some(tokens), t.tokens(tokens));
            }
        });
        shown.response.accessible_name(t.context());
        ui.label(t.device());
        let name = |id: &str| {
            let card = devices.iter().find(|card| card.device.info.id.to_string() == id);
            card.map_or_else(|| id.to_owned(), |card| card.device.info.name.clone())
        };
        let words = library.device.as_ref().map_or(t.device_automatic().to_owned(), |id| name(id));
        let shown = ComboBox::from_id_salt("library device").selected_text(words).show_ui(ui, |ui| {
            ui.selectable_value(&mut library.device, None, t.device_automatic());
            for card in devices.iter() {
                let id = card.device.info.id.to_string();
                let words = format!("{}  {id}", card.device.info.name);
                ui.selectable_value(&mut library.device, Some(id), words);
            }
        });
        shown.response.accessible_name(t.device());
    });
    if let Some(made_for) = made_for {
        ui.label(RichText::new(t.made_for(made_for)).size(text::SMALL).color(page.tokens.text_muted));
    }
    let automatic = match state.library.outlook(subject) {
        Some(Ok(outlook)) => outlook.formats.get(outlook.usual).map(|format| format.name.clone()),
        _ => None,
    };
    ui.horizontal_wrapped(|ui| {
        let is = state.library.weights == WeightChoice::Auto;
        if ui.radio(is, t.format_automatic()).clicked() {
            state.library.weights = WeightChoice::Auto;
        }
        if let Some(name) = automatic {
            let note = t.format_automatic_note(&name);
            ui.label(RichText::new(note).size(text::SMALL).color(page.tokens.text_muted));
        }
    });
}
