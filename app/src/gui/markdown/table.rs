//! Tables: columns as wide as what is in them, or less where there is no room.

use egui::{Align, Pos2, Rect, Stroke, Ui, pos2, vec2};

use super::layout::{LaidText, Voice, lay_text};
use super::leaf::{Span, Table};
use crate::gui::theme::{Tokens, gap, radius};

const SIDE: f32 = gap::MEDIUM;
const ABOVE: f32 = 7.0;
/// No column is narrower, so that words stay words.
const NARROWEST: f32 = 56.0;

/// A table that is laid out.
pub(super) struct LaidTable {
    pub(super) height: f32,
    /// Where each column begins, and where the last ends.
    columns: Vec<f32>,
    /// Where each row begins, and where the last ends.
    rows: Vec<f32>,
    /// Row by row.
    pub(super) cells: Vec<Cell>,
}

pub(super) struct Cell {
    /// Where its text begins.
    pub(super) at: Pos2,
    pub(super) text: LaidText,
}

pub(super) fn lay(ui: &Ui, tokens: &Tokens, table: &Table, width: f32, voice: Voice) -> LaidTable {
    let count = table.rows.iter().map(Vec::len).max().unwrap_or(0);
    let look = |row: usize, spans: &[Span]| -> Vec<Span> {
        let head = |span: &Span| {
            let mut span = span.clone();
            span.look.strong |= row == 0;
            span
        };
        spans.iter().map(head).collect()
    };
    let mut wanted = vec![NARROWEST; count];
    for (row, cells) in table.rows.iter().enumerate() {
        for (column, spans) in cells.iter().enumerate() {
            let free = lay_text(ui, tokens, &look(row, spans), 0, f32::INFINITY, voice, Align::LEFT);
            let wide = free.galley.size().x + 2.0 * SIDE + 1.0;
            wanted[column] = wanted[column].max(wide);
        }
    }
    let widths = shared(&wanted, width);
    let mut columns = vec![0.0];
    for wide in &widths {
        columns.push(columns.last().copied().unwrap_or(0.0) + wide);
    }
    let (mut cells, mut rows) = (vec![], vec![0.0]);
    for (row, texts) in table.rows.iter().enumerate() {
        let top = rows.last().copied().unwrap_or(0.0);
        let mut high = 0.0f32;
        for (column, spans) in texts.iter().enumerate() {
            let room = widths[column] - 2.0 * SIDE;
            let text = lay_text(ui, tokens, &look(row, spans), 0, room, voice, Align::LEFT);
            let size = text.galley.size();
            high = high.max(size.y);
            let free = (room - size.x).max(0.0);
            let shift = match table.aligned.get(column) {
                Some(Align::Center) => free / 2.0,
                Some(Align::Max) => free,
                _ => 0.0,
            };
            cells.push(Cell { at: pos2(columns[column] + SIDE + shift, top + ABOVE), text });
        }
        rows.push(top + high + 2.0 * ABOVE);
    }
    LaidTable { height: rows.last().copied().unwrap_or(0.0), columns, rows, cells }
}

/// Widths that fit: those that want little get it, the others share what is left.
fn shared(wanted: &[f32], width: f32) -> Vec<f32> {
    let mut widths = wanted.to_vec();
    if wanted.iter().sum::<f32>() <= width {
        return widths;
    }
    let (mut room, mut left) = (width, wanted.len() as f32);
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    for column in order {
        widths[column] = wanted[column].min((room / left).max(NARROWEST));
        room -= widths[column];
        left -= 1.0;
    }
    widths
}

impl LaidTable {
    /// Draws the lines and what lies behind the text.
    pub(super) fn paint(&self, ui: &Ui, tokens: &Tokens, at: Pos2) {
        let wide = self.columns.last().copied().unwrap_or(0.0);
        let whole = Rect::from_min_size(at, vec2(wide, self.height));
        let painter = ui.painter();
        let line = Stroke::new(1.0, tokens.line);
        if let [_, first, ..] = self.rows.as_slice() {
            let corner = egui::CornerRadius { nw: radius::SMALL, ne: radius::SMALL, sw: 0, se: 0 };
            painter.rect_filled(Rect::from_min_size(at, vec2(wide, *first)), corner, tokens.sunken);
        }
        for y in self.rows.iter().skip(1).take(self.rows.len().saturating_sub(2)) {
            painter.hline(whole.x_range(), at.y + y, line);
        }
        painter.rect_stroke(whole, radius::SMALL, line, egui::StrokeKind::Inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_the_room() {
        assert_eq!(shared(&[100.0, 200.0], 400.0), [100.0, 200.0]);
        assert_eq!(shared(&[100.0, 500.0, 500.0], 500.0), [100.0, 200.0, 200.0]);
        assert_eq!(shared(&[], 10.0), [0.0; 0]);
        // Even where there is no room at all, columns are as wide as a word.
        assert_eq!(shared(&[100.0, 100.0], 10.0), [NARROWEST, NARROWEST]);
    }
}
