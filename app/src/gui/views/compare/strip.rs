//! A strip of cells for each contestant, one for each token of the reference: how much more or less likely it finds the token.

use egui::{Color32, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use inglenook::measure::compare::{Comparison, RankedToken, TokenAgreement};

use crate::gui::page::Page;
use crate::gui::theme::{Tokens, gap, mono, strong, text};

const HEIGHT: f32 = 22.0;
/// A cell is as wide as that at most.
const WIDEST: f32 = 16.0;
/// A difference of so many nats has the full colour: the token is e times as likely, or as unlikely.
const FULL: f64 = 1.0;

pub(super) fn show(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) {
    ui.label(RichText::new(page.t.compare_strip_hint()).size(text::SMALL).color(page.tokens.text_muted));
    let reference = comparison.reference.and_then(|place| comparison.entries.get(place)?.measured());
    let Some(reference) = reference else { return };
    for (place, entry) in comparison.entries.iter().enumerate() {
        let Some(measured) = entry.measured().filter(|_| comparison.reference != Some(place)) else {
            continue;
        };
        ui.label(RichText::new(&entry.label).font(strong(text::CONTROL)));
        strip(ui, &entry.label, &measured.agreement.tokens, &reference.agreement.tokens, page);
        ui.add_space(gap::SMALL);
    }
}

fn strip(ui: &mut Ui, label: &str, own: &[TokenAgreement], reference: &[TokenAgreement], page: &Page<'_>) {
    let t = page.t;
    let width = (ui.available_width() / own.len().max(1) as f32).min(WIDEST);
    let (rect, response) = ui.allocate_exact_size(vec2(width * own.len() as f32, HEIGHT), Sense::hover());
    let name = t.compare_strip_name(label);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    for (place, token) in own.iter().enumerate() {
        let left = rect.left() + width * place as f32;
        let cell = egui::Rect::from_min_max(pos2(left, rect.top()), pos2(left + width, rect.bottom()));
        ui.painter().rect_filled(cell.shrink2(vec2(0.5, 0.0)), 2.0, color(page.tokens, token.difference));
        if !token.same_top {
            let dot = pos2(cell.center().x, rect.bottom() - 4.0);
            ui.painter().circle_filled(dot, 1.8, page.tokens.text);
        }
    }
    let Some(pointer) = response.hover_pos() else { return };
    let place = ((pointer.x - rect.left()) / width) as usize;
    let Some((token, there)) = own.get(place).zip(reference.get(place)) else { return };
    response.on_hover_ui_at_pointer(|ui| {
        ui.label(RichText::new(t.compare_token(&visible(&token.text))).font(strong(text::CONTROL)));
        let value = format!("{:.3}", token.log_probability);
        ui.label(t.compare_log_probability(&value, &format!("{:+.4}", token.difference)));
        ui.horizontal_top(|ui| {
            top(ui, t.compare_here(), &token.top);
            ui.add_space(gap::LARGE);
            top(ui, t.compare_there(), &there.top);
        });
    });
}

fn top(ui: &mut Ui, title: &str, tokens: &[RankedToken]) {
    ui.vertical(|ui| {
        ui.label(RichText::new(title).size(text::SMALL));
        for token in tokens {
            let share = 100.0 * token.log_probability.exp();
            ui.label(
                RichText::new(format!("{share:6.2} %  {}", visible(&token.text))).font(mono(text::SMALL)),
            );
        }
    });
}

/// White space that can be seen.
fn visible(text: &str) -> String {
    text.replace('\n', "↵").replace(' ', "␣")
}

/// Warm where the token is less likely than to the reference, cool where it is more likely, else like a well.
fn color(tokens: &Tokens, difference: f64) -> Color32 {
    let share = (difference.abs() / FULL).clamp(0.0, 1.0).sqrt() as f32;
    let end = if difference < 0.0 { tokens.series[0] } else { tokens.series[1] };
    mixed(tokens.pressed, end, share)
}

fn mixed(from: Color32, to: Color32, share: f32) -> Color32 {
    let channel = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
    Color32::from_rgb(channel(from.r(), to.r()), channel(from.g(), to.g()), channel(from.b(), to.b()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_both_ways_from_none() {
        let tokens = Tokens::of(egui::Theme::Dark);
        assert_eq!(color(tokens, 0.0), tokens.pressed);
        assert_eq!(color(tokens, -5.0), tokens.series[0]);
        assert_eq!(color(tokens, 5.0), tokens.series[1]);
        assert_eq!(color(tokens, f64::NEG_INFINITY), tokens.series[0]);
        assert_ne!(color(tokens, -0.1), color(tokens, 0.1));
    }

    #[test]
    fn white_space_is_seen() {
        assert_eq!(visible(" a\n"), "␣a↵");
    }
}
