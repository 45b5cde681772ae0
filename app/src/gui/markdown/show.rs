//! Drawing leaves that are laid out.

use std::ops::Range;
use std::sync::Arc;

use egui::text_selection::LabelSelectionState;
use egui::{
    Align2, Color32, CornerRadius, CursorIcon, Galley, Id, Pos2, Rect, Role, Sense, Stroke, Ui, WidgetInfo,
    pos2, vec2,
};

use super::layout::{CODE_HEADER, CODE_MARGIN, Laid, LaidText, QUOTE};
use super::leaf::{Code, Kind, Leaf, Marker};
use crate::gui::parts::Icon;
use crate::gui::theme::{Tokens, gap, radius, regular, text};

/// What was clicked in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clicked {
    Link(String),
    /// This code is to be copied; empty where the document has to say which.
    CopyCode(String),
}

/// A leaf and its place.
pub(super) struct Drawn<'a> {
    pub(super) leaf: &'a Leaf,
    pub(super) laid: &'a Laid,
    pub(super) area: Rect,
    /// Where the whole text begins.
    pub(super) left: f32,
    pub(super) id: Id,
    /// What the button that copies code is called.
    pub(super) copy: &'a str,
}

pub(super) fn leaf(ui: &mut Ui, tokens: &Tokens, drawn: &Drawn<'_>) -> Option<Clicked> {
    let Drawn { leaf, laid, area, left, id, copy } = drawn;
    for depth in 0..leaf.quotes {
        let x = left + f32::from(depth) * QUOTE + 3.0;
        let above = if leaf.close { gap::TINY } else { gap::SMALL };
        let bar = Rect::from_min_max(pos2(x, area.top() - above), pos2(x + 3.0, area.bottom() + 2.0));
        ui.painter().rect_filled(bar, 1.5, tokens.line_strong);
    }
    if let Some(marker) = &leaf.marker {
        paint_marker(ui, tokens, marker, area.min);
    }
    match laid {
        Laid::Text(laid) => show_text(ui, tokens, laid, area.min, *id),
        Laid::Code(galley) => {
            let Kind::Code(code) = &leaf.kind else { return None };
            show_code(ui, tokens, code, galley, *area, *id, copy)
        }
        Laid::Table(table) => {
            table.paint(ui, tokens, area.min);
            let mut clicked = None;
            for (index, cell) in table.cells.iter().enumerate() {
                let at = area.min + cell.at.to_vec2();
                clicked = show_text(ui, tokens, &cell.text, at, id.with(index)).or(clicked);
            }
            clicked
        }
        Laid::Rule => {
            ui.painter().hline(area.x_range(), area.top(), Stroke::new(1.0, tokens.line_strong));
            None
        }
    }
}

fn paint_marker(ui: &Ui, tokens: &Tokens, marker: &Marker, at: Pos2) {
    let middle = at.y + text::BODY * text::LINE / 2.0;
    match marker {
        Marker::Bullet => {
            ui.painter().circle_filled(pos2(at.x - 12.0, middle), 2.4, tokens.text_muted);
        }
        Marker::Number(number) => {
            let place = pos2(at.x - 6.0, middle);
            let font = regular(text::BODY);
            ui.painter().text(place, Align2::RIGHT_CENTER, format!("{number}."), font, tokens.text_muted);
        }
        Marker::Task(done) => {
            let square = Rect::from_center_size(pos2(at.x - 12.0, middle), vec2(13.0, 13.0));
            let line = Stroke::new(1.2, if *done { tokens.ember } else { tokens.line_strong });
            ui.painter().rect_stroke(square, 3.0, line, egui::StrokeKind::Inside);
            if *done {
                Icon::Check.paint(ui.painter(), square.shrink(1.0), tokens.ember);
            }
        }
    }
}

/// Text that can be selected, and whose links can be followed.
fn show_text(ui: &Ui, tokens: &Tokens, laid: &LaidText, at: Pos2, id: Id) -> Option<Clicked> {
    for range in &laid.codes {
        for stretch in stretches(&laid.galley, range, at) {
            let behind = stretch.glyphs.expand2(vec2(3.0, 1.0));
            ui.painter().rect_filled(behind, CornerRadius::same(radius::SMALL), tokens.sunken);
        }
    }
    for (range, _) in &laid.links {
        let stroke = Stroke::new(1.0, tokens.ember.gamma_multiply(0.5));
        for Stretch { glyphs, baseline } in stretches(&laid.galley, range, at) {
            ui.painter().hline(glyphs.x_range(), baseline + 3.0, stroke);
        }
    }
    let response = show_galley(ui, &laid.galley, at, id);
    if laid.links.is_empty() || !response.hovered() {
        return None;
    }
    let pointer = response.hover_pos()?;
    let over = laid.galley.cursor_from_pos(pointer - at).index.0;
    let (_, link) = laid.links.iter().find(|(range, _)| range.contains(&over))?;
    ui.ctx().set_cursor_icon(CursorIcon::PointingHand);
    response.clicked().then(|| Clicked::Link(link.clone()))
}

/// Where some characters lie within one line.
struct Stretch {
    glyphs: Rect,
    baseline: f32,
}

/// Where characters lie, line by line. Lines are higher than their glyphs, and the galley's own backgrounds and underlines are as
/// high as lines.
fn stretches(galley: &Galley, range: &Range<usize>, at: Pos2) -> Vec<Stretch> {
    let mut first = 0;
    let mut found = vec![];
    for row in &galley.rows {
        let glyphs = row.glyphs.iter().enumerate();
        let within = glyphs.filter(|(place, _)| range.contains(&(first + place))).map(|(_, glyph)| glyph);
        let origin = at + row.pos.to_vec2();
        let stretch = within.fold(None, |stretch: Option<Stretch>, glyph| {
            let baseline = origin.y + glyph.pos.y;
            let top_left = pos2(origin.x + glyph.pos.x, baseline - glyph.font_ascent);
            let one = Rect::from_min_size(top_left, vec2(glyph.advance_width, glyph.font_height));
            let glyphs = stretch.map_or(one, |before| before.glyphs.union(one));
            Some(Stretch { glyphs, baseline })
        });
        found.extend(stretch);
        first += row.glyphs.len() + usize::from(row.ends_with_newline);
    }
    found
}

/// Lines of glyphs that can be selected. Screen readers get their text.
fn show_galley(ui: &Ui, galley: &Arc<Galley>, at: Pos2, id: Id) -> egui::Response {
    let rect = Rect::from_min_size(at, galley.size());
    let sense = Sense::click_and_drag() - Sense::FOCUSABLE;
    let response = ui.interact(rect, id, sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, galley.text()));
    let color = Color32::PLACEHOLDER;
    LabelSelectionState::label_text_selection(ui, &response, at, Arc::clone(galley), color, Stroke::NONE);
    response
}

fn show_code(
    ui: &Ui,
    tokens: &Tokens,
    code: &Code,
    galley: &Arc<Galley>,
    area: Rect,
    id: Id,
    copy: &str,
) -> Option<Clicked> {
    let round = |is: bool| if is { radius::MEDIUM } else { 0 };
    let corner = CornerRadius {
        nw: round(code.begins),
        ne: round(code.begins),
        sw: round(code.ends),
        se: round(code.ends),
    };
    ui.painter().rect_filled(area, corner, tokens.sunken);
    let mut top = area.top();
    let mut clicked = None;
    if code.begins {
        let middle = top + CODE_HEADER / 2.0;
        let place = pos2(area.left() + CODE_MARGIN, middle);
        let font = regular(text::SMALL);
        ui.painter().text(place, Align2::LEFT_CENTER, &code.language, font, tokens.text_muted);
        let button = Rect::from_center_size(pos2(area.right() - 20.0, middle), vec2(24.0, 24.0));
        let response = ui.interact(button, id.with("copy"), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, copy));
        let over = response.hovered() || response.has_focus();
        if over {
            ui.painter().rect_filled(button, radius::SMALL, tokens.hover);
        }
        let ink = if over { tokens.text } else { tokens.text_muted };
        Icon::Copy.paint(ui.painter(), button.shrink(5.0), ink);
        if response.on_hover_text(copy).on_hover_cursor(CursorIcon::PointingHand).clicked() {
            clicked = Some(Clicked::CopyCode(String::new()));
        }
        top += CODE_HEADER;
    }
    show_galley(ui, galley, pos2(area.left() + CODE_MARGIN, top), id);
    clicked
}
