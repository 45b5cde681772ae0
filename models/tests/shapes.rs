//! The plans of named shapes against the arithmetic of their configurations, done here by hand.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use ingle_backends::CacheOptions;
use ingle_backends::format::{ActivationScale, CacheFormat, Int8Group, WeightFormat};
use ingle_backends::plan::{BatchLimits, FusionSet, Listing, Plan};
use ingle_models::{WeightFormats, shapes};

const F16: WeightFormat = WeightFormat::F16;

fn plan(name: &str, formats: WeightFormats) -> Plan {
    shapes::find(name).unwrap().architecture.plan(&formats.into()).unwrap()
}

fn parameters(plan: &Plan) -> usize {
    let matrices = plan.matrices.iter().map(|m| m.rows * m.cols).sum::<usize>();
    matrices + plan.vectors.iter().map(|v| v.len).sum::<usize>()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    // As stated by the checkpoints' own indices of tensors.
    let published = [
        ("smollm2-135m", 134_515_008),
        ("llama-3.1-8b", 8_030_261_248),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("llama-2-7b", 6_738_415_616),
        ("mistral-7b", 7_248_023_552),
        ("qwen3-0.6b", 596_049_920),
        ("qwen3-8b", 8_190_735_360),
        ("qwen3-30b-a3b", 30_532_122_624),
        ("gemma-3-1b", 999_885_952),
    ];
    for (name, count) in published {
        assert_eq!(parameters(&plan(name, WeightFormats::uniform(F16))), count, "{name}");
    }
}

#[test]
fn llama_8b_bytes_are_those_of_its_configuration() {
    let (hidden, layers, mlp, vocabulary, kv) = (4096, 32, 14_336, 128_256, 1024);
    let per_layer = 2 * hidden * hidden + 2 * kv * hidden + 3 * mlp * hidden;
    let vectors = 4 * (2 * layers + 1) * hidden;
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 512 };
    let limits = BatchLimits { rows: 512, selected: 4, sequences: 4 };

    let f16 = plan("llama-3.1-8b", WeightFormats::uniform(F16)).footprint(&cache, &limits);
    assert_eq!(f16.weights, 2 * (layers * per_layer + 2 * vocabulary * hidden) + vectors);
    assert_eq!(f16.cache, 8192 * layers * 2 * kv * 2);

    // int8 with groups of 64: a byte per weight and two bytes per 64 weights.
    let int8 = WeightFormats::uniform(WeightFormat::Int8(Int8Group::G64));
    let int8 = plan("llama-3.1-8b", int8).footprint(&cache, &limits);
    let weights = layers * per_layer + 2 * vocabulary * hidden;
    assert_eq!(int8.weights, weights + weights / 32 + vectors);

    let nf4 = plan("llama-3.1-8b", WeightFormats::uniform(WeightFormat::Nf4)).footprint(&cache, &limits);
    assert_eq!(nf4.weights, weights / 2 + weights / 32 + vectors);

    // w8a8: a byte per weight and an f32 per row.
    let w8a8 = WeightFormats::uniform(WeightFormat::W8a8(ActivationScale::PerToken));
    let w8a8 = plan("llama-3.1-8b", w8a8).footprint(&cache, &limits);
    let rows = layers * (2 * hidden + 2 * kv + 2 * mlp + hidden) + 2 * vocabulary;
    assert_eq!(w8a8.weights, weights + 4 * rows + vectors);

    // int8 pages: a byte per element, and two bytes per token, head, and K or V.
    let int8_cache = CacheOptions { format: CacheFormat::Int8, ..cache };
    let pages = plan("llama-3.1-8b", WeightFormats::uniform(F16)).footprint(&int8_cache, &limits);
    assert_eq!(pages.cache, 8192 * layers * 2 * (kv + 8 * 2));
}

#[test]
fn qwen3_moe_bytes_are_those_of_its_configuration() {
    let (hidden, layers, experts, inner, vocabulary) = (2048, 48, 128, 768, 151_936);
    let (query, key) = (32 * 128, 4 * 128);
    let attention = 2 * query * hidden + 2 * key * hidden;
    let mixture = experts * 3 * inner * hidden;
    let router = experts * hidden;
    let vectors = 4 * (layers * (2 * hidden + 2 * 128) + hidden);
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 256 };
    let plan = plan("qwen3-30b-a3b", WeightFormats::uniform(F16));
    let footprint = plan.footprint(&cache, &BatchLimits::default());
    let weights = 2 * (layers * (attention + mixture) + 2 * vocabulary * hidden) + 4 * layers * router;
    assert_eq!(footprint.weights, weights + vectors);
    assert_eq!(footprint.cache, 4096 * layers * 2 * key * 2);
}

#[test]
fn gemma_bytes_are_those_of_its_configuration() {
    let (hidden, layers, mlp, vocabulary) = (2560, 34, 10_240, 262_208);
    let (query, key) = (8 * 256, 4 * 256);
    let per_layer = 2 * query * hidden + 2 * key * hidden + 3 * mlp * hidden;
    let vectors = 4 * (layers * (4 * hidden + 2 * 256) + hidden);
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 64 };
    let plan = plan("gemma-3-4b", WeightFormats::uniform(F16));
    let footprint = plan.footprint(&cache, &BatchLimits::default());
    assert_eq!(footprint.weights, 2 * (layers * per_layer + vocabulary * hidden) + vectors);
    assert_eq!(footprint.cache, 1024 * layers * 2 * key * 2);
}

#[test]
fn activations_of_a_fused_plan_fit_what_the_layer_needs_at_once() {
    let plan = plan("llama-3.1-8b", WeightFormats::uniform(F16)).fused(FusionSet::all()).unwrap();
    let limits = BatchLimits { rows: 512, selected: 1, sequences: 1 };
    let bytes = plan.footprint(&CacheOptions::default(), &limits).activations;
    // At its widest point a layer holds the residual stream and gate + up; logits are one row. The
    // rest (the gated half, norms, queries) fits into what is free at the time, or into one more row
    // as wide as the gated half.
    let (hidden, mlp) = (4096, 14_336);
    let least = 512 * 4 * (hidden + 2 * mlp);
    assert!(bytes >= least && bytes <= least + 512 * 4 * (mlp + hidden) + 4 * 128_256 * 2, "{bytes}");
}

#[test]
fn listings_show_a_repeated_layer_once() {
    for (name, lines) in [("llama-3.1-8b", 40), ("qwen3-30b-a3b", 45), ("gemma-3-4b", 280)] {
        let plan = plan(name, WeightFormats::usual(WeightFormat::Nf4)).fused(FusionSet::all()).unwrap();
        let listing = Listing { plan: &plan, cache: CacheOptions::default(), limits: BatchLimits::default() };
        let text = listing.to_string();
        assert!(text.lines().count() < lines, "{name}: {} lines\n{text}", text.lines().count());
        assert!(text.contains("alike"), "{text}");
        assert!(text.contains("total "), "{text}");
    }
}

#[test]
fn every_shape_builds_and_fuses_in_every_format() {
    let formats = ["f32", "f16", "bf16", "int8-g32", "int8", "int8-g128", "nf4", "w8a8", "w8a8-static:0.05"];
    for shape in shapes::all() {
        for format in formats {
            let formats = WeightFormats::usual(format.parse().unwrap());
            let plan = shape.architecture.plan(&formats.into()).unwrap();
            let fused = plan.fused(FusionSet::all()).unwrap();
            assert!(fused.nodes.len() < plan.nodes.len(), "{} {format}", shape.name);
            assert_eq!(parameters(&plan), parameters(&fused), "{} {format}", shape.name);
        }
    }
}
