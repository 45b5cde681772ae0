//! Buttons: with an icon alone, with words, and a row of choices. Each has a name that is read aloud.

use egui::{
    Button, Color32, CornerRadius, CursorIcon, Response, RichText, Role, Sense, Ui, Vec2, WidgetInfo,
};

use super::Icon;
use crate::gui::theme::{Tokens, radius, strong, text};

/// A button that shows an icon and tells its name when it is pointed at.
pub(crate) struct IconButton<'a> {
    icon: Icon,
    name: &'a str,
    shortcut: Option<String>,
    size: f32,
    enabled: bool,
    chosen: bool,
    filled: bool,
}

impl<'a> IconButton<'a> {
    pub(crate) const fn new(icon: Icon, name: &'a str) -> Self {
        Self { icon, name, shortcut: None, size: 28.0, enabled: true, chosen: false, filled: false }
    }

    /// The keys that do the same, which the tip shows.
    pub(crate) fn shortcut(mut self, shortcut: Option<String>) -> Self {
        self.shortcut = shortcut;
        self
    }

    pub(crate) const fn size(mut self, size: f32) -> Self {
        self.size = size;
        self
    }

    pub(crate) const fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// What it shows or hides is shown.
    pub(crate) const fn chosen(mut self, chosen: bool) -> Self {
        self.chosen = chosen;
        self
    }

    /// On a disc of ember: the one thing to press.
    pub(crate) const fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// Shows it; says what happened to it.
    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let tokens = Tokens::in_ui(ui);
        let sense = if self.enabled { Sense::click() } else { Sense::hover() };
        let (rect, response) = ui.allocate_exact_size(Vec2::splat(self.size), sense);
        let (enabled, chosen, name) = (self.enabled, self.chosen, self.name);
        response.widget_info(|| WidgetInfo::selected(Role::Button, enabled, chosen, name));
        if ui.is_rect_visible(rect) {
            self.paint(ui, tokens, rect, &response);
        }
        let response = match self.shortcut {
            Some(keys) => response.on_hover_text(format!("{name}   {keys}")),
            None => response.on_hover_text(name),
        };
        if enabled { response.on_hover_cursor(CursorIcon::PointingHand) } else { response }
    }

    fn paint(&self, ui: &Ui, tokens: &Tokens, rect: egui::Rect, response: &Response) {
        let over = self.enabled && (response.hovered() || response.has_focus());
        let down = response.is_pointer_button_down_on();
        let (fill, ink) = match (self.filled, self.enabled) {
            (true, true) => (if over { tokens.ember_hover } else { tokens.ember }, tokens.on_ember),
            (true, false) => (tokens.pressed, tokens.text_faint),
            (false, false) => (Color32::TRANSPARENT, tokens.text_faint),
            (false, true) if down => (tokens.pressed, tokens.text),
            (false, true) if over => (tokens.hover, tokens.text),
            (false, true) if self.chosen => (tokens.ember_soft, tokens.ember),
            (false, true) => (Color32::TRANSPARENT, tokens.text_muted),
        };
        let corner = if self.filled { (self.size / 2.0) as u8 } else { radius::SMALL };
        ui.painter().rect_filled(rect, corner, fill);
        if response.has_focus() {
            let line = egui::Stroke::new(1.5, tokens.ember);
            ui.painter().rect_stroke(rect, corner, line, egui::StrokeKind::Inside);
        }
        let share = if self.filled { 0.56 } else { 0.62 };
        let inner = egui::Rect::from_center_size(rect.center(), Vec2::splat(self.size * share));
        self.icon.paint(ui.painter(), inner, ink);
    }
}

/// The button for the one thing that a page is about.
pub(crate) fn primary(ui: &mut Ui, words: &str) -> Response {
    let tokens = Tokens::in_ui(ui);
    ui.scope(|ui| {
        let widgets = &mut ui.visuals_mut().widgets;
        for (state, fill) in [
            (&mut widgets.inactive, tokens.ember),
            (&mut widgets.hovered, tokens.ember_hover),
            (&mut widgets.active, tokens.ember_hover),
        ] {
            state.weak_bg_fill = fill;
            state.bg_stroke = egui::Stroke::NONE;
            state.fg_stroke.color = tokens.on_ember;
        }
        ui.spacing_mut().button_padding = egui::vec2(14.0, 7.0);
        let words = RichText::new(words).font(strong(text::CONTROL)).color(tokens.on_ember);
        ui.add(Button::new(words).corner_radius(CornerRadius::same(radius::MEDIUM)))
            .on_hover_cursor(CursorIcon::PointingHand)
    })
    .inner
}

/// A button for anything else.
pub(crate) fn quiet(ui: &mut Ui, words: &str) -> Response {
    ui.add(Button::new(words).corner_radius(CornerRadius::same(radius::MEDIUM)))
        .on_hover_cursor(CursorIcon::PointingHand)
}

/// A row of choices, of which one is taken; says which one is taken now.
pub(crate) fn choice<T: Copy + PartialEq>(ui: &mut Ui, taken: T, choices: &[(T, &str)]) -> Option<T> {
    let tokens = Tokens::in_ui(ui);
    let mut other = None;
    let frame = egui::Frame::new().fill(tokens.sunken).corner_radius(radius::MEDIUM).inner_margin(3.0);
    frame.show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            for (value, words) in choices {
                let is = *value == taken;
                let fill = if is { tokens.raised } else { Color32::TRANSPARENT };
                let ink = if is { tokens.text } else { tokens.text_muted };
                let line = if is { tokens.line } else { Color32::TRANSPARENT };
                let button = Button::new(RichText::new(*words).color(ink))
                    .fill(fill)
                    .stroke(egui::Stroke::new(1.0, line))
                    .selected(false);
                let response = ui.add(button).on_hover_cursor(CursorIcon::PointingHand);
                response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, is, *words));
                if response.clicked() {
                    other = Some(*value);
                }
            }
        });
    });
    other
}
