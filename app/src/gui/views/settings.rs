//! The settings.

use egui::{RichText, Ui};

use super::model_menu::summary;
use crate::gui::command::{Command, Zoom};
use crate::gui::page::Page;
use crate::gui::parts::{card, choice, page as place, quiet, section};
use crate::gui::state::State;
use crate::gui::theme::{ThemeChoice, gap};
use crate::gui::words::Language;
use crate::store::Access;

pub(super) fn show(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    place(ui, t.view_settings(), 680.0, |ui| {
        section(ui, t.looks());
        card(ui, |ui| looks(ui, state, page));
        section(ui, t.typing());
        card(ui, |ui| {
            let mut sends = state.settings.enter_sends;
            if ui.checkbox(&mut sends, t.enter_sends()).changed() {
                page.send(Command::SetEnterSends(sends));
            }
        });
        section(ui, t.view_model());
        card(ui, |ui| match state.model.facts() {
            Some(facts) => {
                ui.strong(format!("{}  ·  {}", facts.name, facts.family));
                ui.label(RichText::new(summary(t, facts)).color(page.tokens.text_muted));
                ui.label(RichText::new(facts.order.folder.display().to_string()).small().weak());
            }
            None => {
                ui.label(t.no_model_yet());
            }
        });
        section(ui, t.keys());
        card(ui, |ui| keys(ui, page));
        section(ui, t.about());
        card(ui, |ui| {
            ui.label(t.about_words(env!("CARGO_PKG_VERSION")));
            let kept = match &state.access {
                Some(Access::Kept(file)) => t.kept_in(&file.display().to_string()),
                Some(Access::InMemory(why)) => t.not_kept(&why.to_string()),
                None => String::new(),
            };
            ui.label(RichText::new(kept).small().color(page.tokens.text_muted));
            ui.label(RichText::new(t.about_fonts()).small().color(page.tokens.text_muted));
        });
    });
}

fn looks(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    ui.spacing_mut().item_spacing.y = gap::MEDIUM;
    line(ui, t.theme_label(), |ui| {
        let choices = ThemeChoice::ALL.map(|theme| (theme, t.theme(theme)));
        if let Some(theme) = choice(ui, state.settings.theme, &choices) {
            page.send(Command::SetTheme(theme));
        }
    });
    line(ui, t.language_label(), |ui| {
        let choices = Language::ALL.map(|language| (language, language.own_name()));
        if let Some(language) = choice(ui, state.settings.language(), &choices) {
            page.send(Command::SetLanguage(language));
        }
    });
    line(ui, t.size_label(), |ui| {
        if quiet(ui, "−").accessible_name(t.zoom_out()).clicked() {
            page.send(Command::Zoom(Zoom::Out));
        }
        ui.label(format!("{:.0} %", state.settings.zoom * 100.0));
        if quiet(ui, "+").accessible_name(t.zoom_in()).clicked() {
            page.send(Command::Zoom(Zoom::In));
        }
        if quiet(ui, t.zoom_reset()).clicked() {
            page.send(Command::Zoom(Zoom::Reset));
        }
    });
}

/// A setting: its name, and what sets it.
fn line(ui: &mut Ui, name: &str, content: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(160.0, 32.0), egui::Sense::hover());
        let ink = ui.visuals().text_color();
        let font = egui::TextStyle::Body.resolve(ui.style());
        ui.painter().text(rect.left_center(), egui::Align2::LEFT_CENTER, name, font, ink);
        content(ui);
    });
}

/// All keys.
fn keys(ui: &mut Ui, page: &Page<'_>) {
    egui::Grid::new("keys").num_columns(2).spacing([gap::HUGE, 6.0]).show(ui, |ui| {
        for command in Command::listed() {
            if let Some(keys) = command.keys(ui.ctx()) {
                ui.label(command.name(page.t));
                ui.label(RichText::new(keys).monospace().color(page.tokens.text_muted));
                ui.end_row();
            }
        }
    });
}
