//! What decoders have in common: an embedding, layers one after another, a norm, a head; and in most
//! layers attention and a gated feed-forward part.

use ingle_backends::plan::{
    Attention, Columns, LinearWeights, MatrixId, MatrixPart, Plan, PlanBuilder, PlanError, RopeId,
};

use super::{Dimensions, PlanOptions, WeightFormats};

/// A decoder with a plain embedding, an RMS norm and a plain head around its layers, and one rotation.
pub(super) fn decoder(
    of: &Dimensions,
    options: &PlanOptions,
    layer: impl Fn(&mut PlanBuilder, &Layer<'_>, RopeId, Columns) -> Columns,
) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let embedding = embedding(&mut plan, of, options);
    let rope = plan.rope_spec(of.rope.at(options.context.unwrap_or(of.context)).clone());
    let x = plan.embed(embedding);
    let x = layers(&mut plan, of, options, x, |plan, place, x| layer(plan, place, rope, x));
    let norm = plan.vector("model.norm.weight", of.hidden);
    let x = plan.rms_norm(x, norm, of.epsilon);
    let head = head(&mut plan, of, options, embedding);
    let logits = plan.logits(x, head);
    plan.sample(logits);
    plan.finish()
}

/// The layers, one after another.
pub(super) fn layers(
    plan: &mut PlanBuilder,
    of: &Dimensions,
    options: &PlanOptions,
    mut x: Columns,
    layer: impl Fn(&mut PlanBuilder, &Layer<'_>, Columns) -> Columns,
) -> Columns {
    for index in 0..of.layers {
        plan.scope(format!("layers.{index}"));
        let place = Layer { index, name: format!("model.layers.{index}"), of, formats: &options.formats };
        x = layer(plan, &place, x);
    }
    plan.scope("");
    x
}

/// The embedding's matrix.
pub(super) fn embedding(plan: &mut PlanBuilder, of: &Dimensions, options: &PlanOptions) -> MatrixId {
    let tensor = "model.embed_tokens.weight";
    plan.matrix(tensor, of.vocabulary, of.hidden, options.formats.of_embedding(tensor))
}

/// The head: the embedding's own matrix where they are tied.
pub(super) fn head(
    plan: &mut PlanBuilder,
    of: &Dimensions,
    options: &PlanOptions,
    embedding: MatrixId,
) -> MatrixId {
    if of.tied {
        return embedding;
    }
    let tensor = "lm_head.weight";
    plan.matrix(tensor, of.vocabulary, of.hidden, options.formats.of_embedding(tensor))
}

/// A layer's place in its model: what its weights are called and how large they are.
pub(super) struct Layer<'a> {
    pub(super) index: usize,
    /// What the names of its tensors begin with.
    pub(super) name: String,
    pub(super) of: &'a Dimensions,
    pub(super) formats: &'a WeightFormats,
}

impl Layer<'_> {
    /// Declares a projection, with its bias where there is one.
    pub(super) fn projection(
        &self,
        plan: &mut PlanBuilder,
        name: &str,
        (rows, cols): (usize, usize),
        bias: bool,
    ) -> LinearWeights {
        let tensor = format!("{}.{name}.weight", self.name);
        let format = self.formats.of_layer(&tensor);
        let matrix = plan.matrix(tensor, rows, cols, format);
        let bias = bias.then(|| plan.vector(format!("{}.{name}.bias", self.name), rows));
        LinearWeights { matrix, bias }
    }

    /// Declares projections whose rows lie behind one another in one tensor.
    pub(super) fn fused_projections<const N: usize>(
        &self,
        plan: &mut PlanBuilder,
        name: &str,
        rows: [usize; N],
        cols: usize,
    ) -> [LinearWeights; N] {
        let tensor = format!("{}.{name}.weight", self.name);
        let format = self.formats.of_layer(&tensor);
        let mut first_row = 0;
        rows.map(|rows| {
            let part = MatrixPart { tensor: tensor.clone(), first_row, rows };
            first_row += rows;
            plan.matrix_of(vec![part], cols, format).into()
        })
    }

    /// RMS normalisation of whole rows, with the weight of this name.
    pub(super) fn rms_norm(&self, plan: &mut PlanBuilder, name: &str, x: Columns) -> Columns {
        let weight = plan.vector(format!("{}.{name}.weight", self.name), x.width);
        plan.rms_norm(x, weight, self.of.epsilon)
    }

    /// RMS normalisation of each head by itself; `offset` is added to the weights.
    pub(super) fn head_norm(&self, plan: &mut PlanBuilder, name: &str, x: Columns, offset: f32) -> Columns {
        let weight = plan.vector(format!("{}.{name}.weight", self.name), self.of.head_dim);
        plan.head_norm(x, self.of.head_dim, weight, offset, self.of.epsilon)
    }

    /// Attention over this layer's cache with the usual scale of `1/√head_dim`.
    pub(super) fn attend(
        &self,
        plan: &mut PlanBuilder,
        (q, k, v): (Columns, Columns, Columns),
        window: Option<u32>,
    ) -> Columns {
        let scale = inverse_root(self.of.head_dim as f64);
        self.attend_with(plan, (q, k, v), Manner { window, scale, softcap: None })
    }

    /// Attention over this layer's cache in a manner of its own.
    pub(super) fn attend_with(
        &self,
        plan: &mut PlanBuilder,
        (query, k, v): (Columns, Columns, Columns),
        manner: Manner,
    ) -> Columns {
        let cache = plan.cache(self.of.kv_heads, self.of.head_dim);
        let Manner { window, scale, softcap } = manner;
        let attention = Attention {
            query,
            cache,
            heads: self.of.heads,
            scale,
            window,
            softcap,
            sinks: None,
            output: query.value, // the builder makes a fresh one
        };
        plan.attend(k, v, attention)
    }
}

/// `1/√x`, rounded once.
pub(super) fn inverse_root(x: f64) -> f32 {
    (1.0 / x.sqrt()) as f32
}

/// What families differ in when they attend.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) window: Option<u32>,
    pub(super) scale: f32,
    pub(super) softcap: Option<f32>,
}

/// Which projections of an attention block have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionBias {
    None,
    QueryKeyValue,
    All,
}

impl From<bool> for AttentionBias {
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}

/// The projections of an attention block.
pub(super) struct AttentionWeights {
    q: LinearWeights,
    k: LinearWeights,
    v: LinearWeights,
    pub(super) o: LinearWeights,
}

impl AttentionWeights {
    /// Declares those of one layer, as most families name them.
    pub(super) fn declare(plan: &mut PlanBuilder, layer: &Layer<'_>, bias: AttentionBias) -> Self {
        let of = layer.of;
        let (query, key) = ((of.query_width(), of.hidden), (of.key_width(), of.hidden));
        let inner = bias != AttentionBias::None;
        Self {
            q: layer.projection(plan, "self_attn.q_proj", query, inner),
            k: layer.projection(plan, "self_attn.k_proj", key, inner),
            v: layer.projection(plan, "self_attn.v_proj", key, inner),
            o: layer.projection(
                plan,
                "self_attn.o_proj",
                (of.hidden, of.query_width()),
                bias == AttentionBias::All,
            ),
        }
    }

    /// Queries, keys and values of the rows.
    pub(super) fn query_key_value(&self, plan: &mut PlanBuilder, h: Columns) -> (Columns, Columns, Columns) {
        (plan.linear(h, self.q), plan.linear(h, self.k), plan.linear(h, self.v))
    }
}

/// The gated feed-forward part: `down(activation(gate(h)) · up(h))`.
pub(super) fn gated(plan: &mut PlanBuilder, layer: &Layer<'_>, h: Columns, bias: bool) -> Columns {
    let of = layer.of;
    let gate = layer.projection(plan, "mlp.gate_proj", (of.feed_forward, of.hidden), bias);
    let up = layer.projection(plan, "mlp.up_proj", (of.feed_forward, of.hidden), bias);
    let down = layer.projection(plan, "mlp.down_proj", (of.hidden, of.feed_forward), bias);
    let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
    let h = plan.gated(gate, up, of.activation);
    plan.linear(h, down)
}
