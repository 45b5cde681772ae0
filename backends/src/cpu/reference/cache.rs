//! The paged cache: numbers are rounded as the cache format defines when they are stored, and read back
//! exactly.

use std::ops::Range;

use half::f16;

use crate::BackendError;
use crate::format::{
    CacheFormat, CacheLayout, FormatError, decode_f16, decode_int8, encode_f16, encode_int8,
};

/// The keys and values of one layer.
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// The keys.
    pub keys: Pool,
    /// The values.
    pub values: Pool,
}

impl LayerCache {
    /// A cache of zeros.
    pub(super) fn new(layout: CacheLayout, pages: usize) -> Result<Self, BackendError> {
        Ok(Self { keys: Pool::new(layout, pages)?, values: Pool::new(layout, pages)? })
    }

    /// Copies a page of keys and of values.
    pub(super) fn copy_page(&mut self, from: usize, to: usize) {
        self.keys.copy_page(from, to);
        self.values.copy_page(from, to);
    }
}

/// Pages of keys, or of values.
#[derive(Clone, Debug)]
pub struct Pool {
    layout: CacheLayout,
    stored: Stored,
}

#[derive(Clone, Debug)]
enum Stored {
    F16(Vec<f16>),
    Int8 { codes: Vec<i8>, scales: Vec<f16> },
}

impl Pool {
    fn new(layout: CacheLayout, pages: usize) -> Result<Self, BackendError> {
        let elements = layout.elements_per_page().saturating_mul(pages);
        let stored = match layout.format {
            CacheFormat::F16 => Stored::F16(zeros(elements, f16::ZERO)?),
            CacheFormat::Int8 => Stored::Int8 {
                codes: zeros(elements, 0)?,
                scales: zeros(layout.vectors_per_page().saturating_mul(pages), f16::ZERO)?,
            },
        };
        Ok(Self { layout, stored })
    }

    /// How the pages lie in memory.
    pub fn layout(&self) -> CacheLayout {
        self.layout
    }

    /// Where the vector of a head at a position of a sequence lies, among the vectors of the pool.
    fn place(&self, pages: &[u32], head: usize, position: usize) -> usize {
        let page = pages[position / self.layout.page_tokens] as usize;
        self.layout.vector_index(page, head, position % self.layout.page_tokens)
    }

    /// Stores the vector of a head at a position of the sequence that has these pages.
    pub(super) fn store(
        &mut self,
        pages: &[u32],
        head: usize,
        position: usize,
        vector: &[f64],
    ) -> Result<(), FormatError> {
        let vector = vector.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let place = self.place(pages, head, position);
        let elements = place * vector.len()..(place + 1) * vector.len();
        match &mut self.stored {
            Stored::F16(codes) => encode_f16(&vector, &mut codes[elements])?,
            Stored::Int8 { codes, scales } => scales[place] = encode_int8(&vector, &mut codes[elements])?,
        }
        Ok(())
    }

    /// The vectors of a head at some positions of the sequence that has these pages, behind one another.
    pub fn load(&self, pages: &[u32], head: usize, positions: Range<usize>) -> Result<Vec<f64>, FormatError> {
        let dim = self.layout.head_dim;
        let mut loaded = Vec::with_capacity(positions.len() * dim);
        // Decoding to f32 is exact in both formats: an int8 code times an f16 scale has at most 18 bits.
        let mut vector = vec![0.0; dim];
        for position in positions {
            let place = self.place(pages, head, position);
            let elements = place * dim..(place + 1) * dim;
            match &self.stored {
                Stored::F16(codes) => decode_f16(&codes[elements], &mut vector)?,
                Stored::Int8 { codes, scales } => decode_int8(&codes[elements], scales[place], &mut vector)?,
            }
            loaded.extend(vector.iter().map(|x| f64::from(*x)));
        }
        Ok(loaded)
    }

    fn copy_page(&mut self, from: usize, to: usize) {
        let elements = self.layout.elements_per_page();
        match &mut self.stored {
            Stored::F16(codes) => codes.copy_within(from * elements..(from + 1) * elements, to * elements),
            Stored::Int8 { codes, scales } => {
                let vectors = self.layout.vectors_per_page();
                codes.copy_within(from * elements..(from + 1) * elements, to * elements);
                scales.copy_within(from * vectors..(from + 1) * vectors, to * vectors);
            }
        }
    }
}

/// Memory of one number, or the error that says that there is none.
fn zeros<T: Copy>(len: usize, zero: T) -> Result<Vec<T>, BackendError> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(len).map_err(|_| FormatError::Allocation {
        bytes: len.saturating_mul(size_of::<T>()),
        source: std::io::ErrorKind::OutOfMemory.into(),
    })?;
    numbers.resize(len, zero);
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(format: CacheFormat) -> Pool {
        Pool::new(CacheLayout { format, kv_heads: 2, head_dim: 3, page_tokens: 2 }, 3).unwrap()
    }

    #[test]
    fn positions_go_through_the_page_table() {
        let mut pool = pool(CacheFormat::F16);
        let pages = [2, 0];
        for position in 0..4 {
            for head in 0..2 {
                let x = (10 * position + head) as f64;
                pool.store(&pages, head, position, &[x, x + 0.25, x + 0.5]).unwrap();
            }
        }
        assert_eq!(pool.load(&pages, 1, 1..3).unwrap(), [11.0, 11.25, 11.5, 21.0, 21.25, 21.5]);
        // Page 2, head 1, token 1 is vector (2·2 + 1)·2 + 1 = 11 of the pool.
        let Stored::F16(codes) = &pool.stored else { unreachable!() };
        assert_eq!(codes[33..36], [11.0, 11.25, 11.5].map(f16::from_f32));
        pool.copy_page(2, 1);
        assert_eq!(pool.load(&[1], 0, 0..2).unwrap(), pool.load(&[2], 0, 0..2).unwrap());
    }

    #[test]
    fn int8_rounds_as_the_format_says() {
        let mut pool = pool(CacheFormat::Int8);
        pool.store(&[1], 1, 1, &[127.0, -2.5, 3.5]).unwrap();
        // The scale is 1; halves go to the even neighbour.
        assert_eq!(pool.load(&[1], 1, 1..2).unwrap(), [127.0, -2.0, 4.0]);
        assert_eq!(pool.load(&[1], 1, 0..1).unwrap(), [0.0; 3]);
        pool.copy_page(1, 0);
        assert_eq!(pool.load(&[0], 1, 1..2).unwrap(), [127.0, -2.0, 4.0]);
    }
}
