//! Configurations as they are found, as they should not be, and what is said of the latter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]
#![allow(clippy::unreadable_literal, reason = "configurations are quoted as they are published")]

mod support;

use ingle_backends::CacheOptions;
use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{BatchLimits, RopeScaling, RopeSpec};
use ingle_models::arch::{Architecture, PlanOptions, WeightFormats, from_config};
use ingle_models::config::{Config, ConfigError};
use ingle_models::shapes;
use serde_json::{Value, json};
use support::{Fixture, root};

fn read(config: &Value) -> Result<Box<dyn Architecture>, ConfigError> {
    from_config(&Config::parse(&config.to_string(), None).unwrap())
}

fn fault(config: &Value) -> String {
    read(config).unwrap_err().to_string()
}

/// A small configuration of a family.
fn fixture(name: &str) -> Value {
    document(name, "config.json")
}

fn document(name: &str, file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join(name).join(file)).unwrap()).unwrap()
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

#[test]
fn published_configurations_are_the_named_shapes() {
    let llama = json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"
        },
        "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.0", "use_cache": true, "vocab_size": 128256
    });
    let qwen = json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128,
        "hidden_act": "silu", "hidden_size": 2560, "intermediate_size": 9728,
        "max_position_embeddings": 40960, "max_window_layers": 36, "model_type": "qwen3",
        "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
        "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936
    });
    let experts = json!({
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1,
        "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 6144,
        "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [],
        "model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true,
        "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
        "rope_scaling": null, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001,
        "sliding_window": null, "tie_word_embeddings": false, "use_sliding_window": false,
        "vocab_size": 151936
    });
    // This one relies on what its family leaves unsaid.
    let gemma = json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
        "mm_tokens_per_image": 256, "model_type": "gemma3", "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024
        },
        "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152}
    });
    for (name, config) in
        [("llama-3.1-8b", llama), ("qwen3-4b", qwen), ("qwen3-30b-a3b", experts), ("gemma-3-4b", gemma)]
    {
        let expected = shapes::find(name).unwrap().architecture;
        assert_eq!(format!("{:?}", read(&config).unwrap()), format!("{expected:?}"), "{name}");
    }
}

#[test]
fn long_contexts_of_phi_rotate_by_the_other_table() {
    let architecture = read(&fixture("phi3")).unwrap();
    let divisors = |context| -> (Vec<f64>, f64) {
        let options = PlanOptions { formats: WeightFormats::uniform(WeightFormat::F32), context };
        let plan = architecture.plan(&options).unwrap();
        let RopeSpec { scaling: RopeScaling::PerFrequency { divisors, magnitude }, .. } =
            plan.ropes[0].clone()
        else {
            panic!("{:?}", plan.ropes)
        };
        (divisors, magnitude)
    };
    let magnitude = (1.0 + 8f64.ln() / 64f64.ln()).sqrt();
    assert_eq!(divisors(Some(64)), (vec![1.0, 1.2, 1.5], magnitude));
    assert_eq!(divisors(Some(65)), (vec![1.5, 4.0, 9.0], magnitude));
    assert_eq!(divisors(None), divisors(Some(512)));
    let older = with(fixture("phi3"), "rope_parameters", Value::Null);
    let scaling = json!({"type": "su", "short_factor": [1.0, 1.2, 1.5], "long_factor": [1.5, 4.0, 9.0]});
    let older = with(with(older, "rope_scaling", scaling), "rope_theta", json!(1000.0));
    assert_eq!(format!("{:?}", read(&older).unwrap()), format!("{architecture:?}"));
}

#[test]
fn rotations_are_those_of_the_reference() {
    let path = root().with_file_name("ropes.json");
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in cases.as_array().unwrap() {
        let architecture = read(&case["config"]).unwrap();
        for (name, context) in [("short", 1), ("long", 4096)] {
            let Some(expected) = case.get(name) else { continue };
            let formats = WeightFormats::uniform(WeightFormat::F32);
            let plan = architecture.plan(&PlanOptions { formats, context: Some(context) }).unwrap();
            let got = plan.ropes[0].inverse_frequencies();
            let frequencies = expected["inverse_frequencies"].as_array().unwrap();
            let what = &case["config"]["rope_parameters"];
            assert_eq!(got.len(), frequencies.len(), "{what}");
            for (got, expected) in got.iter().zip(frequencies) {
                assert!((got / expected.as_f64().unwrap() - 1.0).abs() < 1e-12, "{what}: {got} {expected}");
            }
            let magnitude = expected["magnitude"].as_f64().unwrap();
            assert!((plan.ropes[0].magnitude() - magnitude).abs() < 1e-12, "{what}: {magnitude}");
        }
    }
}

#[test]
fn formats_of_single_matrices_can_be_told_apart() {
    let architecture = read(&fixture("llama")).unwrap();
    let formats = WeightFormats::uniform(WeightFormat::Bf16)
        .except("lm_head.*", WeightFormat::F16)
        .except("*.1.mlp.down_proj.weight", WeightFormat::F32);
    let plan = architecture.plan(&formats.into()).unwrap();
    for matrix in &plan.matrices {
        let expected = match matrix.parts[0].tensor.as_str() {
            "lm_head.weight" => WeightFormat::F16,
            "model.layers.1.mlp.down_proj.weight" => WeightFormat::F32,
            _ => WeightFormat::Bf16,
        };
        assert_eq!(matrix.format, expected, "{}", matrix.parts[0].tensor);
    }
}

#[test]
fn faults_are_named_by_key_and_value() {
    let llama = || fixture("llama");
    for (config, expected) in [
        (
            with(llama(), "num_attention_heads", json!(-3)),
            "config.json: key `num_attention_heads` is -3; a whole number from 1 to 16384 is needed",
        ),
        (
            with(llama(), "hidden_size", Value::Null),
            "config.json: key `hidden_size` is missing; a whole number from 1 to 1048576 is needed",
        ),
        (
            with(llama(), "num_key_value_heads", json!(3)),
            "config.json: key `num_key_value_heads` is 3; a divisor of 4 query heads is needed",
        ),
        (
            with(llama(), "tie_word_embeddings", json!("yes")),
            "config.json: key `tie_word_embeddings` is \"yes\"; true or false is needed",
        ),
        (
            with(llama(), "rope_parameters", json!({"rope_type": "linear"})),
            "config.json: rope_parameters: key `factor` is missing; a number from 1e-6 to 1e15 is needed",
        ),
        (
            with(llama(), "layer_types", json!(["full_attention", "chunked_attention"])),
            "not supported: config.json: `layer_types` is [\"full_attention\",\"chunked_attention\"] \
             (supported: full_attention everywhere)",
        ),
        (
            with(fixture("qwen2"), "layer_types", json!(["full_attention"])),
            "config.json: key `layer_types` is [\"full_attention\"]; one for each of 4 layers is needed",
        ),
        (
            with(
                fixture("mistral"),
                "layer_types",
                json!(["full_attention", "sliding_attention", "full_attention"]),
            ),
            "not supported: config.json: `layer_types` is [\"full_attention\",\"sliding_attention\",\"full_attention\"] \
             (supported: sliding_attention everywhere, in this family)",
        ),
    ] {
        assert_eq!(fault(&config), expected);
    }
}

#[test]
fn what_would_change_the_computation_is_refused() {
    for (key, value) in [
        ("hidden_act", json!("quick_gelu")),
        ("attn_logit_softcapping", json!(30.0)),
        ("sliding_window", json!(64)),
        ("num_local_experts", json!(8)),
        ("partial_rotary_factor", json!(0.4)),
        ("use_bidirectional_attention", json!(true)),
        ("logits_scaling", json!(2.0)),
        ("is_causal", json!(false)),
        ("position_embedding_type", json!("alibi")),
        ("rope_parameters", json!({"rope_type": "dynamic", "factor": 2.0})),
        ("rope_parameters", json!({"rope_type": "default", "mrope_section": [1, 1, 2]})),
        ("rope_parameters", json!({"full_attention": {"rope_type": "default"}})),
        ("model_type", json!("mistral")),
        ("architectures", json!(["LlamaForSequenceClassification"])),
    ] {
        let fault = fault(&with(fixture("llama"), key, value.clone()));
        let named = match &value {
            Value::Object(object) if object.contains_key("mrope_section") => "mrope_section",
            Value::Object(object) if object.contains_key("factor") => "rope_type",
            _ => key,
        };
        assert!(fault.contains(&format!("`{named}` is ")), "{key} {value}: {fault}");
    }
    // All of them are named at once.
    let two = with(with(fixture("llama"), "alibi", json!(true)), "clip_qkv", json!(8.0));
    let fault = fault(&two);
    assert!(fault.contains("`alibi` is true") && fault.contains("`clip_qkv` is 8.0"), "{fault}");
}

#[test]
fn what_changes_nothing_is_ignored() {
    let plain = format!("{:?}", read(&fixture("llama")).unwrap());
    for (key, value) in [
        ("attention_dropout", json!(0.1)),
        ("something_new", json!({"anything": [1, 2, 3]})),
        ("use_sliding_window", json!(false)),
        ("sliding_window", Value::Null),
        ("attn_logit_softcapping", Value::Null),
        ("layer_types", json!(["full_attention", "full_attention"])),
        ("num_experts", json!(0)),
        ("partial_rotary_factor", json!(1.0)),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("architectures", Value::Null),
    ] {
        assert_eq!(format!("{:?}", read(&with(fixture("llama"), key, value)).unwrap()), plain, "{key}");
    }
}

#[test]
fn other_parts_of_the_files_are_at_hand() {
    let config = r#"{"torch_dtype": "bfloat16", "eos_token_id": 7, "bos_token_id": 1, "pad_token_id": -1,
                     "quantization_config": {"quant_method": "awq", "bits": 4}}"#;
    let generation =
        r#"{"eos_token_id": [7, 9], "temperature": 0.6, "top_p": 0.9, "top_k": 20, "do_sample": true}"#;
    let config = Config::parse(config, Some(generation)).unwrap();
    assert_eq!(config.dtype(), Some("bfloat16"));
    assert_eq!(config.quantization().unwrap()["bits"], 4);
    let said = &config.generation;
    assert_eq!(
        (said.end_tokens.as_slice(), said.begin_token, said.padding_token),
        (&[7, 9][..], Some(1), None)
    );
    assert_eq!((said.temperature, said.top_p, said.top_k), (Some(0.6), Some(0.9), Some(20)));
    assert_eq!((said.sample, said.min_p), (Some(true), None));

    let fault = Config::parse("{}", Some(r#"{"top_p": 1.5}"#)).unwrap_err().to_string();
    assert_eq!(fault, "generation_config.json: key `top_p` is 1.5; a number from 0 to 1 is needed");
    for text in ["", "[]", "{", "{\"a\": NaN}", "{\"a\": 1e999}", &"[".repeat(10_000)] {
        assert!(matches!(Config::parse(text, None), Err(ConfigError::Json { .. })), "{text}");
    }
    assert!(Config::parse("\u{feff}{}", None).is_ok());
    let nowhere = Config::open(std::path::Path::new("/nowhere")).unwrap_err();
    assert_eq!(nowhere.to_string(), "/nowhere/config.json: there is no such file");
}

/// Every key of every family's configuration with every kind of nonsense: an error or a model, never a
/// panic or an overflow.
#[test]
fn nonsense_never_panics() {
    let huge = u64::MAX;
    let nonsense = [
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(3),
        json!(12),
        json!(1u64 << 20),
        json!(1u64 << 31),
        json!(1u64 << 60),
        json!(huge),
        json!(1.5),
        json!(-1e300),
        json!(1e300),
        json!(1e-300),
        json!(true),
        json!("x"),
        json!([]),
        json!({}),
        json!([0, -1, 1u64 << 60]),
        json!([[]]),
        Value::Null,
    ];
    let mut made = 0;
    for fixture in Fixture::all() {
        let config = document(&fixture.name, "config.json");
        let older = document(&fixture.name, "config.legacy.json");
        let known = places(&config);
        let new_in_older = places(&older).into_iter().filter(|place| !known.contains(place));
        let cases = known.iter().map(|place| (&config, place.clone()));
        for (document, place) in cases.chain(new_in_older.map(|place| (&older, place))) {
            for value in &nonsense {
                let mut document = document.clone();
                *document.pointer_mut(&place).unwrap() = value.clone();
                let Ok(config) = Config::parse(&document.to_string(), None) else { continue };
                let Ok(architecture) = from_config(&config) else { continue };
                if let Ok(plan) = architecture.plan(&WeightFormats::uniform(WeightFormat::Nf4).into()) {
                    made += usize::from(!plan.nodes.is_empty());
                }
            }
        }
    }
    assert!(made > 1000, "only {made} were plausible");
}

/// The largest sizes that are accepted, all at once: nothing overflows, and nobody could store it.
#[test]
fn the_largest_sizes_are_only_too_large() {
    let mut config = fixture("llama");
    for (key, size) in [
        ("hidden_size", 1u64 << 20),
        ("intermediate_size", 1 << 20),
        ("num_attention_heads", 1 << 14),
        ("num_key_value_heads", 1 << 14),
        ("head_dim", 1 << 14),
        ("num_hidden_layers", 1 << 12),
        ("vocab_size", 1 << 26),
        ("max_position_embeddings", 1 << 30),
    ] {
        config = with(config, key, json!(size));
    }
    let plan = read(&config).unwrap().plan(&WeightFormats::uniform(WeightFormat::F32).into()).unwrap();
    let footprint = plan.footprint(&CacheOptions::default(), &BatchLimits::default());
    assert_eq!(footprint.total(), u64::MAX);
}

/// The places of all values in a JSON document.
fn places(value: &Value) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => vec![],
    };
    let mut all = vec![];
    for (key, value) in below {
        all.push(format!("/{key}"));
        all.extend(places(value).into_iter().map(|place| format!("/{key}{place}")));
    }
    all
}
