//! Comparisons that are kept: the shown one can be, and those that are can be shown again, exported and deleted.

use egui::{RichText, TextEdit, Ui};

use super::CompareView;
use crate::gui::command::{Command, CompareCommand};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, quiet};
use crate::gui::theme::text;
use crate::store::ExportFormat;

pub(super) fn show(ui: &mut Ui, view: &mut CompareView, page: &mut Page<'_>) {
    let t = page.t;
    if view.shown.is_some() {
        ui.horizontal(|ui| {
            if view.shown_id.is_none() {
                let edit = TextEdit::singleline(&mut view.name).hint_text(t.compare_name());
                ui.add(edit).accessible_name(t.compare_name());
                if quiet(ui, t.compare_keep()).clicked() {
                    page.send(Command::Compare(CompareCommand::Keep));
                }
            }
            if quiet(ui, t.compare_export_markdown()).clicked() {
                page.send(Command::Compare(CompareCommand::Export(ExportFormat::Markdown)));
            }
            if quiet(ui, t.compare_export_json()).clicked() {
                page.send(Command::Compare(CompareCommand::Export(ExportFormat::Json)));
            }
        });
    }
    if view.kept.is_empty() {
        ui.label(RichText::new(t.compare_none()).color(page.tokens.text_faint));
    }
    for entry in &view.kept {
        ui.horizontal(|ui| {
            if quiet(ui, &entry.name).clicked() {
                page.send(Command::Compare(CompareCommand::Open(entry.id)));
            }
            let when = entry.created.local();
            ui.label(RichText::new(when).size(text::SMALL).color(page.tokens.text_muted));
            let name = t.compare_delete(&entry.name);
            if IconButton::new(Icon::Trash, &name).size(24.0).show(ui).clicked() {
                page.send(Command::Compare(CompareCommand::Delete(entry.id)));
            }
        });
    }
}
