//! Checkpoints that other programs have quantised, against what those programs would compute from them.

use half::f16;
use ingle_backends::format::{ActivationScale, NF4_CODEBOOK, PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightError, WeightSource};
use tempfile::tempdir;

use super::*;
use crate::checkpoint::{Checkpoint, Notice, Quantization};

fn matrix(
    source: &Checkpoint,
    rows: std::ops::Range<usize>,
    cols: usize,
    format: WeightFormat,
) -> PackedMatrix {
    source.matrix(&MatrixRequest { tensor: "model.x.weight", rows, cols, format }).unwrap()
}

fn weights(matrix: &PackedMatrix) -> Vec<f64> {
    let view = matrix.view();
    (0..view.rows).flat_map(|row| (0..view.cols).map(move |col| view.weight(row, col))).collect()
}

fn rounded_again(source: &Checkpoint) -> usize {
    source.take_notices().iter().filter(|notice| matches!(notice, Notice::RoundedAgain { .. })).count()
}

/// A matrix as bitsandbytes writes it, and its weights.
fn four_bits(
    rows: usize,
    cols: usize,
    block: usize,
    nested: bool,
    table: [f32; 16],
) -> (Vec<Written>, Vec<f32>) {
    let elements = rows * cols;
    let codes: Vec<u8> = (0..elements).map(|i| ((i * 7 + i / 16) % 16) as u8).collect();
    let packed = codes.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)).collect();
    let blocks = elements.div_ceil(block);
    let mut state =
        format!(r#"{{"quant_type":"nf4","blocksize":{block},"dtype":"bfloat16","shape":[{rows},{cols}]"#);
    let mut tensors: Vec<Written> = vec![
        ("model.x.weight", StDtype::U8, vec![elements.div_ceil(2), 1], packed),
        ("model.x.weight.quant_map", StDtype::F32, vec![16], f32_bytes(&table)),
    ];
    let absmax: Vec<f32> = if nested {
        let table: Vec<f32> = (0..256).map(|i| (i as f32 - 127.0) / 128.0).collect();
        let codes: Vec<u8> = (0..blocks).map(|i| (100 + i % 156) as u8).collect();
        let scales: Vec<f32> = (0..blocks.div_ceil(4)).map(|i| 0.01 + i as f32 * 1e-3).collect();
        let offset = 0.5;
        state += &format!(r#","nested_blocksize":4,"nested_dtype":"float32","nested_offset":{offset}"#);
        let numbers = codes.iter().enumerate();
        let numbers = numbers.map(|(i, code)| table[usize::from(*code)] * scales[i / 4] + offset).collect();
        tensors.push(("model.x.weight.absmax", StDtype::U8, vec![blocks], codes));
        tensors.push(("model.x.weight.nested_quant_map", StDtype::F32, vec![256], f32_bytes(&table)));
        tensors.push(("model.x.weight.nested_absmax", StDtype::F32, vec![scales.len()], f32_bytes(&scales)));
        numbers
    } else {
        let numbers: Vec<f32> = (0..blocks).map(|i| 0.02 + i as f32 * 3e-3).collect();
        tensors.push(("model.x.weight.absmax", StDtype::F32, vec![blocks], f32_bytes(&numbers)));
        numbers
    };
    let state = (state + "}").into_bytes();
    tensors.push(("model.x.weight.quant_state.bitsandbytes__nf4", StDtype::U8, vec![state.len()], state));
    let weights = codes.iter().enumerate().map(|(i, code)| table[usize::from(*code)] * absmax[i / block]);
    (tensors, weights.collect())
}

#[test]
fn nf4_blocks_keep_their_codes() {
    for (rows, cols, block, nested) in [(6, 64, 64, false), (5, 192, 64, true), (4, 192, 128, false)] {
        let (tensors, expected) = four_bits(rows, cols, block, nested, NF4_CODEBOOK);
        let source = Checkpoint::from_bytes("", file_of(&tensors)).unwrap();
        assert_eq!(source.stored_format("model.x.weight").unwrap(), WeightFormat::Nf4);
        let found = matrix(&source, 1..rows, cols, WeightFormat::Nf4);
        found.check_contents().unwrap();
        for (found, expected) in weights(&found).into_iter().zip(&expected[cols..]) {
            // Only the scale is rounded, to 11 bits.
            assert!((found - f64::from(*expected)).abs() <= f64::from(expected.abs()) / 2048.0);
        }
        assert_eq!(rounded_again(&source), 0);
        // Asked for anything else, the numbers are those that bitsandbytes computes with.
        let found = matrix(&source, 1..rows, cols, WeightFormat::F32);
        assert!(weights(&found).into_iter().zip(&expected[cols..]).all(|(a, b)| a == f64::from(*b)));
        matrix(&source, 0..1, cols, WeightFormat::F32);
        assert_eq!(rounded_again(&source), 1, "once, not with each piece");
    }
}

#[test]
fn four_bits_that_do_not_fit_nf4_are_widened() {
    let mut table = NF4_CODEBOOK;
    table[3] = -0.3;
    for (cols, block, table) in [(35, 64, NF4_CODEBOOK), (64, 32, NF4_CODEBOOK), (64, 64, table)] {
        let (tensors, expected) = four_bits(5, cols, block, false, table);
        let source = Checkpoint::from_bytes("", file_of(&tensors)).unwrap();
        assert_eq!(source.stored_format("model.x.weight").unwrap(), WeightFormat::F16);
        let found = matrix(&source, 0..5, cols, WeightFormat::F16);
        let exact = |(found, expected): (f64, &f32)| found == f16::from_f32(*expected).to_f64();
        assert!(weights(&found).into_iter().zip(&expected).all(exact));
        let expected = PackedMatrix::quantize(WeightFormat::Nf4, 5, cols, &expected).unwrap();
        assert_eq!(matrix(&source, 0..5, cols, WeightFormat::Nf4).codes()[..], expected.codes()[..]);
        assert_eq!(rounded_again(&source), 1);
    }
}

#[test]
fn a_negative_scale_is_mended() {
    let (mut tensors, mut expected) = four_bits(3, 64, 64, false, NF4_CODEBOOK);
    let absmax = tensors.iter_mut().find(|t| t.0.ends_with("absmax")).unwrap();
    absmax.3[4..8].copy_from_slice(&(-0.125_f32).to_le_bytes());
    for (i, weight) in expected.iter_mut().enumerate().skip(64).take(64) {
        *weight = NF4_CODEBOOK[(i * 7 + i / 16) % 16] * -0.125;
    }
    let source = Checkpoint::from_bytes("", file_of(&tensors)).unwrap();
    let found = matrix(&source, 0..3, 64, WeightFormat::Nf4);
    found.check_contents().unwrap();
    assert!(weights(&found).into_iter().zip(&expected).all(|(a, b)| (a - f64::from(*b)).abs() < 0.02));
    assert_eq!(rounded_again(&source), 1);
}

/// A matrix as compressed-tensors writes it.
fn int8(codes: &[i8], cols: usize, scales: &[f32], input_scale: Option<f32>) -> Vec<Written> {
    let rows = codes.len() / cols;
    let mut tensors: Vec<Written> = vec![
        ("model.x.weight", StDtype::I8, vec![rows, cols], codes.iter().map(|c| *c as u8).collect()),
        ("model.x.weight_scale", StDtype::BF16, vec![scales.len(), 1], bf16_bytes(scales)),
    ];
    if let Some(scale) = input_scale {
        tensors.push(("model.x.input_scale", StDtype::F32, vec![1], f32_bytes(&[scale])));
    }
    tensors
}

#[test]
fn int8_rows_keep_their_codes() {
    let codes: Vec<i8> = (0..5 * 70).map(|i| (i * 37 % 255 - 127) as i8).collect();
    let scales = [0.5, 0.25, 0.0625, 2.0, 0.75];
    for (scales, input) in [(&scales[..], None), (&scales[..1], Some(0.125))] {
        let source = Checkpoint::from_bytes("", file_of(&int8(&codes, 70, scales, input))).unwrap();
        let activation = input.map_or(ActivationScale::PerToken, ActivationScale::PerTensor);
        let format = source.stored_format("model.x.weight").unwrap();
        assert_eq!(format, WeightFormat::W8a8(activation));
        let found = matrix(&source, 1..5, 70, format);
        found.check_contents().unwrap();
        let expected = |i: usize| f64::from(codes[70 + i]) * f64::from(scales[(1 + i / 70) % scales.len()]);
        assert!(weights(&found).into_iter().enumerate().all(|(i, weight)| weight == expected(i)));
        assert_eq!(rounded_again(&source), 0);
        let found = matrix(&source, 1..5, 70, WeightFormat::F32);
        assert!(weights(&found).into_iter().enumerate().all(|(i, weight)| weight == expected(i)));
        assert_eq!(rounded_again(&source), 1);
    }
}

#[test]
fn a_row_with_the_code_that_int8_does_not_have_is_packed_anew() {
    let mut codes = vec![1_i8; 3 * 64];
    codes[70] = -128;
    let source = Checkpoint::from_bytes("", file_of(&int8(&codes, 64, &[0.5, 0.5, 0.5], None))).unwrap();
    let found = matrix(&source, 0..3, 64, WeightFormat::W8a8(ActivationScale::PerToken));
    found.check_contents().unwrap();
    assert!((found.view().weight(1, 6) + 64.0).abs() < 1e-4);
    assert!((found.view().weight(0, 6) - 0.5).abs() < 1e-9);
    assert_eq!(rounded_again(&source), 1);
}

#[test]
fn parts_that_are_missing_or_do_not_fit_are_named() {
    let fault = |tensors: &[Written]| {
        let source = Checkpoint::from_bytes("", file_of(tensors)).unwrap();
        let request =
            MatrixRequest { tensor: "model.x.weight", rows: 0..3, cols: 64, format: WeightFormat::Nf4 };
        let error = source.matrix(&request).unwrap_err();
        assert!(error.to_string().contains("model.x.weight"), "{error}");
        error
    };
    for nested in [false, true] {
        let (tensors, _) = four_bits(6, 64, 64, nested, NF4_CODEBOOK);
        for index in 1..tensors.len() {
            let mut fewer = tensors.clone();
            let missing = fewer.remove(index);
            let error = fault(&fewer);
            let unknown = missing.0.contains("quant_state");
            assert!(unknown == matches!(error, WeightError::Unsupported { .. }), "{error}");
            assert!(unknown || error.to_string().contains(missing.0), "{error}");
            let mut shorter = tensors.clone();
            shorter[index].2 = vec![1];
            let bytes = shorter[index].1.bitsize() / 8;
            shorter[index].3.truncate(bytes);
            assert!(matches!(fault(&shorter), WeightError::Damaged { .. }));
        }
    }
    let codes = [1; 3 * 64];
    let mut tensors = int8(&codes, 64, &[0.5, 0.5, 0.5], None);
    tensors.push(("model.x.input_zero_point", StDtype::I8, vec![1], vec![3]));
    assert!(matches!(fault(&tensors), WeightError::Unsupported { .. }));
    assert!(matches!(fault(&int8(&codes, 64, &[0.5, 0.5], None)), WeightError::Unsupported { .. }));
    assert!(matches!(fault(&int8(&codes, 64, &[0.5], Some(0.0))), WeightError::Damaged { .. }));
    assert!(matches!(fault(&int8(&codes, 64, &[f32::NAN], None)), WeightError::Format { .. }));
    assert!(matches!(fault(&int8(&codes[..64], 64, &[0.5], None)), WeightError::Shape { .. }));
}

#[test]
fn the_configuration_names_the_method() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), file_of(&[f32_tensor("t", &[2, 2])])).unwrap();
    let with = |text: &str| {
        fs::write(folder.path().join("config.json"), text).unwrap();
        Checkpoint::open(folder.path())
    };
    let method = |inner: &str| {
        let text = format!(r#"{{"quantization_config": {inner}}}"#);
        with(&text).unwrap().quantization().cloned()
    };
    assert_eq!(with("{}").unwrap().quantization(), None);
    assert_eq!(method("null"), None);
    let bitsandbytes = r#"{"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf4"}"#;
    assert_eq!(method(bitsandbytes), Some(Quantization::Bitsandbytes4));
    let compressed = r#"{"quant_method":"compressed-tensors","format":"int-quantized"}"#;
    assert_eq!(method(compressed), Some(Quantization::CompressedInt8));
    for (inner, words) in [
        (r#"{"quant_method":"bitsandbytes","load_in_8bit":true}"#, "bitsandbytes with 8 bits"),
        (
            r#"{"quant_method":"compressed-tensors","format":"float-quantized"}"#,
            "compressed-tensors as float-quantized",
        ),
        (r#"{"quant_method":"hqq"}"#, "hqq"),
        ("{}", "an unnamed method"),
    ] {
        assert_eq!(method(inner).unwrap().to_string(), words);
    }
    let error = with("{").unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
}
