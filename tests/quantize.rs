//! Model folders that were written in other formats: loading them gives the very numbers that converting while
//! loading gives, whichever form they are stored in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use inglenook::backend::format::WeightFormat;
use inglenook::backend::plan::BatchLimits;
use inglenook::backend::{BackendError, WeightSource, no_progress};
use inglenook::find_device;
use inglenook::model::{LoadError, LoadOptions, Model, QuantizeError, WeightChoice};
use inglenook::models::WeightFormats;
use inglenook::models::checkpoint::{Checkpoint, ExportError, Form};
use inglenook::score::logits_of;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

fn format(name: &str) -> WeightFormat {
    name.parse().unwrap()
}

fn formats(layers: &str, embedding: Option<&str>) -> WeightFormats {
    let usual = WeightFormats::usual(format(layers));
    WeightFormats { embedding: embedding.map_or(usual.embedding, format), ..usual }
}

/// All logits after a few tokens, as bits; and the formats of the model's matrices.
fn computed(folder: &Path, weights: WeightChoice, formats: &WeightFormats) -> (Vec<u32>, Vec<String>) {
    let model = Model::open_without_text(folder).unwrap();
    let stored = weights == WeightChoice::Stored;
    let options = LoadOptions {
        weights,
        embedding: (!stored).then_some(formats.embedding),
        exceptions: if stored { vec![] } else { formats.exceptions.clone() },
        limits: BatchLimits { rows: 16, selected: 16, sequences: 1 },
        ..LoadOptions::default()
    };
    let mut loaded = model.prepare(&find_device("cpu").unwrap(), &options, &mut no_progress).unwrap();
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    let tokens: Vec<u32> = (0..16).map(|i| 3 + i * 5).collect();
    let mut bits = vec![];
    let cache = loaded.options().cache;
    let read = logits_of::<Failure>(loaded.runner.as_mut(), cache, 16, &tokens, |_, logits| {
        bits.extend(logits.iter().map(|logit| logit.to_bits()));
        Ok(())
    });
    read.unwrap();
    let plan = loaded.plan();
    (bits, plan.matrices.iter().map(|matrix| matrix.format.to_string()).collect())
}

#[derive(Debug)]
struct Failure(#[expect(dead_code, reason = "shown where a test fails")] BackendError);

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self(error)
    }
}

impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Writes a folder, checks that it gives the same as converting while loading, and returns how it is stored.
fn round_trip(folder: &Path, formats: &WeightFormats) -> (Form, Option<String>, TempDir) {
    let scratch = tempdir().unwrap();
    let out = scratch.path().join("out");
    let model = Model::open_without_text(folder).unwrap();
    let exported = model.quantize(formats, &out, &mut no_progress).unwrap();
    let expected = computed(folder, WeightChoice::Format(formats.layers), formats);
    let what = format!("{} in {}", folder.display(), formats.layers);
    assert_eq!(computed(&out, WeightChoice::Stored, formats), expected, "{what}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "{what}: nothing is left beside it");
    (exported.form, exported.reason, scratch)
}

#[test]
fn every_family_computes_the_same_from_its_converted_folder() {
    for entry in fs::read_dir(fixtures()).unwrap() {
        let folder = entry.unwrap().path();
        for layers in ["int8", "int8-g32", "nf4", "int4-g32", "w8a8", "bf16", "f32"] {
            round_trip(&folder, &formats(layers, None));
        }
    }
}

const HIDDEN: usize = 128;

/// A model whose sizes suit every form, in bf16.
fn wide_model() -> TempDir {
    let folder = tempdir().unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "hidden_size": HIDDEN, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 200, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false,
    });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("model.embed_tokens.weight".into(), vec![200, HIDDEN]),
        ("lm_head.weight".into(), vec![200, HIDDEN]),
        ("model.norm.weight".into(), vec![HIDDEN]),
        // Nothing that the model computes with.
        ("model.unused".into(), vec![3]),
    ];
    for layer in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(norm, &[HIDDEN]);
        }
        for (name, rows) in [("q_proj", 128), ("k_proj", 64), ("v_proj", 64), ("o_proj", 128)] {
            add(&format!("self_attn.{name}"), &[rows, HIDDEN]);
        }
        add("mlp.gate_proj", &[256, HIDDEN]);
        add("mlp.up_proj", &[256, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, 256]);
    }
    write_weights(folder.path(), &shapes, |_| None);
    for (name, text) in [("tokenizer.json", "{}"), ("chat_template.jinja", "x"), ("LICENSE", "yours")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("pytorch_model.bin"), "other weights").unwrap();
    fs::create_dir(folder.path().join("original")).unwrap();
    folder
}

/// Random weights in bf16; `odd` may give a tensor another first one.
fn write_weights(folder: &Path, shapes: &[(String, Vec<usize>)], odd: impl Fn(&str) -> Option<u16>) {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        (value.to_bits() >> 16) as u16
    };
    let bytes: BTreeMap<_, _> = shapes
        .iter()
        .map(|(name, shape)| {
            let mut halves: Vec<u16> = (0..shape.iter().product()).map(|_| next()).collect();
            halves[0] = odd(name).unwrap_or(halves[0]);
            (name, halves.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<u8>>())
        })
        .collect();
    let views = shapes.iter().map(|(name, shape)| {
        (name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), &bytes[name]).unwrap())
    });
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn config(scratch: &TempDir) -> Value {
    let text = fs::read_to_string(scratch.path().join("out/config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn forms_of_other_programs_are_used_where_they_hold_the_same_numbers() {
    let model = wide_model();
    let cases = [
        ("nf4", "bitsandbytes", "model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4"),
        ("w8a8", "compressed-tensors", "model.layers.1.self_attn.q_proj.weight_scale"),
        ("w8a8-static:0.05", "compressed-tensors", "model.layers.1.self_attn.q_proj.input_scale"),
        ("int4", "gptq", "model.layers.1.mlp.down_proj.g_idx"),
        ("int4-g32", "gptq", "model.layers.1.mlp.down_proj.qzeros"),
        ("int8", "inglenook", "model.layers.1.mlp.down_proj.weight.scales"),
    ];
    for (layers, method, tensor) in cases {
        let (form, reason, scratch) = round_trip(model.path(), &formats(layers, Some("bf16")));
        assert_eq!(form == Form::Own, method == "inglenook", "{layers}: {form}, {reason:?}");
        let config = config(&scratch);
        assert_eq!(config["quantization_config"]["quant_method"], method);
        assert_eq!(config["torch_dtype"], "bfloat16");
        let checkpoint = Checkpoint::open(&scratch.path().join("out")).unwrap();
        assert!(checkpoint.tensor(tensor).is_some(), "{layers}");
        assert_eq!(checkpoint.vector("model.unused", 3).unwrap().len(), 3);
    }
    let (form, _, scratch) = round_trip(model.path(), &formats("f16", None));
    assert_eq!(form, Form::Plain);
    assert_eq!(config(&scratch).get("quantization_config"), None);
}

#[test]
fn where_they_do_not_it_is_our_own_and_says_why() {
    let model = wide_model();
    let (form, reason, _) = round_trip(model.path(), &formats("nf4", None));
    assert_eq!(form, Form::Own);
    assert!(reason.unwrap().contains("`lm_head.weight` is in int8-g64"));
    let mixed = formats("w8a8", Some("bf16")).except("*.down_proj.*", format("int8-g128"));
    let (form, reason, scratch) = round_trip(model.path(), &mixed);
    assert_eq!(form, Form::Own);
    assert!(reason.unwrap().contains("int8-g128"));
    let formats = config(&scratch)["quantization_config"]["formats"].clone();
    assert_eq!(formats, json!(["bf16", "int8-g128", "w8a8"]));
    let dense_layer = WeightFormats::usual(format("nf4")).except("*.0.mlp.*", format("f16"));
    round_trip(model.path(), &WeightFormats { embedding: format("bf16"), ..dense_layer });
}

#[test]
fn a_folder_is_written_with_all_that_belongs_to_it_and_no_other_weights() {
    let model = wide_model();
    let (_, _, scratch) = round_trip(model.path(), &formats("nf4", None));
    let names = fs::read_dir(scratch.path().join("out")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = ["LICENSE", "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"];
    assert_eq!(names, expected);
    let bytes = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().len();
    assert!(bytes(&scratch.path().join("out")) * 2 < bytes(model.path()));
}

fn refused(folder: &Path, formats: &WeightFormats, out: &Path) -> QuantizeError {
    let model = Model::open_without_text(folder).unwrap();
    let before = fs::read_dir(out.parent().unwrap()).unwrap().count();
    let error = model.quantize(formats, out, &mut no_progress).unwrap_err();
    assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), before, "{error} left something");
    error
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let (model, scratch) = (wide_model(), tempdir().unwrap());
    let (out, nf4) = (scratch.path().join("out"), formats("nf4", None));
    let there = scratch.path().join("there");
    fs::create_dir(&there).unwrap();
    let exists = refused(model.path(), &nf4, &there);
    assert!(matches!(exists, QuantizeError::Export(ExportError::Exists(_))), "{exists}");
    fs::remove_dir(&there).unwrap();
    let unknown = refused(model.path(), &nf4.clone().except("*.side_proj.*", format("f16")), &out);
    assert!(matches!(unknown, QuantizeError::Load(LoadError::NoSuchTensor { .. })), "{unknown}");

    // Cancelled at every step.
    let opened = Model::open_without_text(model.path()).unwrap();
    for steps in 0..12 {
        let mut left = steps;
        let mut progress = |_: &inglenook::backend::Progress<'_>| {
            left -= 1;
            if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = opened.quantize(&nf4, &out, &mut progress).unwrap_err();
        assert!(matches!(error, QuantizeError::Export(ExportError::Cancelled)), "{error}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    opened.quantize(&nf4, &out, &mut no_progress).unwrap();
    let again = refused(&out, &nf4, &scratch.path().join("again"));
    assert!(matches!(again, QuantizeError::Export(ExportError::Quantized { .. })), "{again}");

    for (tensor, layers) in [
        ("model.layers.1.mlp.up_proj.weight", "nf4"),
        ("model.norm.weight", "nf4"),
        ("lm_head.weight", "bf16"),
    ] {
        let model = wide_model();
        let checkpoint = Checkpoint::open(model.path()).unwrap();
        let shapes: Vec<_> =
            checkpoint.tensors().map(|(name, info)| (name.to_owned(), info.shape.clone())).collect();
        drop(checkpoint);
        write_weights(model.path(), &shapes, |name| (name == tensor).then_some(0x7fc0));
        let error = refused(model.path(), &formats(layers, None), &scratch.path().join("nan")).to_string();
        assert!(error.contains(tensor) && error.contains("NaN"), "{error}");
    }
}
