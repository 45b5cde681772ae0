//! A field for a path, where the desktop has no dialog to choose one.

use egui::{Frame, Id, Key, Margin, Modal, RichText, Stroke, TextEdit, Ui};

use crate::gui::command::Command;
use crate::gui::dialog::{Fault, Purpose};
use crate::gui::page::Page;
use crate::gui::parts::{primary, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, radius, strong, text};

const WIDTH: f32 = 520.0;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let Some(asking) = &mut state.asking else { return };
    let (t, tokens) = (page.t, page.tokens);
    let title = match asking.purpose {
        Purpose::Model => t.choose_folder(),
        Purpose::Library => t.choose_library_folder(),
        Purpose::Import => t.import(),
        Purpose::Export(_) => t.export(),
        Purpose::ExportComparison(_) => t.compare_export_title(),
    };
    let frame = Frame::new()
        .fill(tokens.raised)
        .stroke(Stroke::new(1.0, tokens.line_strong))
        .corner_radius(radius::LARGE)
        .shadow(ui.visuals().popup_shadow)
        .inner_margin(Margin::same(gap::LARGE as i8));
    let modal = Modal::new(Id::unique("asking")).frame(frame).show(ui.ctx(), |ui| {
        ui.set_width(WIDTH.min(ui.ctx().content_rect().width() - 80.0));
        ui.spacing_mut().item_spacing.y = gap::SMALL;
        ui.label(RichText::new(title).font(strong(text::TITLE)).color(tokens.text));
        ui.label(RichText::new(t.no_dialog()).color(tokens.text_muted));
        let name = if asking.purpose.is_export() { t.path_to_write() } else { t.path() };
        let edit = TextEdit::singleline(&mut asking.typed)
            .hint_text(name)
            .desired_width(f32::INFINITY)
            .margin(Margin::symmetric(10, 7));
        let field = ui.add(edit).accessible_name(name);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if asking.fresh {
            asking.fresh = false;
            field.request_focus();
        }
        if let Some(fault) = asking.fault {
            let words = match fault {
                Fault::NoFolder => t.no_folder_there(),
                Fault::NoFile => t.no_file_there(),
                Fault::NoPlace => t.no_place_there(),
                Fault::Taken => t.file_is_there(),
            };
            ui.label(RichText::new(words).color(tokens.danger));
        }
        ui.horizontal(|ui| {
            if primary(ui, t.take_path()).clicked() || entered {
                page.send(Command::TakePath);
            }
            if quiet(ui, t.cancel()).clicked() {
                page.send(Command::CancelPath);
            }
        });
    });
    if modal.should_close() {
        page.send(Command::CancelPath);
    }
}
