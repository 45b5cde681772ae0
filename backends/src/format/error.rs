//! What can go wrong when weights are packed, cut or read.

use super::WeightFormat;

/// Why a matrix could not be packed, cut or read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A matrix needs at least one row and one column.
    #[error("a matrix of {rows} rows and {cols} columns holds nothing")]
    EmptyMatrix {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// The size in bytes does not fit the address space.
    #[error("a matrix of {rows} rows and {cols} columns is too large for this machine's address space")]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// The system refused the memory.
    #[error("the system did not grant {bytes} bytes of memory")]
    Allocation {
        /// How much was asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A slice has the wrong length.
    #[error("{what}: expected {expected} elements, found {found}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// The length it must have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A slice of rows does not end at the end of a row.
    #[error("{len} values are not a whole number of rows of {cols} columns")]
    PartialRow {
        /// Values given.
        len: usize,
        /// Columns of a row.
        cols: usize,
    },
    /// Bytes that must be read as numbers do not start where such numbers may start.
    #[error("{what} are not aligned for their element type")]
    Misaligned {
        /// Which bytes.
        what: &'static str,
    },
    /// A range reaches outside of what it cuts.
    #[error("{what} {start}..{end} of {len} do not exist")]
    RangeOutside {
        /// What is being cut.
        what: &'static str,
        /// First one asked for.
        start: usize,
        /// One past the last one asked for.
        end: usize,
        /// How many there are.
        len: usize,
    },
    /// A weight is NaN or infinite.
    #[error("the weight in row {row}, column {col} is {value}")]
    NotFinite {
        /// Row of the weight.
        row: usize,
        /// Column of the weight.
        col: usize,
        /// The weight.
        value: f32,
    },
    /// A weight is beyond the largest number of a dense format.
    #[error("the weight {value} in row {row}, column {col} is beyond the range of {format}")]
    OutOfRange {
        /// Row of the weight.
        row: usize,
        /// Column of the weight.
        col: usize,
        /// The weight.
        value: f32,
        /// The format that cannot hold it.
        format: WeightFormat,
    },
    /// The scale of a group is beyond the largest number of the scale's type.
    #[error(
        "the largest weight {largest} in row {row}, group {group} needs a scale beyond the range of {format}"
    )]
    ScaleOutOfRange {
        /// Row of the group.
        row: usize,
        /// Index of the group in its row (0 where a row has one scale).
        group: usize,
        /// Largest magnitude in the group.
        largest: f32,
        /// The format whose scale it is.
        format: WeightFormat,
    },
    /// A packed matrix from outside holds something that packing never makes.
    #[error("row {row} holds {what}, which no {format} matrix may hold")]
    InvalidContents {
        /// Row of the finding.
        row: usize,
        /// What was found.
        what: &'static str,
        /// The format of the matrix.
        format: WeightFormat,
    },
    /// A view claims a group that the format does not know.
    #[error("int8 has groups of 32, 64 and 128, not of {0}")]
    Int8Group(usize),
    /// A view claims a group that the format does not know.
    #[error("int4 has groups of 32, 64 and 128, not of {0}")]
    Int4Group(usize),
    /// A calibrated activation scale must be a normal positive number.
    #[error("{0} is no scale for activations: it must be finite, above zero and not subnormal")]
    ActivationScale(f32),
    /// A piece does not fit the matrix that it is appended to.
    #[error(
        "a piece in {found} with {found_cols} columns cannot join a matrix in {expected} with {expected_cols}"
    )]
    PieceMismatch {
        /// Format of the matrix.
        expected: WeightFormat,
        /// Columns of the matrix.
        expected_cols: usize,
        /// Format of the piece.
        found: WeightFormat,
        /// Columns of the piece.
        found_cols: usize,
    },
    /// More rows were appended than the matrix has.
    #[error("{extra} rows do not fit: the matrix has {rows} and holds {done} already")]
    TooManyRows {
        /// Rows of the matrix.
        rows: usize,
        /// Rows that are there.
        done: usize,
        /// Rows that were to be appended.
        extra: usize,
    },
    /// A matrix was finished before all its rows were there.
    #[error("only {done} of {rows} rows have been appended")]
    MissingRows {
        /// Rows of the matrix.
        rows: usize,
        /// Rows that are there.
        done: usize,
    },
    /// Nothing goes by this name.
    #[error("there is no {kind} called {name:?}; the names are {known}")]
    UnknownName {
        /// What was looked for: a weight format, a cache format.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: &'static str,
    },
}

impl FormatError {
    /// Names the first weight that is not finite among some of a row, the first of which is in `first_col`.
    pub(super) fn not_finite(row: usize, first_col: usize, weights: &[f32]) -> Self {
        let (index, value) =
            weights.iter().copied().enumerate().find(|(_, w)| !w.is_finite()).unwrap_or((0, f32::NAN));
        Self::NotFinite { row, col: first_col + index, value }
    }
}

/// Fails unless a slice has the length that it must have.
pub(super) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), FormatError> {
    if expected == found { Ok(()) } else { Err(FormatError::Length { what, expected, found }) }
}
