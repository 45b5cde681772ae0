//! The linear operator: `y[m][n] = Σ_k x[m][k] · w[n][k]`, with packed weights, on all threads of the current rayon
//! pool.
//!
//! | rows of activations | what is done |
//! |---|---|
//! | 1 to about 8 ([`few`]) | every weight is read once, in order, and used for all rows |
//! | more ([`tiled`]) | blocks of weights are turned into floats, then multiplied in register tiles |
//! | `w8a8`, any ([`codes`]) | the activations are quantised, the products summed as integers |
//!
//! Weight-only formats keep the activations in f32 and sum in f32. Each result is computed by one task in an order
//! that does not depend on how the work is cut, so it does not depend on the number of threads.

mod codes;
mod few;
mod prepare;
mod scratch;
#[cfg(test)]
mod tests;
mod tiled;
mod weights;

use rayon::{current_num_threads, join};

use self::codes::CodeRows;
use self::few::FewRows;
use self::prepare::LINE_CODES;
use self::tiled::ManyRows;
use self::weights::{DenseWeights, Format, INT4_BLOCK, Int4Weights, Int8Weights, NF4_GROUP, Nf4Weights};
use super::simd::{CodeLine, Columns, Isa, LANES, reserve_lines};
use crate::format::{FormatError, MatrixView, ViewData};

pub use self::scratch::LinearScratch;
pub(super) use self::scratch::LinearSizes;

/// Bytes of weights that one task reads at least.
const TASK_BYTES: usize = 32 << 10;
/// Rows of weights of a task in multiples of this, which all kernels' tiles divide.
const TASK_ROWS: usize = 12;
/// Rows of weights, at most, in a block that many rows of activations are multiplied with.
const BLOCK_ROWS: usize = 64;

/// Rows of activations: some or all of the rows of a row-major buffer.
#[derive(Clone, Copy, Debug)]
pub struct Activations<'a> {
    data: &'a [f32],
    stride: usize,
    rows: Rows<'a>,
}

/// int8 codes of activations, and a scale per row, for `w8a8`.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedActivations<'a> {
    codes: &'a [i8],
    stride: usize,
    scales: &'a [f32],
    rows: Rows<'a>,
}

/// Which rows of a buffer.
#[derive(Clone, Copy, Debug)]
enum Rows<'a> {
    First(usize),
    Picked(&'a [u32]),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::First(count) => *count,
            Self::Picked(rows) => rows.len(),
        }
    }

    fn get(&self, index: usize) -> usize {
        match self {
            Self::First(_) => index,
            Self::Picked(rows) => rows[index] as usize,
        }
    }

    /// Rows that the buffer must have.
    fn needed(&self) -> usize {
        match self {
            Self::First(count) => *count,
            Self::Picked(rows) => rows.iter().max().map_or(0, |row| *row as usize + 1),
        }
    }
}

impl<'a> Activations<'a> {
    /// The first `rows` rows of a buffer, `stride` elements apart.
    pub fn new(data: &'a [f32], rows: usize, stride: usize) -> Self {
        Self { data, stride, rows: Rows::First(rows) }
    }

    /// The rows of a buffer that are listed, in that order: the tokens that go to an expert.
    pub fn gathered(data: &'a [f32], stride: usize, rows: &'a [u32]) -> Self {
        Self { data, stride, rows: Rows::Picked(rows) }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A row and all that comes after it.
    fn row(&self, index: usize) -> &'a [f32] {
        &self.data[self.rows.get(index) * self.stride..]
    }
}

impl<'a> QuantizedActivations<'a> {
    /// The first `rows` rows of a buffer of codes, `stride` apart, and their scales.
    pub fn new(codes: &'a [i8], scales: &'a [f32], rows: usize, stride: usize) -> Self {
        Self { codes, stride, scales, rows: Rows::First(rows) }
    }

    /// The rows of a buffer of codes, and of its scales, that are listed, in that order.
    pub fn gathered(codes: &'a [i8], scales: &'a [f32], stride: usize, rows: &'a [u32]) -> Self {
        Self { codes, stride, scales, rows: Rows::Picked(rows) }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A row and all that comes after it.
    fn row(&self, index: usize) -> &'a [i8] {
        &self.codes[self.rows.get(index) * self.stride..]
    }

    fn scale(&self, index: usize) -> f32 {
        self.scales[self.rows.get(index)]
    }
}

/// What happens to a product before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to every row; one per output feature.
    pub bias: Option<&'a [f32]>,
    /// Whether the product is added to what the output holds, a residual, instead of replacing it.
    pub add: bool,
}

impl Epilogue<'_> {
    /// Stores products for output features from `first` on.
    #[inline(always)]
    fn write(&self, first: usize, products: &[f32], out: &mut [f32]) {
        let len = products.len().min(out.len());
        let (products, out) = (&products[..len], &mut out[..len]);
        // One plain loop for each case, so that each becomes vectors.
        match (self.bias.map(|bias| &bias[first..][..len]), self.add) {
            (None, false) => out.copy_from_slice(products),
            (None, true) => {
                for i in 0..len {
                    out[i] += products[i];
                }
            }
            (Some(bias), false) => {
                for i in 0..len {
                    out[i] = products[i] + bias[i];
                }
            }
            (Some(bias), true) => {
                for i in 0..len {
                    out[i] += products[i] + bias[i];
                }
            }
        }
    }
}

/// Why a product was refused.
#[derive(Debug, thiserror::Error)]
pub enum LinearError {
    /// The weights are not what their format says.
    #[error(transparent)]
    Weights(#[from] FormatError),
    /// A buffer is too short for the shape.
    #[error("{what}: the product needs {needed} elements, there are {found}")]
    TooShort {
        /// Which buffer.
        what: &'static str,
        /// Elements needed.
        needed: usize,
        /// Elements there are.
        found: usize,
    },
    /// int8 activations need `w8a8` weights.
    #[error("int8 activations can only be multiplied with w8a8 weights")]
    NotW8a8,
}

fn check_room(what: &'static str, needed: Option<usize>, found: usize) -> Result<(), LinearError> {
    match needed {
        Some(needed) if needed <= found => Ok(()),
        _ => Err(LinearError::TooShort { what, needed: needed.unwrap_or(usize::MAX), found }),
    }
}

/// Elements that `rows` rows of `len`, `stride` apart, span.
fn span(rows: usize, stride: usize, len: usize) -> Option<usize> {
    rows.checked_sub(1).map_or(Some(0), |before| before.checked_mul(stride)?.checked_add(len))
}

/// Multiplies activations with packed weights. `out` has a row of `weights.rows` per row of activations.
///
/// The weights may be a range of the rows of a larger matrix.
pub fn linear(
    isa: Isa,
    x: Activations<'_>,
    weights: MatrixView<'_>,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut LinearScratch,
) -> Result<(), LinearError> {
    check_room("activations", span(x.rows.needed(), x.stride, weights.cols), x.data.len())?;
    let task = Task { isa, weights, epilogue };
    let out = task.check(x.rows(), out)?;
    if x.rows() == 0 || weights.rows == 0 {
        return Ok(());
    }
    match weights.data {
        _ if weights.cols == 0 => task.nothing(x.rows(), out),
        ViewData::F32(values) => task.floats(x, DenseWeights { values, cols: weights.cols }, out, scratch),
        ViewData::F16(values) => task.floats(x, DenseWeights { values, cols: weights.cols }, out, scratch),
        ViewData::Bf16(values) => task.floats(x, DenseWeights { values, cols: weights.cols }, out, scratch),
        ViewData::Int8 { codes, scales, group } => {
            let groups = weights.cols.div_ceil(group);
            let weights = Int8Weights { codes, scales, groups };
            match group / LANES {
                2 => task.floats::<2>(x, weights, out, scratch),
                4 => task.floats::<4>(x, weights, out, scratch),
                _ => task.floats::<8>(x, weights, out, scratch),
            }
        }
        ViewData::Nf4 { codes, scales } => {
            let groups = weights.cols.div_ceil(NF4_GROUP);
            task.floats(x, Nf4Weights { codes, scales, groups }, out, scratch);
        }
        ViewData::Int4 { codes, scales, group } => {
            let blocks = weights.cols.div_ceil(INT4_BLOCK);
            let scales = scales.as_chunks().0;
            let groups_per_block = INT4_BLOCK / group;
            if groups_per_block == 1 {
                let weights = Int4Weights::<true> { codes, scales, blocks, groups_per_block };
                task.floats(x, weights, out, scratch);
            } else {
                let weights = Int4Weights::<false> { codes, scales, blocks, groups_per_block };
                task.floats(x, weights, out, scratch);
            }
        }
        ViewData::W8a8 { codes, scales, activation } => {
            activation.check()?;
            let row_lines = weights.cols.div_ceil(LINE_CODES);
            let x_codes = reserve_lines(&mut scratch.codes, x.rows() * row_lines);
            let x_scales = reserve_lines(&mut scratch.scales, x.rows());
            prepare::quantized(isa, &x, weights.cols, activation, row_lines, x_codes, x_scales);
            task.codes(x_codes, x_scales, codes, scales, row_lines, out);
        }
    }
    Ok(())
}

/// Multiplies activations that are quantised already with `w8a8` weights, otherwise like [`linear`].
pub fn linear_quantized(
    isa: Isa,
    x: QuantizedActivations<'_>,
    weights: MatrixView<'_>,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    scratch: &mut LinearScratch,
) -> Result<(), LinearError> {
    check_room("activation codes", span(x.rows.needed(), x.stride, weights.cols), x.codes.len())?;
    check_room("activation scales", Some(x.rows.needed()), x.scales.len())?;
    let ViewData::W8a8 { codes, scales, .. } = weights.data else {
        return Err(LinearError::NotW8a8);
    };
    let task = Task { isa, weights, epilogue };
    let out = task.check(x.rows(), out)?;
    if x.rows() == 0 || weights.rows == 0 {
        return Ok(());
    }
    if weights.cols == 0 {
        task.nothing(x.rows(), out);
        return Ok(());
    }
    let row_lines = weights.cols.div_ceil(LINE_CODES);
    let x_codes = reserve_lines(&mut scratch.codes, x.rows() * row_lines);
    let x_scales = reserve_lines(&mut scratch.scales, x.rows());
    prepare::codes(isa, &x, weights.cols, row_lines, x_codes, x_scales);
    task.codes(x_codes, x_scales, codes, scales, row_lines, out);
    Ok(())
}

/// What all parts of a product share.
#[derive(Clone, Copy)]
struct Task<'a> {
    isa: Isa,
    weights: MatrixView<'a>,
    epilogue: Epilogue<'a>,
}

impl Task<'_> {
    /// Checks the weights, the bias and the output, and takes the output as columns.
    fn check<'o>(&self, m: usize, out: &'o mut [f32]) -> Result<Columns<'o>, LinearError> {
        self.weights.check()?;
        let n = self.weights.rows;
        if let Some(bias) = self.epilogue.bias {
            check_room("bias", Some(n), bias.len())?;
        }
        check_room("output", span(m, n, n), out.len())?;
        let found = out.len();
        let too_short = LinearError::TooShort { what: "output", needed: m.saturating_mul(n), found };
        Columns::new(out, m, n, n).ok_or(too_short)
    }

    /// The product over no columns: zero, and what the epilogue makes of it.
    fn nothing(&self, m: usize, mut out: Columns<'_>) {
        for m in 0..m {
            for n in 0..self.weights.rows {
                self.epilogue.write(n, &[0.0], &mut out.row(m)[n..=n]);
            }
        }
    }

    /// The product with a weight-only format.
    fn floats<const V: usize>(
        &self,
        x: Activations<'_>,
        weights: impl Format<V>,
        out: Columns<'_>,
        scratch: &mut LinearScratch,
    ) {
        let (m, isa, epilogue) = (x.rows(), self.isa, self.epilogue);
        let row_lines = weights.blocks() * V;
        let lines = reserve_lines(&mut scratch.floats, m * row_lines);
        prepare::floats(isa, &x, self.weights.cols, row_lines, weights.is_permuted(), lines);
        let x = &*lines;
        if m < many_rows(isa, weights.is_permuted()) {
            share(out, 0, self.rows_per_stream(), &|first, out| {
                isa.run_float(FewRows::<_, V> { weights, x, m, first, epilogue, out });
            });
        } else {
            share(out, 0, self.rows_per_block(), &|first, out| {
                ManyRows::<_, V> { weights, x, m, first, epilogue, out }.run(isa);
            });
        }
    }

    /// The product of codes.
    fn codes(
        &self,
        x: &[CodeLine],
        x_scales: &[f32],
        weights: &[i8],
        weight_scales: &[f32],
        row_lines: usize,
        out: Columns<'_>,
    ) {
        let (isa, epilogue) = (self.isa, self.epilogue);
        let weights = weights.as_chunks().0;
        let rows = if x_scales.len() <= codes::FEW { self.rows_per_stream() } else { self.rows_per_block() };
        share(out, 0, rows, &|first, out| {
            isa.run(CodeRows { weights, weight_scales, x, x_scales, row_lines, first, epilogue, out });
        });
    }

    /// Rows of weights in a task that reads them as a stream: several tasks for each thread, so that the
    /// threads finish together, but none so small that handing it out counts.
    fn rows_per_stream(&self) -> usize {
        let row_bytes = (size_of_view(&self.weights) / self.weights.rows).max(1);
        let rows = (self.weights.rows / (8 * current_num_threads())).max(TASK_BYTES / row_bytes);
        rows.max(1).next_multiple_of(TASK_ROWS)
    }

    /// Rows of weights in a task that many rows of activations are multiplied with.
    fn rows_per_block(&self) -> usize {
        (self.weights.rows / (4 * current_num_threads())).next_multiple_of(4).clamp(16, BLOCK_ROWS)
    }
}

/// Rows of activations from which it pays to turn a block of weights into floats first: where there are not registers for
/// all rows' sums sooner, and soonest where decoding alone fills the registers.
fn many_rows(isa: Isa, slow_to_decode: bool) -> usize {
    match (isa, slow_to_decode) {
        (Isa::Avx512, _) => 9,
        (_, false) => 7,
        (_, true) => 2,
    }
}

/// Bytes of a view's codes.
fn size_of_view(view: &MatrixView<'_>) -> usize {
    match view.data {
        ViewData::F32(values) => size_of_val(values),
        ViewData::F16(values) => size_of_val(values),
        ViewData::Bf16(values) => size_of_val(values),
        ViewData::Int8 { codes, .. } | ViewData::W8a8 { codes, .. } => codes.len(),
        ViewData::Nf4 { codes, .. } | ViewData::Int4 { codes, .. } => codes.len(),
    }
}

/// Cuts the columns of an output into tasks of `step` and runs them on the pool's threads. `run` gets the
/// number of a task's first column.
fn share(out: Columns<'_>, first: usize, step: usize, run: &(impl Fn(usize, Columns<'_>) + Sync)) {
    let tasks = out.width().div_ceil(step);
    if tasks <= 1 {
        run(first, out);
        return;
    }
    let middle = tasks / 2 * step;
    let (left, right) = out.split_at(middle);
    join(|| share(left, first, step, run), || share(right, first + middle, step, run));
}
