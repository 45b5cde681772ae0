//! The rewrites that decoders are made of, each over a stream of tokens.
//!
//! A stage takes pieces and gives pieces. Some stages of the file format join all tokens into one; from there
//! on the pieces are parts of a single token, and the stages after that are the `Fused` ones.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use tokenizers::decoders::wordpiece;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{Decoder, DecoderWrapper};

#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Characters that stand for bytes, and bytes that make up text. Keeps the bytes of an unfinished character.
    Bytes { pending: Vec<u8> },
    /// Tokens such as `<0xE2>` among others. A run of them is text if all of it is, and otherwise one
    /// replacement character per byte; so the run is kept until it ends.
    ByteRuns { run: Vec<u8> },
    /// One string for another, within a token.
    Literal { from: String, to: String },
    /// One pattern for a string, within a token.
    Pattern(Arc<DecoderWrapper>),
    /// A mark for a space, which the first token does not get.
    Metaspace { mark: char, drop_first: bool },
    /// Characters off both ends of each token.
    Strip { content: char, start: usize, stop: usize },
    /// Characters off both ends of the text. Keeps what may turn out to be the end.
    StripFused { content: char, start: usize, stop: usize, kept: String },
    /// Words that are continued by tokens with a prefix.
    WordPiece { prefix: String, cleanup: bool, first: bool },
    /// Words that end with a suffix, which is a space except at the end. Keeps one token.
    WordEnd { suffix: String, kept: Option<String> },
    /// A space between tokens: what is done where a file names no decoder.
    Spaced { first: bool },
    /// Anything else: kept until the end, then left to the library.
    Whole { decoder: Arc<DecoderWrapper>, tokens: Vec<String>, fused: bool },
}

/// The stages that do what `decoder` does.
pub(super) fn chain(decoder: Option<&DecoderWrapper>) -> Vec<Stage> {
    let mut stages = Vec::new();
    match decoder {
        Some(decoder) => add(decoder, &mut false, &mut stages),
        None => stages.push(Stage::Spaced { first: true }),
    }
    stages
}

fn add(decoder: &DecoderWrapper, fused: &mut bool, stages: &mut Vec<Stage>) {
    let whole = |fused| Stage::Whole { decoder: Arc::new(decoder.clone()), tokens: Vec::new(), fused };
    let stage = match decoder {
        DecoderWrapper::Sequence(sequence) => {
            for decoder in sequence.get_decoders() {
                add(decoder, fused, stages);
            }
            return;
        }
        DecoderWrapper::Fuse(_) => {
            *fused = true;
            return;
        }
        DecoderWrapper::Strip(s) if *fused => {
            Stage::StripFused { content: s.content, start: s.start, stop: s.stop, kept: String::new() }
        }
        DecoderWrapper::Replace(_) => match literal(decoder) {
            // Within one long token a longer pattern may lie across two pieces.
            Some((from, to)) if !*fused || from.chars().nth(1).is_none() => Stage::Literal { from, to },
            _ if !*fused => Stage::Pattern(Arc::new(decoder.clone())),
            _ => whole(true),
        },
        _ if *fused => whole(true),
        DecoderWrapper::ByteLevel(_) => {
            *fused = true;
            Stage::Bytes { pending: Vec::new() }
        }
        DecoderWrapper::ByteFallback(_) => Stage::ByteRuns { run: Vec::new() },
        DecoderWrapper::Metaspace(m) => Stage::Metaspace {
            mark: m.get_replacement(),
            drop_first: m.get_prepend_scheme() != PrependScheme::Never,
        },
        DecoderWrapper::Strip(s) => Stage::Strip { content: s.content, start: s.start, stop: s.stop },
        DecoderWrapper::WordPiece(w) => {
            Stage::WordPiece { prefix: w.prefix.clone(), cleanup: w.cleanup, first: true }
        }
        DecoderWrapper::BPE(b) => Stage::WordEnd { suffix: b.suffix.clone(), kept: None },
        DecoderWrapper::CTC(_) => whole(false),
    };
    stages.push(stage);
}

/// The two strings of a replacement without a pattern, which the library keeps to itself.
fn literal(replace: &DecoderWrapper) -> Option<(String, String)> {
    let fields = serde_json::to_value(replace).ok()?;
    let from = fields.get("pattern")?.get("String")?.as_str()?;
    let to = fields.get("content")?.as_str()?;
    if from.is_empty() { None } else { Some((from.to_owned(), to.to_owned())) }
}

impl Stage {
    pub(super) fn push(&mut self, mut piece: String, out: &mut Vec<String>) {
        match self {
            Self::Bytes { pending } => {
                append_bytes(&piece, pending);
                out.push(take_text(pending));
            }
            Self::ByteRuns { run } => {
                if let Some(byte) = byte_token(&piece) {
                    run.push(byte);
                } else {
                    end_run(run, out);
                    out.push(piece);
                }
            }
            Self::Literal { from, to } => out.push(piece.replace(from.as_str(), to)),
            Self::Pattern(decoder) => match decoder.decode_chain(vec![piece.clone()]) {
                Ok(pieces) => out.extend(pieces),
                // The library stops at a pattern that costs too much; the token as it is says more than nothing.
                Err(_) => out.push(piece),
            },
            Self::Metaspace { mark, drop_first } => {
                out.push(if *drop_first { piece.replace(*mark, "") } else { piece.replace(*mark, " ") });
                *drop_first = false;
            }
            Self::Strip { content, start, stop } => {
                let end = piece.len() - trailing(&piece, *content, *stop);
                piece.truncate(end);
                out.push(piece.split_off(leading(&piece, *content, *start)));
            }
            Self::StripFused { content, start, stop, kept } => {
                let cut = leading(&piece, *content, *start);
                *start = if cut < piece.len() { 0 } else { *start - cut / content.len_utf8() };
                kept.push_str(&piece[cut..]);
                let keep_from = kept.len() - trailing(kept, *content, *stop);
                let rest = kept.split_off(keep_from);
                out.push(std::mem::replace(kept, rest));
            }
            Self::WordPiece { prefix, cleanup, first } => {
                if !std::mem::take(first) {
                    piece = match piece.strip_prefix(prefix.as_str()) {
                        Some(continued) => continued.to_owned(),
                        None => format!(" {piece}"),
                    };
                }
                out.push(if *cleanup { wordpiece::cleanup(&piece) } else { piece });
            }
            Self::WordEnd { suffix, kept } => {
                if let Some(token) = kept.replace(piece) {
                    out.push(token.replace(suffix.as_str(), " "));
                }
            }
            Self::Spaced { first } => {
                let first = std::mem::take(first);
                out.push(if first { piece } else { format!(" {piece}") });
            }
            Self::Whole { tokens, fused, .. } => match tokens.last_mut() {
                Some(last) if *fused => last.push_str(&piece),
                _ => tokens.push(piece),
            },
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<String>) {
        match self {
            Self::Bytes { pending } => out.push(String::from_utf8_lossy(pending).into_owned()),
            Self::ByteRuns { run } => end_run(run, out),
            Self::WordEnd { suffix, kept } => {
                out.extend(kept.take().map(|token| token.replace(suffix.as_str(), "")));
            }
            Self::Whole { decoder, tokens, .. } => {
                let tokens = std::mem::take(tokens);
                if !tokens.is_empty() {
                    out.extend(decoder.decode_chain(tokens.clone()).unwrap_or(tokens));
                }
            }
            // What a fused strip kept is the end of the text, which is what it strips.
            Self::StripFused { .. }
            | Self::Literal { .. }
            | Self::Pattern(_)
            | Self::Metaspace { .. }
            | Self::Strip { .. }
            | Self::WordPiece { .. }
            | Self::Spaced { .. } => {}
        }
    }
}

/// The bytes of up to `most` characters `content` at the start of `text`.
fn leading(text: &str, content: char, most: usize) -> usize {
    text.chars().take(most).take_while(|c| *c == content).map(char::len_utf8).sum()
}

fn trailing(text: &str, content: char, most: usize) -> usize {
    text.chars().rev().take(most).take_while(|c| *c == content).map(char::len_utf8).sum()
}

fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

fn end_run(run: &mut Vec<u8>, out: &mut Vec<String>) {
    if run.is_empty() {
        return;
    }
    match String::from_utf8(std::mem::take(run)) {
        Ok(text) => out.push(text),
        Err(broken) => out.push("\u{fffd}".repeat(broken.as_bytes().len())),
    }
}

/// Byte-level vocabularies write each byte as one printable character: those that are printable in Latin-1 as
/// themselves, the others from U+0100 on in order.
static BYTE_OF: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let mut next = 0x100;
    let character = |byte: u8| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => {
            let stand_in = char::from_u32(next).unwrap_or_default();
            next += 1;
            stand_in
        }
    };
    (0..=255).map(character).zip(0..=255).collect()
});

fn append_bytes(token: &str, bytes: &mut Vec<u8>) {
    let before = bytes.len();
    for character in token.chars() {
        let Some(byte) = BYTE_OF.get(&character) else {
            // A token with any other character is not in this writing at all and stands for itself.
            bytes.truncate(before);
            bytes.extend_from_slice(token.as_bytes());
            return;
        };
        bytes.push(*byte);
    }
}

/// Takes the text at the front of `bytes`, each broken sequence as one replacement character, and leaves a
/// sequence that may yet be completed.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        taken += chunk.valid().len();
        let broken = chunk.invalid();
        if !broken.is_empty() {
            let at_end = taken + broken.len() == bytes.len();
            if at_end && std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none()) {
                break;
            }
            text.push('\u{fffd}');
            taken += broken.len();
        }
    }
    bytes.drain(..taken);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_taken_in_portions_are_what_they_are_at_once(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x80u8..0xC0, 0xE0u8..0xF5], 0..40),
            cuts in proptest::collection::vec(0usize..5, 0..40),
        ) {
            let (mut pending, mut text, mut rest) = (Vec::new(), String::new(), bytes.as_slice());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                pending.extend_from_slice(now);
                text.push_str(&take_text(&mut pending));
                prop_assert!(pending.len() < 4);
                rest = later;
            }
            pending.extend_from_slice(rest);
            text.push_str(&take_text(&mut pending));
            text.push_str(&String::from_utf8_lossy(&pending));
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
