//! A block of columns of a row-major matrix, to be written by one task while others write other columns.

#![allow(unsafe_code, reason = "slices cannot express disjoint columns of one buffer")]

use std::marker::PhantomData;
use std::slice;

/// Some columns of a row-major matrix, borrowed for writing.
///
/// It can be cut between columns, which slices cannot, so that tasks share an output matrix without locks
/// or copies.
pub(crate) struct Columns<'a> {
    /// The first column of the first row.
    start: *mut f32,
    rows: usize,
    width: usize,
    stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for `&mut` borrows of the parts of rows that it covers, and no two cover the same element.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    /// All columns of a matrix. `None` if the slice is shorter than `rows` rows of `width`, `stride` apart.
    pub(crate) fn new(matrix: &'a mut [f32], rows: usize, width: usize, stride: usize) -> Option<Self> {
        let needed = match rows.checked_sub(1) {
            None => 0,
            Some(before) => before.checked_mul(stride)?.checked_add(width)?,
        };
        let fits = matrix.len() >= needed && (width <= stride || rows <= 1);
        fits.then_some(Self { start: matrix.as_mut_ptr(), rows, width, stride, matrix: PhantomData })
    }

    /// Columns of this block.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// This block's part of a row.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: `new` has checked that every row lies within the matrix that is borrowed for 'a, and
        // `split_at` hands out disjoint columns, so that nothing else refers to these elements.
        unsafe { slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width) }
    }

    /// The columns before `column`, and the rest.
    pub(crate) fn split_at(self, column: usize) -> (Self, Self) {
        let column = column.min(self.width);
        // A matrix without rows may be an empty slice, in which the pointer must stay where it is.
        let offset = if self.rows == 0 { 0 } else { column };
        // SAFETY: `column` is at most `width`, and with at least one row `width` elements follow the start.
        let start = unsafe { self.start.add(offset) };
        (Self { width: column, ..self }, Self { start, width: self.width - column, ..self })
    }
}
