//! What a text is made of.

use super::code::Carry;

/// The smallest thing that is laid out by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) kind: Kind,
    /// How many lists it is in.
    pub(super) indent: u8,
    /// How many quotations it is in.
    pub(super) quotes: u8,
    /// What stands before it, if it begins an item.
    pub(super) marker: Option<Marker>,
    /// It follows what is before it closely.
    pub(super) close: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Running text; a heading where the level is not 0.
    Text {
        level: u8,
        spans: Vec<Span>,
    },
    Code(Code),
    Table(Table),
    Rule,
}

/// A block of code, or a piece of a long one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Code {
    pub(super) language: String,
    pub(super) text: String,
    /// It is the first piece.
    pub(super) begins: bool,
    /// It is the last piece.
    pub(super) ends: bool,
    /// What the piece before leaves open.
    pub(super) carry: Carry,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) aligned: Vec<egui::Align>,
    /// The first row is the header.
    pub(super) rows: Vec<Vec<Vec<Span>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Bullet,
    Number(u64),
    Task(bool),
}

/// Text in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) look: Look,
    pub(super) link: Option<String>,
}

/// How a text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each can be with each other")]
pub(super) struct Look {
    pub(super) strong: bool,
    pub(super) italic: bool,
    pub(super) code: bool,
    pub(super) struck: bool,
}

impl Leaf {
    /// Something like its length in characters, for a first guess at its height.
    pub(super) fn characters(&self) -> usize {
        match &self.kind {
            Kind::Text { spans, .. } => spans.iter().map(|span| span.text.len()).sum(),
            Kind::Code(code) => code.text.len(),
            Kind::Table(table) => table.rows.len() * 40,
            Kind::Rule => 1,
        }
    }
}
