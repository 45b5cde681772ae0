//! Model families: each file reads like the paper of its family.
//!
//! Tensors are named as the checkpoints on the model hubs name them. To add a family, write its file,
//! implement [`Architecture`], and add it to the table of [`from_config`].

mod decoder;
mod dimensions;
mod experts;
mod formats;
pub(crate) mod gemma;
pub mod gemma2;
pub mod gemma3;
pub mod granite;
pub mod llama;
pub mod mistral;
pub mod mixtral;
mod names;
pub mod olmo2;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
pub mod qwen3_moe;
pub mod smollm3;
pub mod starcoder2;
mod windows;

use ingle_backends::plan::{Plan, PlanError};
use serde_json::Value;

use crate::config::{Config, ConfigError, Fields};

pub use decoder::AttentionBias;
pub use dimensions::{Dimensions, LongRotation, Rotation};
pub use experts::Experts;
pub use formats::{FormatException, WeightFormats};
pub use names::spellings;
pub use windows::Windows;

/// Sizes of a model, from which its plan follows.
pub trait Architecture: std::fmt::Debug + Send + Sync {
    /// The family's name.
    fn family(&self) -> &'static str;

    /// The tokens that the model was made for.
    fn context(&self) -> usize;

    /// The operators of the model, unfused, ending in a sampled token.
    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError>;

    /// The same model with its first layers only, where the family can be cut so: what a layer takes can then be measured where there
    /// is no room or no time for all of them.
    fn with_layers(&self, _layers: usize) -> Option<Box<dyn Architecture>> {
        None
    }
}

/// What can be decided about a model before its plan is made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    pub formats: WeightFormats,
    /// The longest context that will be used, where that is known: some families rotate differently
    /// when they are to reach beyond their original one. Else the context that the model was made for.
    pub context: Option<usize>,
}

impl From<WeightFormats> for PlanOptions {
    fn from(formats: WeightFormats) -> Self {
        Self { formats, context: None }
    }
}

/// Makes an architecture of the keys of a language model; the whole configuration is beside them.
type Reader = fn(&Config, &Fields) -> Result<Box<dyn Architecture>, ConfigError>;

/// How a configuration becomes an architecture.
struct Family {
    /// `architectures` in `config.json`: the class that the reference implementation would use.
    class: &'static str,
    /// `model_type`: the family.
    model_type: &'static str,
    /// The values of keys that a configuration may leave out.
    defaults: fn() -> Value,
    read: Reader,
    /// The language model's keys are in `text_config`.
    nested: bool,
}

impl Family {
    const fn new(
        class: &'static str,
        model_type: &'static str,
        defaults: fn() -> Value,
        read: Reader,
    ) -> Self {
        Self { class, model_type, defaults, read, nested: false }
    }

    const fn nested(self) -> Self {
        Self { nested: true, ..self }
    }
}

const FAMILIES: &[Family] = &[
    Family::new("LlamaForCausalLM", "llama", llama::defaults, llama::read),
    Family::new("MistralForCausalLM", "mistral", mistral::defaults, mistral::read),
    Family::new("MixtralForCausalLM", "mixtral", mixtral::defaults, mixtral::read),
    Family::new("Qwen2ForCausalLM", "qwen2", qwen2::defaults, qwen2::read),
    Family::new("Qwen3ForCausalLM", "qwen3", qwen3::defaults, qwen3::read),
    Family::new("Qwen3MoeForCausalLM", "qwen3_moe", qwen3_moe::defaults, qwen3_moe::read),
    Family::new("Phi3ForCausalLM", "phi3", phi3::defaults, phi3::read),
    Family::new("Gemma2ForCausalLM", "gemma2", gemma2::defaults, gemma2::read),
    Family::new("Gemma3ForCausalLM", "gemma3_text", gemma3::defaults, gemma3::read),
    Family::new("Gemma3ForConditionalGeneration", "gemma3", gemma3::defaults, gemma3::read).nested(),
    Family::new("Olmo2ForCausalLM", "olmo2", olmo2::defaults, olmo2::read),
    Family::new("SmolLM3ForCausalLM", "smollm3", smollm3::defaults, smollm3::read),
    Family::new("GraniteForCausalLM", "granite", granite::defaults, granite::read),
    Family::new("Starcoder2ForCausalLM", "starcoder2", starcoder2::defaults, starcoder2::read),
];

/// The architecture that a checkpoint's configuration describes.
///
/// Keys that change nothing in the computation are ignored; those that are known to change it and that
/// the family does not know are refused. How weights were quantised ([`Config::quantization`]) is not
/// looked at: the architecture is the same.
pub fn from_config(config: &Config) -> Result<Box<dyn Architecture>, ConfigError> {
    let fields = config.fields();
    let family = family(config, &fields)?;
    let model = if family.nested { language_model(&fields)? } else { fields };
    let model = model.with_defaults((family.defaults)());
    let architecture = (family.read)(config, &model)?;
    model.refuse_unread()?;
    Ok(architecture)
}

/// The keys of the language model within a larger one.
fn language_model(fields: &Fields) -> Result<Fields, ConfigError> {
    let model = fields
        .optional_object("text_config")?
        .ok_or_else(|| fields.missing("text_config", "the configuration of the language model"))?;
    Ok(match fields.get("tie_word_embeddings") {
        // Beside the language model's keys this one speaks for the whole model.
        Some(tied) => model.with_value("tie_word_embeddings", tied.clone()),
        None => model,
    })
}

/// The family whose names the configuration bears.
fn family(config: &Config, fields: &Fields) -> Result<&'static Family, ConfigError> {
    let (class, model_type) = (config.architecture(), config.model_type());
    let known = |name: fn(&Family) -> &'static str| {
        let mut names: Vec<_> = FAMILIES.iter().map(name).collect();
        names.sort_unstable();
        names.join(", ")
    };
    let by_class = |class| FAMILIES.iter().find(|family| family.class == class);
    let family = match (class, model_type) {
        (Some(class), _) => by_class(class)
            .ok_or_else(|| fields.unsupported("architectures", known(|family| family.class)))?,
        (None, Some(model_type)) => FAMILIES
            .iter()
            .find(|family| family.model_type == model_type)
            .ok_or_else(|| fields.unsupported("model_type", known(|family| family.model_type)))?,
        (None, None) if fields.get("architectures").is_some() => {
            return Err(fields.wrong("architectures", "a list of names"));
        }
        (None, None) => return Err(fields.missing("architectures", "the name of the model's class")),
    };
    match model_type {
        Some(model_type) if model_type != family.model_type => {
            let supported = format!("{} with {}", family.model_type, family.class);
            Err(fields.unsupported("model_type", supported))
        }
        _ => Ok(family),
    }
}
