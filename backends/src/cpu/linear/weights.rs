//! How each weight-only format turns its codes into vectors of floats.
//!
//! Kernels are written against [`Format`], in blocks of `V` vectors of 16 weights, so that there is one kernel for
//! all formats and it does not know what the codes look like.

use half::{bf16, f16};

use crate::cpu::simd::{Element, LANES, Simd};
use crate::format::NF4_CODEBOOK;

/// Weights in the dense formats' blocks.
const DENSE_BLOCK: usize = 4 * LANES;
/// Weights that share a scale in `nf4`.
const NF4_GROUP: usize = 64;

/// A weight matrix of one format, in blocks of `V` vectors.
pub(super) trait Format<const V: usize>: Copy + Send + Sync {
    /// Whether a block has a scale; otherwise its vectors are the weights.
    const SCALED: bool;
    /// Whether activations must be in the order of [`nf4_order`].
    const PERMUTED: bool;
    /// What stays in registers during a kernel.
    type Context<S: Simd>: Copy;
    /// A row, cut into blocks.
    type Row: Copy;
    /// A block as it was loaded.
    type Block<S: Simd>: Copy;

    /// Loads what stays in registers.
    fn context<S: Simd>(s: S) -> Self::Context<S>;
    /// Whole blocks in a row.
    fn whole_blocks(&self) -> usize;
    /// Whether a row ends in a part of a block.
    fn has_tail(&self) -> bool;
    /// A row.
    fn row(&self, row: usize) -> Self::Row;
    /// Loads a whole block, and asks for the memory `ahead` bytes after it.
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<S>;
    /// Loads the part of a block at the end of a row.
    fn tail<S: Simd>(s: S, row: &Self::Row) -> Self::Block<S>;
    /// One of a block's vectors, not yet scaled.
    fn vector<S: Simd>(s: S, context: Self::Context<S>, block: &Self::Block<S>, index: usize) -> S::F32;
    /// The scale of each lane.
    fn scale<S: Simd>(s: S, block: &Self::Block<S>) -> S::F32;

    /// Whether activations must be in the order of [`nf4_order`].
    fn is_permuted(&self) -> bool {
        Self::PERMUTED
    }

    /// Blocks in a row, a part of one counted.
    fn blocks(&self) -> usize {
        self.whole_blocks() + usize::from(self.has_tail())
    }
}

/// Element types of the dense formats.
pub(super) trait Dense: Element + Send + Sync {
    /// Elements that a row is padded to a multiple of.
    const PADDING: usize;
}

impl Dense for f32 {
    const PADDING: usize = 1;
}

impl Dense for f16 {
    const PADDING: usize = 2;
}

impl Dense for bf16 {
    const PADDING: usize = 2;
}

/// `f32`, `f16` and `bf16`.
#[derive(Clone, Copy)]
pub(super) struct DenseWeights<'a, T> {
    pub(super) values: &'a [T],
    pub(super) cols: usize,
}

/// Whole blocks of a dense row, and what is left.
type DenseRow<'r, T> = (&'r [[T; DENSE_BLOCK]], &'r [T]);

/// `load` of each of four vectors; arrays of them stay in registers.
#[inline(always)]
fn dense_part<T>(block: &[T; DENSE_BLOCK], index: usize) -> &[T; LANES] {
    &block.as_chunks::<LANES>().0[index]
}

impl<'a, T: Dense> Format<4> for DenseWeights<'a, T> {
    const SCALED: bool = false;
    const PERMUTED: bool = false;
    type Context<S: Simd> = ();
    type Row = DenseRow<'a, T>;
    type Block<S: Simd> = [S::F32; 4];

    #[inline(always)]
    fn context<S: Simd>(_: S) {}

    #[inline(always)]
    fn whole_blocks(&self) -> usize {
        self.cols / DENSE_BLOCK
    }

    #[inline(always)]
    fn has_tail(&self) -> bool {
        !self.cols.is_multiple_of(DENSE_BLOCK)
    }

    #[inline(always)]
    fn row(&self, row: usize) -> DenseRow<'a, T> {
        self.values[row * self.cols.next_multiple_of(T::PADDING)..][..self.cols].as_chunks()
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &DenseRow<'a, T>, index: usize, ahead: usize) -> [S::F32; 4] {
        let block = &row.0[index];
        for line in block.chunks_exact(64 / size_of::<T>()) {
            s.prefetch(&line[0], ahead);
        }
        [0, 1, 2, 3].map(|part| T::load(s, dense_part(block, part)))
    }

    #[inline(always)]
    fn tail<S: Simd>(s: S, row: &DenseRow<'a, T>) -> [S::F32; 4] {
        let mut block = [s.zero(); 4];
        for (vector, values) in block.iter_mut().zip(row.1.chunks(LANES)) {
            *vector = T::load_partial(s, values);
        }
        block
    }

    #[inline(always)]
    fn vector<S: Simd>(_: S, (): (), block: &[S::F32; 4], index: usize) -> S::F32 {
        block[index]
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, _: &[S::F32; 4]) -> S::F32 {
        s.splat(1.0)
    }
}

/// Groupwise int8 with groups of `G`.
#[derive(Clone, Copy)]
pub(super) struct Int8Weights<'a, const G: usize> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f16],
    pub(super) groups: usize,
}

macro_rules! int8_format {
    ($group:literal, $vectors:literal) => {
        impl<'a> Format<$vectors> for Int8Weights<'a, $group> {
            const SCALED: bool = true;
            const PERMUTED: bool = false;
            type Context<S: Simd> = ();
            type Row = (&'a [[i8; $group]], &'a [f16]);
            type Block<S: Simd> = ([S::F32; $vectors], S::F32);

            #[inline(always)]
            fn context<S: Simd>(_: S) {}

            #[inline(always)]
            fn whole_blocks(&self) -> usize {
                self.groups
            }

            #[inline(always)]
            fn has_tail(&self) -> bool {
                false
            }

            #[inline(always)]
            fn row(&self, row: usize) -> Self::Row {
                let codes = &self.codes[row * self.groups * $group..][..self.groups * $group];
                (codes.as_chunks().0, &self.scales[row * self.groups..][..self.groups])
            }

            #[inline(always)]
            fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<S> {
                let codes = &row.0[index];
                for line in codes.chunks_exact(if $group < 64 { $group } else { 64 }) {
                    s.prefetch(&line[0], ahead);
                }
                let parts = codes.as_chunks::<LANES>().0;
                (std::array::from_fn(|part| s.load_i8(&parts[part])), s.splat_f16(&row.1[index]))
            }

            #[inline(always)]
            fn tail<S: Simd>(s: S, _: &Self::Row) -> Self::Block<S> {
                ([s.zero(); $vectors], s.zero())
            }

            #[inline(always)]
            fn vector<S: Simd>(_: S, (): (), block: &Self::Block<S>, index: usize) -> S::F32 {
                block.0[index]
            }

            #[inline(always)]
            fn scale<S: Simd>(_: S, block: &Self::Block<S>) -> S::F32 {
                block.1
            }
        }
    };
}

int8_format!(32, 2);
int8_format!(64, 4);
int8_format!(128, 8);

/// NF4, two groups to a block.
///
/// A block is 16 words of 8 codes. Vector j of it is code j of every word, so the weights come in an order of their own,
/// which costs the activations one permutation per call and the weights none.
#[derive(Clone, Copy)]
pub(super) struct Nf4Weights<'a> {
    pub(super) codes: &'a [u8],
    pub(super) scales: &'a [f16],
    pub(super) groups: usize,
}

/// Where the element of an NF4 block that lies in vector `vector`, lane `lane` comes from.
pub(super) const fn nf4_order(vector: usize, lane: usize) -> usize {
    8 * lane + vector
}

/// Blocks of codes and the last group where there is an odd one, and their scales.
type Nf4Row<'r> = (&'r [[u8; NF4_GROUP]], &'r [[f16; 2]], Option<(&'r [u8; NF4_GROUP / 2], &'r f16)>);

impl<'a> Format<8> for Nf4Weights<'a> {
    const SCALED: bool = true;
    const PERMUTED: bool = true;
    type Context<S: Simd> = S::Table;
    type Row = Nf4Row<'a>;
    type Block<S: Simd> = (S::Nibbles, S::F32);

    #[inline(always)]
    fn context<S: Simd>(s: S) -> S::Table {
        s.table(&NF4_CODEBOOK)
    }

    #[inline(always)]
    fn whole_blocks(&self) -> usize {
        self.groups / 2
    }

    #[inline(always)]
    fn has_tail(&self) -> bool {
        !self.groups.is_multiple_of(2)
    }

    #[inline(always)]
    fn row(&self, row: usize) -> Nf4Row<'a> {
        const BYTES: usize = NF4_GROUP / 2;
        let (codes, last) = self.codes[row * self.groups * BYTES..][..self.groups * BYTES].as_chunks();
        let (scales, last_scale) = self.scales[row * self.groups..][..self.groups].as_chunks();
        (codes, scales, last.first_chunk().zip(last_scale.first()))
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Nf4Row<'a>, index: usize, ahead: usize) -> Self::Block<S> {
        let codes = &row.0[index];
        s.prefetch(codes, ahead);
        (s.load_nibbles(codes), s.splat_f16_pair(&row.1[index]))
    }

    #[inline(always)]
    fn tail<S: Simd>(s: S, row: &Nf4Row<'a>) -> Self::Block<S> {
        // The upper lanes hold code 0 of a group that is not there; its scale makes them nothing.
        let (codes, scale) = row.2.unwrap_or((&[0; NF4_GROUP / 2], &f16::ZERO));
        (s.load_half_nibbles(codes), s.splat_f16_pair(&[*scale, f16::ZERO]))
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, table: S::Table, block: &Self::Block<S>, index: usize) -> S::F32 {
        s.look_up(table, block.0, index)
    }

    #[inline(always)]
    fn scale<S: Simd>(_: S, block: &Self::Block<S>) -> S::F32 {
        block.1
    }
}
