//! What operators read and write: values with symbolic shapes, weights, rotations and caches.

use std::fmt;

use crate::CacheOptions;
use crate::format::{CacheLayout, WeightFormat};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// Position in the plan's table.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A value: what an operator writes.
    ValueId, "v"
);
id!(
    /// A weight matrix.
    MatrixId, "m"
);
id!(
    /// A weight vector.
    VectorId, "w"
);
id!(
    /// A rotation.
    RopeId, "r"
);
id!(
    /// The key-value cache of one attention layer.
    CacheId, "c"
);

/// How many rows a value has in a step. Shapes are symbolic in these two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row per token of the batch.
    Tokens,
    /// One row per token whose logits somebody asked for.
    Selected,
}

/// What one row consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// `width` f32.
    F32,
    /// `width` i8 codes, padded to 64, and one f32 scale.
    Int8Rows,
    /// `width` u32: chosen experts, sampled tokens.
    Index,
}

/// The symbolic shape of a value: `rows × slots × width` elements, width fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub rows: Rows,
    /// Several vectors per row: one for each expert that a token chose. Else 1.
    pub slots: usize,
    pub width: usize,
    pub element: Element,
}

impl Shape {
    /// f32 rows with one slot.
    pub const fn rows_of(rows: Rows, width: usize) -> Self {
        Self { rows, slots: 1, width, element: Element::F32 }
    }

    /// Bytes of one row, all slots.
    pub const fn row_bytes(&self) -> u64 {
        let slot = match self.element {
            Element::F32 | Element::Index => 4 * self.width as u64,
            Element::Int8Rows => (self.width as u64).next_multiple_of(64) + 4,
        };
        slot * self.slots as u64
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rows {
            Rows::Tokens => "T",
            Rows::Selected => "S",
        })?;
        if self.slots > 1 {
            write!(f, "×{}", self.slots)?;
        }
        write!(f, "×{}", self.width)?;
        f.write_str(match self.element {
            Element::F32 => "",
            Element::Int8Rows => " i8",
            Element::Index => " u32",
        })
    }
}

/// A value in a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub name: String,
    pub shape: Shape,
}

/// Neighbouring columns of a value, in every slot of every row: what an operator reads.
///
/// Merged projections are read through these, so that q, k and v of one matrix need no copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub value: ValueId,
    pub first: usize,
    pub width: usize,
}

impl Operand {
    /// The columns `first .. first + width` of this operand.
    #[must_use]
    pub const fn columns(self, first: usize, width: usize) -> Self {
        Self { value: self.value, first: self.first + first, width }
    }
}

/// Some rows of a tensor in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixPart {
    pub tensor: String,
    /// The first of the rows, counted in the tensor.
    pub first_row: usize,
    pub rows: usize,
}

/// A weight matrix: where its rows come from and how they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// In order; their rows add up to `rows`.
    pub parts: Vec<MatrixPart>,
    pub rows: usize,
    pub cols: usize,
    pub format: WeightFormat,
}

impl Matrix {
    /// Bytes of codes and scales.
    pub fn bytes(&self) -> u64 {
        self.format.bytes(self.rows, self.cols) as u64
    }
}

/// A weight vector, kept in f32: norm weights, biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// Tensors that follow one another, with their lengths.
    pub parts: Vec<(String, usize)>,
    pub len: usize,
}

/// The keys and values of one layer. Page size and format are chosen when the plan is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    pub kv_heads: usize,
    pub head_dim: usize,
}

impl Cache {
    /// How the cache lies in memory under the options of a runner.
    pub const fn layout(&self, options: &CacheOptions) -> CacheLayout {
        CacheLayout {
            format: options.format,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            page_tokens: options.page_tokens,
        }
    }
}
