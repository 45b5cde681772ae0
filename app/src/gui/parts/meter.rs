//! A bar that says how much of something is used or done.

use egui::{Color32, Response, Role, Sense, Ui, WidgetInfo, vec2};

use crate::gui::theme::Tokens;

/// A bar; its name is read aloud.
pub(crate) struct Meter<'a> {
    share: f32,
    name: &'a str,
    width: f32,
    color: Option<Color32>,
}

impl<'a> Meter<'a> {
    /// `share` is from 0 to 1.
    pub(crate) const fn new(share: f32, name: &'a str) -> Self {
        Self { share, name, width: 90.0, color: None }
    }

    pub(crate) const fn width(mut self, width: f32) -> Self {
        self.width = width;
        self
    }

    pub(crate) const fn color(mut self, color: Color32) -> Self {
        self.color = Some(color);
        self
    }

    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let tokens = Tokens::in_ui(ui);
        let (rect, response) = ui.allocate_exact_size(vec2(self.width, 14.0), Sense::hover());
        let rail = egui::Rect::from_center_size(rect.center(), vec2(rect.width(), 4.0));
        ui.painter().rect_filled(rail, 2.0, tokens.pressed);
        let share = self.share.clamp(0.0, 1.0);
        let mut done = rail;
        done.set_width(rail.width() * share);
        ui.painter().rect_filled(done, 2.0, self.color.unwrap_or(tokens.ember));
        let (value, name) = (f64::from(share * 100.0).round(), self.name.to_owned());
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, &name);
            info.value = Some(value);
            info
        });
        response
    }
}
