//! Files with random faults either load, with numbers of some kind, or are refused; nothing panics.

use std::fs;

use ingle_backends::format::WeightFormat;
use ingle_backends::{MatrixRequest, WeightSource};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::tempdir;

use super::*;
use crate::checkpoint::{Checkpoint, ShardIndex};

/// Bytes to change, and where to cut.
type Faults = (Vec<(proptest::sample::Index, u8)>, Option<proptest::sample::Index>);

fn faults() -> impl Strategy<Value = Faults> {
    (
        vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        proptest::option::of(any::<proptest::sample::Index>()),
    )
}

fn broken(mut bytes: Vec<u8>, (changes, cut): &Faults) -> Vec<u8> {
    for (place, value) in changes {
        let place = place.index(bytes.len());
        bytes[place] ^= value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

/// Asks for everything there is, in all the ways there are.
fn read_all(source: &Checkpoint) {
    let tensors: Vec<_> =
        source.tensors().map(|(name, info)| (name.to_owned(), info.shape.clone())).collect();
    for (name, shape) in tensors {
        let cols = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).product();
        for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Nf4] {
            let request = MatrixRequest { tensor: &name, rows: 0..rows, cols, format };
            if let Ok(matrix) = source.matrix(&request) {
                assert_eq!((matrix.rows(), matrix.cols()), (rows, cols));
                matrix.check_contents().unwrap();
            }
        }
        if let Ok(vector) = source.vector(&name, cols) {
            assert!(vector.iter().all(|value| value.is_finite()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn files(faults in faults()) {
        let values = numbers(24);
        let whole = file_of(&[
            f32_tensor("model.a", &[4, 6]),
            ("model.b", StDtype::BF16, vec![2, 3, 4], bf16_bytes(&values)),
            ("model.c", StDtype::F16, vec![24], f16_bytes(&values)),
            ("model.d", StDtype::I32, vec![2], vec![0; 8]),
        ]);
        if let Ok(source) = Checkpoint::from_bytes("", broken(whole, &faults)) {
            read_all(&source);
        }
    }

    #[test]
    fn headers_of_any_kind(header in r#"[{}\[\]":,tF3216shapedyof_ 0-9]{0,80}"#, data in 0..64_usize) {
        if let Ok(source) = Checkpoint::from_bytes("", raw_file(&header, data)) {
            read_all(&source);
        }
    }

    #[test]
    fn bytes_of_any_kind(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Checkpoint::from_bytes("", bytes.clone());
        let _ = ShardIndex::read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn folders(faults in faults(), which in 0..3_usize) {
        let folder = tempdir().unwrap();
        write_sharded(folder.path());
        let name = [
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ][which];
        let path = folder.path().join(name);
        fs::write(&path, broken(fs::read(&path).unwrap(), &faults)).unwrap();
        if let Ok(source) = Checkpoint::open(folder.path()) {
            read_all(&source);
        }
    }
}
