//! Does a model fit on a device, and how fast will it be there: arithmetic, before anything is loaded.

use ingle_backends::format::CacheFormat;
use ingle_backends::plan::{BatchLimits, Cost, Footprint, Plan, StepShape};
use ingle_backends::{CacheOptions, DeviceMemory};

/// Tokens per cache page.
pub const PAGE_TOKENS: usize = 16;

/// A cache for so many tokens.
pub const fn cache_for(tokens: usize, format: CacheFormat) -> CacheOptions {
    CacheOptions { format, page_tokens: PAGE_TOKENS, pages: tokens.div_ceil(PAGE_TOKENS) }
}

/// Whether a plan fits into a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// With this much to spare.
    Fits { spare: u64 },
    /// This much is missing.
    Short { missing: u64 },
    /// The driver does not say how much memory there is.
    Unknown,
}

impl Fit {
    /// Compares what a plan needs with what is available now.
    pub const fn of(footprint: &Footprint, memory: &DeviceMemory) -> Self {
        let Some(available) = memory.available else { return Self::Unknown };
        match available.checked_sub(footprint.total()) {
            Some(spare) => Self::Fits { spare },
            None => Self::Short { missing: footprint.total() - available },
        }
    }
}

/// The most tokens whose cache fits beside the rest; 0 where the weights alone are too much.
pub fn largest_context(plan: &Plan, format: CacheFormat, limits: &BatchLimits, available: u64) -> usize {
    let footprint = plan.footprint(&cache_for(PAGE_TOKENS, format), limits);
    let page = footprint.cache;
    let left = available.saturating_sub(footprint.weights + footprint.activations);
    left.checked_div(page).map_or(usize::MAX, |pages| pages as usize * PAGE_TOKENS)
}

/// What the cost model says of writing one token at a context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    pub cost: Cost,
    /// No device can be faster than its memory.
    pub tokens_per_second: f64,
}

impl Forecast {
    /// Decoding of one sequence on a device that reads `bandwidth` bytes per second.
    pub fn decode(plan: &Plan, context: usize, cache: CacheOptions, bandwidth: f64) -> Self {
        let cost = plan.total_cost(&StepShape::decode(1, context, cache));
        Self { cost, tokens_per_second: bandwidth / cost.bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingle_backends::format::WeightFormat;
    use ingle_models::{WeightFormats, shapes};

    #[test]
    fn the_largest_context_fills_the_memory_and_no_more() {
        let shape = shapes::find("llama-3.2-1b").unwrap();
        let plan = shape.architecture.plan(&WeightFormats::uniform(WeightFormat::Nf4).into()).unwrap();
        let limits = BatchLimits::default();
        let available = 4 << 30;
        let tokens = largest_context(&plan, CacheFormat::F16, &limits, available);
        let total = |tokens| plan.footprint(&cache_for(tokens, CacheFormat::F16), &limits).total();
        assert!(total(tokens) <= available && total(tokens + PAGE_TOKENS) > available);
        assert_eq!(largest_context(&plan, CacheFormat::F16, &limits, 1 << 20), 0);
    }

    #[test]
    fn forecasts_are_bytes_over_bandwidth() {
        let shape = shapes::find("llama-3.1-8b").unwrap();
        let plan = shape.architecture.plan(&WeightFormats::uniform(WeightFormat::F16).into()).unwrap();
        let forecast = Forecast::decode(&plan, 0, CacheOptions::default(), 1e12);
        // 8.03 billion weights of two bytes, less the embedding table of which one row is read.
        let expected = 1e12 / (2.0 * (8.03e9 - 128_256.0 * 4096.0));
        assert!((forecast.tokens_per_second / expected - 1.0).abs() < 0.01, "{forecast:?}");
    }
}
