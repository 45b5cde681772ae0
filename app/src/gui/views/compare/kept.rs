//! Comparisons that are kept: the shown one can be, and those that are can be shown again, named anew, exported and deleted.

use egui::{Button, CursorIcon, RichText, Sides, TextEdit, Ui};

use super::CompareView;
use crate::gui::command::{Command, CompareCommand, ComparisonFormat};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, name_field, quiet};
use crate::gui::theme::{radius, regular, strong, text};
use crate::store::ComparisonEntry;

const ROW: f32 = 28.0;

pub(super) fn show(ui: &mut Ui, view: &mut CompareView, page: &mut Page<'_>) {
    let t = page.t;
    if view.shown.is_some() {
        actions(ui, view, page);
    }
    if view.kept.is_empty() {
        ui.label(RichText::new(t.compare_none()).color(page.tokens.text_faint));
    }
    let mut named = None;
    for entry in &view.kept {
        if let Some(renaming) = view.renaming.as_mut().filter(|renaming| renaming.0 == entry.id) {
            named = name_field(ui, &mut renaming.1, t.compare_name(), ROW).or(named);
        } else {
            row(ui, entry, view.shown_id == Some(entry.id), page);
        }
    }
    if let Some(taken) = named
        && let Some((id, name)) = view.renaming.take()
        && taken
    {
        page.send(Command::Compare(CompareCommand::SetName(id, name)));
    }
}

/// What can be done with the one that is shown.
fn actions(ui: &mut Ui, view: &mut CompareView, page: &mut Page<'_>) {
    let t = page.t;
    ui.horizontal_wrapped(|ui| {
        if view.shown_id.is_none() {
            let edit = TextEdit::singleline(&mut view.name).hint_text(t.compare_name());
            ui.add(edit).accessible_name(t.compare_name());
            if quiet(ui, t.compare_keep()).clicked() {
                page.send(Command::Compare(CompareCommand::Keep));
            }
        }
        for format in ComparisonFormat::ALL {
            let words = match format {
                ComparisonFormat::Json => t.compare_export_json(),
                ComparisonFormat::Markdown => t.compare_export_markdown(),
                ComparisonFormat::Png => t.compare_export_png(),
            };
            if quiet(ui, words).clicked() {
                page.send(Command::Compare(CompareCommand::Export(format)));
            }
        }
        if view.picture.is_some() {
            ui.spinner();
            ui.label(t.compare_drawing());
        }
    });
}

fn row(ui: &mut Ui, entry: &ComparisonEntry, is_shown: bool, page: &mut Page<'_>) {
    let t = page.t;
    let name = |ui: &mut Ui| {
        let font = if is_shown { strong(text::CONTROL) } else { regular(text::CONTROL) };
        let button = Button::new(RichText::new(&entry.name).font(font)).corner_radius(radius::MEDIUM);
        let clicked = ui.add(button).on_hover_cursor(CursorIcon::PointingHand).clicked();
        clicked.then_some(CompareCommand::Open(entry.id))
    };
    let rest = |ui: &mut Ui| {
        let buttons = [
            (Icon::Trash, t.compare_delete(&entry.name), CompareCommand::Delete(entry.id)),
            (Icon::Pencil, t.compare_rename(&entry.name), CompareCommand::Rename(entry.id)),
        ];
        let pressed = buttons.into_iter().fold(None, |pressed, (icon, name, command)| {
            let clicked = IconButton::new(icon, &name).size(24.0).show(ui).clicked();
            pressed.or(clicked.then_some(command))
        });
        let when = entry.created.local();
        ui.label(RichText::new(when).size(text::SMALL).color(page.tokens.text_muted));
        pressed
    };
    let (opened, pressed) = Sides::new().shrink_left().truncate().show(ui, name, rest);
    if let Some(command) = opened.or(pressed) {
        page.send(Command::Compare(command));
    }
}
