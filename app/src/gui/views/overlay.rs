//! What lies over everything: short messages, and where something is to be dropped.

use egui::{Align2, Area, Frame, Id, Margin, Order, Stroke, Ui, vec2};

use crate::gui::command::Command;
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton};
use crate::gui::state::State;
use crate::gui::theme::{gap, radius, strong, text};
use crate::gui::toast::Kind;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    toasts(ui, state, page);
    if ui.input(|input| !input.raw.hovered_files.is_empty()) {
        drop_here(ui, page);
    }
}

fn toasts(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let (shown, next) = state.toasts.shown();
    if shown.is_empty() {
        return;
    }
    if let Some(next) = next {
        ui.ctx().request_repaint_after(next);
    }
    let area = Area::new(Id::unique("toasts")).order(Order::Foreground);
    area.anchor(Align2::RIGHT_TOP, vec2(-16.0, 52.0)).show(ui.ctx(), |ui| {
        ui.set_max_width(420.0);
        for toast in shown {
            let (icon, color) = match toast.kind {
                Kind::Done => (Icon::Check, page.tokens.good),
                Kind::Note => (Icon::Info, page.tokens.ember),
                Kind::Problem => (Icon::Warning, page.tokens.danger),
            };
            let frame = Frame::new()
                .fill(page.tokens.raised)
                .stroke(Stroke::new(1.0, page.tokens.line_strong))
                .corner_radius(radius::MEDIUM)
                .shadow(ui.visuals().popup_shadow)
                .inner_margin(Margin::symmetric(12, 8));
            frame.show(ui, |ui| {
                ui.horizontal_top(|ui| {
                    let (rect, _) = ui.allocate_exact_size(vec2(18.0, 22.0), egui::Sense::hover());
                    icon.paint(ui.painter(), rect, color);
                    let room = 300.0 - if toast.button.is_some() { 60.0 } else { 0.0 };
                    ui.vertical(|ui| {
                        ui.set_max_width(room);
                        ui.add_space(2.0);
                        ui.add(egui::Label::new(&toast.words).wrap());
                    });
                    if let Some((words, command)) = &toast.button
                        && ui.button(words).clicked()
                    {
                        page.send(command.clone());
                        page.send(Command::CloseToast(toast.id));
                    }
                    if IconButton::new(Icon::Close, page.t.close()).size(22.0).show(ui).clicked() {
                        page.send(Command::CloseToast(toast.id));
                    }
                });
            });
            ui.add_space(gap::TINY);
        }
    });
}

fn drop_here(ui: &Ui, page: &Page<'_>) {
    let rect = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::new(Order::Foreground, Id::unique("drop")));
    painter.rect_filled(rect, 0.0, page.tokens.ground.gamma_multiply(0.9));
    let inner = rect.shrink(24.0);
    painter.rect_stroke(inner, radius::LARGE, Stroke::new(2.0, page.tokens.ember), egui::StrokeKind::Inside);
    let font = strong(text::TITLE);
    painter.text(rect.center(), Align2::CENTER_CENTER, page.t.drop_here(), font, page.tokens.text);
}
