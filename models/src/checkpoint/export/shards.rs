//! Which tensors go into which file, and where.

use std::collections::BTreeMap;

use ingle_backends::format::{Int4Group, WeightFormat};
use serde_json::{Map, Value, json};

use super::super::dtype::Dtype;
use super::super::quantized::own;
use super::form::{Form, is_quantized, python_type};
use super::{Item, Matrix};

/// A tensor of the files that are written.
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) part: Part,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) len: u64,
}

/// What of a matrix a tensor holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Its numbers, or its codes as they are.
    Whole,
    /// Its scales as they are.
    Scales,
    /// One scale for all activations.
    ActivationScale(f32),
    BlockMaxima,
    CodeTable,
    /// JSON about it.
    State(String),
    Zeros,
    GroupOrder,
}

/// A piece's place in its file.
pub(super) struct Place {
    pub(super) piece: Piece,
    pub(super) start: u64,
}

/// A file of weights.
pub(super) struct Shard<'a> {
    pub(super) name: String,
    /// The header, with the length before it.
    pub(super) header: Vec<u8>,
    pub(super) items: Vec<(&'a Item<'a>, Vec<Place>)>,
    /// All of its bytes.
    pub(super) len: u64,
}

impl Piece {
    fn new(name: String, part: Part, dtype: Dtype, shape: Vec<usize>) -> Self {
        // The product is that of a matrix that exists, or of something smaller.
        let len = shape.iter().product::<usize>() as u64 * dtype.bits() as u64 / 8;
        Self { name, part, dtype, shape, len }
    }

    /// Whatever comes after it lies on a multiple of this. Pieces in the order of theirs need no gaps.
    fn alignment(&self) -> u64 {
        const LARGEST: u64 = 8;
        (self.len | LARGEST) & (self.len | LARGEST).wrapping_neg()
    }
}

/// Distributes tensors over files of so many bytes.
pub(super) fn arrange<'a>(items: &'a [Item<'a>], form: Form, largest: u64) -> Vec<Shard<'a>> {
    let mut groups: Vec<Vec<(&Item<'_>, Vec<Piece>)>> = vec![vec![]];
    let mut bytes = 0;
    for item in items {
        let pieces = pieces(item, form);
        let more: u64 = pieces.iter().map(|piece| piece.len).sum();
        if bytes > 0 && bytes + more > largest {
            groups.push(vec![]);
            bytes = 0;
        }
        bytes += more;
        if let Some(group) = groups.last_mut() {
            group.push((item, pieces));
        }
    }
    let count = groups.len();
    let name = |index: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
    };
    groups.into_iter().enumerate().map(|(index, group)| Shard::new(name(index), group)).collect()
}

impl<'a> Shard<'a> {
    fn new(name: String, items: Vec<(&'a Item<'a>, Vec<Piece>)>) -> Self {
        let mut metadata = Map::new();
        // Some programs refuse files that do not say this.
        metadata.insert("format".to_owned(), json!("pt"));
        let mut order: Vec<(&Piece, usize, usize)> = vec![];
        for (at, (item, pieces)) in items.iter().enumerate() {
            order.extend(pieces.iter().enumerate().map(|(nth, piece)| (piece, at, nth)));
            if let Some(matrix) = item.matrix.filter(|_| is_own(pieces)) {
                let Matrix { target, rows, .. } = matrix;
                let text = own::description(target.format, rows, target.cols);
                metadata.insert(own::VERSION_KEY.to_owned(), json!(own::VERSION));
                metadata.insert(item.found.name.to_owned(), json!(text));
            }
        }
        order.sort_by_key(|(piece, at, nth)| (std::cmp::Reverse(piece.alignment()), *at, *nth));
        let mut table = Map::new();
        table.insert("__metadata__".to_owned(), Value::Object(metadata));
        let mut starts = BTreeMap::new();
        let mut end = 0;
        for (piece, at, nth) in order {
            starts.insert((at, nth), end);
            let Piece { name, dtype, shape, len, .. } = piece;
            let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [end, end + len]});
            table.insert(name.clone(), entry);
            end += len;
        }
        let mut text = Value::Object(table).to_string();
        // The data start at a multiple of 8, so that they can be used where they are mapped.
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        let header = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let data = header.len() as u64;
        let placed = items.into_iter().enumerate().map(|(at, (item, pieces))| {
            let start = |nth: usize| data + starts.get(&(at, nth)).copied().unwrap_or(0);
            let places = pieces.into_iter().enumerate();
            (item, places.map(|(nth, piece)| Place { start: start(nth), piece }).collect())
        });
        Self { name, items: placed.collect(), len: data + end, header }
    }
}

/// Whether these are codes and scales of our own form.
fn is_own(pieces: &[Piece]) -> bool {
    matches!(pieces, [codes, scales] if codes.dtype == Dtype::U8 && scales.part == Part::Scales)
}

/// The tensors that a tensor becomes.
fn pieces(item: &Item<'_>, form: Form) -> Vec<Piece> {
    let (name, info) = (item.found.name, item.found.info);
    let whole = |dtype| vec![Piece::new(name.to_owned(), Part::Whole, dtype, info.shape.clone())];
    if item.replaced.is_some() {
        return whole(Dtype::F32);
    }
    let Some(Matrix { target, rows, dtype, .. }) = item.matrix else { return whole(info.dtype) };
    let (cols, format) = (target.cols, target.format);
    if !is_quantized(format) {
        return whole(match format {
            WeightFormat::F16 => Dtype::F16,
            WeightFormat::Bf16 => Dtype::Bf16,
            _ => Dtype::F32,
        });
    }
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    let piece = |name: String, part, dtype, shape| Piece::new(name, part, dtype, shape);
    match (form, format) {
        (Form::Bitsandbytes, _) => {
            let state = json!({
                "quant_type": "nf4",
                "blocksize": 64,
                "dtype": python_type(dtype.format()),
                "shape": [rows, cols],
            });
            let state = state.to_string();
            let part = |ending: &str| format!("{name}.{ending}");
            vec![
                piece(name.to_owned(), Part::Whole, Dtype::U8, vec![rows * cols / 2, 1]),
                piece(part("absmax"), Part::BlockMaxima, Dtype::F32, vec![rows * cols / 64]),
                piece(part("quant_map"), Part::CodeTable, Dtype::F32, vec![16]),
                piece(
                    part("quant_state.bitsandbytes__nf4"),
                    Part::State(state.clone()),
                    Dtype::U8,
                    vec![state.len()],
                ),
            ]
        }
        (Form::CompressedInt8(_), WeightFormat::W8a8(scale)) => {
            let mut pieces = vec![
                piece(name.to_owned(), Part::Whole, Dtype::I8, vec![rows, cols]),
                piece(format!("{stem}.weight_scale"), Part::Scales, Dtype::F32, vec![rows, 1]),
            ];
            if let ingle_backends::format::ActivationScale::PerTensor(scale) = scale {
                let part = Part::ActivationScale(scale);
                pieces.push(piece(format!("{stem}.input_scale"), part, Dtype::F32, vec![1]));
            }
            pieces
        }
        (Form::Gptq(group), _) => gptq(stem, rows, cols, group),
        _ => {
            let scales = own::scale_type(format);
            vec![
                piece(name.to_owned(), Part::Whole, Dtype::U8, vec![rows, format.row_bytes(cols)]),
                piece(own::scales_of(name), Part::Scales, scales, vec![rows, format.scales_per_row(cols)]),
            ]
        }
    }
}

fn gptq(stem: &str, rows: usize, cols: usize, group: Int4Group) -> Vec<Piece> {
    let groups = cols / group.size();
    let piece = |ending: &str, part, dtype, shape| Piece::new(format!("{stem}.{ending}"), part, dtype, shape);
    vec![
        piece("qweight", Part::Whole, Dtype::I32, vec![cols / 8, rows]),
        piece("qzeros", Part::Zeros, Dtype::I32, vec![groups, rows / 8]),
        piece("scales", Part::Scales, Dtype::F16, vec![groups, rows]),
        piece("g_idx", Part::GroupOrder, Dtype::I32, vec![cols]),
    ]
}
