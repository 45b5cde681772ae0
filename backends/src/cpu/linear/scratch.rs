//! The memory that products need beside their operands: how much, known beforehand, and the buffers.

use super::codes::{self, FEW};
use super::prepare::LINE_CODES;
use super::weights::{DENSE_VECTORS, NF4_VECTORS};
use super::{many_rows, tiled};
use crate::cpu::simd::{CodeLine, Isa, LANES, Line};
use crate::cpu::values::grow;
use crate::format::{FormatError, WeightFormat};

/// Buffers that a product needs, kept from one to the next. They grow where they must; a runner reserves them, so
/// that nothing is allocated in its steps.
#[derive(Debug, Default)]
pub struct LinearScratch {
    pub(super) floats: Vec<Line>,
    pub(super) codes: Vec<CodeLine>,
    pub(super) scales: Vec<f32>,
}

impl LinearScratch {
    /// Grows the buffers to these sizes.
    pub(in crate::cpu) fn reserve(&mut self, sizes: &LinearSizes) -> Result<(), FormatError> {
        grow(&mut self.floats, sizes.floats)?;
        grow(&mut self.codes, sizes.codes)?;
        grow(&mut self.scales, sizes.scales)
    }
}

/// What products need: entries of each buffer of a [`LinearScratch`] and of those that each thread keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct LinearSizes {
    floats: usize,
    codes: usize,
    scales: usize,
    decoded: usize,
    partial: usize,
}

impl LinearSizes {
    /// Adds what products of up to `rows` rows with a matrix of this format and width need.
    pub(in crate::cpu) fn cover(&mut self, isa: Isa, format: WeightFormat, cols: usize, rows: usize) {
        let (vectors, permuted) = match format {
            WeightFormat::W8a8(_) => {
                self.codes = self.codes.max(rows.saturating_mul(cols.div_ceil(LINE_CODES)));
                self.scales = self.scales.max(rows);
                if rows > FEW {
                    self.partial = self.partial.max(codes::partial_sums(rows));
                }
                return;
            }
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 => (DENSE_VECTORS, false),
            WeightFormat::Int8(group) => (group.size() / LANES, false),
            WeightFormat::Nf4 | WeightFormat::Int4(_) => (NF4_VECTORS, true),
        };
        let row_lines = cols.div_ceil(vectors * LANES).saturating_mul(vectors);
        self.floats = self.floats.max(rows.saturating_mul(row_lines));
        if rows >= many_rows(isa, permuted) {
            self.decoded = self.decoded.max(tiled::decoded_lines(row_lines));
        }
    }

    /// Bytes of a [`LinearScratch`].
    pub(in crate::cpu) fn bytes(&self) -> u64 {
        let lines = self.floats.saturating_add(self.codes) as u64;
        lines.saturating_mul(size_of::<Line>() as u64).saturating_add(4 * self.scales as u64)
    }

    /// Bytes that each thread keeps.
    pub(in crate::cpu) fn thread_bytes(&self) -> u64 {
        let decoded = (self.decoded * size_of::<Line>()) as u64;
        decoded.saturating_add((self.partial as u64).saturating_mul(codes::PARTIAL_BYTES as u64))
    }

    /// Lets the calling thread have what it will keep.
    pub(in crate::cpu) fn reserve_on_thread(&self) -> Result<(), FormatError> {
        tiled::reserve_decoded(self.decoded)?;
        codes::reserve_partial(self.partial)
    }
}
