//! The sizes that every decoder of today has, and how configurations state them.

use ingle_backends::plan::{Function, RopeSpec};

use crate::config::{ConfigError, Fields, RopeDefaults, rotation};

/// Sizes that every decoder of today has.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimensions {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Inner size of the feed-forward part.
    pub feed_forward: usize,
    /// The function in the feed-forward part.
    pub activation: Function,
    pub vocabulary: usize,
    pub context: usize,
    /// The ε of every norm.
    pub epsilon: f32,
    pub rope: Rotation,
    /// Whether the embedding serves as the head.
    pub tied: bool,
}

/// A rotation that may depend on how long a context is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    pub rope: RopeSpec,
    /// What takes its place for longer contexts.
    pub beyond: Option<LongRotation>,
}

/// The rotation of contexts longer than this.
#[derive(Clone, Debug, PartialEq)]
pub struct LongRotation {
    pub original_context: usize,
    pub rope: RopeSpec,
}

impl From<RopeSpec> for Rotation {
    fn from(rope: RopeSpec) -> Self {
        Self { rope, beyond: None }
    }
}

impl Rotation {
    /// The rotation for a context of so many tokens.
    pub fn at(&self, context: usize) -> &RopeSpec {
        self.beyond
            .as_ref()
            .filter(|long| context > long.original_context)
            .map_or(&self.rope, |long| &long.rope)
    }
}

impl Dimensions {
    /// Sizes are multiplied with one another from here on; real ones stay far below these.
    const LARGEST_WIDTH: usize = 1 << 20;
    const MOST_LAYERS: usize = 1 << 12;
    const MOST_HEADS: usize = 1 << 14;
    const LARGEST_VOCABULARY: usize = 1 << 26;
    /// Positions are counted in 32 bits.
    pub(crate) const LARGEST_CONTEXT: usize = 1 << 30;

    pub const fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub const fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Reads the sizes under the keys that all families share.
    ///
    /// The keys that a family may leave out are in its defaults ([`Fields::with_defaults`]). A `null`
    /// number of key heads is that of the query heads; a `null` or absent head size is its share of the
    /// hidden size.
    pub(super) fn read(config: &Fields, keys: &Keys, rope: &RopeDefaults<'_>) -> Result<Self, ConfigError> {
        let hidden = config.size("hidden_size", 1..=Self::LARGEST_WIDTH)?;
        let heads = config.size("num_attention_heads", 1..=Self::MOST_HEADS)?;
        let kv_heads = match config.optional_size("num_key_value_heads", 1..=Self::MOST_HEADS)? {
            Some(kv_heads) => kv_heads,
            None if config.has("num_key_value_heads") => heads,
            None => return Err(config.missing("num_key_value_heads", "a whole number")),
        };
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.wrong("num_key_value_heads", format!("a divisor of {heads} query heads")));
        }
        let head_dim = match config.optional_size("head_dim", 1..=Self::MOST_HEADS)? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => return Err(config.wrong("hidden_size", format!("a multiple of {heads} heads"))),
        };
        let context = config.size("max_position_embeddings", 1..=Self::LARGEST_CONTEXT)?;
        Ok(Self {
            hidden,
            layers: config.size("num_hidden_layers", 1..=Self::MOST_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            feed_forward: config.size("intermediate_size", 1..=Self::LARGEST_WIDTH)?,
            activation: activation(config, keys.activation)?,
            vocabulary: config.size("vocab_size", 1..=Self::LARGEST_VOCABULARY)?,
            context,
            epsilon: config.number(keys.epsilon, 0.0..=1.0)? as f32,
            rope: rotation(config, head_dim, context, rope)?,
            tied: config.flag("tie_word_embeddings")?,
        })
    }
}

/// Keys whose names differ between families.
pub(super) struct Keys {
    pub(super) activation: &'static str,
    pub(super) epsilon: &'static str,
}

impl Keys {
    pub(super) const USUAL: Self = Self { activation: "hidden_act", epsilon: "rms_norm_eps" };
}

/// The activation function that a configuration names.
fn activation(config: &Fields, key: &str) -> Result<Function, ConfigError> {
    Ok(match config.optional_text(key)?.ok_or_else(|| config.missing(key, "the name of a function"))? {
        "silu" | "swish" => Function::Silu,
        "gelu" => Function::Gelu,
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Function::GeluTanh,
        "relu" => Function::Relu,
        "relu2" => Function::ReluSquared,
        _ => return Err(config.unsupported(key, "silu, gelu, gelu_pytorch_tanh, relu, relu2")),
    })
}
