//! Pages, sections and cards: the places of everything that is not a conversation.

use egui::{Frame, Margin, RichText, ScrollArea, Stroke, Ui};

use crate::gui::theme::{Tokens, gap, radius, strong, text};

/// A page with a title, which scrolls; its content is as wide as can be read, or as `width`.
pub(crate) fn page<R>(ui: &mut Ui, title: &str, width: f32, content: impl FnOnce(&mut Ui) -> R) -> R {
    let scroll = ScrollArea::vertical().auto_shrink(false).id_salt(title);
    scroll
        .show(ui, |ui| {
            let side = ((ui.available_width() - width) / 2.0).max(gap::HUGE);
            let margin = Margin { left: side as i8, right: side as i8, top: 28, bottom: 28 };
            let margin = if side > 127.0 { Margin { left: 0, right: 0, ..margin } } else { margin };
            Frame::new()
                .inner_margin(margin)
                .show(ui, |ui| {
                    let column = ui.available_width().min(width);
                    let space = (ui.available_width() - column) / 2.0;
                    ui.horizontal_top(|ui| {
                        ui.add_space(space);
                        ui.vertical(|ui| {
                            ui.set_width(column);
                            let color = Tokens::in_ui(ui).text;
                            ui.label(RichText::new(title).font(strong(text::DISPLAY)).color(color));
                            ui.add_space(gap::LARGE);
                            content(ui)
                        })
                        .inner
                    })
                    .inner
                })
                .inner
        })
        .inner
}

/// A title within a page.
pub(crate) fn section(ui: &mut Ui, title: &str) {
    let tokens = Tokens::in_ui(ui);
    ui.add_space(gap::LARGE);
    ui.label(RichText::new(title).font(strong(text::TITLE)).color(tokens.text));
    ui.add_space(gap::TINY);
}

/// Something that lies on the page.
pub(crate) fn card<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    let tokens = Tokens::in_ui(ui);
    Frame::new()
        .fill(tokens.raised)
        .stroke(Stroke::new(1.0, tokens.line))
        .corner_radius(radius::LARGE)
        .inner_margin(Margin::same(gap::LARGE as i8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui)
        })
        .inner
}
