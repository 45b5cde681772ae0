//! Any bytes as a safetensors file: they are refused, or all tensors can be asked for in any format.
#![no_main]

use ingle_backends::format::WeightFormat;
use ingle_backends::{MatrixRequest, WeightSource};
use ingle_models::checkpoint::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_bytes("fuzz", bytes.to_vec()) else { return };
    let tensors: Vec<_> =
        checkpoint.tensors().map(|(name, info)| (name.to_owned(), info.shape.clone())).collect();
    for (tensor, shape) in &tensors {
        let cols = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).product();
        for format in ["f32", "bf16", "nf4", "int4-g32", "w8a8"] {
            let format: WeightFormat = format.parse().expect("a format's own name");
            if let Ok(matrix) = checkpoint.matrix(&MatrixRequest { tensor, rows: 0..rows, cols, format }) {
                assert_eq!((matrix.rows(), matrix.cols(), matrix.format()), (rows, cols, format));
                matrix.check_contents().expect("what is handed out is sound");
            }
        }
        // The shape of a quantised tensor is another than that of its codes.
        let _ = checkpoint.stored_format(tensor);
        for format in ["f16", "nf4", "int4-g32", "int8", "w8a8"] {
            let format: WeightFormat = format.parse().expect("a format's own name");
            if let Ok(matrix) = checkpoint.matrix(&MatrixRequest { tensor, rows: 0..1, cols: 64, format }) {
                matrix.check_contents().expect("what is handed out is sound");
            }
        }
        if let Ok(vector) = checkpoint.vector(tensor, cols) {
            assert!(vector.iter().all(|value| value.is_finite()));
        }
    }
});
