//! From leaves to lines of glyphs.

use std::sync::Arc;

use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{Align, Color32, FontId, Galley, Stroke, Ui};

use super::code::{self, Kind as Word};
use super::leaf::{Code, Kind, Leaf, Span};
use super::table::{self, LaidTable};
use crate::gui::theme::{Tokens, gap, italic, mono, regular, strong, text};

/// How far each list goes to the right.
pub(super) const INDENT: f32 = 22.0;
/// How far each quotation goes to the right.
pub(super) const QUOTE: f32 = 16.0;
/// Around code.
pub(super) const CODE_MARGIN: f32 = 14.0;
/// The line above code: its language and the button that copies it.
pub(super) const CODE_HEADER: f32 = 32.0;

/// A leaf that is laid out.
pub(super) enum Laid {
    Text(LaidText),
    Code(Arc<Galley>),
    Table(LaidTable),
    Rule,
}

/// Running text, with the links in it.
pub(super) struct LaidText {
    pub(super) galley: Arc<Galley>,
    /// Characters, and where they lead.
    pub(super) links: Vec<(std::ops::Range<usize>, String)>,
    /// Characters that are code.
    pub(super) codes: Vec<std::ops::Range<usize>>,
}

/// How text that is no code looks: as answers do, or as thoughts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Voice {
    Answer,
    Thought,
}

impl Voice {
    fn size(self) -> f32 {
        match self {
            Self::Answer => text::BODY,
            Self::Thought => text::CONTROL,
        }
    }

    const fn color(self, tokens: &Tokens) -> Color32 {
        match self {
            Self::Answer => tokens.text,
            Self::Thought => tokens.text_muted,
        }
    }
}

/// Where a leaf begins from the left.
pub(super) fn left(leaf: &Leaf) -> f32 {
    f32::from(leaf.indent) * INDENT + f32::from(leaf.quotes) * QUOTE
}

/// The space above a leaf, unless it is the first.
pub(super) fn above(leaf: &Leaf) -> f32 {
    match &leaf.kind {
        Kind::Code(code) if !code.begins => 0.0,
        _ if leaf.close => gap::TINY,
        Kind::Text { level: 1 | 2, .. } => 22.0,
        Kind::Text { level: 3..=6, .. } => 18.0,
        Kind::Rule => gap::LARGE,
        _ => gap::MEDIUM,
    }
}

/// Lays a leaf out; says how high it is.
pub(super) fn lay(ui: &Ui, tokens: &Tokens, leaf: &Leaf, width: f32, voice: Voice) -> (Laid, f32) {
    let width = (width - left(leaf)).max(40.0);
    match &leaf.kind {
        Kind::Text { level, spans } => {
            let laid = lay_text(ui, tokens, spans, *level, width, voice, Align::LEFT);
            let height = laid.galley.size().y;
            (Laid::Text(laid), height)
        }
        Kind::Code(code) => {
            let galley = lay_code(ui, tokens, code, width - 2.0 * CODE_MARGIN);
            let mut height = galley.size().y;
            height += if code.begins { CODE_HEADER } else { 0.0 };
            height += if code.ends { CODE_MARGIN } else { 0.0 };
            (Laid::Code(galley), height)
        }
        Kind::Table(table) => {
            let laid = table::lay(ui, tokens, table, width, voice);
            let height = laid.height;
            (Laid::Table(laid), height)
        }
        Kind::Rule => (Laid::Rule, 1.0),
    }
}

/// A guess at the height of a leaf that was never laid out.
pub(super) fn guess(leaf: &Leaf, width: f32) -> f32 {
    let line = text::BODY * text::LINE;
    match &leaf.kind {
        Kind::Code(code) => code.text.split('\n').count() as f32 * text::CODE * 1.5 + CODE_HEADER,
        Kind::Table(table) => table.rows.len() as f32 * 32.0,
        Kind::Rule => 1.0,
        Kind::Text { .. } => {
            let columns = ((width - left(leaf)) / (text::BODY * 0.5)).max(8.0);
            (leaf.characters() as f32 / columns).ceil().max(1.0) * line
        }
    }
}

/// Running text. A heading where the level is not 0.
pub(super) fn lay_text(
    ui: &Ui,
    tokens: &Tokens,
    spans: &[Span],
    level: u8,
    width: f32,
    voice: Voice,
    align: Align,
) -> LaidText {
    let size = match level {
        1 => 22.0,
        2 => 19.0,
        3 => 17.0,
        4..=6 => text::BODY,
        _ => voice.size(),
    };
    let mut job = LayoutJob {
        wrap: TextWrapping { max_width: width, ..TextWrapping::default() },
        halign: align,
        ..LayoutJob::default()
    };
    let (mut links, mut codes) = (vec![], vec![]);
    let mut characters = 0;
    for span in spans {
        let count = span.text.chars().count();
        if let Some(link) = &span.link {
            links.push((characters..characters + count, link.clone()));
        }
        if span.look.code {
            codes.push(characters..characters + count);
        }
        characters += count;
        job.append(&span.text, 0.0, format(tokens, span, level > 0, size, voice));
    }
    LaidText { galley: ui.fonts_mut(|fonts| fonts.layout_job(job)), links, codes }
}

fn format(tokens: &Tokens, span: &Span, heading: bool, size: f32, voice: Voice) -> TextFormat {
    let look = span.look;
    let font: FontId = match () {
        () if look.code => mono(size * 0.9),
        () if look.strong || heading => strong(size),
        () if look.italic => italic(size),
        () => regular(size),
    };
    let line = if heading { 1.3 } else { text::LINE };
    let mut format = TextFormat {
        font_id: font,
        color: voice.color(tokens),
        line_height: Some(size * line),
        valign: Align::Center,
        ..TextFormat::default()
    };
    if look.code {
        format.color = tokens.code_keyword;
    }
    if look.struck {
        format.strikethrough = Stroke::new(1.0, tokens.text_muted);
        format.color = tokens.text_muted;
    }
    if span.link.is_some() {
        format.color = tokens.ember;
    }
    format
}

fn lay_code(ui: &Ui, tokens: &Tokens, code: &Code, width: f32) -> Arc<Galley> {
    let mut job = LayoutJob {
        wrap: TextWrapping { max_width: width, break_anywhere: true, ..TextWrapping::default() },
        ..LayoutJob::default()
    };
    code::words(&code.language, &code.text, code.carry, |word, kind: Word| {
        let format = TextFormat {
            font_id: mono(text::CODE),
            color: kind.color(tokens),
            line_height: Some(text::CODE * 1.5),
            ..TextFormat::default()
        };
        job.append(word, 0.0, format);
    });
    ui.fonts_mut(|fonts| fonts.layout_job(job))
}
