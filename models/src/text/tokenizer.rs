//! Text to token ids and back.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokenizers::Model;

use super::decode::{SpecialText, StreamDecoder};
use super::files::{FileError, parse_json, read_bytes};
use super::guard::PromptGuard;
use super::parts::{self, Inner, unless_panicking};
use super::special::SpecialFiles;

/// Why a tokenizer could not be loaded or a text not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} has no vocabulary", path.display())]
    NoVocabulary { path: PathBuf },
    #[error("{}, section \"{section}\": {message}", path.display())]
    Section { path: PathBuf, section: &'static str, message: String },
    #[error("the text could not be encoded: {message}")]
    Encode { message: String },
}

/// A token that the tokenizer finds in text before anything else, as a whole.
#[derive(Debug, Clone, Copy)]
pub struct AddedToken<'a> {
    pub id: u32,
    pub text: &'a str,
    /// Declared special, here or in a file beside `tokenizer.json`.
    pub special: bool,
}

/// The tokenizer of a model. Cloning is cheap: clones share the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Inner,
    /// Ids that stand for no text: control tokens, and whatever ends a reply.
    special: HashSet<u32>,
    guard: PromptGuard,
    bos: Option<u32>,
    eos: Vec<u32>,
    template_tokens: BTreeMap<String, String>,
    vocabulary_size: usize,
    largest_id: u32,
}

impl Tokenizer {
    /// Loads `tokenizer.json` of a Hugging Face folder, and what `tokenizer_config.json`,
    /// `special_tokens_map.json`, `generation_config.json` and `config.json` say about special tokens.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_bytes(&path)?
            .ok_or_else(|| FileError::Missing { path: path.clone(), hint: missing_hint(folder) })?;
        Self::build(&path, &bytes, &SpecialFiles::read(folder)?)
    }

    /// Loads the bytes of a `tokenizer.json` that comes without its folder.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        Self::build(Path::new("tokenizer.json"), bytes, &SpecialFiles::default())
    }

    fn build(path: &Path, bytes: &[u8], files: &SpecialFiles) -> Result<Self, TokenizerError> {
        let Value::Object(file) = parse_json(path, bytes)? else {
            return Err(FileError::content(path, "the file holds something else than an object").into());
        };
        let inner = parts::build(path, file)?;
        // A post-processor that names tokens which do not exist shows itself at the first text only.
        let empty = unless_panicking(|| {
            let added = inner.encode_fast("", true).map_err(|error| error.to_string())?;
            let unknown = added.get_ids().iter().find(|id| inner.id_to_token(**id).is_none());
            unknown.map_or(Ok(()), |id| Err(format!("it adds token {id}, which is in no vocabulary")))
        });
        empty.map_err(|message| TokenizerError::Section {
            path: path.into(),
            section: "post_processor",
            message,
        })?;
        let added = inner.get_added_tokens_decoder();
        let id_of = |token: &str| inner.token_to_id(token);
        let (bos, eos) = (files.bos(id_of), files.eos(id_of));
        let mut special: HashSet<u32> = added.iter().filter(|(_, t)| t.special).map(|(id, _)| *id).collect();
        // A token that a configuration calls special, or that ends a reply, is so even where
        // `tokenizer.json` forgot to say it, provided that it is found as a whole.
        let declared = files.contents.iter().filter_map(|token| inner.token_to_id(token));
        special.extend(declared.chain(eos.iter().copied()).chain(bos).filter(|id| added.contains_key(id)));
        let texts = special.iter().filter_map(|id| added.get(id)).map(|token| token.content.as_str());
        let guard = PromptGuard::against(texts);
        let vocabulary = inner.get_vocab(true);
        let shared = Shared {
            special,
            guard,
            bos,
            eos,
            template_tokens: files.template_tokens(),
            vocabulary_size: vocabulary.len(),
            largest_id: vocabulary.values().copied().max().unwrap_or(0),
            inner,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Encodes text that somebody wrote: what looks like a special token in it is ordinary text.
    /// With `add_special`, what the model expects around a text (mostly a beginning token) is added.
    pub fn encode_text(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.encode(&self.shared.guard.guard(text), add_special)
    }

    /// Encodes a prompt whose special tokens are meant: what a chat template made, guarded text within it
    /// staying text (see [`PromptGuard`]). Never for text that somebody wrote.
    pub fn encode_prompt(&self, prompt: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.encode(prompt, add_special)
    }

    fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encode = || self.shared.inner.encode_fast(text, add_special).map_err(|error| error.to_string());
        let encoding = unless_panicking(encode).map_err(|message| TokenizerError::Encode { message })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`. Ids that the tokenizer does not know stand for nothing.
    pub fn decode(&self, ids: &[u32], specials: SpecialText) -> String {
        let mut decoder = self.stream_decoder(specials);
        let mut text = String::new();
        for id in ids {
            text.push_str(&decoder.push(*id));
        }
        text.push_str(&decoder.finish());
        text
    }

    /// A decoder to be fed one id after the other.
    pub fn stream_decoder(&self, specials: SpecialText) -> StreamDecoder {
        StreamDecoder::new(self.clone(), self.shared.inner.get_decoder(), specials)
    }

    /// How many tokens there are. A model's embedding may have more rows: they are padding.
    pub fn vocabulary_size(&self) -> usize {
        self.shared.vocabulary_size
    }

    /// The largest id in use; larger than the vocabulary where ids have gaps.
    pub fn largest_id(&self) -> u32 {
        self.shared.largest_id
    }

    /// The token that a text begins with, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.shared.bos
    }

    /// The tokens that end a reply; any of them does.
    pub fn eos(&self) -> &[u32] {
        &self.shared.eos
    }

    pub fn is_eos(&self, id: u32) -> bool {
        self.shared.eos.contains(&id)
    }

    /// Whether a token is a mark for the model rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        self.shared.special.contains(&id)
    }

    /// A token as the vocabulary spells it: `Ġhello`, `▁hello`, `<0x0A>`.
    pub fn token(&self, id: u32) -> Option<String> {
        let inner = &self.shared.inner;
        let added = inner.get_added_vocabulary().simple_id_to_token(id);
        added.or_else(|| inner.get_model().id_to_token(id))
    }

    /// A token as text, on its own: ` hello`. Part of a character shows as `\u{fffd}`.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.token(id)?;
        Some(self.decode(&[id], SpecialText::Keep))
    }

    /// The id of a token as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.shared.inner.token_to_id(token)
    }

    /// The tokens that are found in text as a whole, special or not, in no particular order.
    pub fn added_tokens(&self) -> impl Iterator<Item = AddedToken<'_>> {
        let added = self.shared.inner.get_added_vocabulary().get_added_tokens_decoder();
        added.iter().map(|(id, token)| AddedToken {
            id: *id,
            text: &token.content,
            special: self.shared.special.contains(id),
        })
    }

    /// What a chat template is given as variables: `bos_token`, `eos_token` and their like, where declared.
    pub fn template_tokens(&self) -> &BTreeMap<String, String> {
        &self.shared.template_tokens
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary_size", &self.shared.vocabulary_size)
            .field("bos", &self.shared.bos)
            .field("eos", &self.shared.eos)
            .finish_non_exhaustive()
    }
}

/// What a folder without `tokenizer.json` has in its place, if anything.
fn missing_hint(folder: &Path) -> String {
    let older = ["tokenizer.model", "vocab.json", "spiece.model", "tekken.json", "tiktoken.model"];
    match older.into_iter().find(|name| folder.join(name).exists()) {
        Some(name) => format!(
            "; the folder has {name}, an older form of a tokenizer: save it again with the Python library's \
             fast tokenizer to get the file"
        ),
        None if !folder.exists() => "; so is its folder".to_owned(),
        None => String::new(),
    }
}
