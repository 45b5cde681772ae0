//! How replies of a conversation are to be written, and named sets of that.

use serde::{Deserialize, Serialize};

/// How replies are written. What is not set is as the model's makers suggest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SamplingSettings {
    /// 0 always takes the most likely token.
    pub(crate) temperature: Option<f32>,
    /// 0 is all.
    pub(crate) top_k: Option<u32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repeat_penalty: Option<f32>,
    pub(crate) presence_penalty: f32,
    pub(crate) frequency_penalty: f32,
    /// Tokens that penalties count.
    pub(crate) penalty_window: usize,
    /// Without one, each reply has its own.
    pub(crate) seed: Option<u64>,
    pub(crate) max_tokens: Option<usize>,
    /// A reply ends before any of these.
    pub(crate) stops: Vec<String>,
}

impl Default for SamplingSettings {
    fn default() -> Self {
        Self {
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            repeat_penalty: None,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 64,
            seed: None,
            max_tokens: None,
            stops: vec![],
        }
    }
}

/// A system prompt and a way of writing, under a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preset {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) system: Option<String>,
    #[serde(default)]
    pub(crate) sampling: SamplingSettings,
}
