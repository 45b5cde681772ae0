//! The sizes of models that people run, by name: for plans, predictions and benchmarks without a
//! download. The numbers are those of the published configurations.

use ingle_backends::plan::{Function, RopeScaling, RopeSpec};

use crate::arch::gemma::embedding_factor;
use crate::arch::gemma3::Gemma3;
use crate::arch::llama::Llama;
use crate::arch::qwen3::Qwen3;
use crate::arch::qwen3_moe::Qwen3Moe;
use crate::arch::{Architecture, Dimensions, Experts};

/// A model's name and sizes.
#[derive(Debug)]
pub struct NamedShape {
    pub name: &'static str,
    pub architecture: Box<dyn Architecture>,
}

/// All of them, small ones first.
pub fn all() -> Vec<NamedShape> {
    let shape = |name, architecture| NamedShape { name, architecture };
    vec![
        shape("smollm2-135m", smollm2_135m()),
        shape("qwen3-0.6b", qwen3(1024, 28, (16, 8), 3072, true)),
        shape("gemma-3-1b", gemma3((1152, 26), (4, 1), 6912, 512, (262_144, 32_768, 1.0))),
        shape("llama-3.2-1b", llama3((2048, 16), (32, 8, 64), 8192, 32.0, true)),
        shape("llama-3.2-3b", llama3((3072, 28), (24, 8, 128), 8192, 32.0, true)),
        shape("qwen3-4b", qwen3(2560, 36, (32, 8), 9728, true)),
        shape("gemma-3-4b", gemma3((2560, 34), (8, 4), 10_240, 1024, (262_208, 131_072, 8.0))),
        shape("llama-2-7b", llama_2_7b()),
        shape("mistral-7b", mistral_7b()),
        shape("llama-3.1-8b", llama3((4096, 32), (32, 8, 128), 14_336, 8.0, false)),
        shape("qwen3-8b", qwen3(4096, 36, (32, 8), 12_288, false)),
        shape("gemma-3-12b", gemma3((3840, 48), (16, 8), 15_360, 1024, (262_208, 131_072, 8.0))),
        shape("qwen3-30b-a3b", qwen3_30b_a3b()),
        shape("qwen3-32b", qwen3(5120, 64, (64, 8), 25_600, false)),
    ]
}

/// The one with this name.
pub fn find(name: &str) -> Option<NamedShape> {
    all().into_iter().find(|shape| shape.name == name)
}

fn llama3(
    (hidden, layers): (usize, usize),
    (heads, kv_heads, head_dim): (usize, usize, usize),
    feed_forward: usize,
    factor: f64,
    tied: bool,
) -> Box<dyn Architecture> {
    let scaling =
        RopeScaling::Llama3 { factor, low_frequency: 1.0, high_frequency: 4.0, original_context: 8192.0 };
    Box::new(Llama::from(Dimensions {
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim,
        feed_forward,
        activation: Function::Silu,
        vocabulary: 128_256,
        context: 131_072,
        epsilon: 1e-5,
        rope: RopeSpec { scaling, ..RopeSpec::new(head_dim, 500_000.0) }.into(),
        tied,
    }))
}

fn smollm2_135m() -> Box<dyn Architecture> {
    Box::new(Llama::from(Dimensions {
        hidden: 576,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        feed_forward: 1536,
        activation: Function::Silu,
        vocabulary: 49_152,
        context: 8192,
        epsilon: 1e-5,
        rope: RopeSpec::new(64, 100_000.0).into(),
        tied: true,
    }))
}

/// Llama 2 with 7 billion weights: the one that most published tables are about.
pub fn llama_2_7b() -> Box<dyn Architecture> {
    Box::new(Llama::from(Dimensions {
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 32,
        head_dim: 128,
        feed_forward: 11_008,
        activation: Function::Silu,
        vocabulary: 32_000,
        context: 4096,
        epsilon: 1e-5,
        rope: RopeSpec::new(128, 10_000.0).into(),
        tied: false,
    }))
}

fn mistral_7b() -> Box<dyn Architecture> {
    Box::new(Llama::from(Dimensions {
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        feed_forward: 14_336,
        activation: Function::Silu,
        vocabulary: 32_768,
        context: 32_768,
        epsilon: 1e-5,
        rope: RopeSpec::new(128, 1_000_000.0).into(),
        tied: false,
    }))
}

fn qwen3_dimensions(
    (hidden, layers): (usize, usize),
    (heads, kv_heads): (usize, usize),
    feed_forward: usize,
    tied: bool,
) -> Dimensions {
    Dimensions {
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim: 128,
        feed_forward,
        activation: Function::Silu,
        vocabulary: 151_936,
        context: 40_960,
        epsilon: 1e-6,
        rope: RopeSpec::new(128, 1_000_000.0).into(),
        tied,
    }
}

fn qwen3(
    hidden: usize,
    layers: usize,
    heads: (usize, usize),
    feed_forward: usize,
    tied: bool,
) -> Box<dyn Architecture> {
    Box::new(Qwen3::from(qwen3_dimensions((hidden, layers), heads, feed_forward, tied)))
}

fn qwen3_30b_a3b() -> Box<dyn Architecture> {
    let dimensions = qwen3_dimensions((2048, 48), (32, 4), 6144, false);
    Box::new(Qwen3Moe {
        windows: vec![None; dimensions.layers],
        attention_bias: false,
        experts: Experts { count: 128, per_token: 8, inner: 768, renormalize: true },
        mixtures: vec![true; dimensions.layers],
        dimensions,
    })
}

fn gemma3(
    (hidden, layers): (usize, usize),
    (heads, kv_heads): (usize, usize),
    feed_forward: usize,
    window: u32,
    (vocabulary, context, rope_factor): (usize, usize, f64),
) -> Box<dyn Architecture> {
    let head_dim = 256;
    let scaling =
        if rope_factor > 1.0 { RopeScaling::Linear { factor: rope_factor } } else { RopeScaling::None };
    Box::new(Gemma3 {
        dimensions: Dimensions {
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            feed_forward,
            activation: Function::GeluTanh,
            vocabulary,
            context,
            epsilon: 1e-6,
            rope: RopeSpec { scaling, ..RopeSpec::new(head_dim, 1_000_000.0) }.into(),
            tied: true,
        },
        local_rope: RopeSpec::new(head_dim, 10_000.0).into(),
        windows: (1..=layers).map(|layer| (layer % 6 != 0).then_some(window)).collect(),
        attention_bias: false,
        query_scalar: 256.0,
        logit_softcap: None,
        embedding_factor: embedding_factor(Some("bfloat16"), hidden),
    })
}
