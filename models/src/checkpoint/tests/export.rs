//! Folders in several files, and damage to what was written in our own form.

use ingle_backends::format::{PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightError, WeightSource, no_progress};
use tempfile::tempdir;

use super::*;
use crate::checkpoint::{Checkpoint, CheckpointError, Export, Rescaling, Role, Target};

const TENSORS: [(&str, [usize; 2]); 4] = [("a", [5, 70]), ("b", [3, 64]), ("c", [1, 1]), ("d", [9, 130])];

fn target(tensor: &str, cols: usize, format: WeightFormat) -> Target {
    Target { tensor: tensor.to_owned(), cols, format, role: Role::Layer }
}

#[test]
fn every_format_survives_in_files_of_any_size() {
    let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
    let tensors: Vec<_> = TENSORS.iter().map(|(name, shape)| f32_tensor(name, shape)).collect();
    fs::write(from.path().join("model.safetensors"), file_of(&tensors)).unwrap();
    fs::write(from.path().join("config.json"), "{}").unwrap();
    let checkpoint = Checkpoint::open(from.path()).unwrap();
    let formats = ["f32", "f16", "bf16", "int8", "int8-g32", "nf4", "int4", "int4-g32", "w8a8"];
    for (index, name) in formats.into_iter().enumerate() {
        let format: WeightFormat = name.parse().unwrap();
        let targets: Vec<_> = TENSORS.iter().map(|(name, [_, cols])| target(name, *cols, format)).collect();
        for file_bytes in [1, 500, Export::FILE_BYTES] {
            let out = to.path().join(format!("{index}-{file_bytes}"));
            let folder = from.path();
            let export = Export {
                checkpoint: &checkpoint,
                folder,
                targets: &targets,
                vectors: &[],
                rescaling: &Rescaling::default(),
                file_bytes,
            };
            let exported = export.write(&out, &mut no_progress).unwrap();
            let expected = match file_bytes {
                1 => TENSORS.len(),
                Export::FILE_BYTES => 1,
                _ => exported.files,
            };
            assert_eq!(exported.files, expected, "{name}");
            let written = Checkpoint::open(&out).unwrap();
            for (tensor, [rows, cols]) in TENSORS {
                assert_eq!(written.stored_format(tensor).unwrap(), format);
                for rows in [0..rows, rows - 1..rows] {
                    let request = MatrixRequest { tensor, rows, cols, format };
                    let [expected, found] =
                        [&checkpoint, &written].map(|source| source.matrix(&request).unwrap());
                    assert_eq!(expected.codes()[..], found.codes()[..], "{name} {tensor}");
                    assert_eq!(expected.scales()[..], found.scales()[..], "{name} {tensor}");
                }
            }
            assert!(written.take_notices().is_empty());
        }
    }
}

/// A file in our own form with one matrix.
fn own(format: &str, rows: usize, cols: usize) -> (String, Vec<u8>, Vec<u8>) {
    let matrix = PackedMatrix::quantize(format.parse().unwrap(), rows, cols, &numbers(rows * cols)).unwrap();
    let description = format!("{} {rows} {cols}", matrix.format());
    (description, matrix.codes().to_vec(), matrix.scales().to_vec())
}

fn open_own(
    version: &str,
    text: &str,
    codes: &[u8],
    scales: &[u8],
    scale_type: &str,
) -> Result<Checkpoint, CheckpointError> {
    let (end, size) = (codes.len() + scales.len(), if scale_type == "F32" { 4 } else { 2 });
    let header = format!(
        r#"{{"__metadata__":{{"inglenook.weights":"{version}","x":"{text}"}},"x":{{"dtype":"U8","shape":[{}],"data_offsets":[0,{}]}},"x.scales":{{"dtype":"{scale_type}","shape":[{}],"data_offsets":[{},{end}]}}}}"#,
        codes.len(),
        codes.len(),
        scales.len() / size,
        codes.len(),
    );
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), codes, scales].concat();
    Checkpoint::from_bytes("x.safetensors", file)
}

#[test]
fn damage_to_our_own_form_is_refused() {
    let (text, codes, scales) = own("int8", 3, 70);
    let ask = |version: &str, text: &str, codes: &[u8], scales: &[u8], scale_type: &str| {
        let format = "int8".parse().unwrap();
        let request = MatrixRequest { tensor: "x", rows: 1..3, cols: 70, format };
        open_own(version, text, codes, scales, scale_type).unwrap().matrix(&request)
    };
    ask("1", &text, &codes, &scales, "F16").unwrap();
    assert!(matches!(ask("2", &text, &codes, &scales, "F16"), Err(WeightError::Unsupported { .. })));
    for text in
        ["", "int8", "int8-g64 3", "int8-g64 3 x", "int8-g64 3 70 1", "f16 3 70", "int9 3 70", "int8-g64 0 0"]
    {
        assert!(matches!(ask("1", text, &codes, &scales, "F16"), Err(WeightError::Damaged { .. })), "{text}");
    }
    for text in ["int8-g64 4 70", "int8-g64 3 129", "int8-g32 3 70", "int8-g64 3 18446744073709551615"] {
        assert!(matches!(ask("1", text, &codes, &scales, "F16"), Err(WeightError::Damaged { .. })), "{text}");
    }
    assert!(matches!(ask("1", "int8-g64 3 71", &codes, &scales, "F16"), Err(WeightError::Shape { .. })));
    assert!(matches!(ask("1", &text, &codes, &scales, "BF16"), Err(WeightError::Damaged { .. })));
    // A code and a scale that packing never makes; the first row is not asked for.
    for (code, scale, sound) in [(0, None, true), (128, None, false), (0, Some([0, 0x7e]), false)] {
        let (mut codes, mut scales) = (codes.clone(), scales.clone());
        codes[3] = 0x80;
        if code == 128 {
            codes[2 * 128 + 5] = 0x80;
        }
        if let Some(nan) = scale {
            scales[4..6].copy_from_slice(&nan);
        }
        let found = ask("1", &text, &codes, &scales, "F16");
        assert_eq!(found.is_ok(), sound);
        if let Err(error) = found {
            assert!(error.to_string().contains(if code == 128 { "row 2" } else { "row 1" }), "{error}");
        }
    }
}

#[test]
fn our_own_form_becomes_other_formats_where_it_must() {
    let (text, codes, scales) = own("int4-g128", 3, 200);
    let source = open_own("1", &text, &codes, &scales, "F16").unwrap();
    let ask = |format: &str| {
        let format = format.parse().unwrap();
        source.matrix(&MatrixRequest { tensor: "x", rows: 1..3, cols: 200, format }).unwrap()
    };
    let weights = |matrix: PackedMatrix| -> Vec<f64> {
        (0..2)
            .flat_map(|row| (0..200).map(move |col| (row, col)))
            .map(|(r, c)| matrix.view().weight(r, c))
            .collect()
    };
    let exact = weights(ask("int4-g128"));
    // Smaller groups with the same scales, without a word; other formats are told of.
    assert_eq!(weights(ask("int4-g32")), exact);
    ask("int4-g64").check_contents().unwrap();
    assert!(source.take_notices().is_empty());
    assert_eq!(weights(ask("f32")), exact);
    ask("nf4").check_contents().unwrap();
    assert_eq!(source.take_notices().len(), 1, "once, not with each format");
}
