//! Which tokens are special, by the files beside `tokenizer.json`: the beginning and the ends of a text, and
//! the strings that chat templates are given as `bos_token`, `eos_token` and so on.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::files::{FileError, read_json};

/// The single special tokens that a configuration may name.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the configuration files of a folder say of special tokens, before ids are known.
#[derive(Debug, Default, Clone)]
pub(crate) struct SpecialFiles {
    /// `bos_token` and its like. `None` is an explicit null, which overrides ids given elsewhere.
    named: BTreeMap<String, Option<String>>,
    /// Every string that is declared special, in any place.
    pub(crate) contents: Vec<String>,
    bos_id: Option<u32>,
    eos_ids: Vec<u32>,
}

impl SpecialFiles {
    /// Reads what is there of `generation_config.json`, `config.json`, `tokenizer_config.json` and
    /// `special_tokens_map.json`.
    pub(crate) fn read(folder: &Path) -> Result<Self, FileError> {
        let mut special = Self::default();
        for name in ["generation_config.json", "config.json"] {
            if let Some(config) = read_object(&folder.join(name))? {
                special.take_ids(&config);
            }
        }
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            if let Some(config) = read_object(&folder.join(name))? {
                special.take_tokens(&config);
            }
        }
        Ok(special)
    }

    fn take_ids(&mut self, config: &Map<String, Value>) {
        // Models that also see or hear keep the language model's numbers one level down.
        for config in
            [Some(config), config.get("text_config").and_then(Value::as_object)].into_iter().flatten()
        {
            if self.bos_id.is_none() {
                self.bos_id = ids(config.get("bos_token_id")).first().copied();
            }
            for id in ids(config.get("eos_token_id")) {
                if !self.eos_ids.contains(&id) {
                    self.eos_ids.push(id);
                }
            }
        }
    }

    fn take_tokens(&mut self, config: &Map<String, Value>) {
        for name in NAMED {
            if let Some(value) = config.get(name) {
                let content = content(value);
                self.contents.extend(content.clone());
                self.named.entry(name.to_owned()).or_insert(content);
            }
        }
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            match config.get(name) {
                Some(Value::Array(tokens)) => self.contents.extend(tokens.iter().filter_map(content)),
                Some(Value::Object(tokens)) => self.contents.extend(tokens.values().filter_map(content)),
                _ => {}
            }
        }
        if let Some(Value::Object(tokens)) = config.get("added_tokens_decoder") {
            let special = tokens.values().filter(|t| t.get("special").and_then(Value::as_bool) == Some(true));
            self.contents.extend(special.filter_map(content));
        }
    }

    /// The id that a text begins with. A configuration that names a token, or none, outranks one that gives
    /// a number: some models carry the number and must not be given the token.
    pub(crate) fn bos(&self, id_of: impl Fn(&str) -> Option<u32>) -> Option<u32> {
        match self.named.get("bos_token") {
            Some(token) => token.as_deref().and_then(id_of),
            None => self.bos_id,
        }
    }

    /// Every id that ends a reply.
    pub(crate) fn eos(&self, id_of: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
        let mut ids = self.eos_ids.clone();
        let named = self.named.get("eos_token").and_then(Option::as_deref).and_then(id_of);
        if let Some(id) = named
            && !ids.contains(&id)
        {
            ids.push(id);
        }
        ids
    }

    /// What a chat template sees as variables.
    pub(crate) fn template_tokens(&self) -> BTreeMap<String, String> {
        let set = self.named.iter().filter_map(|(name, token)| Some((name.clone(), token.clone()?)));
        set.collect()
    }
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, FileError> {
    match read_json(path)? {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(FileError::content(path, "the file holds something else than an object")),
    }
}

/// A token is given as its text or as an object that holds it.
fn content(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str());
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}

fn ids(value: Option<&Value>) -> Vec<u32> {
    let one = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(single) => one(single).into_iter().collect(),
        None => Vec::new(),
    }
}
