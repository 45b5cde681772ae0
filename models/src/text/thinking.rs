//! Telling a model's thinking from its answer while both arrive.

use std::mem;

/// The marks around a model's thinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkingMarks {
    pub open: String,
    pub close: String,
}

impl ThinkingMarks {
    pub fn new(open: &str, close: &str) -> Self {
        Self { open: open.to_owned(), close: close.to_owned() }
    }
}

impl Default for ThinkingMarks {
    fn default() -> Self {
        Self::new("<think>", "</think>")
    }
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyPiece {
    Thinking(String),
    Answer(String),
}

/// Splits a reply that arrives in pieces, whatever their sizes.
///
/// Thinking is open from the start where the template opened it, and otherwise if the reply begins with the
/// opening mark (white space before it is dropped). It ends at the first closing mark. Marks later in the
/// answer are text: a model may be writing about them. White space around the thinking is dropped.
#[derive(Debug, Clone)]
pub struct ThinkingSplitter {
    marks: ThinkingMarks,
    phase: Phase,
    /// What has arrived and cannot be told yet.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing but white space or a part of the opening mark so far.
    Start,
    /// Thinking; `true` once it has begun, white space aside.
    Thinking(bool),
    /// After the thinking, before the answer's first character.
    BeforeAnswer,
    Answer,
}

impl ThinkingSplitter {
    /// `open`: whether the prompt already ended with the opening mark.
    pub fn new(marks: ThinkingMarks, open: bool) -> Self {
        let phase = if open { Phase::Thinking(false) } else { Phase::Start };
        Self { marks, phase, held: String::new() }
    }

    /// Whether what arrives now would be thinking.
    pub fn is_thinking(&self) -> bool {
        matches!(self.phase, Phase::Thinking(_))
    }

    /// Takes the next piece of the reply and returns what it settles.
    pub fn push(&mut self, piece: &str) -> Vec<ReplyPiece> {
        self.held.push_str(piece);
        let mut out = Vec::new();
        while self.advance(&mut out) {}
        out
    }

    /// Ends the reply and returns the rest of it.
    pub fn finish(mut self) -> Vec<ReplyPiece> {
        let held = mem::take(&mut self.held);
        let rest = match self.phase {
            Phase::Start | Phase::Answer => ReplyPiece::Answer(held),
            Phase::Thinking(_) => ReplyPiece::Thinking(held.trim_end().to_owned()),
            Phase::BeforeAnswer => return Vec::new(),
        };
        match &rest {
            ReplyPiece::Answer(text) | ReplyPiece::Thinking(text) if text.is_empty() => Vec::new(),
            _ => vec![rest],
        }
    }

    /// Settles one stretch of what is held; `true` if there may be more to settle.
    fn advance(&mut self, out: &mut Vec<ReplyPiece>) -> bool {
        match self.phase {
            Phase::Start => self.advance_start(),
            Phase::Thinking(begun) => self.advance_thinking(begun, out),
            Phase::BeforeAnswer => {
                self.drop_leading_space();
                if self.held.is_empty() {
                    return false;
                }
                self.phase = Phase::Answer;
                true
            }
            Phase::Answer => {
                if !self.held.is_empty() {
                    out.push(ReplyPiece::Answer(mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    fn advance_start(&mut self) -> bool {
        let text = self.held.trim_start();
        if let Some(after) = text.strip_prefix(self.marks.open.as_str()) {
            self.held = after.to_owned();
            self.phase = Phase::Thinking(false);
            return true;
        }
        if text.is_empty() || self.marks.open.starts_with(text) {
            return false;
        }
        self.phase = Phase::Answer;
        true
    }

    fn advance_thinking(&mut self, begun: bool, out: &mut Vec<ReplyPiece>) -> bool {
        if !begun {
            self.drop_leading_space();
        }
        if let Some(at) = self.held.find(self.marks.close.as_str()) {
            let after = self.held.split_off(at + self.marks.close.len());
            self.held.truncate(at);
            let thought = mem::replace(&mut self.held, after);
            push_thought(thought.trim_end(), out);
            self.phase = Phase::BeforeAnswer;
            return true;
        }
        // The beginning of a closing mark may be at the end, and white space before that is dropped if it is.
        let sure = self.held.len() - unfinished(&self.held, &self.marks.close);
        let sure = self.held[..sure].trim_end().len();
        let rest = self.held.split_off(sure);
        let thought = mem::replace(&mut self.held, rest);
        if !thought.is_empty() {
            self.phase = Phase::Thinking(true);
        }
        push_thought(&thought, out);
        false
    }

    fn drop_leading_space(&mut self) {
        let space = self.held.len() - self.held.trim_start().len();
        self.held.drain(..space);
    }
}

/// Splits a whole reply into its thinking and its answer.
pub fn split_thinking(reply: &str, marks: &ThinkingMarks, open: bool) -> (String, String) {
    let mut splitter = ThinkingSplitter::new(marks.clone(), open);
    let mut pieces = splitter.push(reply);
    pieces.extend(splitter.finish());
    let (mut thinking, mut answer) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            ReplyPiece::Thinking(text) => thinking.push_str(&text),
            ReplyPiece::Answer(text) => answer.push_str(&text),
        }
    }
    (thinking, answer)
}

fn push_thought(text: &str, out: &mut Vec<ReplyPiece>) {
    if !text.is_empty() {
        out.push(ReplyPiece::Thinking(text.to_owned()));
    }
}

/// The length of the longest end of `text` that `mark` begins with.
fn unfinished(text: &str, mark: &str) -> usize {
    let longest = text.len().min(mark.len().saturating_sub(1));
    let ends = (1..=longest).rev().filter(|n| text.is_char_boundary(text.len() - n));
    ends.into_iter().find(|n| mark.starts_with(&text[text.len() - n..])).unwrap_or(0)
}
