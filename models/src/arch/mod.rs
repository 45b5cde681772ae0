//! Model families: each file reads like the paper of its family.
//!
//! Tensors are named as the checkpoints on the model hubs name them. To add a family, write its file and
//! implement [`Architecture`].

pub mod gemma3;
pub mod llama;
pub mod qwen3;
pub mod qwen3_moe;

use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{LinearWeights, Plan, PlanBuilder, PlanError, RopeSpec};

/// Sizes of a model, from which its plan follows.
pub trait Architecture: std::fmt::Debug + Send + Sync {
    /// The family's name.
    fn family(&self) -> &'static str;

    /// The tokens that the model was made for.
    fn context(&self) -> usize;

    /// The operators of the model, unfused, ending in a sampled token.
    fn plan(&self, formats: WeightFormats) -> Result<Plan, PlanError>;
}

/// The formats of a model's matrices. Vectors are always f32, and so are the routers of experts, whose
/// rounding would change which experts are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightFormats {
    /// The projections of the layers.
    pub layers: WeightFormat,
    /// The embedding, and the head that makes logits.
    pub embedding: WeightFormat,
}

impl WeightFormats {
    /// The same format everywhere.
    pub const fn uniform(format: WeightFormat) -> Self {
        Self { layers: format, embedding: format }
    }

    /// What is usual: the embedding and the head stay at int8 where the layers are nf4 or w8a8, because
    /// errors in the logits are not averaged out by anything after them.
    pub const fn usual(layers: WeightFormat) -> Self {
        let embedding = match layers {
            WeightFormat::Nf4 | WeightFormat::Int4(_) | WeightFormat::W8a8(_) => {
                WeightFormat::Int8(ingle_backends::format::Int8Group::G64)
            }
            other => other,
        };
        Self { layers, embedding }
    }
}

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
    pub vocabulary: usize,
    pub context: usize,
    /// The ε of every norm.
    pub epsilon: f32,
    pub rope: RopeSpec,
    /// Whether the embedding serves as the head.
    pub tied: bool,
}

impl Dimensions {
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub const fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// The projections of an attention block.
struct AttentionWeights {
    q: LinearWeights,
    k: LinearWeights,
    v: LinearWeights,
    o: LinearWeights,
}

impl AttentionWeights {
    /// Declares those of one layer, as most families name them.
    fn declare(plan: &mut PlanBuilder, layer: &str, of: &Dimensions, format: WeightFormat) -> Self {
        let mut matrix = |name: &str, rows, cols| {
            plan.matrix(format!("{layer}.self_attn.{name}.weight"), rows, cols, format).into()
        };
        Self {
            q: matrix("q_proj", of.query_width(), of.hidden),
            k: matrix("k_proj", of.key_width(), of.hidden),
            v: matrix("v_proj", of.key_width(), of.hidden),
            o: matrix("o_proj", of.hidden, of.query_width()),
        }
    }
}

/// The projections of a gated feed-forward block.
struct FeedForwardWeights {
    gate: LinearWeights,
    up: LinearWeights,
    down: LinearWeights,
}

impl FeedForwardWeights {
    /// Declares those of one layer, as most families name them.
    fn declare(plan: &mut PlanBuilder, layer: &str, of: &Dimensions, format: WeightFormat) -> Self {
        let mut matrix = |name: &str, rows, cols| {
            plan.matrix(format!("{layer}.mlp.{name}.weight"), rows, cols, format).into()
        };
        Self {
            gate: matrix("gate_proj", of.feed_forward, of.hidden),
            up: matrix("up_proj", of.feed_forward, of.hidden),
            down: matrix("down_proj", of.hidden, of.feed_forward),
        }
    }
}

/// The head: the embedding's own matrix where they are tied.
fn head(
    plan: &mut PlanBuilder,
    of: &Dimensions,
    embedding: ingle_backends::plan::MatrixId,
    format: WeightFormat,
) -> LinearWeights {
    if of.tied {
        return embedding.into();
    }
    plan.matrix("lm_head.weight", of.vocabulary, of.hidden, format).into()
}
