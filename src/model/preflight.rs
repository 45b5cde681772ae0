//! What loading a model will take, and what would fit where it does not.

use std::fmt;
use std::sync::Arc;

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, Footprint, Plan};
use ingle_backends::{DeviceId, PrepareOptions};
use ingle_models::WeightFormats;

use super::weights::{WeightReason, check_exceptions, plan_of};
use super::{LoadError, LoadOptions, Model};
use crate::Device;
use crate::fit::{PAGE_TOKENS, cache_for, largest_context};

/// The context where nobody asks for one: long enough for most conversations, and its cache is small
/// beside the weights of most models.
const USUAL_CONTEXT: usize = 8192;

/// A default context shorter than this is no conversation; then the refusal says what would fit.
const SHORTEST_CONTEXT: usize = 512;

/// Positions are counted in 32 bits; no model comes near.
const LONGEST_CONTEXT: usize = 1 << 30;

/// What was decided about loading a model.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub plan: Arc<Plan>,
    pub formats: WeightFormats,
    pub weight_reason: WeightReason,
    pub prepare: PrepareOptions,
    pub context: usize,
    pub context_reason: ContextReason,
    /// What it will hold.
    pub footprint: Footprint,
}

/// Why the context is as long as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextReason {
    Asked,
    /// Asked for, and longer than this, which the model was made for: what it writes there may be poor.
    BeyondModel(usize),
    /// What the model was made for.
    Model,
    /// Enough for most; the model was made for this much.
    Usual(usize),
    /// No more fits; the model was made for this much.
    Memory(usize),
}

impl fmt::Display for ContextReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as asked"),
            Self::BeyondModel(model) => write!(f, "as asked, beyond the {model} that the model was made for"),
            Self::Model => f.write_str("all that the model was made for"),
            Self::Usual(model) => write!(f, "the default; the model was made for {model}"),
            Self::Memory(model) => write!(f, "all that fits; the model was made for {model}"),
        }
    }
}

/// A way to load the model that would fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    pub weights: String,
    pub cache: CacheFormat,
    /// The longest context.
    pub context: usize,
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights with up to {} tokens of {} cache", self.weights, self.context, self.cache)
    }
}

/// What does not fit, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub model: String,
    pub device: DeviceId,
    pub weights: String,
    pub cache: CacheFormat,
    pub context: usize,
    pub footprint: Footprint,
    pub available: u64,
    /// The best first; empty where nothing does.
    pub alternatives: Vec<Alternative>,
}

impl std::error::Error for Shortage {}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(
            f,
            "{} with {} weights ({:.2} GiB) and {} tokens of {} cache ({:.2} GiB) needs {:.2} GiB; {} has {:.2} \
             GiB available; ",
            self.model,
            self.weights,
            gib(self.footprint.weights),
            self.context,
            self.cache,
            gib(self.footprint.cache),
            gib(self.footprint.total()),
            self.device,
            gib(self.available),
        )?;
        if self.alternatives.is_empty() {
            return f.write_str("no format makes it fit: close other programs or choose a smaller model");
        }
        let list: Vec<String> = self.alternatives.iter().map(Alternative::to_string).collect();
        write!(f, "these would fit: {}", list.join("; "))
    }
}

/// The largest steps, up to `limits`, whose values each fit what a kernel can be shown at once.
///
/// Where not even the smallest do, that is for the backend to say.
fn visible_limits(plan: &Plan, limits: BatchLimits, binding: Option<u64>) -> BatchLimits {
    let fits = |limits: &BatchLimits| {
        binding.is_none_or(|binding| plan.values.iter().all(|value| limits.bytes(&value.shape) <= binding))
    };
    let mut smaller = limits;
    while !fits(&smaller) && smaller.rows / 2 >= limits.selected.max(1) {
        smaller.rows /= 2;
    }
    smaller
}

impl Model {
    /// Decides how the model is loaded on a device, by the memory that is available there now.
    pub fn preflight(&self, device: &Device, options: &LoadOptions) -> Result<Preflight, LoadError> {
        let made_for = self.architecture.context().max(1);
        if let Some(context) = options.context.filter(|context| !(1..=LONGEST_CONTEXT).contains(context)) {
            return Err(LoadError::Context { context, longest: LONGEST_CONTEXT });
        }
        let available = device.info.memory.available;
        let shortest = options.context.unwrap_or(SHORTEST_CONTEXT.min(made_for));
        let fits = |plan: &Plan| {
            let needed = plan.footprint(&cache_for(shortest, options.cache), &options.limits).total();
            available.is_none_or(|available| needed <= available)
        };
        let chosen = self.choose_formats(options.weights, options.embedding, &options.exceptions, fits)?;
        let plan = self.fused(&chosen.formats, options, options.context)?;
        let limits = visible_limits(&plan, options.limits, device.info.limits.binding);
        check_exceptions(&plan, &options.exceptions)?;
        let room = available
            .map_or(usize::MAX, |available| largest_context(&plan, options.cache, &limits, available));
        let (context, context_reason) = match options.context {
            Some(asked) if asked > made_for => (asked, ContextReason::BeyondModel(made_for)),
            Some(asked) => (asked, ContextReason::Asked),
            None if room < made_for.min(USUAL_CONTEXT) => {
                (room.max(shortest), ContextReason::Memory(made_for))
            }
            None if made_for <= USUAL_CONTEXT => (made_for, ContextReason::Model),
            None => (USUAL_CONTEXT, ContextReason::Usual(made_for)),
        };
        let cache = cache_for(context, options.cache);
        let footprint = plan.footprint(&cache, &limits);
        if let Some(available) = available.filter(|available| footprint.total() > *available) {
            return Err(LoadError::DoesNotFit(Box::new(Shortage {
                model: self.name(),
                device: device.info.id.clone(),
                weights: chosen.formats.layers.to_string(),
                cache: options.cache,
                context,
                footprint,
                available,
                alternatives: self.alternatives(options, available, shortest)?,
            })));
        }
        let plan = self.fused(&chosen.formats, options, Some(context))?;
        Ok(Preflight {
            plan: Arc::new(plan),
            formats: chosen.formats,
            weight_reason: chosen.reason,
            prepare: PrepareOptions { cache, limits, tier: options.tier.clone() },
            context,
            context_reason,
            footprint,
        })
    }

    fn fused(
        &self,
        formats: &WeightFormats,
        options: &LoadOptions,
        context: Option<usize>,
    ) -> Result<Plan, LoadError> {
        let plan = plan_of(self.architecture.as_ref(), formats, context);
        plan.and_then(|plan| plan.fused(options.fusion)).map_err(|source| self.plan_error(source))
    }

    /// What would fit: formats from the most to the least exact, each with the longest context that it
    /// leaves room for. A later one is listed only where it reaches further than those before it.
    fn alternatives(
        &self,
        options: &LoadOptions,
        available: u64,
        shortest: usize,
    ) -> Result<Vec<Alternative>, LoadError> {
        let made_for = self.architecture.context().max(1);
        let longest = options.context.unwrap_or(USUAL_CONTEXT.min(made_for)).max(made_for);
        let smaller = WeightFormat::SMALLER.into_iter().map(WeightFormats::usual);
        let mut alternatives: Vec<Alternative> = vec![];
        for formats in [self.stored_formats()?].into_iter().chain(smaller) {
            let plan = self.fused(&formats, options, None)?;
            for cache in [CacheFormat::F16, CacheFormat::Int8] {
                let context = largest_context(&plan, cache, &options.limits, available).min(longest);
                let reached = alternatives.iter().map(|before| before.context).max().unwrap_or(0);
                // What is not even a page longer is not worth a line.
                if context >= shortest.clamp(1, SHORTEST_CONTEXT) && context >= reached + PAGE_TOKENS {
                    alternatives.push(Alternative { weights: formats.layers.to_string(), cache, context });
                }
            }
        }
        Ok(alternatives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_large_as_a_kernel_can_be_shown() {
        let shape = ingle_models::shapes::find("llama-3.1-8b").unwrap();
        let plan = shape.architecture.plan(&WeightFormats::uniform(WeightFormat::Nf4).into()).unwrap();
        let limits = BatchLimits { rows: 512, selected: 4, sequences: 4 };
        // 14,336 results of 4 bytes for each row.
        let rows = |binding| visible_limits(&plan, limits, binding).rows;
        assert_eq!([rows(None), rows(Some(128 << 20)), rows(Some(16 << 20))], [512, 512, 256]);
        assert_eq!(rows(Some(1)), 4);
    }
}
