//! Where channels can be scaled without the model computing anything else.
//!
//! | input of | comes from | what is divided there | with whom it is shared |
//! |---|---|---|---|
//! | q, k, v; gate, up; experts and their router; a head of its own | a norm | the norm's weight (`w`, or `1 + w`) and bias | all that read the norm |
//! | o | attention | rows and bias of v: what is attended to is a mean of values, channel by channel | query heads of one key head |
//! | down | `f(gate) · up` | rows and bias of up | |
//!
//! Nothing else is touched: what comes out of a function, of a sum or of an expert cannot be divided before it, and an embedding that is
//! the head too cannot be multiplied for one of the two.

use std::sync::Arc;

use ingle_backends::plan::{MatrixId, Node, Norm, Op, Operand, Plan, ValueId, VectorId};
use ingle_backends::{WeightError, WeightSource};
use ingle_models::checkpoint::Rescaling;

use super::graph::{Graph, last_name, projection};
use super::is_w8a8;

/// Factors are kept from this to its inverse: a channel that was hardly seen in the text may be larger elsewhere, and values go through
/// an f16 cache.
const LARGEST_FACTOR: f64 = 1024.0;

/// Activations that w8a8 projections read, and where their channels can be divided.
pub(super) struct Site {
    pub(super) name: String,
    /// The activations, of all rows.
    pub(super) value: ValueId,
    /// Everything that reads them, in whatever format.
    pub(super) readers: Vec<MatrixId>,
    /// Or why there is no such place.
    pub(super) fold: Result<Fold, String>,
}

/// Where channels are divided.
pub(super) enum Fold {
    /// In the weights of a norm.
    Norm(Norm),
    /// In the rows of a projection.
    Rows { matrix: MatrixId, bias: Option<VectorId>, sharing: Option<Sharing> },
}

/// Query heads that read the same key head, one after another.
pub(super) struct Sharing {
    heads: usize,
    head_dim: usize,
}

/// The inputs of all w8a8 projections of an unfused plan, in its order.
pub(super) fn sites(plan: &Plan) -> Vec<Site> {
    let graph = Graph::of(plan);
    let mut sites: Vec<Site> = vec![];
    for node in &plan.nodes {
        let Some((input, matrix)) = projection(&node.op) else { continue };
        let value = graph.source(input.value);
        if is_w8a8(plan.matrices[matrix.index()].format) && sites.iter().all(|site| site.value != value) {
            sites.push(Site::of(&graph, value));
        }
    }
    sites
}

impl Site {
    fn of(graph: &Graph<'_>, value: ValueId) -> Self {
        let nodes: Vec<_> = graph.consumers(value).map(|(node, _)| node).collect();
        let matrices = nodes.iter().filter_map(|node| projection(&node.op));
        let readers = matrices.map(|(_, matrix)| matrix).collect();
        let fold = compensated(graph, value).and_then(|()| fold(graph, value));
        Self { name: joined(&nodes), value, readers, fold }
    }

    /// The w8a8 matrices among those that read it.
    pub(super) fn w8a8(&self, plan: &Plan) -> impl Iterator<Item = MatrixId> {
        self.readers.iter().copied().filter(|matrix| is_w8a8(plan.matrices[matrix.index()].format))
    }

    /// The channel that is divided for a channel of the activations.
    fn channel(&self, activation: usize) -> usize {
        match &self.fold {
            Ok(Fold::Rows { sharing: Some(Sharing { heads, head_dim }), .. }) => {
                activation / head_dim / heads * head_dim + activation % head_dim
            }
            _ => activation,
        }
    }

    /// Numbers of the channels that are divided, each the largest of those that share it.
    pub(super) fn folded(&self, of_activations: &[f32]) -> Vec<f32> {
        let count = of_activations.len().checked_sub(1).map_or(0, |last| self.channel(last) + 1);
        let mut folded = vec![0.0_f32; count];
        for (activation, number) in of_activations.iter().enumerate() {
            let place = &mut folded[self.channel(activation)];
            *place = place.max(*number);
        }
        folded
    }

    /// The factors of all channels of the activations.
    pub(super) fn spread(&self, factors: &[f32]) -> Vec<f32> {
        let groups = match &self.fold {
            Ok(Fold::Rows { sharing: Some(sharing), .. }) => sharing.heads,
            _ => 1,
        };
        (0..factors.len() * groups).map(|activation| factors[self.channel(activation)]).collect()
    }

    /// Divides the channels by factors where they are written, and multiplies the weights that read them.
    pub(super) fn apply(
        &self,
        plan: &Plan,
        factors: &[f32],
        source: &dyn WeightSource,
        rescaling: &mut Rescaling,
    ) -> Result<(), WeightError> {
        let Ok(fold) = &self.fold else { return Ok(()) };
        match fold {
            Fold::Norm(norm) => {
                let offset = f64::from(norm.weight_offset);
                let weight = |w: f64, factor: f64| (offset + w) / factor - offset;
                replace(plan, norm.weight, factors, source, rescaling, weight)?;
                replace(plan, norm.bias, factors, source, rescaling, |b, factor| b / factor)?;
            }
            Fold::Rows { matrix, bias, .. } => {
                let inverse: Vec<f32> =
                    factors.iter().map(|factor| (1.0 / f64::from(*factor)) as f32).collect();
                let mut rest = inverse.as_slice();
                for part in &plan.matrices[matrix.index()].parts {
                    let (these, others) = rest.split_at(part.rows.min(rest.len()));
                    rescaling.scale_rows(&part.tensor, part.first_row, these.into());
                    rest = others;
                }
                replace(plan, *bias, factors, source, rescaling, |b, factor| b / factor)?;
            }
        }
        let columns: Arc<[f32]> = self.spread(factors).into();
        for part in self.readers.iter().flat_map(|matrix| &plan.matrices[matrix.index()].parts) {
            let rows = part.first_row..part.first_row + part.rows;
            rescaling.scale_columns(&part.tensor, rows, Arc::clone(&columns));
        }
        Ok(())
    }
}

/// Changes a vector, where there is one, number by number.
fn replace(
    plan: &Plan,
    vector: Option<VectorId>,
    factors: &[f32],
    source: &dyn WeightSource,
    rescaling: &mut Rescaling,
    change: impl Fn(f64, f64) -> f64,
) -> Result<(), WeightError> {
    let mut factors = factors.iter();
    for (tensor, len) in vector.iter().flat_map(|vector| &plan.vectors[vector.index()].parts) {
        let numbers = rescaling.of(source).vector(tensor, *len)?;
        let changed = numbers.iter().zip(factors.by_ref());
        let changed = changed.map(|(number, factor)| change(f64::from(*number), f64::from(*factor)) as f32);
        rescaling.replace_vector(tensor, changed.collect());
    }
    Ok(())
}

/// `max|x|^α / max|w|^(1−α)` for each channel. Only their ratios matter, so their geometric mean is made 1: what is cached stays as large
/// as it was. A channel without activations or without weights has nothing to move.
pub(super) fn factors(alpha: f64, activations: &[f32], weights: &[f32]) -> Vec<f32> {
    let logarithm = |(x, w): (&f32, &f32)| {
        let moves = *x > 0.0 && *w > 0.0;
        moves.then(|| alpha * f64::from(*x).ln() - (1.0 - alpha) * f64::from(*w).ln())
    };
    let logarithms: Vec<Option<f64>> = activations.iter().zip(weights).map(logarithm).collect();
    let count = logarithms.iter().flatten().count();
    let mean = logarithms.iter().flatten().sum::<f64>() / count.max(1) as f64;
    let factor = |logarithm: &Option<f64>| {
        let factor = logarithm.map_or(1.0, |logarithm| (logarithm - mean).exp());
        factor.clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR) as f32
    };
    logarithms.iter().map(factor).collect()
}

/// Fails unless everything that reads a value is a projection whose weights can be multiplied for it.
fn compensated(graph: &Graph<'_>, value: ValueId) -> Result<(), String> {
    let plan = graph.plan;
    if plan.taps.contains(&value) || plan.logits == Some(value) {
        return Err("it is handed out".to_owned());
    }
    if plan.values[value.index()].shape.slots > 1 {
        return Err("each expert has channels of its own".to_owned());
    }
    for (node, reads) in graph.consumers(value) {
        match projection(&node.op) {
            Some((input, matrix))
                if reads == 1 && graph.source(input.value) == value && plan.is_whole(input) =>
            {
                if !graph.owns(matrix) {
                    return Err("its weights are those of the embedding".to_owned());
                }
            }
            _ => return Err(format!("{} reads it too", last_name(node))),
        }
    }
    Ok(())
}

/// Where the channels of a value can be divided.
fn fold(graph: &Graph<'_>, value: ValueId) -> Result<Fold, String> {
    let plan = graph.plan;
    let Some(node) = graph.producer(value) else { return Err("nothing writes it".to_owned()) };
    match &node.op {
        Op::Norm(norm) => {
            let whole = norm.group == plan.values[value.index()].shape.width;
            let own = [norm.weight, norm.bias].iter().flatten().all(|vector| graph.owns_vector(*vector));
            if norm.weight.is_some() && whole && own {
                Ok(Fold::Norm(norm.clone()))
            } else {
                Err("its norm has no weights for each of its channels alone".to_owned())
            }
        }
        Op::Attention(attention) => {
            let stored = plan.nodes.iter().find_map(|node| match &node.op {
                Op::StoreKv(store) if store.cache == attention.cache => Some(store.value),
                _ => None,
            });
            let cache = plan.caches[attention.cache.index()];
            let heads = attention.heads / cache.kv_heads.max(1);
            let Some(values) = stored else { return Err("nothing is stored for it".to_owned()) };
            rows(graph, values, Some(Sharing { heads, head_dim: cache.head_dim }))
        }
        Op::Gated(gated) => rows(graph, gated.up, None),
        Op::Activate(_) => Err("it comes out of a function".to_owned()),
        other => Err(format!("it comes out of {}", other.name())),
    }
}

/// Divides in the rows of the projection that writes these columns, where nobody else reads them.
fn rows(graph: &Graph<'_>, columns: Operand, sharing: Option<Sharing>) -> Result<Fold, String> {
    let Some(node) = graph.producer(columns.value) else { return Err("nothing writes it".to_owned()) };
    let Op::Linear(linear) = &node.op else {
        return Err(format!("it comes out of {}", node.op.name()));
    };
    let readers = graph.consumers(columns.value).map(|(_, reads)| reads).sum::<usize>();
    if !graph.plan.is_whole(columns) || readers != 1 || !graph.owns(linear.matrix) {
        return Err(format!("{} is read elsewhere, too", last_name(node)));
    }
    if linear.bias.is_some_and(|bias| !graph.owns_vector(bias)) {
        return Err(format!("the bias of {} is used elsewhere, too", last_name(node)));
    }
    Ok(Fold::Rows { matrix: linear.matrix, bias: linear.bias, sharing })
}

/// `layers.3.q_proj`, `layers.3.k_proj` → `layers.3.q_proj, k_proj`.
fn joined(nodes: &[&Node]) -> String {
    let (first, rest) = nodes.split_first().map_or(("", nodes), |(first, rest)| (first.name.as_str(), rest));
    rest.iter().fold(first.to_owned(), |name, node| format!("{name}, {}", last_name(node)))
}
