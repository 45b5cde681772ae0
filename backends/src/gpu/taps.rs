//! Values as callers get to see them, from the bytes that GPUs keep them in.

use crate::plan::{BatchLimits, Element, Plan, ValueId};

/// Numbers, whatever a value is made of. Int8 rows are codes in rows padded to 64, then the scales of the rows, which lie behind the
/// codes of the largest step.
pub(crate) fn numbers(
    plan: &Plan,
    limits: &BatchLimits,
    value: ValueId,
    rows: usize,
    bytes: &[u8],
) -> Vec<f32> {
    let shape = plan.values[value.index()].shape;
    match shape.element {
        Element::F32 => bytemuck::pod_collect_to_vec(bytes),
        Element::Index => {
            bytemuck::pod_collect_to_vec::<u8, u32>(bytes).into_iter().map(|index| index as f32).collect()
        }
        Element::Int8Rows => {
            let stride = shape.width.next_multiple_of(64);
            let most = shape.slots * limits.rows_of(shape.rows);
            let scales =
                bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[most * stride..most * stride + 4 * rows]);
            let codes = bytes.chunks_exact(stride).zip(scales);
            let decode = |(codes, scale): (&[u8], f32)| {
                codes[..shape.width]
                    .iter()
                    .map(move |code| f32::from(*code as i8) * scale)
                    .collect::<Vec<_>>()
            };
            codes.flat_map(decode).collect()
        }
    }
}
