//! The header of a safetensors file: which tensors it holds, and where.
//!
//! A file starts with the length of its header in eight bytes, then comes the header, a table in JSON,
//! then the data. Everything the header claims is checked against the file before any of it is believed:
//! tensors must lie within the data, take just the bytes that their shape and type need, not overlap and
//! leave no gaps. So a file that has been cut short, or two that have been mixed up, is found out when it
//! is opened rather than by what the model says.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::dtype::Dtype;
use super::error::{FileFault, TensorFault};

/// Longest header that is read; the format's own limit.
const HEADER_LIMIT: usize = 100_000_000;

/// The bytes before the header.
const LENGTH_BYTES: usize = 8;

/// Where a tensor lies in its file, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub range: Range<usize>,
}

impl TensorInfo {
    /// How many numbers it holds.
    pub fn elements(&self) -> usize {
        // Checked when the header was read: the product fits.
        self.shape.iter().product()
    }
}

/// A checked header.
#[derive(Clone, Debug, Default)]
pub struct Header {
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Free text that the writer left.
    pub metadata: BTreeMap<String, String>,
    /// Where the data starts, counted from the start of the file.
    pub data_start: usize,
}

impl Header {
    /// Reads and checks the header of a file, given all of the file.
    pub fn read(file: &[u8]) -> Result<Self, FileFault> {
        let (length, rest) =
            file.split_first_chunk::<LENGTH_BYTES>().ok_or(FileFault::TooShort(file.len()))?;
        let len = u64::from_le_bytes(*length);
        let outside = FileFault::HeaderOutside { len, file_len: file.len() };
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        if wanted > HEADER_LIMIT {
            // Where the file is shorter anyway, that is the plainer thing to say.
            let too_long = FileFault::HeaderTooLong { len, limit: HEADER_LIMIT };
            return Err(if wanted > rest.len() { outside } else { too_long });
        }
        let (header, data) = rest.split_at_checked(wanted).ok_or(outside)?;
        let text = str::from_utf8(header).map_err(|_| FileFault::HeaderNotUtf8)?;
        let table: RawHeader =
            serde_json::from_str(text).map_err(|e| FileFault::HeaderNotJson(e.to_string()))?;
        Self::check(table, LENGTH_BYTES + wanted, data.len())
    }

    fn check(table: RawHeader, data_start: usize, data_len: usize) -> Result<Self, FileFault> {
        let mut tensors = BTreeMap::new();
        for (name, raw) in table.tensors {
            if tensors.contains_key(&name) {
                return Err(FileFault::DuplicateName(name));
            }
            match raw.check(data_start, data_len) {
                Ok(info) => tensors.insert(name, info),
                Err(fault) => return Err(FileFault::Tensor { tensor: name, fault }),
            };
        }
        let mut metadata = BTreeMap::new();
        for (name, text) in table.metadata {
            if metadata.contains_key(&name) {
                return Err(FileFault::DuplicateName(name));
            }
            metadata.insert(name, text);
        }
        check_order(&tensors, data_start, data_start + data_len)?;
        Ok(Self { tensors, metadata, data_start })
    }
}

/// Tensors must follow one another through all of the data.
fn check_order(
    tensors: &BTreeMap<String, TensorInfo>,
    data_start: usize,
    file_len: usize,
) -> Result<(), FileFault> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, info)| (info.range.start, info.range.end));
    let (mut end, mut before) = (data_start, "");
    for (name, info) in in_order {
        let fault = match info.range.start.checked_sub(end) {
            None => Some(TensorFault::Overlap(before.to_owned())),
            Some(0) => None,
            Some(gap) => Some(TensorFault::Gap(gap)),
        };
        if let Some(fault) = fault {
            return Err(FileFault::Tensor { tensor: name.clone(), fault });
        }
        (end, before) = (info.range.end, name);
    }
    if end == file_len { Ok(()) } else { Err(FileFault::Unclaimed(file_len - end)) }
}

/// A tensor as the header states it.
#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawTensor {
    fn check(self, data_start: usize, data_len: usize) -> Result<TensorInfo, TensorFault> {
        let Some(dtype) = Dtype::from_name(&self.dtype) else {
            return Err(TensorFault::UnknownDtype(self.dtype));
        };
        let shape = self.shape.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<_>>>();
        let needed = shape.as_deref().and_then(|shape| {
            let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))?;
            elements.checked_mul(dtype.bits())
        });
        let (Some(needed), Some(shape)) = (needed, shape) else {
            return Err(TensorFault::TooLarge(self.shape));
        };
        let needed = needed.div_ceil(8);
        let (start, end) = self.data_offsets;
        let claimed = end.checked_sub(start).ok_or(TensorFault::Reversed { start, end })?;
        if end > data_len as u64 {
            return Err(TensorFault::Outside { end, data_len });
        }
        if claimed != needed as u64 {
            return Err(TensorFault::Size { claimed, needed, shape, dtype: dtype.name() });
        }
        let range = data_start + start as usize..data_start + end as usize;
        Ok(TensorInfo { dtype, shape, range })
    }
}

/// The table in the order of the file, with names that occur twice still twice: a map would keep only the
/// last of them, and which one is meant nobody can tell.
#[derive(Default)]
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: Vec<(String, String)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        let pairs = map.next_value::<Option<Pairs<String>>>()?;
                        header.metadata.extend(pairs.unwrap_or_default().0);
                        continue;
                    }
                    let tensor = map
                        .next_value()
                        .map_err(|fault| A::Error::custom(format_args!("tensor `{name}`: {fault}")))?;
                    header.tensors.push((name, tensor));
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// A table's names and values, in order, doubles included.
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<V> Default for Pairs<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Table<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Pairs::default();
                while let Some(pair) = map.next_entry()? {
                    pairs.0.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Table(std::marker::PhantomData))
    }
}
