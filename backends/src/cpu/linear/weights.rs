//! How each weight-only format turns its codes into vectors of floats.
//!
//! Kernels are written against [`Format`], in blocks of `V` vectors of 16 weights, so that there is one kernel for
//! all formats and it does not know what the codes look like.

use half::{bf16, f16};

use crate::cpu::simd::{Element, LANES, Simd};
use crate::format::NF4_CODEBOOK;

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

/// A weight matrix of one format, in blocks of `V` vectors.
///
/// Nothing here takes or returns vectors through closures: those would not be compiled for the instruction set.
pub(super) trait Format<const V: usize>: Copy + Send + Sync {
    /// Whether a block has a scale; otherwise its vectors are the weights.
    const SCALED: bool;
    /// Whether activations must be in the order of [`nf4_order`].
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

impl<'a> Format<NF4_VECTORS> for Nf4Weights<'a> {
    const SCALED: bool = true;
    const PERMUTED: bool = true;
    type Context<S: Simd> = S::Table;
    /// The codes and scales of pairs of groups, and of the last group where it has no partner.
    type Row = (&'a [[u8; NF4_GROUP]], &'a [[f16; 2]], Option<(&'a [u8; NF4_GROUP / 2], &'a f16)>);
    type Block<'b, S: Simd> = (S::Nibbles, S::F32);
    type Tail = ([u8; NF4_GROUP / 2], f16);

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
        (s.load_nibbles(codes), s.splat_f16_pair(&row.1[index]))
    }

    #[inline(always)]
    fn tail(row: &Self::Row) -> Self::Tail {
        row.2.map_or(([0; NF4_GROUP / 2], f16::ZERO), |(codes, scale)| (*codes, *scale))
    }

    #[inline(always)]
    fn tail_block<S: Simd>(s: S, (codes, scale): &Self::Tail) -> Self::Block<'_, S> {
        // The upper lanes hold code 0 of a group that is not there; its scale makes them nothing.
        (s.load_half_nibbles(codes), s.splat_f16_pair(&[*scale, f16::ZERO]))
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, table: S::Table, block: Self::Block<'_, S>, index: usize) -> S::F32 {
        s.look_up(table, block.0, index)
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

/// The codes as numbers.
const INT4_TABLE: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// One in the lanes of one quarter of a block, zero in the others.
const QUARTERS: [[f32; LANES]; 4] = [quarter(0), quarter(1), quarter(2), quarter(3)];

const fn quarter(index: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    let mut lane = 0;
    while lane < LANES / 4 {
        lanes[index * LANES / 4 + lane] = 1.0;
        lane += 1;
    }
    lanes
}

/// Member `which` of each group's pair, in the lanes of the group.
#[inline(always)]
fn by_group<S: Simd, const WHOLE: bool>(s: S, pairs: &[[f16; 2]], which: usize) -> S::F32 {
    let mut lanes = s.splat_f16(&pairs[0][which]);
    if WHOLE {
        return lanes;
    }
    // Each lane is one number times one, plus zeros: exact. The numbers are used where they lie, for to put
    // them side by side first would stall on reading what has just been written. Two groups count as four.
    lanes = s.mul(lanes, s.load(&QUARTERS[0]));
    for (index, mask) in QUARTERS.iter().enumerate().skip(1) {
        lanes = s.fma(s.splat_f16(&pairs[index * pairs.len() / 4][which]), s.load(mask), lanes);
    }
    lanes
}

impl<'a, const WHOLE: bool> Format<NF4_VECTORS> for Int4Weights<'a, WHOLE> {
    const SCALED: bool = true;
    const PERMUTED: bool = true;
    type Context<S: Simd> = S::Table;
    /// Codes, and pairs with how many of them there are to a block.
    type Row = (&'a [[u8; INT4_BLOCK / 2]], &'a [[f16; 2]], usize);
    /// Codes, zero points, scales.
    type Block<'b, S: Simd> = (S::Nibbles, S::F32, S::F32);
    type Tail = ();

    #[inline(always)]
    fn context<S: Simd>(s: S) -> S::Table {
        s.table(&INT4_TABLE)
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
    fn row(&self, row: usize) -> Self::Row {
        let codes = &self.codes.as_chunks().0[row * self.blocks..][..self.blocks];
        let groups = self.blocks * self.groups_per_block;
        (codes, &self.scales[row * groups..][..groups], self.groups_per_block)
    }

    #[inline(always)]
    fn block<S: Simd>(s: S, row: &Self::Row, index: usize, ahead: usize) -> Self::Block<'_, S> {
        let codes = &row.0[index];
        let groups = if WHOLE { 1 } else { row.2 };
        let pairs = &row.1[index * groups..][..groups];
        s.prefetch(codes, ahead);
        (s.load_nibbles(codes), by_group::<S, WHOLE>(s, pairs, 1), by_group::<S, WHOLE>(s, pairs, 0))
    }

    #[inline(always)]
    fn tail(_: &Self::Row) {}

    #[inline(always)]
    fn tail_block<S: Simd>(s: S, (): &()) -> Self::Block<'_, S> {
        (s.load_nibbles(&[0; INT4_BLOCK / 2]), s.zero(), s.zero())
    }

    #[inline(always)]
    fn vector<S: Simd>(s: S, table: S::Table, block: Self::Block<'_, S>, index: usize) -> S::F32 {
        s.sub(s.look_up(table, block.0, index), block.1)
    }

    #[inline(always)]
    fn scale<S: Simd>(_: S, block: Self::Block<'_, S>) -> S::F32 {
        block.2
    }
}
