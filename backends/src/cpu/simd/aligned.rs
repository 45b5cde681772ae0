//! Memory in whole cache lines, so that no vector load of a scratch buffer straddles two.

use bytemuck::{Pod, Zeroable};

use super::vector::LANES;

/// 16 floats in a cache line: a vector.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LANES]);

/// 64 int8 codes in a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct CodeLine(pub(crate) [i8; 64]);

/// How many lines hold this many floats.
pub(crate) const fn lines(floats: usize) -> usize {
    floats.div_ceil(LANES)
}

/// The first `count` entries of a buffer that grows when it must and keeps what it has.
///
/// The entries hold whatever an earlier use has left there.
pub(crate) fn reserve_lines<T: Pod>(buffer: &mut Vec<T>, count: usize) -> &mut [T] {
    if buffer.len() < count {
        buffer.resize(count, T::zeroed());
    }
    &mut buffer[..count]
}
