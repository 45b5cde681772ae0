//! Products of one row, `shaders/linear/row.wesl`: in which shape, with x in workgroup memory or not, and along with what.

use super::product::{Activations, Codes, MatvecShape, Params};
use crate::format::WeightFormat;
use crate::gpu::elementwise::number;
use crate::gpu::one_row::{gate_after, norm_into};
use crate::gpu::stored::{Stored, stored_after};
use crate::plan::{self, RopeLayout};
use crate::wgpu::build::{Binding, Build};
use crate::wgpu::capabilities::Capabilities;
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::{Table, angles_of};
use crate::wgpu::weights::DeviceMatrix;

/// Bytes that the kernel reads of a row of weights at a time.
const CHUNK: u32 = 16;
/// Of workgroup memory: a chunk's digits of int8 and what they are multiples of, and a quad of f32.
const DIGITS: u32 = 52;
const QUAD: u32 = 16;
/// Runs of lanes whose sums meet in workgroup memory: room for them with subgroups, and without.
const SUBGROUP_RUNS: u32 = 64;
const INVOCATIONS: u32 = 256;
/// What `workgroup_sum` takes, which `norm` asks for.
const SUMS: u32 = 512 * 4;
/// What nf4's codes stand for.
const CODEBOOK: u32 = 64;

/// Whether there is a kernel for one row of such weights; those of int8 activations are the streaming kernel's.
pub(super) const fn has_kernel(format: WeightFormat) -> bool {
    !matches!(format, WeightFormat::W8a8(_))
}

/// Weights of a chunk.
pub(super) const fn width(format: WeightFormat) -> u32 {
    let codes = Codes::of(format);
    codes.width * (CHUNK / codes.bytes)
}

/// A variant of the kernel: all but what it does along with the product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    format: WeightFormat,
    shape: MatvecShape,
    /// Chunks of x in workgroup memory, where it is put there.
    staged: Option<u32>,
    whole: bool,
    subgroups: bool,
}

impl Row {
    /// For rows of `cols` columns. x is put into workgroup memory where there is room for it: where normalising wants it there
    /// ([`takes_norm`] has asked), and where codes are multiplied as the integers that they are.
    fn new(
        capabilities: &Capabilities,
        format: WeightFormat,
        cols: u32,
        shape: MatvecShape,
        norm: bool,
    ) -> Self {
        let whole = capabilities.subgroup_at_least(shape.lanes);
        let runs = |smallest: u32| shape.lanes * shape.teams / smallest.min(shape.lanes);
        let subgroups = capabilities.subgroups.is_some_and(|(smallest, _)| runs(smallest) <= SUBGROUP_RUNS);
        let chunks = cols.div_ceil(width(format)).next_multiple_of(shape.lanes * shape.unroll);
        let chunk = match format {
            WeightFormat::Int8(_) => DIGITS,
            _ => QUAD * width(format) / 4,
        };
        let runs = match (whole, subgroups) {
            (true, _) => 0,
            (false, true) => SUBGROUP_RUNS,
            (false, false) => INVOCATIONS,
        };
        let besides = QUAD * runs + if norm { SUMS } else { 0 } + CODEBOOK;
        let fits = chunks.saturating_mul(chunk).saturating_add(besides) <= capabilities.workgroup_memory;
        let wanted = norm || matches!(format, WeightFormat::Int8(_));
        let staged = (wanted && fits).then_some(chunks);
        Self { format, shape, staged, whole, subgroups }
    }

    pub(super) fn kernel(&self) -> Kernel {
        let kernel = Kernel::new("linear/row")
            .with(Codes::of(self.format).feature)
            .with_if(self.shape.unroll > 1, "unroll2")
            .with_if(self.subgroups, "subgroup")
            .with_if(self.whole, "whole")
            .with_if(self.staged.is_some(), "staged")
            .constant("LANES", self.shape.lanes)
            .constant("INVOCATIONS", self.shape.lanes * self.shape.teams)
            .constant("PASSES", self.shape.passes);
        match self.staged {
            Some(chunks) => kernel.constant("STAGED", chunks),
            None => kernel,
        }
    }

    /// Workgroups for so many results.
    fn workgroups(&self, results: u32, gated: bool) -> u32 {
        results.div_ceil(self.shape.teams * self.shape.passes * if gated { 2 } else { 4 })
    }
}

/// What a product of one row is launched with.
pub(super) struct Launch {
    pub(super) kernel: Kernel,
    pub(super) params: Params,
    pub(super) bindings: Vec<Binding>,
    pub(super) workgroups: u32,
}

impl Launch {
    /// Has it rotate queries and keys, and write keys and values into the cache.
    fn store(&mut self, build: &Build<'_>, stored: &Stored<'_>) {
        let Stored { store, rotate } = stored;
        let cache = build.cache(store.cache).clone();
        let dim = cache.layout.head_dim;
        let spec = &build.plan.ropes[rotate.rope.index()];
        self.kernel = self.kernel.clone().with("stored");
        self.params = Params {
            heads: (rotate.query.width / dim) as u32,
            kv_heads: cache.layout.kv_heads as u32,
            dim: dim as u32,
            vector_words: cache.vector_words,
            page_tokens: cache.layout.page_tokens as u32,
            key_head: (store.key.first / dim) as u32,
            value_head: (store.value.first / dim) as u32,
            interleaved: u32::from(spec.layout == RopeLayout::Interleaved),
            ..self.params
        };
        self.bindings[Y] = Binding::ReadWrite(build.value(rotate.output));
        self.bindings.extend([
            Binding::ReadWrite(cache.keys.codes),
            Binding::ReadWrite(cache.values.codes),
            Binding::Read(build.table(angles_of(rotate.rope))),
            Binding::Read(build.table(Table::RowSlot)),
        ]);
    }
}

/// Places of the activations and of the result among a product's bindings.
const X: usize = 2;
const Y: usize = 3;

/// The launch for a shard of a product that `params` and `bindings` describe for all kernels, along with what comes right before and
/// after ([`crate::gpu::one_row`], [`crate::gpu::stored`]).
pub(super) fn launch(
    build: &Build<'_>,
    op: &plan::Linear,
    matrix: &DeviceMatrix,
    (params, bindings): (&Params, &[Binding]),
) -> Launch {
    let format = matrix.format;
    let (norm, gate) = match build.node {
        Some(node) => (norm_into(build, node, op), gate_after(build, node, op)),
        None => (None, None),
    };
    let features = params.shard_rows;
    let shape = build.matvec_shape(format, 1, features, matrix.cols);
    let row = Row::new(build.capabilities(), format, matrix.cols, shape, norm.is_some());
    let mut launch = Launch {
        kernel: row.kernel(),
        params: Params {
            steps: matrix.cols.div_ceil(width(format)),
            row_codes: matrix.row_quads,
            scale_shift: params
                .scale_shift
                .saturating_sub((CHUNK / Codes::of(format).bytes).trailing_zeros()),
            ..*params
        },
        bindings: bindings.to_vec(),
        workgroups: row.workgroups(features, false),
    };
    if let Some(gate) = gate {
        launch.kernel = launch.kernel.with("gated");
        launch.params.function = number(gate.function);
        launch.params.y_stride = features / 2;
        launch.bindings[Y] = Binding::ReadWrite(build.value(gate.output));
        launch.workgroups = row.workgroups(features / 2, true);
    }
    if let Some((norm, weight)) = norm.and_then(|norm| Some((norm, norm.weight?))) {
        launch.kernel = launch.kernel.with("norm");
        launch.params.norm_epsilon = norm.epsilon;
        launch.params.norm_offset = norm.weight_offset;
        let x = Activations::direct(build.operand(norm.input));
        launch.params.read(&x);
        launch.bindings[X] = Binding::Read(x.region);
        launch.bindings.push(Binding::Read(build.vector(weight)));
    }
    if let Some(stored) = build.node.and_then(|node| stored_after(build, node, op)) {
        launch.store(build, &stored);
    }
    launch
}

/// Whether the product with this matrix can normalise its row.
pub(super) fn takes_norm(build: &Build<'_>, matrix: &DeviceMatrix) -> bool {
    has_kernel(matrix.format)
        && matrix.shards.iter().all(|shard| {
            let shape = build.matvec_shape(matrix.format, 1, shard.rows, matrix.cols);
            Row::new(build.capabilities(), matrix.format, matrix.cols, shape, true).staged.is_some()
        })
}

/// What a device may ask for.
pub(super) fn variants(device: &Capabilities, format: WeightFormat, shape: MatvecShape) -> Vec<Kernel> {
    let mut kernels = vec![];
    // Rows that fit into workgroup memory, and rows that do not.
    for (cols, norm) in [(64, false), (64, true), (1 << 20, false)] {
        let row = Row::new(device, format, cols, shape, norm);
        if norm && row.staged.is_none() {
            continue; // As in `takes_norm`: nobody asks for it there.
        }
        let kernel = row.kernel().with_if(norm, "norm");
        kernels.extend([kernel.clone(), kernel.clone().with("gated"), kernel.with("stored")]);
    }
    kernels
}

#[cfg(test)]
mod tests {
    use super::super::linear::kinds_of_devices;
    use super::*;
    use crate::format::Int8Group;

    fn staged(workgroup_memory: u32, format: WeightFormat, cols: u32, norm: bool) -> Option<u32> {
        let device = Capabilities { workgroup_memory, ..kinds_of_devices().pop().unwrap() };
        let shape = MatvecShape { lanes: 32, teams: 8, tall: false, unroll: 2, passes: 1 };
        Row::new(&device, format, cols, shape, norm).staged
    }

    #[test]
    fn rows_are_staged_where_there_is_room() {
        let int8 = WeightFormat::Int8(Int8Group::G64);
        // Whole turns of 32 lanes with two chunks each.
        assert_eq!(staged(48 << 10, int8, 4096, true), Some(256));
        assert_eq!(staged(48 << 10, int8, 4097, true), Some(320));
        assert_eq!(staged(48 << 10, int8, 14336, false), Some(896));
        assert_eq!(staged(16 << 10, int8, 4096, false), Some(256));
        assert_eq!(staged(16 << 10, int8, 14336, false), None);
        // Floats are put there only to be normalised.
        assert_eq!(staged(48 << 10, WeightFormat::F16, 4096, false), None);
        assert_eq!(staged(48 << 10, WeightFormat::F16, 4096, true), Some(512));
        assert_eq!(staged(48 << 10, WeightFormat::F16, 14336, true), None);
    }

    #[test]
    fn a_chunk_is_sixteen_bytes() {
        let widths =
            [WeightFormat::F32, WeightFormat::F16, WeightFormat::Int8(Int8Group::G32), WeightFormat::Nf4];
        assert_eq!(widths.map(width), [4, 8, 16, 32]);
    }
}
