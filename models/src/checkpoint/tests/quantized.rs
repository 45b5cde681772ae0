//! Checkpoints that other programs have quantised, against what those programs would compute from them.

use std::fmt::Write;

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

/// Whether two numbers are the same, to the bit but for the sign of zero.
fn equal(a: f64, b: f64) -> bool {
    (a + 0.0).to_bits() == (b + 0.0).to_bits()
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
        write!(state, r#","nested_blocksize":4,"nested_dtype":"float32","nested_offset":{offset}"#).unwrap();
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
        assert!(weights(&found).into_iter().zip(&expected[cols..]).all(|(a, b)| equal(a, f64::from(*b))));
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
        let exact = |(found, expected): (f64, &f32)| equal(found, f16::from_f32(*expected).to_f64());
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
        assert!(weights(&found).into_iter().enumerate().all(|(i, weight)| equal(weight, expected(i))));
        assert_eq!(rounded_again(&source), 0);
        let found = matrix(&source, 1..5, 70, WeightFormat::F32);
        assert!(weights(&found).into_iter().enumerate().all(|(i, weight)| equal(weight, expected(i))));
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

/// A model folder with int4 codes as GPTQ or AWQ writes them.
struct Int4Model {
    rows: usize,
    cols: usize,
    group: usize,
    awq: bool,
    /// The group of each input.
    groups: Vec<usize>,
}

impl Int4Model {
    fn new(rows: usize, cols: usize, group: usize, awq: bool) -> Self {
        Self { rows, cols, group, awq, groups: (0..cols).map(|col| col / group).collect() }
    }

    fn code(row: usize, col: usize) -> u32 {
        ((row * 5 + col * 11 + col / 8) % 16) as u32
    }

    /// As it is meant, not as it is stored.
    fn zero(row: usize, group: usize) -> u32 {
        (1 + (row + 3 * group) % 15) as u32
    }

    fn scale(row: usize, group: usize) -> f32 {
        f16::from_f32(0.01 + row as f32 * 1e-3 + group as f32 * 7e-4).to_f32()
    }

    fn weight(&self, row: usize, col: usize) -> f64 {
        let group = self.groups[col];
        let code = f64::from(Self::code(row, col)) - f64::from(Self::zero(row, group));
        code * f64::from(Self::scale(row, group))
    }

    /// Packs eight neighbours along the outputs.
    fn by_output(&self, of: impl Fn(usize) -> u32) -> Vec<u32> {
        let order = if self.awq { [0, 2, 4, 6, 1, 3, 5, 7] } else { [0, 1, 2, 3, 4, 5, 6, 7] };
        let word = |word| order.iter().enumerate().map(|(at, i)| of(word * 8 + i) << (4 * at)).sum();
        (0..self.rows / 8).map(word).collect()
    }

    fn tensors(&self, stored_less: u32) -> Vec<Written> {
        let bytes = |words: Vec<u32>| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let (rows, cols, groups) = (self.rows, self.cols, self.cols.div_ceil(self.group));
        let codes = if self.awq {
            (0..cols).flat_map(|col| self.by_output(|row| Self::code(row, col))).collect()
        } else {
            let word = |first: usize, row| (0..8).map(|i| Self::code(row, first * 8 + i) << (4 * i)).sum();
            (0..cols / 8).flat_map(|first| (0..rows).map(move |row| word(first, row))).collect()
        };
        let zeros =
            (0..groups).flat_map(|g| self.by_output(|row| Self::zero(row, g) - stored_less)).collect();
        let scales: Vec<_> =
            (0..groups).flat_map(|g| (0..rows).map(move |row| Self::scale(row, g))).collect();
        let shape = if self.awq { vec![cols, rows / 8] } else { vec![cols / 8, rows] };
        let mut tensors: Vec<Written> = vec![
            ("model.x.qweight", StDtype::I32, shape, bytes(codes)),
            ("model.x.qzeros", StDtype::I32, vec![groups, rows / 8], bytes(zeros)),
            ("model.x.scales", StDtype::F16, vec![groups, rows], f16_bytes(&scales)),
        ];
        if !self.awq {
            let order = self.groups.iter().map(|group| *group as u32).collect();
            tensors.push(("model.x.g_idx", StDtype::I32, vec![cols], bytes(order)));
        }
        tensors
    }

    fn config(&self, rest: &str) -> String {
        let method = if self.awq { "awq" } else { "gptq" };
        format!(
            r#"{{"quantization_config":{{"quant_method":"{method}","bits":4,"group_size":{}{rest}}}}}"#,
            self.group
        )
    }

    fn open(tensors: &[Written], config: &str) -> Checkpoint {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors"), file_of(tensors)).unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        Checkpoint::open(folder.path()).unwrap()
    }

    fn check(&self, source: &Checkpoint, format: WeightFormat) {
        let found = matrix(source, 1..self.rows, self.cols, format);
        found.check_contents().unwrap();
        for (i, found) in weights(&found).into_iter().enumerate() {
            let (row, col) = (1 + i / self.cols, i % self.cols);
            let expected = self.weight(row, col);
            assert!((found - expected).abs() <= expected.abs() * 1e-7, "{row} {col}: {found} {expected}");
        }
    }
}

#[test]
fn gptq_and_awq_keep_their_codes() {
    use ingle_backends::format::Int4Group::{G32, G64, G128};
    for (cols, group, ours, smaller) in [
        (256, 128, G128, G32),
        (192, 64, G64, G32),
        (160, 32, G32, G32),
        (512, 256, G128, G64),
        (384, 384, G128, G128),
    ] {
        for awq in [false, true] {
            let model = Int4Model::new(16, cols, group, awq);
            let versions: &[(u32, &str)] = if awq {
                &[(0, ""), (0, r#","version":"GEMM""#)]
            } else {
                &[(1, ""), (1, r#","checkpoint_format":"gptq""#), (0, r#","checkpoint_format":"gptq_v2""#)]
            };
            for (less, version) in versions {
                let source = Int4Model::open(&model.tensors(*less), &model.config(version));
                let format = source.stored_format("model.x.weight").unwrap();
                assert_eq!(format, WeightFormat::Int4(ours));
                model.check(&source, format);
                model.check(&source, WeightFormat::Int4(smaller));
                assert_eq!(rounded_again(&source), 0);
                model.check(&source, WeightFormat::F32);
                assert_eq!(rounded_again(&source), 1);
            }
        }
    }
    let mut model = Int4Model::new(8, 128, 128, false);
    let tensors = model.tensors(1);
    model.group = 0;
    let config = model.config("").replace(r#""group_size":0"#, r#""group_size":-1"#);
    model.check(&Int4Model::open(&tensors, &config), WeightFormat::F32);
}

#[test]
fn inputs_out_of_order_are_refused_as_int4_and_widened_otherwise() {
    let mut model = Int4Model::new(8, 128, 32, false);
    model.groups = (0..128).map(|col| col * 7 % 4).collect();
    let source = Int4Model::open(&model.tensors(1), &model.config(r#","desc_act":true"#));
    assert_eq!(source.stored_format("model.x.weight").unwrap(), WeightFormat::F16);
    model.check(&source, WeightFormat::F32);
    let format = "int4-g32".parse().unwrap();
    let request = MatrixRequest { tensor: "model.x.weight", rows: 0..8, cols: 128, format };
    let error = source.matrix(&request).unwrap_err();
    assert!(
        matches!(&error, WeightError::Unsupported { fault, .. } if fault.contains("act-order")),
        "{error}"
    );
}

#[test]
fn int4_parts_that_do_not_fit_are_named() {
    let model = Int4Model::new(8, 128, 64, false);
    let request =
        MatrixRequest { tensor: "model.x.weight", rows: 0..8, cols: 128, format: WeightFormat::F32 };
    let tensors = model.tensors(1);
    for index in 0..4 {
        let mut fewer = tensors.clone();
        let missing = fewer.remove(index).0;
        let result = Int4Model::open(&fewer, &model.config("")).matrix(&request);
        match (missing, result) {
            ("model.x.g_idx", Ok(_)) | ("model.x.qweight", Err(WeightError::Missing(_))) => {}
            (_, Err(WeightError::Damaged { fault, .. })) => assert!(fault.contains(missing), "{fault}"),
            (_, other) => panic!("{missing}: {other:?}"),
        }
    }
    let mut wrong = tensors.clone();
    wrong[3].3[..4].fill(0xff);
    let error = Int4Model::open(&wrong, &model.config("")).matrix(&request).unwrap_err();
    assert!(error.to_string().contains("g_idx"), "{error}");
    let error = Int4Model::open(&tensors, &Int4Model::new(8, 128, 32, false).config("")).matrix(&request);
    assert!(matches!(error, Err(WeightError::Damaged { .. })));
    // Without a word on how, or in a way that is not known, nothing is guessed.
    for config in ["{}".to_owned(), model.config(r#","checkpoint_format":"marlin""#)] {
        let error = Int4Model::open(&tensors, &config).matrix(&request).unwrap_err();
        assert!(matches!(error, WeightError::Unsupported { .. }), "{error}");
    }
}
