//! The library: adding models, downloading them, and what each that is here would take on which device.

mod add;
mod entry;
mod table;

use egui::{RichText, Ui};
use inglenook::models::hub::library::LocalModel;

use crate::gui::command::Command;
use crate::gui::library::LibraryCommand;
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, card, page as place, quiet, section};
use crate::gui::state::State;
use crate::gui::theme::{gap, text};

/// The width of the page: its tables have a column for each device.
const WIDTH: f32 = 880.0;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    place(ui, t.view_models(), WIDTH, |ui| {
        ui.spacing_mut().item_spacing.y = gap::SMALL;
        ui.label(RichText::new(t.models_intro()).color(page.tokens.text_muted));
        section(ui, t.add_model());
        card(ui, |ui| add::show(ui, state, page));
        if state.library.download.is_some() {
            card(ui, |ui| add::download(ui, state, page));
        }
        if state.library.offer.is_some() {
            card(ui, |ui| add::offer(ui, state, page));
        }
        section(ui, t.models_here());
        tools(ui, state, page);
        for fault in &state.library.faults {
            ui.label(RichText::new(fault).color(page.tokens.danger));
        }
        models(ui, state, page);
    });
}

/// What applies to all of them.
fn tools(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    ui.horizontal_wrapped(|ui| {
        if quiet(ui, t.look_for_models()).clicked() {
            page.send(Command::Library(LibraryCommand::Look));
        }
        if state.library.is_measuring() {
            ui.spinner();
            ui.label(RichText::new(t.measuring_devices()).size(text::SMALL).color(page.tokens.text_muted));
        } else if quiet(ui, t.measure_devices()).clicked() {
            page.send(Command::Library(LibraryCommand::Measure));
        }
    });
    if state.settings.folders.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(t.folders_looked_into()).size(text::SMALL).color(page.tokens.text_muted));
        for folder in &state.settings.folders {
            let shown = folder.display().to_string();
            ui.label(RichText::new(&shown).size(text::SMALL));
            let name = t.forget_folder(&shown);
            if IconButton::new(Icon::Close, &name).size(20.0).show(ui).clicked() {
                page.send(Command::Library(LibraryCommand::ForgetFolder(folder.clone())));
            }
        }
    });
}

fn models(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    let Some(models) = state.library.models.take() else {
        ui.horizontal(|ui| {
            ui.spinner();
            ui.label(t.looking_for_models());
        });
        return;
    };
    if models.is_empty() {
        ui.label(RichText::new(t.no_models_here()).color(page.tokens.text_muted));
    }
    let open = state.model.facts().map(|facts| facts.order.folder.clone());
    // The one that is looked at keeps its place, so that nothing jumps when it is chosen.
    for model in &models {
        let is_open = open.as_deref().is_some_and(|folder| is_same(folder, model));
        card(ui, |ui| entry::show(ui, state, model, is_open, page));
    }
    state.library.models = Some(models);
}

/// Whether a model is in this folder, whatever links lead to it.
fn is_same(folder: &std::path::Path, model: &LocalModel) -> bool {
    let real = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    folder == model.path || real(folder) == real(&model.path)
}
