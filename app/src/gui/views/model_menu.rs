//! Which model is open and where: a button that says so, and what it opens to change that.

use egui::{Align, Button, CursorIcon, Frame, Layout, Popup, PopupCloseBehavior, RichText, Ui, vec2};
use inglenook::backend::DeviceKind;
use inglenook::backend::format::WeightFormat;

use crate::gui::command::Command;
use crate::gui::desk::{DeviceCard, Facts};
use crate::gui::page::Page;
use crate::gui::parts::{Meter, quiet};
use crate::gui::state::{ModelState, State};
use crate::gui::theme::{gap, radius, strong, text};
use crate::gui::words::Language;
use crate::text::gibibytes;

/// Contexts that can be chosen besides the usual one.
const CONTEXTS: [usize; 6] = [2048, 4096, 8192, 16_384, 32_768, 131_072];

pub(super) fn show(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let (words, color) = match &state.model {
        ModelState::None => (t.no_model().to_owned(), tokens.text_muted),
        ModelState::Loading(loading) => (t.loading_model(&loading.model), tokens.text_muted),
        ModelState::Open(facts) => (facts.name.clone(), tokens.text),
    };
    let label = RichText::new(format!("{words}  ▾")).font(strong(text::CONTROL)).color(color);
    let button = Button::new(label).corner_radius(radius::MEDIUM).min_size(vec2(0.0, 30.0));
    let response = ui.add(button).on_hover_cursor(CursorIcon::PointingHand);
    let response = response.accessible_name(t.model_and_device(&words));
    Popup::menu(&response).close_behavior(PopupCloseBehavior::CloseOnClickOutside).width(360.0).show(|ui| {
        ui.set_width(344.0);
        // Menus spread their lines over the width.
        ui.with_layout(Layout::top_down(Align::Min), |ui| content(ui, state, page));
    });
}

fn content(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    Frame::new().inner_margin(6.0).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = gap::SMALL;
        about(ui, state, page);
        ui.separator();
        heading(ui, page, t.device());
        for card in &state.devices {
            device(ui, state, card, page);
        }
        ui.separator();
        formats(ui, state, page);
        ui.separator();
        ui.horizontal(|ui| {
            if quiet(ui, t.choose_folder()).clicked() {
                page.send(Command::ChooseModel);
                ui.close();
            }
            if !state.model.is_none() && quiet(ui, t.close_model()).clicked() {
                page.send(Command::CloseModel);
                ui.close();
            }
        });
    });
}

fn heading(ui: &mut Ui, page: &Page<'_>, words: &str) {
    ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
}

fn about(ui: &mut Ui, state: &State, page: &Page<'_>) {
    let t = page.t;
    match &state.model {
        ModelState::None => {
            ui.label(t.no_model_yet());
        }
        ModelState::Loading(loading) => {
            ui.label(t.loading_model(&loading.model));
            let share = loading.done_bytes as f32 / loading.total_bytes.max(1) as f32;
            Meter::new(share, t.loading_progress()).width(ui.available_width()).show(ui);
            if !loading.doing.is_empty() {
                ui.add(egui::Label::new(RichText::new(&loading.doing).small().weak()).truncate());
            }
        }
        ModelState::Open(facts) => {
            ui.label(RichText::new(&facts.name).font(strong(text::CONTROL)));
            ui.label(RichText::new(summary(t, facts)).small().color(page.tokens.text_muted));
        }
    }
}

/// What there is to know of a model in a few lines.
pub(super) fn summary(t: Language, facts: &Facts) -> String {
    let memory = t.memory_parts(
        &gibibytes(facts.footprint.weights),
        &gibibytes(facts.footprint.cache),
        &gibibytes(facts.footprint.activations),
    );
    [
        t.weights_in(&facts.weights, &facts.weights_reason),
        t.context_of(facts.context, &facts.context_reason),
        memory,
        t.loaded_in(facts.loading.as_secs_f64()),
    ]
    .join("\n")
}

fn device(ui: &mut Ui, state: &State, card: &DeviceCard, page: &mut Page<'_>) {
    let t = page.t;
    let info = &card.device.info;
    let name = info.id.to_string();
    let used = state.model.facts().is_some_and(|facts| facts.device.id == info.id);
    let words = RichText::new(&info.name).color(page.tokens.text);
    let response = ui.add(
        Button::selectable(used, words)
            .truncate()
            .min_size(vec2(ui.available_width(), 26.0))
            .right_text(RichText::new(&name).small().weak()),
    );
    if response.on_hover_text(why(t, state, card)).clicked() && !used {
        page.send(Command::UseDevice(name));
        ui.close();
    }
    ui.label(RichText::new(why(t, state, card)).small().color(page.tokens.text_muted));
}

/// Why a device is used, or is not.
pub(super) fn why(t: Language, state: &State, card: &DeviceCard) -> String {
    let info = &card.device.info;
    if let Some(facts) = state.model.facts()
        && facts.device.id == info.id
    {
        return t.device_in_use(&facts.tier, &gibibytes(facts.footprint.total()));
    }
    if let Some(trouble) = &card.trouble {
        return t.device_trouble(trouble);
    }
    let best = state.devices.first().is_some_and(|best| best.device.info.id == info.id);
    match info.kind {
        DeviceKind::Software => t.device_software().to_owned(),
        DeviceKind::Cpu if !best => t.device_cpu().to_owned(),
        _ if best => t.device_best().to_owned(),
        _ => t.device_other().to_owned(),
    }
}

fn formats(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    let settings = &state.settings;
    let (mut weights, mut cache, mut context) =
        (settings.weights.clone(), settings.cache.clone(), settings.context);
    ui.horizontal(|ui| {
        ui.label(t.weights());
        let shown = if weights == "auto" { t.automatic().to_owned() } else { weights.clone() };
        let combo = egui::ComboBox::from_id_salt("weights").selected_text(shown);
        let shown = combo.show_ui(ui, |ui| {
            ui.selectable_value(&mut weights, "auto".to_owned(), t.automatic());
            ui.selectable_value(&mut weights, "stored".to_owned(), t.as_stored());
            for format in WeightFormat::SMALLER {
                let name = format.to_string();
                ui.selectable_value(&mut weights, name.clone(), name);
            }
        });
        shown.response.accessible_name(t.weights());
    });
    ui.horizontal(|ui| {
        ui.label(t.cache());
        let combo = egui::ComboBox::from_id_salt("cache").selected_text(cache.clone());
        let shown = combo.show_ui(ui, |ui| {
            for name in ["f16", "int8"] {
                ui.selectable_value(&mut cache, name.to_owned(), name);
            }
        });
        shown.response.accessible_name(t.cache());
    });
    ui.horizontal(|ui| {
        ui.label(t.context());
        let shown = context.map_or(t.automatic().to_owned(), |tokens| t.tokens(tokens));
        let combo = egui::ComboBox::from_id_salt("context").selected_text(shown);
        let shown = combo.show_ui(ui, |ui| {
            ui.selectable_value(&mut context, None, t.automatic());
            for tokens in CONTEXTS {
                ui.selectable_value(&mut context, Some(tokens), t.tokens(tokens));
            }
        });
        shown.response.accessible_name(t.context());
    });
    if (&weights, &cache, context) != (&settings.weights, &settings.cache, settings.context) {
        page.send(Command::UseFormats { weights, cache, context });
    }
}
