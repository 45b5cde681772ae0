//! What a checkpoint hands out.

use std::fs;

use ingle_backends::format::{ActivationScale, FormatError, Int8Group, PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightError, WeightSource};
use tempfile::tempdir;

use super::*;
use crate::checkpoint::{Checkpoint, Dtype};

const FORMATS: [WeightFormat; 6] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Int8(Int8Group::G32),
    WeightFormat::Nf4,
    WeightFormat::W8a8(ActivationScale::PerToken),
];

fn checkpoint(tensors: &[Written]) -> Checkpoint {
    Checkpoint::from_bytes("test.safetensors", file_of(tensors)).unwrap()
}

fn request(
    tensor: &str,
    rows: std::ops::Range<usize>,
    cols: usize,
    format: WeightFormat,
) -> MatrixRequest<'_> {
    MatrixRequest { tensor, rows, cols, format }
}

fn same(a: &PackedMatrix, b: &PackedMatrix) {
    assert_eq!((a.format(), a.rows(), a.cols()), (b.format(), b.rows(), b.cols()));
    assert_eq!(a.codes()[..], b.codes()[..]);
    assert_eq!(a.scales()[..], b.scales()[..]);
}

#[test]
fn every_type_becomes_every_format_by_rows() {
    let values = numbers(10 * 70);
    let sources: [(StDtype, Vec<u8>, Vec<f32>); 3] = [
        (StDtype::F32, f32_bytes(&values), values.clone()),
        (StDtype::F16, f16_bytes(&values), values.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect()),
        (
            StDtype::BF16,
            bf16_bytes(&values),
            values.iter().map(|v| half::bf16::from_f32(*v).to_f32()).collect(),
        ),
    ];
    for (dtype, bytes, exact) in sources {
        // Two dimensions, or three read as two; even columns, or odd ones whose rows need padding.
        for (shape, rows, cols) in [(vec![10, 70], 10, 70), (vec![4, 5, 35], 20, 35)] {
            let source = checkpoint(&[("model.t", dtype, shape, bytes.clone())]);
            for format in FORMATS {
                for range in [0..rows, 3..7, rows - 1..rows] {
                    let found = source.matrix(&request("model.t", range.clone(), cols, format)).unwrap();
                    let values = &exact[range.start * cols..range.end * cols];
                    same(&found, &PackedMatrix::quantize(format, range.len(), cols, values).unwrap());
                }
            }
        }
    }
}

#[test]
fn rows_stored_as_wanted_are_shared() {
    let values = numbers(24);
    let (a, b, c) = (f32_bytes(&values), f16_bytes(&values), bf16_bytes(&values));
    let bytes = file_of(&[
        ("a", StDtype::F32, vec![4, 6], a),
        ("b", StDtype::F16, vec![4, 6], b),
        ("c", StDtype::BF16, vec![4, 6], c),
    ]);
    let source = Checkpoint::from_bytes("", bytes).unwrap();
    for (name, format) in [("a", WeightFormat::F32), ("b", WeightFormat::F16), ("c", WeightFormat::Bf16)] {
        let start = |rows| source.matrix(&request(name, rows, 6, format)).unwrap().codes().as_ptr().addr();
        assert_eq!(start(0..4), start(0..1), "the same bytes both times");
        assert_eq!(start(2..4), start(0..4) + format.row_bytes(6) * 2);
    }
}

#[test]
fn data_may_start_anywhere() {
    let values = numbers(60);
    for spaces in 0..8 {
        let end = values.len() * 4;
        let spaces = " ".repeat(spaces);
        let header = format!(r#"{{"t":{{"dtype":"F32","shape":[6,10],"data_offsets":[0,{end}]}}{spaces}}}"#);
        let mut bytes = raw_file(&header, 0);
        bytes.extend(f32_bytes(&values));
        let source = Checkpoint::from_bytes("", bytes).unwrap();
        for format in FORMATS {
            let found = source.matrix(&request("t", 1..6, 10, format)).unwrap();
            same(&found, &PackedMatrix::quantize(format, 5, 10, &values[10..]).unwrap());
        }
    }
}

#[test]
fn vectors_are_f32_whatever_they_were() {
    let values = [1.0, -2.5, 0.125];
    let source = checkpoint(&[
        ("a", StDtype::F32, vec![3], f32_bytes(&values)),
        ("b", StDtype::F16, vec![1, 3], f16_bytes(&values)),
        ("c", StDtype::BF16, vec![3, 1, 1], bf16_bytes(&values)),
        ("d", StDtype::BF16, vec![], bf16_bytes(&values[..1])),
    ]);
    for name in ["a", "b", "c"] {
        assert_eq!(source.vector(name, 3).unwrap(), values);
        assert!(matches!(source.vector(name, 4), Err(WeightError::Shape { .. })));
    }
    assert_eq!(source.vector("d", 1).unwrap(), [1.0]);
    let source = checkpoint(&[("m", StDtype::F32, vec![3, 3], f32_bytes(&numbers(9)))]);
    assert!(matches!(source.vector("m", 9), Err(WeightError::Shape { .. })));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let source = checkpoint(&[
        f32_tensor("m", &[4, 6]),
        f32_tensor("v", &[6]),
        f32_tensor("conv", &[1, 1, 4, 6]),
        f32_tensor("none", &[0, 6]),
    ]);
    let fault = |name, rows, cols| source.matrix(&request(name, rows, cols, WeightFormat::Nf4)).unwrap_err();
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let backwards = 3..2;
    for (name, rows, cols) in [
        ("m", 0..5, 6),
        ("m", 0..4, 7),
        ("m", backwards, 6),
        ("m", 0..usize::MAX, 6),
        ("v", 0..1, 6),
        ("conv", 0..4, 6),
        ("none", 0..1, 6),
    ] {
        let error = fault(name, rows, cols);
        assert!(matches!(&error, WeightError::Shape { tensor, .. } if tensor == name), "{error}");
    }
    assert!(matches!(fault("m", 2..2, 6), WeightError::Format { .. }));
    assert!(matches!(fault("m2", 0..4, 6), WeightError::Missing(name) if name == "m2"));
}

#[test]
fn types_that_are_no_weights_are_refused_where_they_are_used() {
    let source = checkpoint(&[("ids", StDtype::I64, vec![2, 2], vec![0; 32]), f32_tensor("m", &[4, 6])]);
    assert!(source.matrix(&request("m", 0..4, 6, WeightFormat::F32)).is_ok());
    let error = source.matrix(&request("ids", 0..2, 2, WeightFormat::F32)).unwrap_err();
    assert!(
        matches!(&error, WeightError::Unsupported { tensor, fault } if tensor == "ids" && fault.contains("I64"))
    );
    assert!(matches!(source.vector("ids", 4), Err(WeightError::Unsupported { .. })));
}

#[test]
fn what_is_not_finite_is_named_with_its_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = numbers(9 * 64);
        values[5 * 64 + 7] = bad;
        let tensors = [
            ("f32", StDtype::F32, vec![9, 64], f32_bytes(&values)),
            ("f16", StDtype::F16, vec![9, 64], f16_bytes(&values)),
            ("bf16", StDtype::BF16, vec![9, 64], bf16_bytes(&values)),
        ];
        let source = checkpoint(&tensors);
        for (name, format) in tensors.iter().flat_map(|t| FORMATS.map(|format| (t.0, format))) {
            match source.matrix(&request(name, 2..9, 64, format)).unwrap_err() {
                WeightError::Format { tensor, source: FormatError::NotFinite { row: 5, col: 7, value } } => {
                    assert_eq!(tensor, name);
                    assert_eq!(value.to_bits(), bad.to_bits());
                }
                other => panic!("{name} to {format}: {other}"),
            }
            assert!(source.matrix(&request(name, 6..9, 64, format)).is_ok());
        }
        let source = checkpoint(&[("v", StDtype::F16, vec![64], f16_bytes(&values[5 * 64..6 * 64]))]);
        let error = source.vector("v", 64).unwrap_err();
        let place =
            matches!(error, WeightError::Format { source: FormatError::NotFinite { col: 7, .. }, .. });
        assert!(place);
    }
    let mut values = numbers(3 * 64);
    values[130] = 1e6;
    let source = checkpoint(&[("t", StDtype::F32, vec![3, 64], f32_bytes(&values))]);
    let error = source.matrix(&request("t", 1..3, 64, WeightFormat::F16)).unwrap_err();
    let place =
        matches!(error, WeightError::Format { source: FormatError::OutOfRange { row: 2, col: 2, .. }, .. });
    assert!(place);
}

#[test]
fn names_of_other_kinds_of_checkpoints_are_found() {
    let source = checkpoint(&[
        f32_tensor("language_model.model.a", &[2, 2]),
        f32_tensor("model.language_model.b", &[3, 2]),
        f32_tensor("c", &[4, 2]),
        f32_tensor("model.c", &[5, 2]),
        f32_tensor("language_model.lm_head.weight", &[6, 2]),
    ]);
    let shapes = [("model.a", 2), ("model.b", 3), ("model.c", 5), ("c", 4), ("lm_head.weight", 6)];
    for (name, rows) in shapes {
        assert_eq!(source.tensor(name).unwrap().shape, [rows, 2], "{name}");
        assert!(source.matrix(&request(name, 0..rows, 2, WeightFormat::F32)).is_ok());
    }
    assert!(source.tensor("model.d").is_none());
    assert_eq!(source.bytes(), 20 * 8);
}

#[test]
fn folders_with_one_file_or_several() {
    let folder = tempdir().unwrap();
    write_sharded(folder.path());
    let source = Checkpoint::open(folder.path()).unwrap();
    let c = source.matrix(&request("model.c", 0..2, 3, WeightFormat::F32)).unwrap();
    same(&c, &PackedMatrix::quantize(WeightFormat::F32, 2, 3, &numbers(6)).unwrap());
    assert_eq!(source.tensor("model.b").unwrap().dtype, Dtype::F32);
    // A whole file beside the shards is the model, as it is elsewhere.
    fs::write(folder.path().join("model.safetensors"), file_of(&[f32_tensor("only", &[1, 1])])).unwrap();
    let names: Vec<_> =
        Checkpoint::open(folder.path()).unwrap().tensors().map(|(n, _)| n.to_owned()).collect();
    assert_eq!(names, ["only"]);
}

#[test]
fn a_file_that_changes_after_it_was_opened_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, file_of(&[f32_tensor("t", &[64, 1024]), f32_tensor("v", &[8])])).unwrap();
    let source = Checkpoint::open(folder.path()).unwrap();
    assert!(source.matrix(&request("t", 0..64, 1024, WeightFormat::Nf4)).is_ok());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1000).unwrap();
    for format in FORMATS {
        let error = source.matrix(&request("t", 0..64, 1024, format)).unwrap_err();
        assert!(matches!(&error, WeightError::Damaged { tensor, .. } if tensor == "t"), "{error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
    assert!(matches!(source.vector("v", 8), Err(WeightError::Damaged { .. })));
    // A file that has been replaced as a whole lives on for those who have it open.
    fs::remove_file(&path).unwrap();
    fs::write(&path, file_of(&[f32_tensor("t", &[64, 1024])])).unwrap();
    let source = Checkpoint::open(folder.path()).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "x").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(source.matrix(&request("t", 0..64, 1024, WeightFormat::Nf4)).is_ok());
}
