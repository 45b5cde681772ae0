//! Immutable byte storage for weights: either memory of our own or a piece of somebody else's.
//!
//! Owned storage is an anonymous memory map: page-aligned, zeroed by the system only where it is
//! touched, and backed by huge pages where the system grants them (decoding reads every weight once per
//! token, so the misses in the address-translation cache are worth saving). Shared storage is a range of
//! something that lives elsewhere, such as a memory-mapped checkpoint, and is read without a copy.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use bytemuck::AnyBitPattern;
use memmap2::MmapMut;

use super::FormatError;

/// From this size on, an owned buffer asks for huge pages. Below it a huge page would be mostly waste.
#[cfg(target_os = "linux")]
const HUGE_PAGE_FROM: usize = 4 << 20;

/// Immutable bytes, cheap to clone, that start at an address divisible by [`Bytes::ALIGNMENT`].
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// The largest alignment that an element of any format needs (f32 weights and scales).
    pub const ALIGNMENT: usize = 4;

    /// No bytes at all: the scales of a dense matrix.
    pub fn empty() -> Self {
        Self { owner: Arc::new([0_u8; 0]), range: 0..0 }
    }

    /// A copy in memory of our own.
    pub fn copy_of(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut buffer = ByteBuffer::zeroed(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer.freeze())
    }

    /// A range of bytes that `owner` keeps alive.
    ///
    /// `owner` must hand out the same bytes each time. A range that does not start at a multiple of
    /// [`Bytes::ALIGNMENT`] is copied, so that it can be read as numbers ever after.
    pub fn shared(
        owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
        range: Range<usize>,
    ) -> Result<Self, FormatError> {
        let whole = (*owner).as_ref();
        let Some(part) = whole.get(range.clone()) else {
            return Err(FormatError::RangeOutside {
                what: "bytes",
                start: range.start,
                end: range.end,
                len: whole.len(),
            });
        };
        if part.is_empty() {
            return Ok(Self::empty());
        }
        if !part.as_ptr().addr().is_multiple_of(Self::ALIGNMENT) {
            return Self::copy_of(part);
        }
        Ok(Self { owner, range })
    }

    /// A part of these bytes that shares their storage (or a copy, where the part is not aligned).
    pub fn slice(&self, range: Range<usize>) -> Result<Self, FormatError> {
        let outside = || FormatError::RangeOutside {
            what: "bytes",
            start: range.start,
            end: range.end,
            len: self.len(),
        };
        if range.start > range.end || range.end > self.len() {
            return Err(outside());
        }
        let start = self.range.start + range.start;
        Self::shared(Arc::clone(&self.owner), start..start + (range.end - range.start))
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The bytes read as numbers. Empty if they are not a whole number of them.
    pub(super) fn elements<T: AnyBitPattern>(&self) -> &[T] {
        bytemuck::try_cast_slice(self).unwrap_or_default()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // `get` rather than an index: an owner that breaks its promise must not end the process.
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} at {:p})", self.len(), self.as_ptr())
    }
}

/// Owned bytes while they are being filled; [`ByteBuffer::freeze`] makes them [`Bytes`].
pub(super) struct ByteBuffer {
    /// `None` when empty: not every system maps nothing.
    map: Option<MmapMut>,
}

impl ByteBuffer {
    /// `len` bytes of zero.
    pub(super) fn zeroed(len: usize) -> Result<Self, FormatError> {
        if len == 0 {
            return Ok(Self { map: None });
        }
        // No slice can be longer than this, whatever the system would promise.
        if isize::try_from(len).is_err() {
            return Err(FormatError::Allocation {
                bytes: len,
                source: std::io::ErrorKind::OutOfMemory.into(),
            });
        }
        let map = MmapMut::map_anon(len).map_err(|source| FormatError::Allocation { bytes: len, source })?;
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE_FROM {
            // Only advice: a system without huge pages serves small ones, and all is well.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map: Some(map) })
    }

    /// From here on nobody writes.
    pub(super) fn freeze(self) -> Bytes {
        match self.map {
            None => Bytes::empty(),
            Some(map) => {
                let range = 0..map.len();
                Bytes { owner: Arc::new(map), range }
            }
        }
    }
}

impl Deref for ByteBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for ByteBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}
