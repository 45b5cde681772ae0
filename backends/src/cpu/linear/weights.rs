//! How each weight-only format turns its codes into vectors of floats.
//!
//! Kernels are written against [`Format`], in blocks of `V` vectors of 16 weights, so that there is one kernel for
//! all formats and it does not know what the codes look like.

use std::array;

use half::{bf16, f16};

use crate::cpu::simd::{Element, LANES, Simd};

/// Vectors in the dense formats' blocks.
pub(super) const DENSE_VECTORS: usize = 4;
/// Vectors in a block of NF4 weights.
pub(super) const NF4_VECTORS: usize = 8;
/// Weights that share a scale in `nf4`.
pub(super) const NF4_GROUP: usize = 64;
/// Weights in a block of `int4`, whatever its group.
pub(super) const INT4_BLOCK: usize = NF4_VECTORS * LANES;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Repeats a block of code for each vector of a block of weights, with its number as a constant: what several vectors
/// share is then computed once.
macro_rules! for_each_vector {
    ($index:ident in $count:ident $body:block) => {
        for_each_vector!(@ $index $count $body 0 1 2 3 4 5 6 7)
    };
    (@ $index:ident $count:ident $body:block $($number:literal)*) => {
        $(if $number < $count {
            let $index: usize = $number;
            $body
        })*
    };
}
pub(super) use for_each_vector;

/// A weight matrix of one format, in blocks of `V` vectors.
///
/// Nothing here takes or returns vectors through closures: those would not be compiled for the instruction set.
pub(super) trait Format<const V: usize>: Copy + Send + Sync {
    /// Whether a block has a scale; otherwise its vectors are the weights.
    const SCALED: bool;
    /// Whether activations must be in the order of [`Simd::nf4_order`].
    const PERMUTED: bool;
    /// What stays in registers during a kernel.
    type Context<S: Simd>: Copy;
    /// A row, cut into blocks.
    type Row: Copy;
    /// A block, of which a vector at a time is loaded.
    type Block<'b, S: Simd>: Copy;
    /// Where the part of a block at the end of a row is filled up to a block.
    type Tail;

    /// Loads what stays in registers.
    fn context<S: Simd>(s: S) -> Self::Context<S>;
    /// Whole blocks in a row.
    fn whole_blocks(&self) -> usize;
    /// Whether a row ends in a part of a block.
    fn has_tail(&self) -> bool;
    /// Bytes of codes from one row to the next.
    fn row_bytes(&self) -> usize;
    /// A row.
    fn row(&self, row: usize) -> Self::Row;
    /// A whole block. Asks for the memory `ahead` bytes after it.
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<'_, S>;
    /// The part of a block at the end of a row, if there is one, filled up with what adds nothing.
    fn tail(row: &Self::Row) -> Self::Tail;
    /// That part as a block.
    fn tail_block<S: Simd>(s: S, tail: &Self::Tail) -> Self::Block<'_, S>;
    /// One of a block's vectors, not yet scaled.
    fn vector<S: Simd>(s: S, context: Self::Context<S>, block: Self::Block<'_, S>, index: usize) -> S::F32;
    /// The scale of each lane.
    fn scale<S: Simd>(s: S, block: Self::Block<'_, S>) -> S::F32;

    /// Whether activations must be in the order of [`Simd::nf4_order`].
    fn is_permuted(&self) -> bool {
        Self::PERMUTED
    }

    /// Blocks in a row, a part of one counted.
    fn blocks(&self) -> usize {
        self.whole_blocks() + usize::from(self.has_tail())
    }
}

/// Element types of the dense formats.
pub(super) trait Dense: Element + Default + Send + Sync + 'static {
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

/// A block of a dense row.
type DenseBlock<T> = [[T; LANES]; DENSE_VECTORS];

impl<'a, T: Dense> Format<DENSE_VECTORS> for DenseWeights<'a, T> {
    const SCALED: bool = false;
    const PERMUTED: bool = false;
    type Context<S: Simd> = ();
    /// Whole blocks, and what is left.
    type Row = (&'a [DenseBlock<T>], &'a [T]);
    type Block<'b, S: Simd> = &'b DenseBlock<T>;
    type Tail = DenseBlock<T>;

    #[inline(always)]
    fn context<S: Simd>(_: S) {}

    #[inline(always)]
    fn whole_blocks(&self) -> usize {
        self.cols / (DENSE_VECTORS * LANES)
    }

    #[inline(always)]
    fn has_tail(&self) -> bool {
        !self.cols.is_multiple_of(DENSE_VECTORS * LANES)
    }

    #[inline(always)]
    fn row_bytes(&self) -> usize {
        self.cols.next_multiple_of(T::PADDING) * size_of::<T>()
    }

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        let values = &self.values[row * self.cols.next_multiple_of(T::PADDING)..][..self.cols];
        let (whole, rest) = values.split_at(self.whole_blocks() * DENSE_VECTORS * LANES);
        (whole.as_chunks().0.as_chunks().0, rest)
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> &DenseBlock<T> {
        let block = &row.0[index];
        for line in block.as_flattened().chunks_exact(LINE / size_of::<T>()) {
            s.prefetch(&line[0], ahead);
        }
        block
    }

    #[inline(always)]
    fn tail(row: &Self::Row) -> DenseBlock<T> {
        let mut block = [[T::default(); LANES]; DENSE_VECTORS];
        block.as_flattened_mut()[..row.1.len()].copy_from_slice(row.1);
        block
    }

    #[inline(always)]
    fn tail_block<S: Simd>(_: S, tail: &DenseBlock<T>) -> &DenseBlock<T> {
        tail
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, (): (), block: &DenseBlock<T>, index: usize) -> S::F32 {
        T::load(s, &block[index])
    }

    #[inline(always)]
    fn scale<S: Simd>(s: S, _: &DenseBlock<T>) -> S::F32 {
        s.splat(1.0)
    }
}

/// Groupwise int8; the group is as large as a block.
#[derive(Clone, Copy)]
pub(super) struct Int8Weights<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f16],
    pub(super) groups: usize,
}

impl<'a, const V: usize> Format<V> for Int8Weights<'a> {
    const SCALED: bool = true;
    const PERMUTED: bool = false;
    type Context<S: Simd> = ();
    type Row = (&'a [[[i8; LANES]; V]], &'a [f16]);
    type Block<'b, S: Simd> = (&'b [[i8; LANES]; V], S::F32);
    type Tail = ();

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
    fn row_bytes(&self) -> usize {
        self.groups * V * LANES
    }

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        let row_codes = self.groups * V * LANES;
        let codes = &self.codes[row * row_codes..][..row_codes];
        (codes.as_chunks().0.as_chunks().0, &self.scales[row * self.groups..][..self.groups])
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<'_, S> {
        let block = &row.0[index];
        for line in block.chunks(LINE / LANES) {
            s.prefetch(&line[0], ahead);
        }
        (block, s.splat_f16(&row.1[index]))
    }

    #[inline(always)]
    fn tail(_: &Self::Row) {}

    #[inline(always)]
    fn tail_block<S: Simd>(s: S, (): &()) -> Self::Block<'_, S> {
        (&[[0; LANES]; V], s.zero())
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, (): (), block: Self::Block<'_, S>, index: usize) -> S::F32 {
        s.load_i8(&block.0[index])
    }

    #[inline(always)]
    fn scale<S: Simd>(_: S, block: Self::Block<'_, S>) -> S::F32 {
        block.1
    }
}

/// NF4, two groups to a block.
///
/// The weights of a block come in an order of the instruction set's own, which costs the activations one permutation per
/// call and the weights none.
#[derive(Clone, Copy)]
pub(super) struct Nf4Weights<'a> {
    pub(super) codes: &'a [u8],
    pub(super) scales: &'a [f16],
    pub(super) groups: usize,
}

impl<'a> Format<NF4_VECTORS> for Nf4Weights<'a> {
    const SCALED: bool = true;
    const PERMUTED: bool = true;
    type Context<S: Simd> = S::Codebook;
    /// The codes and scales of pairs of groups, and of the last group where it has no partner.
    type Row = (&'a [[u8; NF4_GROUP]], &'a [[f16; 2]], Option<(&'a [u8; NF4_GROUP / 2], &'a f16)>);
    type Block<'b, S: Simd> = (S::Nibbles, S::F32);
    type Tail = ([u8; NF4_GROUP], [f16; 2]);

    #[inline(always)]
    fn context<S: Simd>(s: S) -> S::Codebook {
        s.nf4_codebook()
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
    fn row_bytes(&self) -> usize {
        self.groups * NF4_GROUP / 2
    }

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        const BYTES: usize = NF4_GROUP / 2;
        let (codes, last) = self.codes[row * self.groups * BYTES..][..self.groups * BYTES].as_chunks();
        let (scales, last_scale) = self.scales[row * self.groups..][..self.groups].as_chunks();
        (codes, scales, last.first_chunk().zip(last_scale.first()))
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<'_, S> {
        let codes = &row.0[index];
        s.prefetch(codes, ahead);
        (s.load_nf4(codes), s.splat_f16_pair(&row.1[index]))
    }

    #[inline(always)]
    fn tail(row: &Self::Row) -> Self::Tail {
        // The group that is not there has a scale that makes it nothing.
        let mut tail = ([0; NF4_GROUP], [f16::ZERO; 2]);
        if let Some((codes, scale)) = row.2 {
            tail.0[..NF4_GROUP / 2].copy_from_slice(codes);
            tail.1[0] = *scale;
        }
        tail
    }

    #[inline(always)]
    fn tail_block<S: Simd>(s: S, (codes, scales): &Self::Tail) -> Self::Block<'_, S> {
        (s.load_nf4(codes), s.splat_f16_pair(scales))
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, codebook: S::Codebook, block: Self::Block<'_, S>, index: usize) -> S::F32 {
        s.look_up_nf4(codebook, block.0, index)
    }

    #[inline(always)]
    fn scale<S: Simd>(_: S, block: Self::Block<'_, S>) -> S::F32 {
        block.1
    }
}

/// Groupwise int4 with zero points. Blocks are in the order of [`Nf4Weights`].
///
/// Groups as large as a block, the usual ones, have code of their own (`WHOLE`); both smaller sizes share the other.
#[derive(Clone, Copy)]
pub(super) struct Int4Weights<'a, const WHOLE: bool> {
    pub(super) codes: &'a [u8],
    /// A scale and a zero point per group.
    pub(super) scales: &'a [[f16; 2]],
    pub(super) blocks: usize,
    pub(super) groups_per_block: usize,
}

/// A block of int4 weights.
#[derive(Clone, Copy)]
pub(super) struct Int4Block<S: Simd> {
    codes: S::Nibbles,
    /// The zero point and scale of a block that is one group.
    zero: S::F32,
    scale: S::F32,
    /// Scales and zero points of a block's quarters, where groups are smaller.
    quarters: [[f32; 2]; 4],
}

impl<'a, const WHOLE: bool> Format<NF4_VECTORS> for Int4Weights<'a, WHOLE> {
    const SCALED: bool = WHOLE;
    const PERMUTED: bool = true;
    type Context<S: Simd> = S::Codebook;
    /// Codes, and pairs with how many of them there are to a block.
    type Row = (&'a [[u8; INT4_BLOCK / 2]], &'a [[f16; 2]], usize);
    type Block<'b, S: Simd> = Int4Block<S>;
    type Tail = ();

    #[inline(always)]
    fn context<S: Simd>(s: S) -> S::Codebook {
        s.plain_codebook()
    }

    #[inline(always)]
    fn whole_blocks(&self) -> usize {
        self.blocks
    }

    #[inline(always)]
    fn has_tail(&self) -> bool {
        false
    }

    #[inline(always)]
    fn row_bytes(&self) -> usize {
        self.blocks * INT4_BLOCK / 2
    }

    #[inline(always)]
    fn row(&self, row: usize) -> Self::Row {
        let codes = &self.codes.as_chunks().0[row * self.blocks..][..self.blocks];
        let groups = self.blocks * self.groups_per_block;
        (codes, &self.scales[row * groups..][..groups], self.groups_per_block)
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<'_, S> {
        let codes = &row.0[index];
        s.prefetch(codes, ahead);
        let codes = s.load_nf4(codes);
        if WHOLE {
            let [scale, zero] = &row.1[index];
            let (zero, scale) = (s.splat_f16(zero), s.splat_f16(scale));
            return Int4Block { codes, zero, scale, quarters: [[0.0; 2]; 4] };
        }
        let pairs = &row.1[index * row.2..][..row.2];
        // Two groups count as four of half the size.
        let quarters = array::from_fn(|quarter| pairs[quarter * pairs.len() / 4].map(f16::to_f32));
        Int4Block { codes, zero: s.zero(), scale: s.zero(), quarters }
    }

    #[inline(always)]
    fn tail(_: &Self::Row) {}

    #[inline(always)]
    fn tail_block<S: Simd>(s: S, (): &()) -> Self::Block<'_, S> {
        let codes = s.load_nf4(&[0; INT4_BLOCK / 2]);
        Int4Block { codes, zero: s.zero(), scale: s.zero(), quarters: [[0.0; 2]; 4] }
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, codebook: S::Codebook, block: Self::Block<'_, S>, index: usize) -> S::F32 {
        let codes = s.look_up_nf4(codebook, block.codes, index);
        if WHOLE {
            return s.sub(codes, block.zero);
        }
        // Which quarter a lane belongs to is the instruction set's own affair.
        let of_lanes = |which: usize| -> [f32; LANES] {
            array::from_fn(|lane| block.quarters[S::nf4_order(index, lane) / (INT4_BLOCK / 4)][which])
        };
        s.mul(s.sub(codes, s.load(&of_lanes(1))), s.load(&of_lanes(0)))
    }

    #[inline(always)]
    fn scale<S: Simd>(_: S, block: Self::Block<'_, S>) -> S::F32 {
        block.scale
    }
}
