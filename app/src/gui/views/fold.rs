//! A line that can be opened to see what is behind it.

use egui::{CursorIcon, Rect, RichText, Role, Sense, Ui, WidgetInfo, vec2};

use crate::gui::parts::Icon;
use crate::gui::theme::{Tokens, gap, text};

/// Shows the line; says whether it was clicked.
pub(super) fn line(ui: &mut Ui, icon: Icon, words: &str, open: bool) -> bool {
    let tokens = Tokens::in_ui(ui);
    let response = ui
        .horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = gap::TINY + 1.0;
            let (rect, _) = ui.allocate_exact_size(vec2(15.0, 20.0), Sense::hover());
            icon.paint(ui.painter(), rect, tokens.text_muted);
            ui.add(
                egui::Label::new(RichText::new(words).size(text::CONTROL).color(tokens.text_muted))
                    .selectable(false),
            );
            let (rect, _) = ui.allocate_exact_size(vec2(13.0, 20.0), Sense::hover());
            let arrow = if open { Icon::Down } else { Icon::Right };
            arrow.paint(ui.painter(), rect, tokens.text_faint);
        })
        .response;
    let area = Rect::from_min_max(response.rect.min, response.rect.max);
    let response = ui.interact(area, response.id.with("fold"), Sense::click());
    response.widget_info(|| {
        let mut info = WidgetInfo::selected(Role::DisclosureTriangle, true, open, words);
        info.selected = Some(open);
        info
    });
    if response.has_focus() {
        let line = egui::Stroke::new(1.0, tokens.ember);
        ui.painter().rect_stroke(area.expand(2.0), 4.0, line, egui::StrokeKind::Outside);
    }
    response.on_hover_cursor(CursorIcon::PointingHand).clicked()
}
