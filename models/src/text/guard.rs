//! Text that must stay text: people write `<|im_end|>` too, and it must not end their message.
//!
//! A chat template joins what people wrote with control tokens into one string, and encoding that string turns
//! every control token's text into its id, whoever wrote it. So what people wrote is *guarded* before it enters
//! the template: after the first character of each special token's text comes [`GUARD`], a code point that
//! Unicode has set aside from ever being text. The guarded text no longer matches any special token, the
//! template carries it along, and the tokenizer drops the guards once the special tokens have been found. What
//! the model then reads is exactly what was written, as ordinary text.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;

use super::Tokenizer;
use super::template::ChatTemplate;

/// U+FDD0, a noncharacter. Written by a person it is dropped like any other guard.
pub(crate) const GUARD: char = '\u{fdd0}';

/// Guards text against a set of special tokens.
#[derive(Debug, Clone)]
pub struct PromptGuard {
    tokens: Option<AhoCorasick>,
}

impl PromptGuard {
    /// Guards against all special tokens of `tokenizer`, and against those added tokens which `template` uses
    /// as control tokens though the tokenizer does not call them special. The marks around a model's thinking
    /// are left alone: templates look for them in earlier replies.
    pub fn new(tokenizer: &Tokenizer, template: &ChatTemplate) -> Self {
        let marks = template.thinking_marks();
        let is_mark = |token: &str| token == marks.open.trim() || token == marks.close.trim();
        let controls = tokenizer.added_tokens().filter(|token| {
            (token.special || (!token.text.trim().is_empty() && template.source().contains(token.text)))
                && !is_mark(token.text)
        });
        Self::against(controls.map(|token| token.text))
    }

    /// Guards against `tokens`. A token of a single character has no inside to put a guard in; nobody makes
    /// control tokens of one character, since any text would hold them.
    pub(crate) fn against<'a>(tokens: impl Iterator<Item = &'a str>) -> Self {
        let tokens: Vec<&str> = tokens.filter(|t| t.chars().nth(1).is_some()).collect();
        // The automaton is refused only beyond 2³¹ patterns or states, which no tokenizer holds.
        let tokens = if tokens.is_empty() { None } else { AhoCorasick::new(tokens).ok() };
        Self { tokens }
    }

    /// `text` with every special token in it broken by a guard.
    pub fn guard<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(tokens) = &self.tokens else { return Cow::Borrowed(text) };
        // Overlapping ones as well: breaking one token must not leave another whole.
        let mut starts: Vec<usize> = tokens.find_overlapping_iter(text).map(|found| found.start()).collect();
        if starts.is_empty() {
            return Cow::Borrowed(text);
        }
        starts.sort_unstable();
        starts.dedup();
        let mut guarded = String::with_capacity(text.len() + starts.len() * GUARD.len_utf8());
        let mut copied = 0;
        for start in starts {
            let first = text[start..].chars().next().map_or(0, char::len_utf8);
            guarded.push_str(&text[copied..start + first]);
            guarded.push(GUARD);
            copied = start + first;
        }
        guarded.push_str(&text[copied..]);
        Cow::Owned(guarded)
    }
}

/// `text` without guards, as a person may see it.
pub(crate) fn unguarded(text: &str) -> Cow<'_, str> {
    if text.contains(GUARD) { Cow::Owned(text.replace(GUARD, "")) } else { Cow::Borrowed(text) }
}
