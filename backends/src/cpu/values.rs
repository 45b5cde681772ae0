//! The values of a step: where they lie, and how operators read and write them.
//!
//! Values live in the buffers of a [`MemoryPlan`], sized for the largest step when the plan is prepared. A
//! buffer holds values of different kinds at different times, so it is plain cache lines that are read as
//! whatever its present value is made of. An operator takes its output's buffer out, fills it, and puts it
//! back; meanwhile its inputs are read where they lie.

use std::mem;

use bytemuck::{Pod, Zeroable};

use super::simd::Line;
use crate::BackendError;
use crate::format::FormatError;
use crate::plan::{BatchLimits, Element, MemoryPlan, Operand, Plan, Rows, Shape, ValueId};

/// Bytes that rows of codes are padded to.
const CODE_PADDING: usize = 64;

/// Memory in whole cache lines.
pub(super) type Buffer = Vec<Line>;

/// `lines` lines of zeros, or the error that says how much the system refused.
pub(super) fn allocate(lines: usize) -> Result<Buffer, FormatError> {
    let mut buffer = Buffer::new();
    grow(&mut buffer, lines)?;
    Ok(buffer)
}

/// Lets a buffer have `count` entries at least; those that are new are zeros.
pub(super) fn grow<T: Zeroable + Copy>(buffer: &mut Vec<T>, count: usize) -> Result<(), FormatError> {
    let missing = count.saturating_sub(buffer.len());
    buffer.try_reserve_exact(missing).map_err(|_| refused(count.saturating_mul(size_of::<T>())))?;
    buffer.resize(buffer.len() + missing, T::zeroed());
    Ok(())
}

/// Gives an empty list room for `count` entries at least.
pub(super) fn make_room<T>(list: &mut Vec<T>, count: usize) -> Result<(), FormatError> {
    let missing = count.saturating_sub(list.len());
    list.try_reserve_exact(missing).map_err(|_| refused(count.saturating_mul(size_of::<T>())))
}

/// What to say when the system does not grant memory.
pub(super) fn refused(bytes: usize) -> FormatError {
    FormatError::Allocation { bytes, source: std::io::ErrorKind::OutOfMemory.into() }
}

/// The first `count` numbers of a buffer.
pub(super) fn numbers<T: Pod>(buffer: &[Line], count: usize) -> &[T] {
    &bytemuck::cast_slice(buffer)[..count]
}

/// The first `count` numbers of a buffer, to be written.
pub(super) fn numbers_mut<T: Pod>(buffer: &mut [Line], count: usize) -> &mut [T] {
    &mut bytemuck::cast_slice_mut(buffer)[..count]
}

/// Rows of f32 that lie apart from one another: what operators read.
#[derive(Clone, Copy)]
pub(super) struct FloatRows<'a> {
    /// Begins with the first element of the first row.
    data: &'a [f32],
    stride: usize,
    width: usize,
    count: usize,
}

impl<'a> FloatRows<'a> {
    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Elements from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// All of it, from the first element of the first row to the last of the last, with what lies between rows.
    pub(super) fn span(&self) -> &'a [f32] {
        self.data
    }

    #[inline]
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.width]
    }
}

/// Rows of int8 codes with a scale each: what a fused quantisation hands to a product.
#[derive(Clone, Copy)]
pub(super) struct CodeRows<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f32],
    /// Codes from one row to the next.
    pub(super) stride: usize,
    pub(super) width: usize,
}

/// Where an operator writes rows: f32, or codes and scales.
pub(super) enum RowsMut<'a> {
    Floats(&'a mut [f32]),
    Codes { codes: &'a mut [i8], scales: &'a mut [f32] },
}

impl<'a> RowsMut<'a> {
    /// The rows of a buffer that is to hold a value of this shape. Slots count as rows.
    pub(super) fn new(buffer: &'a mut [Line], shape: &Shape, rows: usize) -> Self {
        if shape.element == Element::Int8Rows {
            let codes = rows * shape.width.next_multiple_of(CODE_PADDING);
            let (lines, rest) = buffer.split_at_mut(codes / CODE_PADDING);
            Self::Codes { codes: bytemuck::cast_slice_mut(lines), scales: numbers_mut(rest, rows) }
        } else {
            Self::Floats(numbers_mut(buffer, rows * shape.width))
        }
    }

    /// The rows before `row`, and the rest.
    pub(super) fn split_at(self, row: usize, width: usize) -> (Self, Self) {
        match self {
            Self::Floats(floats) => {
                let (a, b) = floats.split_at_mut(row * width);
                (Self::Floats(a), Self::Floats(b))
            }
            Self::Codes { codes, scales } => {
                let (codes_a, codes_b) = codes.split_at_mut(row * width.next_multiple_of(CODE_PADDING));
                let (a, b) = scales.split_at_mut(row);
                (Self::Codes { codes: codes_a, scales: a }, Self::Codes { codes: codes_b, scales: b })
            }
        }
    }
}

/// The values of a runner.
pub(super) struct Values {
    buffers: Vec<Buffer>,
    buffer_of: Vec<usize>,
    shapes: Vec<Shape>,
    tokens: usize,
    selected: usize,
}

impl Values {
    /// Buffers for the largest step.
    pub(super) fn new(plan: &Plan, limits: &BatchLimits) -> Result<Self, BackendError> {
        let memory = MemoryPlan::new(plan, limits);
        let lines = |bytes: &u64| usize::try_from(*bytes).unwrap_or(usize::MAX).div_ceil(size_of::<Line>());
        Ok(Self {
            buffers: memory.buffers.iter().map(|bytes| allocate(lines(bytes))).collect::<Result<_, _>>()?,
            buffer_of: memory.buffer_of,
            shapes: plan.values.iter().map(|value| value.shape).collect(),
            tokens: 0,
            selected: 0,
        })
    }

    /// Says how many rows the values of this step have.
    pub(super) fn begin(&mut self, tokens: usize, selected: usize) {
        (self.tokens, self.selected) = (tokens, selected);
    }

    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.shapes[value.index()]
    }

    /// The rows of a value in this step, its slots counted as rows.
    pub(super) fn rows(&self, value: ValueId) -> usize {
        let shape = self.shape(value);
        shape.slots
            * match shape.rows {
                Rows::Tokens => self.tokens,
                Rows::Selected => self.selected,
            }
    }

    /// Whether two values have the same buffer.
    pub(super) fn share(&self, a: ValueId, b: ValueId) -> bool {
        self.buffer_of[a.index()] == self.buffer_of[b.index()]
    }

    /// Takes a value's buffer out, to be written.
    pub(super) fn take(&mut self, value: ValueId) -> Buffer {
        mem::take(&mut self.buffers[self.buffer_of[value.index()]])
    }

    /// Puts a value's buffer back.
    pub(super) fn put(&mut self, value: ValueId, buffer: Buffer) {
        self.buffers[self.buffer_of[value.index()]] = buffer;
    }

    /// An operand's rows of f32.
    pub(super) fn floats(&self, operand: Operand) -> FloatRows<'_> {
        let (rows, stride) = (self.rows(operand.value), self.shape(operand.value).width);
        let span = if rows == 0 { 0 } else { (rows - 1) * stride + operand.width };
        let buffer: &[f32] = bytemuck::cast_slice(&self.buffers[self.buffer_of[operand.value.index()]]);
        let first = if rows == 0 { 0 } else { operand.first };
        FloatRows { data: &buffer[first..][..span], stride, width: operand.width, count: rows }
    }

    /// A value's rows of codes.
    pub(super) fn codes(&self, value: ValueId) -> CodeRows<'_> {
        let (rows, width) = (self.rows(value), self.shape(value).width);
        let stride = width.next_multiple_of(CODE_PADDING);
        let (codes, scales) =
            self.buffers[self.buffer_of[value.index()]].split_at(rows * stride / CODE_PADDING);
        CodeRows { codes: bytemuck::cast_slice(codes), scales: numbers(scales, rows), stride, width }
    }

    /// A value's indices.
    pub(super) fn indices(&self, value: ValueId) -> &[u32] {
        let count = self.rows(value) * self.shape(value).width;
        numbers(&self.buffers[self.buffer_of[value.index()]], count)
    }

    /// A value as the caller gets to see it: numbers, whatever it is made of.
    pub(super) fn as_numbers(&self, value: ValueId) -> Vec<f32> {
        let shape = self.shape(value);
        match shape.element {
            Element::F32 => {
                let whole = Operand { value, first: 0, width: shape.width };
                self.floats(whole).span().to_vec()
            }
            Element::Index => self.indices(value).iter().map(|index| *index as f32).collect(),
            Element::Int8Rows => {
                let rows = self.codes(value);
                let codes = rows.codes.chunks_exact(rows.stride).zip(rows.scales);
                codes
                    .flat_map(|(codes, scale)| {
                        codes[..rows.width].iter().map(move |code| f32::from(*code) * scale)
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanBuilder;

    #[test]
    fn columns_of_a_value_are_read_in_place() {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 5);
        plan.tap(x);
        let plan = plan.finish().unwrap();
        let limits = BatchLimits { rows: 4, selected: 1, sequences: 1 };
        let mut values = Values::new(&plan, &limits).unwrap();
        values.begin(3, 0);
        let mut buffer = values.take(x.value);
        for (i, number) in numbers_mut::<f32>(&mut buffer, 15).iter_mut().enumerate() {
            *number = i as f32;
        }
        values.put(x.value, buffer);
        let columns = values.floats(x.columns(1, 2));
        assert_eq!(columns.count(), 3);
        assert_eq!(
            (0..3).map(|row| columns.row(row).to_vec()).collect::<Vec<_>>().concat(),
            [1.0, 2.0, 6.0, 7.0, 11.0, 12.0]
        );
        values.begin(0, 0);
        assert_eq!(values.floats(x.columns(1, 2)).span(), &[] as &[f32]);
    }

    #[test]
    fn rows_of_codes_split_between_rows() {
        let shape = Shape { element: Element::Int8Rows, ..Shape::rows_of(Rows::Tokens, 70) };
        let mut buffer = allocate(3 * 132_usize.div_ceil(64)).unwrap();
        let rows = RowsMut::new(&mut buffer, &shape, 3);
        let (RowsMut::Codes { codes, scales }, RowsMut::Codes { codes: rest, .. }) = rows.split_at(1, 70)
        else {
            unreachable!()
        };
        assert_eq!((codes.len(), scales.len(), rest.len()), (128, 1, 256));
    }
}
