//! Building the `tokenizers` crate's tokenizer out of the sections of a `tokenizer.json`.
//!
//! Section by section rather than in one go: an error can then name its section, the JSON is known to be sound
//! before the crate sees it (it panics on some broken files), and two of the sections get a wrapper that drops
//! the [guards](super::guard) after special tokens have been found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::tokenizer::TokenizerBuilder;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    PostProcessorWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior,
    TokenizerImpl,
};

use super::TokenizerError;
use super::guard::GUARD;

pub(crate) type Inner =
    TokenizerImpl<ModelWrapper, UnguardThenNormalize, UnguardThenSplit, PostProcessorWrapper, DecoderWrapper>;

/// The file's normalizer, given the text without guards where that is early enough.
pub(crate) struct UnguardThenNormalize {
    normalizer: Option<NormalizerWrapper>,
    /// Special tokens are mostly looked for in the text as written. Where some are looked for in normalised
    /// text, the guards have to outlive the normaliser and are dropped before pre-tokenisation instead.
    unguard: bool,
}

impl Normalizer for UnguardThenNormalize {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if self.unguard {
            remove_guards(text);
        }
        self.normalizer.as_ref().map_or(Ok(()), |n| n.normalize(text))
    }
}

/// The file's pre-tokenizer, given the text without guards.
pub(crate) struct UnguardThenSplit {
    splitter: Option<PreTokenizerWrapper>,
    /// BPE cannot arrive at a special token by merging. Models that look whole words or pieces up in their
    /// vocabulary can, so for them guards become boundaries between words, after the pre-tokenizer.
    boundaries: bool,
}

impl PreTokenizer for UnguardThenSplit {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        let split = |text: &mut PreTokenizedString| {
            self.splitter.as_ref().map_or(Ok(()), |splitter| splitter.pre_tokenize(text))
        };
        if self.boundaries {
            split(text)?;
            return text.split(|_, piece| piece.split(GUARD, SplitDelimiterBehavior::Removed));
        }
        text.normalize(|piece| {
            remove_guards(piece);
            Ok(())
        })?;
        split(text)
    }
}

fn remove_guards(text: &mut NormalizedString) {
    if text.get().contains(GUARD) {
        text.filter(|c| c != GUARD);
    }
}

/// Builds the tokenizer of the JSON object `file`, which came from `path`.
pub(crate) fn build(path: &Path, mut file: Map<String, Value>) -> Result<Inner, TokenizerError> {
    let section = |section: &'static str, message: String| TokenizerError::Section {
        path: path.into(),
        section,
        message,
    };
    if let Some(model) = file.get_mut("model").and_then(Value::as_object_mut)
        && model.get("dropout").is_some()
    {
        // Dropout makes training see several splits of a word; a reader of text must not.
        model.insert("dropout".into(), Value::Null);
    }
    if !has_vocabulary(&file) {
        return Err(TokenizerError::NoVocabulary { path: path.into() });
    }
    let added = added_tokens(&file).map_err(|message| section("added_tokens", message))?;
    let boundaries = file.get("model").and_then(|model| model.get("merges")).is_none();
    let unguard = !boundaries && !added.iter().any(|token| token.special && token.normalized);

    let model: ModelWrapper = parse(&file, "model")
        .and_then(|model| model.ok_or_else(|| "missing".to_owned()))
        .map_err(|message| section("model", message))?;
    let normalizer = parse(&file, "normalizer").map_err(|message| section("normalizer", message))?;
    let splitter = parse(&file, "pre_tokenizer").map_err(|message| section("pre_tokenizer", message))?;
    let processor = parse(&file, "post_processor").map_err(|message| section("post_processor", message))?;
    let decoder = parse(&file, "decoder").map_err(|message| section("decoder", message))?;

    let build = || {
        // Truncation and padding, which a file may carry from training, are left out on purpose.
        let builder = TokenizerBuilder::new()
            .with_model(model)
            .with_normalizer(Some(UnguardThenNormalize { normalizer, unguard }))
            .with_pre_tokenizer(Some(UnguardThenSplit { splitter, boundaries }))
            .with_post_processor(processor)
            .with_decoder(decoder);
        let mut tokenizer = builder.build().map_err(|error| error.to_string())?;
        tokenizer.add_tokens(added).map_err(|error| error.to_string())?;
        Ok(tokenizer)
    };
    unless_panicking(build).map_err(|message| section("added_tokens", message))
}

fn has_vocabulary(file: &Map<String, Value>) -> bool {
    match file.get("model").and_then(|model| model.get("vocab")) {
        Some(Value::Object(vocab)) => !vocab.is_empty(),
        Some(Value::Array(vocab)) => !vocab.is_empty(),
        _ => false,
    }
}

fn added_tokens(file: &Map<String, Value>) -> Result<Vec<AddedToken>, String> {
    let mut tokens = Vec::new();
    match file.get("added_tokens") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => {
            for token in list {
                let id =
                    token.get("id").and_then(Value::as_u64).ok_or_else(|| format!("no id in {token}"))?;
                tokens.push((
                    id,
                    AddedToken::deserialize(token).map_err(|error| format!("{error} in {token}"))?,
                ));
            }
        }
        Some(_) => return Err("not a list".to_owned()),
    }
    // Tokens that the vocabulary lacks are numbered in the order in which they come.
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

fn parse<T: for<'de> Deserialize<'de>>(
    file: &Map<String, Value>,
    section: &str,
) -> Result<Option<T>, String> {
    match file.get(section) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            unless_panicking(|| T::deserialize(value).map(Some).map_err(|error| error.to_string()))
        }
    }
}

/// Runs `work`, which is the crate's and panics on some files (a broken `precompiled_charsmap` is one), and
/// makes a message of the panic.
pub(crate) fn unless_panicking<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown reason");
        Err(format!("the tokenizer library gave up: {message}"))
    })
}
