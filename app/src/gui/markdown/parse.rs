//! From Markdown to leaves.

use std::ops::Range;

use pulldown_cmark::{Alignment, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::code::Carry;
use super::leaf::{Code, Kind, Leaf, Look, Marker, Span, Table};

/// Longer code is laid out in pieces, so that growing costs the last piece alone.
const CODE_LINES: usize = 48;
/// Longer paragraphs are cut between words, for the same reason.
const TEXT_BYTES: usize = 4096;

/// What a text was parsed to.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) leaves: Vec<Leaf>,
    /// Where the last block or item of an outermost list begins: in the text, and among the leaves. What comes later may
    /// still change it.
    pub(super) last: Option<Last>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) byte: usize,
    pub(super) leaf: usize,
    /// The number of the item, where it is one of a numbered list.
    pub(super) number: Option<u64>,
    /// It follows another item closely.
    pub(super) close: bool,
}

/// Parses a text. Where it begins in the middle of a list, `number` is that of the item, and `close` says that it follows another.
pub(super) fn parse(text: &str, number: Option<u64>, close: bool) -> Parsed {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut builder = Builder { text, first_number: number, close, ..Builder::default() };
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        builder.take(event, &range);
    }
    builder.flush();
    Parsed { leaves: builder.leaves, last: builder.last }
}

/// A text as it is, in pieces where it is long.
pub(super) fn plain(text: &str) -> Vec<Leaf> {
    let whole = vec![Span { text: text.to_owned(), ..Span::default() }];
    let leaf = |(index, spans): (usize, Vec<Span>)| {
        let kind = Kind::Text { level: 0, spans };
        Leaf { kind, indent: 0, quotes: 0, marker: None, close: index > 0 }
    };
    pieces(whole).into_iter().enumerate().map(leaf).collect()
}

#[derive(Default)]
struct Builder<'a> {
    text: &'a str,
    leaves: Vec<Leaf>,
    last: Option<Last>,
    /// The next number of each list that is open; none where it has bullets.
    lists: Vec<Option<u64>>,
    quotes: u8,
    marker: Option<Marker>,
    /// Whether the next leaf follows closely.
    close: bool,
    level: u8,
    spans: Vec<Span>,
    look: Look,
    link: Option<String>,
    code: Option<(String, String)>,
    table: Option<Table>,
    cell: Vec<Vec<Span>>,
    first_number: Option<u64>,
    depth: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, range: &Range<usize>) {
        match event {
            Event::Start(tag) => {
                self.start(tag, range);
                self.depth += 1;
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(tag);
            }
            Event::Text(text) => match &mut self.code {
                Some((_, code)) => code.push_str(&text),
                None => self.push(&text),
            },
            Event::Code(text) => {
                self.look.code = true;
                self.push(&text);
                self.look.code = false;
            }
            Event::Html(text) | Event::InlineHtml(text) => {
                if self.depth == 0 {
                    self.block(range);
                }
                self.push(if text.trim() == "<br>" { "\n" } else { &text });
            }
            Event::SoftBreak => self.push(" "),
            Event::HardBreak => self.push("\n"),
            Event::Rule => {
                if self.depth == 0 {
                    self.block(range);
                }
                self.add(Kind::Rule);
            }
            Event::TaskListMarker(done) => self.marker = Some(Marker::Task(done)),
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.push(&text);
            }
        }
    }

    /// A block begins. What comes later may make it part of the block before, unless an empty line parts them.
    fn block(&mut self, range: &Range<usize>) {
        let before = self.text[..range.start].trim_end_matches([' ', '\t']);
        if self.last.is_none() || before.ends_with("\n\n") || before.ends_with("\n\r\n") {
            self.unit(range);
        }
    }

    /// An item of an outermost list begins. Without the space after its mark it may be none.
    fn item(&mut self, range: &Range<usize>) {
        let follows = self.close;
        let is_marked = self.text[range.start..].contains(char::is_whitespace);
        if follows && is_marked {
            self.unit(range);
        } else {
            self.block(range);
        }
    }

    fn unit(&mut self, range: &Range<usize>) {
        let number = self.lists.last().copied().flatten();
        self.last = Some(Last { byte: range.start, leaf: self.leaves.len(), number, close: self.close });
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) {
        if self.depth == 0 && !matches!(tag, Tag::List(_)) {
            self.block(range);
        }
        match tag {
            Tag::Heading { level, .. } => {
                self.flush();
                self.level = level as u8;
            }
            Tag::BlockQuote(_) => {
                self.flush();
                self.quotes = self.quotes.saturating_add(1);
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info
                        .split(|c: char| c.is_whitespace() || c == ',')
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((language, String::new()));
            }
            Tag::List(start) => {
                self.flush();
                let outermost = self.lists.is_empty() && self.depth == 0;
                let again = if outermost { self.first_number.take() } else { None };
                self.lists.push(start.map(|start| again.unwrap_or(start)));
            }
            Tag::Item => {
                self.flush();
                if self.depth == 1 && self.lists.len() == 1 {
                    self.item(range);
                }
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        Marker::Number(*number - 1)
                    }
                    _ => Marker::Bullet,
                });
            }
            Tag::Table(alignments) => {
                self.flush();
                let aligned = alignments.into_iter().map(|alignment| match alignment {
                    Alignment::Center => egui::Align::Center,
                    Alignment::Right => egui::Align::RIGHT,
                    Alignment::Left | Alignment::None => egui::Align::LEFT,
                });
                self.table = Some(Table { aligned: aligned.collect(), rows: vec![] });
            }
            Tag::Strong => self.look.strong = true,
            Tag::Emphasis => self.look.italic = true,
            Tag::Strikethrough => self.look.struck = true,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(dest_url.into_string());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) | TagEnd::HtmlBlock | TagEnd::Item => self.flush(),
            TagEnd::Paragraph => {
                self.flush();
                self.close = false;
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.quotes = self.quotes.saturating_sub(1);
            }
            TagEnd::CodeBlock => {
                if let Some((language, text)) = self.code.take() {
                    self.add_code(&language, &text);
                }
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
                self.close = false;
            }
            TagEnd::TableCell => self.cell.push(std::mem::take(&mut self.spans)),
            TagEnd::TableHead | TagEnd::TableRow => {
                let row = std::mem::take(&mut self.cell);
                if let Some(table) = &mut self.table {
                    table.rows.push(row);
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.add(Kind::Table(table));
                }
            }
            TagEnd::Strong => self.look.strong = false,
            TagEnd::Emphasis => self.look.italic = false,
            TagEnd::Strikethrough => self.look.struck = false,
            TagEnd::Link | TagEnd::Image => self.link = None,
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(last) = self.spans.last_mut()
            && last.look == self.look
            && last.link == self.link
        {
            last.text.push_str(text);
            return;
        }
        self.spans.push(Span { text: text.to_owned(), look: self.look, link: self.link.clone() });
    }

    /// Ends running text, if there is some.
    fn flush(&mut self) {
        let level = std::mem::take(&mut self.level);
        let spans = std::mem::take(&mut self.spans);
        if spans.iter().all(|span| span.text.trim().is_empty()) {
            // An item may be empty so far.
            if self.marker.is_some() && !self.lists.is_empty() && self.table.is_none() && !spans.is_empty() {
                self.add(Kind::Text { level, spans });
            }
            return;
        }
        for (piece, spans) in pieces(spans).into_iter().enumerate() {
            self.add(Kind::Text { level, spans });
            if let Some(last) = self.leaves.last_mut().filter(|_| piece > 0) {
                last.close = true;
            }
        }
    }

    fn add_code(&mut self, language: &str, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let lines: Vec<&str> = text.split('\n').collect();
        let count = lines.len().div_ceil(CODE_LINES);
        for (index, piece) in lines.chunks(CODE_LINES).enumerate() {
            let code = Code {
                language: language.to_owned(),
                text: piece.join("\n"),
                begins: index == 0,
                ends: index + 1 == count,
                carry: Carry::Nothing,
            };
            self.add(Kind::Code(code));
            if let Some(last) = self.leaves.last_mut().filter(|_| index > 0) {
                last.close = true;
            }
        }
    }

    fn add(&mut self, kind: Kind) {
        let marker = self.marker.take();
        let in_list = !self.lists.is_empty();
        let close = std::mem::replace(&mut self.close, in_list) && marker.is_some();
        let indent = self.lists.len().min(usize::from(u8::MAX)) as u8;
        self.leaves.push(Leaf { kind, indent, quotes: self.quotes, marker, close });
    }
}

/// A long paragraph in pieces, cut between words.
fn pieces(spans: Vec<Span>) -> Vec<Vec<Span>> {
    if spans.iter().map(|span| span.text.len()).sum::<usize>() <= TEXT_BYTES {
        return vec![spans];
    }
    let (mut pieces, mut piece, mut bytes) = (vec![], vec![], 0);
    for span in spans {
        let mut rest = span.text.as_str();
        while !rest.is_empty() {
            let room = TEXT_BYTES - bytes;
            let cut = if rest.len() <= room { rest.len() } else { cut_before(rest, room) };
            let (now, later) = rest.split_at(cut);
            piece.push(Span { text: now.to_owned(), ..span.clone() });
            bytes += now.len();
            rest = later;
            if !rest.is_empty() || bytes >= TEXT_BYTES {
                pieces.push(std::mem::take(&mut piece));
                bytes = 0;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Where to cut at or before a place: after a space, else between characters. Always after something.
fn cut_before(text: &str, place: usize) -> usize {
    let place = text.floor_char_boundary(place);
    let space = text[..place].rfind(' ').map(|at| at + 1);
    let least = text.chars().next().map_or(0, char::len_utf8);
    space.unwrap_or(place).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let leaf = |leaf: &Leaf| {
            let marker = match &leaf.marker {
                None => String::new(),
                Some(Marker::Bullet) => "* ".to_owned(),
                Some(Marker::Number(number)) => format!("{number}. "),
                Some(Marker::Task(done)) => format!("[{}] ", if *done { "x" } else { " " }),
            };
            let body = match &leaf.kind {
                Kind::Text { level, spans } => {
                    let text: String = spans.iter().map(|span| span.text.as_str()).collect();
                    format!("{}{text}", "#".repeat(usize::from(*level)))
                }
                Kind::Code(code) => format!("`{}`{}", code.language, code.text),
                Kind::Table(table) => format!("table {}×{}", table.rows.len(), table.aligned.len()),
                Kind::Rule => "---".to_owned(),
            };
            format!("{}{}{marker}{body}", ">".repeat(leaf.quotes.into()), " ".repeat(leaf.indent.into()))
        };
        parse(text, None, false).leaves.iter().map(leaf).collect()
    }

    #[test]
    fn blocks_become_leaves() {
        let text = "# Title\n\nSome *text*\nand more.\n\n- one\n- two\n  1. deep\n- [x] done\n\n> said\n\n---\n\
                    ```rust\nfn main() {}\n```\n\n|a|b|\n|-|-|\n|1|2|\n";
        assert_eq!(
            texts(text),
            [
                "#Title",
                "Some text and more.",
                " * one",
                " * two",
                "  1. deep",
                " [x] done",
                ">said",
                "---",
                "`rust`fn main() {}",
                "table 2×2"
            ]
        );
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts("```py\nx = 1"), ["`py`x = 1"]);
    }

    #[test]
    fn looks_and_links_are_kept() {
        let Parsed { leaves, .. } = parse("a **b** [c](https://d.e) `f`", None, false);
        let Kind::Text { spans, .. } = &leaves[0].kind else { panic!("{leaves:?}") };
        assert_eq!(spans.len(), 6, "{spans:?}");
        assert!(spans[1].look.strong && spans[5].look.code);
        assert_eq!(spans[3].link.as_deref(), Some("https://d.e"));
    }

    #[test]
    fn the_last_block_is_where_growth_happens() {
        let last = |text: &str| parse(text, None, false).last.unwrap();
        assert_eq!(last("one\n\ntwo"), Last { byte: 5, leaf: 1, number: None, close: false });
        assert_eq!(last("- a\n- b\n"), Last { byte: 4, leaf: 1, number: None, close: true });
        assert_eq!(last("1. a\n1. b\n1. c"), Last { byte: 10, leaf: 2, number: Some(3), close: true });
        assert_eq!(parse("1. c", Some(3), true).leaves[0].marker, Some(Marker::Number(3)));
    }

    #[test]
    fn long_blocks_come_in_pieces() {
        let code = format!("```\n{}```", "line\n".repeat(CODE_LINES * 2 + 1));
        let leaves = parse(&code, None, false).leaves;
        assert_eq!(leaves.len(), 3);
        let paragraph = "many words ".repeat(2000);
        let leaves = parse(&paragraph, None, false).leaves;
        assert!(leaves.len() > 4);
        let joined: usize = leaves.iter().map(Leaf::characters).sum();
        assert_eq!(joined, paragraph.trim_end().len());
        let no_spaces = "字".repeat(5000);
        assert_eq!(parse(&no_spaces, None, false).leaves.iter().map(Leaf::characters).sum::<usize>(), 15_000);
    }
}
