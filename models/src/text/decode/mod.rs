//! Token ids back to text, one id at a time.
//!
//! A token is often not a piece of text: half a character, a byte, or a word whose leading space depends on
//! what came before. The decoder of a `tokenizer.json` is a chain of small rewrites over the *whole* list of
//! tokens. Here the same chain is a chain of [stages](stage), each of which gives out whatever can no longer
//! change and keeps the rest. So the pieces joined are always what decoding everything at once gives, every
//! piece is whole characters, and a token costs the same however much came before.

mod stage;

use tokenizers::DecoderWrapper;

use super::tokenizer::Tokenizer;
use stage::Stage;

/// What becomes of special tokens in decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecialText {
    /// They are left out.
    Skip,
    /// They are written like any other token.
    Keep,
    /// They are left out, except for these: the marks around a model's thinking, say.
    Only(Vec<u32>),
}

/// Decodes a stream of ids.
#[derive(Debug)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    specials: SpecialText,
    stages: Vec<Stage>,
}

impl StreamDecoder {
    pub(crate) fn new(tokenizer: Tokenizer, decoder: Option<&DecoderWrapper>, specials: SpecialText) -> Self {
        Self { tokenizer, specials, stages: stage::chain(decoder) }
    }

    /// Takes the next id and returns the text that is certain now, which may be none.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_special(id) {
            match &self.specials {
                SpecialText::Skip => return String::new(),
                SpecialText::Only(kept) if !kept.contains(&id) => return String::new(),
                _ => {}
            }
        }
        let Some(token) = self.tokenizer.token(id) else { return String::new() };
        let mut pieces = vec![token];
        for stage in &mut self.stages {
            let mut next = Vec::new();
            for piece in pieces {
                stage.push(piece, &mut next);
            }
            pieces = next;
        }
        pieces.concat()
    }

    /// Ends the stream and returns the rest of its text. What was left of a character becomes `\u{fffd}`.
    pub fn finish(mut self) -> String {
        let mut pieces: Vec<String> = Vec::new();
        for stage in &mut self.stages {
            let mut next = Vec::new();
            for piece in pieces {
                stage.push(piece, &mut next);
            }
            stage.finish(&mut next);
            pieces = next;
        }
        pieces.concat()
    }
}
