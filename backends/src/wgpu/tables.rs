//! What the host tells the device anew for each step: tokens, positions, page tables, angles, and how tokens are drawn.
//!
//! Each table is a region of one buffer that kernels only read, sized for the largest step when the plan is prepared. What the
//! device itself writes between steps ([`DeviceTable`]) lies in small buffers of its own.

use std::collections::BTreeMap;

use super::gpu::Gpu;
use super::values::Region;
pub(crate) use crate::gpu::tables::StepCounts;
use crate::gpu::tables::{SampleRecord, StepTables, list_pairs, spans};
use crate::plan::{Plan, RopeId};
use crate::{BackendError, Batch, BatchLayout, PrepareOptions};

/// A table that the host writes. All are arrays of u32 unless the text says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// For each row its token, or [`DRAWN`](crate::gpu::tables::DRAWN) plus the sequence of the step before that drew it.
    RowToken,
    /// For each row its position in its sequence.
    RowPosition,
    /// For each row its sequence.
    RowSequence,
    /// For each row, where its key and value go: page × tokens per page + place in the page.
    RowSlot,
    /// For each sequence its first row; one more entry ends the last.
    FirstRow,
    /// How attention goes about the rows, and the pages of all sequences; see [`spans`].
    Attention,
    /// For each selected row, its token row.
    Selected,
    /// For each row the cosines (f32) of all pairs of a rotation, then the sines.
    Angles(u32),
    /// For each sequence how its token is drawn: a [`SampleRecord`].
    Samples,
    /// Biases and counted histories of all sequences: pairs of a token and an f32 or a count.
    SampleLists,
}

impl Table {
    /// How messages name it.
    const fn what(self) -> &'static str {
        match self {
            Self::Attention => "the page tables",
            Self::Angles(_) => "the angles",
            Self::SampleLists => "the lists of biased and counted tokens",
            _ => "a table",
        }
    }
}

/// A small buffer that the device writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceTable {
    /// For each row its token, draws of the step before put in.
    Tokens,
    /// For each sequence the token that was drawn for it last.
    Drawn,
    /// For each sequence 0, or what went wrong in this step: [`NOT_FINITE`](crate::gpu::tables::NOT_FINITE),
    /// [`NOT_IN_VOCABULARY`](crate::gpu::tables::NOT_IN_VOCABULARY).
    Faults,
}

/// Bytes that the beginnings of regions are multiples of: what every device accepts.
const ALIGNMENT: u64 = 256;

/// The tables of a runner.
pub(crate) struct Tables {
    /// The uniform [`StepCounts`].
    pub(crate) step: wgpu::Buffer,
    written: BTreeMap<Table, Region>,
    tokens: Region,
    drawn: Region,
    faults: Region,
    /// For each rotation, its frequencies and magnitude.
    rotations: Vec<(Vec<f64>, f64)>,
    /// Pairs that [`Table::SampleLists`] has room for.
    list_pairs: usize,
    page_tokens: usize,
    /// Kept from step to step, so that a step allocates little.
    on_host: StepTables,
    angles: Vec<f32>,
}

impl Tables {
    pub(crate) fn new(gpu: &Gpu, plan: &Plan, options: &PrepareOptions) -> Result<Self, BackendError> {
        let limits = &options.limits;
        let (rows, sequences) = (limits.rows as u64, limits.sequences as u64);
        let list_pairs = list_pairs(plan, options);
        let mut sizes = vec![
            (Table::RowToken, 4 * rows),
            (Table::RowPosition, 4 * rows),
            (Table::RowSequence, 4 * rows),
            (Table::RowSlot, 4 * rows),
            (Table::FirstRow, 4 * (sequences + 1)),
            (Table::Attention, spans::bytes(plan, options)),
            (Table::Selected, 4 * limits.selected as u64),
            (Table::Samples, sequences * size_of::<SampleRecord>() as u64),
            (Table::SampleLists, 8 * list_pairs as u64),
        ];
        for (index, rope) in plan.ropes.iter().enumerate() {
            sizes.push((Table::Angles(index as u32), 4 * rows * rope.rotary_dim as u64));
        }
        let mut end = 0_u64;
        let places = sizes.into_iter().map(|(table, size)| {
            let (offset, size) = (end, size.max(16).next_multiple_of(16));
            end = end.saturating_add(size).next_multiple_of(ALIGNMENT);
            (table, offset, size)
        });
        let places = places.collect::<Vec<_>>();
        for (table, _, size) in &places {
            let what = format!("room for {} of steps of {rows} rows and {sequences} sequences", table.what());
            gpu.check_visible(what, *size, |_| {
                "prepare for smaller steps, or a cache of fewer pages".to_owned()
            })?;
        }
        let buffer = gpu.open.buffer("the tables of a step", end, super::values::STORAGE)?;
        let region = |(table, offset, size)| (table, Region { buffer: buffer.clone(), offset, size });
        let small =
            |what, count: u64| gpu.open.buffer(what, 4 * count, super::values::STORAGE).map(Region::whole);
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        Ok(Self {
            step: gpu.open.buffer("the counts of a step", size_of::<StepCounts>() as u64, uniform)?,
            written: places.into_iter().map(region).collect(),
            tokens: small("tokens", rows)?,
            drawn: small("drawn tokens", sequences)?,
            faults: small("faults", sequences)?,
            rotations: plan.ropes.iter().map(|r| (r.inverse_frequencies(), r.magnitude())).collect(),
            list_pairs,
            page_tokens: options.cache.page_tokens,
            on_host: StepTables::default(),
            angles: vec![],
        })
    }

    /// Where a table that the host writes lies.
    pub(crate) fn region(&self, table: Table) -> Region {
        // Every variant was given a region by `new`; `Angles` beyond the plan's rotations is a mistake in this crate.
        self.written.get(&table).cloned().unwrap_or_else(|| self.faults.clone())
    }

    /// Where a table that the device writes lies.
    pub(crate) fn device_region(&self, table: DeviceTable) -> Region {
        match table {
            DeviceTable::Tokens => self.tokens.clone(),
            DeviceTable::Drawn => self.drawn.clone(),
            DeviceTable::Faults => self.faults.clone(),
        }
    }

    /// Writes the tables of a step; they are there before what is submitted next runs.
    pub(crate) fn write(
        &mut self,
        queue: &wgpu::Queue,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<StepCounts, BackendError> {
        let mut tables = std::mem::take(&mut self.on_host);
        tables.fill(batch, layout, self.page_tokens, self.list_pairs)?;
        let put = |table: Table, bytes: &[u8]| {
            if let Some(region) = self.written.get(&table).filter(|_| !bytes.is_empty()) {
                queue.write_buffer(&region.buffer, region.offset, bytes);
            }
        };
        for (table, words) in [
            (Table::RowToken, &tables.row_token),
            (Table::RowPosition, &layout.position),
            (Table::RowSequence, &layout.sequence),
            (Table::FirstRow, &layout.first_row),
            (Table::Selected, &layout.selected),
            (Table::RowSlot, &tables.row_slot),
            (Table::Attention, &tables.attention),
        ] {
            put(table, bytemuck::cast_slice(words));
        }
        put(Table::Samples, bytemuck::cast_slice(&tables.samples));
        put(Table::SampleLists, bytemuck::cast_slice(&tables.lists));
        let counts = tables.counts;
        self.on_host = tables;
        self.write_angles(queue, layout);
        queue.write_buffer(&self.step, 0, bytemuck::bytes_of(&counts));
        Ok(counts)
    }

    /// For each row the cosines of each rotation's pairs, then their sines.
    fn write_angles(&mut self, queue: &wgpu::Queue, layout: &BatchLayout) {
        for (index, (frequencies, magnitude)) in self.rotations.iter().enumerate() {
            let row = 2 * frequencies.len();
            self.angles.resize(row * layout.rows(), 0.0);
            for (out, position) in self.angles.chunks_exact_mut(row.max(1)).zip(&layout.position) {
                crate::plan::RopeSpec::angles_at(frequencies, *magnitude, *position, out);
            }
            if let Some(region) = self.written.get(&Table::Angles(index as u32)).filter(|_| row > 0) {
                queue.write_buffer(&region.buffer, region.offset, bytemuck::cast_slice(&self.angles));
            }
        }
    }

    /// Puts back what was drawn before a step that failed.
    pub(crate) fn restore_drawn(&self, queue: &wgpu::Queue, drawn: &[Option<u32>]) {
        let words = drawn.iter().map(|token| token.unwrap_or(0)).collect::<Vec<_>>();
        if !words.is_empty() {
            queue.write_buffer(&self.drawn.buffer, 0, bytemuck::cast_slice(&words));
        }
    }
}

/// The table of a rotation.
pub(crate) const fn angles_of(rope: RopeId) -> Table {
    Table::Angles(rope.0)
}
