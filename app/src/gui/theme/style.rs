//! egui's style, made of tokens, so that its own widgets look like ours.

use egui::style::{ScrollStyle, WidgetVisuals};
use egui::{Color32, CornerRadius, Margin, Shadow, Stroke, Style, TextStyle, Visuals, vec2};

use super::fonts::{mono, regular, strong};
use super::tokens::{Tokens, gap, radius, text};

/// The style for a set of tokens.
pub(super) fn of(tokens: &Tokens) -> Style {
    let mut style = Style { visuals: visuals(tokens), animation_time: 0.12, ..Style::default() };
    style.text_styles = [
        (TextStyle::Small, regular(text::SMALL)),
        (TextStyle::Body, regular(text::CONTROL)),
        (TextStyle::Button, regular(text::CONTROL)),
        (TextStyle::Heading, strong(text::TITLE)),
        (TextStyle::Monospace, mono(text::CODE)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(gap::SMALL, 6.0);
    spacing.button_padding = vec2(10.0, 5.0);
    spacing.interact_size = vec2(32.0, 28.0);
    spacing.window_margin = Margin::same(gap::LARGE as i8);
    spacing.menu_margin = Margin::same(6);
    spacing.menu_width = 220.0;
    spacing.combo_width = 120.0;
    spacing.slider_width = 150.0;
    spacing.slider_rail_height = 4.0;
    spacing.tooltip_width = 380.0;
    spacing.scroll = ScrollStyle { bar_width: 8.0, floating_width: 4.0, ..ScrollStyle::floating() };
    style.interaction.tooltip_delay = 0.45;
    style
}

fn visuals(tokens: &Tokens) -> Visuals {
    let base = if tokens.dark { Visuals::dark() } else { Visuals::light() };
    let corner = CornerRadius::same(radius::SMALL);
    let state = |fill: Color32, line: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, line),
        corner_radius: corner,
        fg_stroke: Stroke::new(1.2, text),
        expansion: 0.0,
    };
    let mut visuals = Visuals {
        override_text_color: None,
        weak_text_color: Some(tokens.text_muted),
        hyperlink_color: tokens.ember,
        faint_bg_color: tokens.panel,
        extreme_bg_color: tokens.sunken,
        text_edit_bg_color: Some(tokens.raised),
        code_bg_color: tokens.sunken,
        warn_fg_color: tokens.warning,
        error_fg_color: tokens.danger,
        window_corner_radius: CornerRadius::same(radius::LARGE),
        window_shadow: Shadow { offset: [0, 10], blur: 32, spread: 0, color: tokens.shadow },
        window_fill: tokens.raised,
        window_stroke: Stroke::new(1.0, tokens.line),
        menu_corner_radius: CornerRadius::same(radius::MEDIUM),
        panel_fill: tokens.ground,
        popup_shadow: Shadow { offset: [0, 6], blur: 20, spread: 0, color: tokens.shadow },
        slider_trailing_fill: true,
        ..base
    };
    visuals.selection.bg_fill =
        if tokens.dark { tokens.ember_soft } else { Color32::from_rgb(246, 212, 182) };
    visuals.selection.stroke = Stroke::new(1.0, tokens.ember);
    visuals.text_cursor.stroke = Stroke::new(1.8, tokens.ember);
    let widgets = &mut visuals.widgets;
    widgets.noninteractive = state(tokens.raised, tokens.line, tokens.text);
    widgets.inactive = state(tokens.raised, tokens.line, tokens.text);
    widgets.hovered = state(tokens.hover, tokens.line_strong, tokens.text);
    widgets.active = state(tokens.pressed, tokens.line_strong, tokens.text);
    widgets.open = state(tokens.hover, tokens.line_strong, tokens.text);
    // Rails of sliders and boxes to tick must be seen on raised ground too.
    widgets.inactive.bg_fill = tokens.pressed;
    widgets.hovered.bg_fill = tokens.line_strong;
    widgets.active.bg_fill = tokens.line_strong;
    visuals
}
