//! A text that may still grow, with what is known of its layout.

use egui::{Rect, Ui, pos2};

use super::code::{self, Carry};
use super::layout::{self, Laid, Voice};
use super::leaf::{Kind, Leaf};
use super::parse::{Last, parse, plain};
use super::show;
use crate::gui::theme::Tokens;

/// Layouts are good for as long as this does not change: glyphs lie in an atlas that is cleared now and then, colours are part of
/// what is laid out, and fonts may be found that were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Epoch {
    number: u64,
    fill: f32,
    fonts: usize,
    dark: bool,
    scale: f32,
}

impl Epoch {
    /// Looks whether what was laid out before is still good; once per frame.
    pub(crate) fn look(&mut self, ui: &Ui) {
        let (fill, fonts) = ui.fonts(|fonts| (fonts.font_atlas_fill_ratio(), fonts.discovered_fonts().len()));
        let (dark, scale) = (ui.visuals().dark_mode, ui.pixels_per_point());
        #[allow(clippy::float_cmp, reason = "the very same scale, not one near it")]
        let same = fill >= self.fill && fonts == self.fonts && dark == self.dark && scale == self.scale;
        let number = if same { self.number } else { self.number + 1 };
        *self = Self { number, fill, fonts, dark, scale };
    }
}

/// A text as leaves.
#[derive(Default)]
pub(crate) struct Document {
    leaves: Vec<Leaf>,
    /// Beside the leaves.
    places: Vec<Place>,
    /// How much of the text was parsed.
    bytes: usize,
    /// Where the last block begins.
    last: Option<Last>,
    width: f32,
    epoch: u64,
    height: f32,
    /// Leaves that are laid out now.
    laid: std::ops::Range<usize>,
}

/// Where a leaf is.
#[derive(Default)]
struct Place {
    top: f32,
    height: f32,
    /// Whether the height is more than a guess.
    measured: bool,
    laid: Option<Laid>,
}

impl Document {
    /// Takes a text in. It must begin with what was taken in before.
    pub(crate) fn update(&mut self, text: &str) {
        if text.len() == self.bytes {
            return;
        }
        if text.len() < self.bytes {
            *self = Self::default();
        }
        let from = self.last.unwrap_or(Last { byte: 0, leaf: 0, number: None, close: false });
        let Some(tail) = text.get(from.byte..) else {
            // It is another text.
            *self = Self::default();
            return self.update(text);
        };
        let parsed = parse(tail, from.number, from.close);
        self.bytes = text.len();
        if let Some(last) = parsed.last {
            self.last = Some(Last {
                byte: from.byte + last.byte,
                leaf: from.leaf + last.leaf,
                number: last.number,
                close: last.close,
            });
        }
        self.replace(from.leaf, parsed.leaves);
    }

    /// Takes a text in that is no Markdown: what people type is shown as they typed it.
    pub(crate) fn update_plain(&mut self, text: &str) {
        if text.len() != self.bytes {
            *self = Self { bytes: text.len(), ..Self::default() };
            self.replace(0, plain(text));
        }
    }

    /// As wide as its longest line, for texts of a few lines.
    pub(crate) fn natural_width(&self, ui: &Ui, voice: Voice) -> f32 {
        let tokens = Tokens::in_ui(ui);
        let wide = |leaf: &Leaf| match layout::lay(ui, tokens, leaf, f32::INFINITY, voice).0 {
            Laid::Text(text) => text.galley.size().x,
            _ => f32::INFINITY,
        };
        // A long text is as wide as there is room.
        if self.bytes > 400 { f32::INFINITY } else { self.leaves.iter().map(wide).fold(0.0, f32::max) }
    }

    /// Puts leaves in the place of those from `start` on. Those that are as they were keep their layout.
    fn replace(&mut self, start: usize, leaves: Vec<Leaf>) {
        let mut carry = Carry::Nothing;
        let end = start + leaves.len();
        for (index, mut leaf) in (start..).zip(leaves) {
            if let Kind::Code(code) = &mut leaf.kind {
                code.carry = if code.begins { Carry::Nothing } else { carry };
            }
            let same = self.leaves.get(index) == Some(&leaf);
            carry = match (&leaf.kind, self.leaves.get(index + 1).map(|next| &next.kind)) {
                (Kind::Code(code), _) if code.ends => Carry::Nothing,
                // What follows knows already what is open.
                (Kind::Code(_), Some(Kind::Code(next))) if same && !next.begins => next.carry,
                (Kind::Code(code), _) => code::words(&code.language, &code.text, code.carry, |_, _| {}),
                _ => Carry::Nothing,
            };
            if same {
                continue;
            }
            let known = self.places.get(index).map(|place| place.height);
            let height = known.unwrap_or_else(|| layout::guess(&leaf, self.width.max(300.0)));
            let place = Place { height, ..Place::default() };
            if index < self.leaves.len() {
                (self.leaves[index], self.places[index]) = (leaf, place);
            } else {
                self.leaves.push(leaf);
                self.places.push(place);
            }
        }
        self.leaves.truncate(end);
        self.places.truncate(end);
        self.stack(start);
    }

    /// Finds the places of leaves from one on.
    fn stack(&mut self, start: usize) {
        let mut bottom = match start.checked_sub(1).and_then(|before| self.places.get(before)) {
            Some(before) => before.top + before.height,
            None => 0.0,
        };
        for (index, (leaf, place)) in self.leaves.iter().zip(&mut self.places).enumerate().skip(start) {
            place.top = bottom + if index == 0 { 0.0 } else { layout::above(leaf) };
            bottom = place.top + place.height;
        }
        self.height = bottom;
    }

    /// Lays out what lies between two heights, and what was never measured there; says how high the whole is.
    pub(crate) fn lay(
        &mut self,
        ui: &Ui,
        width: f32,
        epoch: Epoch,
        voice: Voice,
        visible: std::ops::Range<f32>,
    ) -> f32 {
        if (self.width - width).abs() > 0.5 || self.epoch != epoch.number {
            let narrower = (self.width - width).abs() > 0.5;
            (self.width, self.epoch) = (width, epoch.number);
            for (leaf, place) in self.leaves.iter().zip(&mut self.places) {
                (place.laid, place.measured) = (None, place.measured && !narrower);
                if narrower {
                    place.height = layout::guess(leaf, width);
                }
            }
            self.stack(0);
        }
        let tokens = Tokens::in_ui(ui);
        let first = self.places.partition_point(|place| place.top + place.height < visible.start);
        let mut index = first;
        while index < self.leaves.len() {
            if self.places[index].top > visible.end {
                break;
            }
            if self.places[index].laid.is_none() {
                let (laid, height) = layout::lay(ui, tokens, &self.leaves[index], width, voice);
                let place = &mut self.places[index];
                let other = (place.height - height).abs() > 0.01;
                (place.laid, place.height, place.measured) = (Some(laid), height, true);
                if other {
                    self.stack(index);
                }
            }
            index += 1;
        }
        self.forget(first..index);
        self.height
    }

    /// Keeps the layout of these leaves only: glyphs are many times as large as text.
    fn forget(&mut self, keep: std::ops::Range<usize>) {
        for index in self.laid.clone() {
            if !keep.contains(&index)
                && let Some(place) = self.places.get_mut(index)
            {
                place.laid = None;
            }
        }
        self.laid = keep;
    }

    /// Lets go of all layout, for a text that is out of sight.
    pub(crate) fn hide(&mut self) {
        self.forget(0..0);
    }

    /// Draws what is laid out, with its top left corner at the rectangle's. Says what was clicked.
    pub(crate) fn show(&self, ui: &mut Ui, rect: Rect, id: egui::Id, copy: &str) -> Option<show::Clicked> {
        let tokens = Tokens::in_ui(ui);
        let mut clicked = None;
        for index in self.laid.clone() {
            let (Some(leaf), Some(place)) = (self.leaves.get(index), self.places.get(index)) else { break };
            let Some(laid) = &place.laid else { continue };
            let top = rect.top() + place.top;
            let area = Rect::from_min_max(
                pos2(rect.left() + layout::left(leaf), top),
                pos2(rect.right(), top + place.height),
            );
            let drawn = show::Drawn { leaf, laid, area, left: rect.left(), id: id.with(index), copy };
            clicked = show::leaf(ui, tokens, &drawn).or(clicked);
            if clicked == Some(show::Clicked::CopyCode(String::new())) {
                clicked = Some(show::Clicked::CopyCode(self.code_from(index)));
            }
        }
        clicked
    }

    /// A whole block of code, which may be in pieces.
    fn code_from(&self, index: usize) -> String {
        let mut whole = String::new();
        for leaf in &self.leaves[index..] {
            let Kind::Code(code) = &leaf.kind else { break };
            if !whole.is_empty() {
                whole.push('\n');
            }
            whole.push_str(&code.text);
            if code.ends {
                break;
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(document: &Document) -> &[Leaf] {
        &document.leaves
    }

    /// What is taken in piece by piece is what is taken in at once.
    #[test]
    fn growing_leads_to_the_same() {
        let text = "# A title\n\nText with **strong** words,\nsoft breaks.\n\n1. one\n1. two\n   - deep\n1. three\n\n```rust\n\
                    fn main() {\n    /* open\n       comment */\n}\n```\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n> quoted\n> more\n\n\
                    - [x] done\n- [ ] open\n\nThe end, 字 and all.\n";
        for step in [1, 7, 40] {
            let mut grown = Document::default();
            let mut end = 0;
            while end < text.len() {
                end = text.ceil_char_boundary((end + step).min(text.len()));
                grown.update(&text[..end]);
            }
            let mut whole = Document::default();
            whole.update(text);
            assert_eq!(leaves(&grown), leaves(&whole), "in steps of {step}");
        }
    }

    #[test]
    fn only_the_last_block_is_parsed_again() {
        let mut document = Document::default();
        document.update("one\n\ntwo\n\nthree");
        assert_eq!(document.last, Some(Last { byte: 10, leaf: 2, number: None, close: false }));
        document.update("one\n\ntwo\n\nthree and more\n\nfour");
        assert_eq!(document.leaves.len(), 4);
        // Another text, which is shorter.
        document.update("x");
        assert_eq!(document.leaves.len(), 1);
    }

    #[test]
    fn comments_reach_over_pieces_of_code() {
        let code = format!("```c\n/* begins\n{}*/ int x;\n```", "inside\n".repeat(100));
        let mut document = Document::default();
        document.update(&code);
        let carries: Vec<Carry> = leaves(&document)
            .iter()
            .filter_map(|leaf| if let Kind::Code(code) = &leaf.kind { Some(code.carry) } else { None })
            .collect();
        assert_eq!(carries, [Carry::Nothing, Carry::Comment, Carry::Comment]);
        assert!(document.code_from(0).starts_with("/* begins") && document.code_from(0).ends_with("int x;"));
    }
}
