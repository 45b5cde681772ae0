//! What a checkpoint says of generating with it: where a reply ends, and how its makers sample.

use serde_json::Value;

use super::error::ConfigError;
use super::fields::Fields;

/// The contents of `generation_config.json`, completed from `config.json`, which held the tokens in
/// older checkpoints. What neither says is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Tokens that end a reply.
    pub end_tokens: Vec<u32>,
    pub begin_token: Option<u32>,
    pub padding_token: Option<u32>,
    /// Whether to sample rather than to take the most likely token.
    pub sample: Option<bool>,
    pub temperature: Option<f32>,
    /// 0 is all.
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
}

impl Generation {
    pub(super) fn read(generation: &Fields, model: &[Fields]) -> Result<Self, ConfigError> {
        let tokens = |key| -> Result<Vec<u32>, ConfigError> {
            let mut found = tokens(generation, key)?;
            for fields in model {
                if found.is_empty() {
                    found = tokens(fields, key)?;
                }
            }
            Ok(found)
        };
        let number = |key, range| -> Result<Option<f32>, ConfigError> {
            Ok(generation.optional_number(key, range)?.map(|number| number as f32))
        };
        Ok(Self {
            end_tokens: tokens("eos_token_id")?,
            begin_token: tokens("bos_token_id")?.first().copied(),
            padding_token: tokens("pad_token_id")?.first().copied(),
            sample: generation.get("do_sample").map(|_| generation.flag("do_sample")).transpose()?,
            temperature: number("temperature", 0.0..=1e4)?,
            top_k: generation.optional_size("top_k", 0..=u32::MAX as usize)?.map(|k| k as u32),
            top_p: number("top_p", 0.0..=1.0)?,
            min_p: number("min_p", 0.0..=1.0)?,
            repetition_penalty: number("repetition_penalty", 1e-4..=1e4)?,
        })
    }
}

/// One token or several; −1 is how older files say none.
fn tokens(fields: &Fields, key: &str) -> Result<Vec<u32>, ConfigError> {
    let token = |value: &Value| match value.as_i64() {
        Some(-1) => Some(None),
        Some(id) => u32::try_from(id).ok().map(Some),
        None => None,
    };
    let ids: Option<Vec<Option<u32>>> = match fields.get(key) {
        None => return Ok(vec![]),
        Some(Value::Array(list)) => list.iter().map(token).collect(),
        Some(value) => token(value).map(|id| vec![id]),
    };
    let ids = ids.ok_or_else(|| fields.wrong(key, "a token or a list of tokens"))?;
    Ok(ids.into_iter().flatten().collect())
}
