//! In which form quantised weights are written: what other programs read, where it holds the same numbers.

use std::fmt;

use ingle_backends::format::{ActivationScale, Int4Group, WeightFormat};
use serde_json::{Value, json};

use super::{Item, Matrix, Role};

/// How the weights of a folder are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Numbers that no program needs to be told about.
    Plain,
    /// bitsandbytes with four bits.
    Bitsandbytes,
    /// compressed-tensors with int8 codes, for activations that get theirs so.
    CompressedInt8(ActivationScale),
    /// GPTQ with four bits, in the second version of its format.
    Gptq(Int4Group),
    /// Our own, which no other program reads.
    Own,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain numbers, which any program reads",
            Self::Bitsandbytes => "the form of bitsandbytes (NF4), which other programs read",
            Self::CompressedInt8(_) => "the form of compressed-tensors (int8), which other programs read",
            Self::Gptq(_) => "the form of GPTQ (version 2), which other programs read",
            Self::Own => "Inglenook's own form",
        })
    }
}

/// The columns of a block of bitsandbytes, which must not cross the ends of rows.
const NF4_BLOCK: usize = 64;

/// Codes in a word of GPTQ.
const GPTQ_PACKED: usize = 8;

/// The form for these tensors, and where it is our own, why.
pub(super) fn choose(items: &[Item<'_>]) -> (Form, Option<String>) {
    let matrices: Vec<&Matrix<'_>> = items.iter().filter_map(|item| item.matrix.as_ref()).collect();
    let quantized = || matrices.iter().filter(|matrix| is_quantized(matrix.target.format));
    // The layers decide; what they leave open the others do.
    let first = quantized().find(|matrix| matrix.target.role == Role::Layer).or(quantized().next());
    let Some(first) = first else { return (Form::Plain, None) };
    let form = match first.target.format {
        WeightFormat::Nf4 => Form::Bitsandbytes,
        WeightFormat::W8a8(scale) => Form::CompressedInt8(scale),
        WeightFormat::Int4(group) => Form::Gptq(group),
        format => return (Form::Own, Some(format!("no other program has a form for {format}"))),
    };
    let format = first.target.format;
    let hindrance =
        items.iter().filter_map(|item| Some((item, item.matrix.as_ref()?))).find_map(|(item, matrix)| {
            let why = hindrance(item, matrix, form, format)?;
            Some(format!("`{}` {why}", item.found.name))
        });
    match hindrance {
        None => (form, None),
        Some(why) => (Form::Own, Some(why)),
    }
}

pub(super) const fn is_quantized(format: WeightFormat) -> bool {
    !matches!(format, WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16)
}

/// Why a matrix keeps a form from being used.
fn hindrance(item: &Item<'_>, matrix: &Matrix<'_>, form: Form, format: WeightFormat) -> Option<String> {
    let (rows, cols, found) = (matrix.rows, matrix.target.cols, matrix.target.format);
    let is_layer = matrix.target.role == Role::Layer;
    if !is_quantized(found) {
        // GPTQ takes all projections of the layers to be quantised.
        let odd = matches!(form, Form::Gptq(_)) && is_layer;
        return odd.then(|| format!("is kept in {found}, which that form has no place for"));
    }
    if matrix.target.role == Role::Embedding {
        let dense = matrix.dtype.format();
        return Some(format!("is an embedding in {found}, not in {dense}, and no other program has those"));
    }
    if !alike(found, format) {
        return Some(format!("is in {found}, the others in {format}"));
    }
    if item.found.info.shape.len() != 2 || !item.found.name.ends_with(".weight") {
        return Some("is no plain projection".to_owned());
    }
    if matches!(form, Form::Gptq(_)) && !is_layer {
        return Some("is no projection of a layer".to_owned());
    }
    let fits = match form {
        Form::Bitsandbytes => cols.is_multiple_of(NF4_BLOCK),
        Form::Gptq(group) => rows.is_multiple_of(GPTQ_PACKED) && cols.is_multiple_of(group.size()),
        _ => true,
    };
    (!fits).then(|| format!("has {rows} rows of {cols}, which do not fit that form's blocks"))
}

/// Whether a form that holds the one holds the other beside it: each matrix has its own scale for activations.
fn alike(a: WeightFormat, b: WeightFormat) -> bool {
    let calibrated = |format| matches!(format, WeightFormat::W8a8(ActivationScale::PerTensor(_)));
    a == b || calibrated(a) && calibrated(b)
}

/// What `config.json` says of the form.
pub(super) fn config(form: Form, items: &[Item<'_>]) -> Option<Value> {
    Some(match form {
        Form::Plain => return None,
        Form::Bitsandbytes => json!({
            "quant_method": "bitsandbytes",
            "load_in_4bit": true,
            "load_in_8bit": false,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": false,
            "bnb_4bit_compute_dtype": compute_type(items),
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_skip_modules": unconverted(items),
        }),
        Form::CompressedInt8(scale) => {
            let (strategy, dynamic) = match scale {
                ActivationScale::PerToken => ("token", true),
                ActivationScale::PerTensor(_) => ("tensor", false),
            };
            let int8 = |strategy: &str, dynamic: bool| json!({"num_bits": 8, "type": "int", "symmetric": true, "strategy": strategy, "dynamic": dynamic});
            json!({
                "quant_method": "compressed-tensors",
                "format": "int-quantized",
                "quantization_status": "compressed",
                "config_groups": {"group_0": {
                    "targets": ["Linear"],
                    "weights": int8("channel", false),
                    "input_activations": int8(strategy, dynamic),
                }},
                "ignore": unconverted(items),
            })
        }
        Form::Gptq(group) => json!({
            "quant_method": "gptq",
            "checkpoint_format": "gptq_v2",
            "bits": 4,
            "group_size": group.size(),
            "desc_act": false,
            "sym": false,
            "lm_head": false,
        }),
        Form::Own => {
            let formats = items.iter().filter_map(|item| Some(item.matrix?.target.format.to_string()));
            let formats: std::collections::BTreeSet<_> = formats.collect();
            json!({"quant_method": "inglenook", "version": 1, "formats": formats})
        }
    })
}

/// The number type of the matrices that were quantised, as Python calls it.
fn compute_type(items: &[Item<'_>]) -> &'static str {
    let converted = items.iter().filter_map(|item| item.matrix).find(|m| is_quantized(m.target.format));
    converted.map_or("float32", |matrix| python_type(matrix.dtype.format()))
}

/// What Python calls a dense format.
pub(super) fn python_type(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::F16 => "float16",
        WeightFormat::Bf16 => "bfloat16",
        _ => "float32",
    }
}

/// The modules whose weights stay numbers, which other programs would take for quantised ones.
fn unconverted<'a>(items: &[Item<'a>]) -> Vec<&'a str> {
    let plain = |item: &&Item<'_>| item.matrix.is_none_or(|matrix| !is_quantized(matrix.target.format));
    let matrices = items.iter().filter(plain).filter(|item| item.found.info.shape.len() == 2);
    matrices.filter_map(|item| item.found.name.strip_suffix(".weight")).collect()
}
