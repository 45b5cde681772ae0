//! Tables that were published elsewhere, beside ours: what theirs assume, and how far ours are from them.
//!
//! What the published numbers assume is worked out from the numbers themselves, and each assumption is a constant here:
//! * All memory of a device is full of weights and cache, and all of it is read in every step, at 80 % of the bandwidth. Sizes are
//!   counted in GiB where memory is filled and in GB where it is read.
//! * A model of L layers of width H has 12·L·H² weights: neither embedding nor head, and a feed-forward part of two matrices of 4·H.
//! * 7B: 525 tokens of f16 cache per sequence; arithmetic at 80 % of what the device does in TF32 (in f16 it does twice as much).
//! * 176B in int4 on eight devices: a sequence takes 0.323 GiB of cache that is read (that of 691 tokens) and 0.129 GiB that is not, on
//!   each device; arithmetic is that of int8, for 212 billion weights; and sums over all devices run at 281 GB/s where there is `NVLink`
//!   and 3.76 GB/s where there is PCI Express.

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{Function, Plan, PlanError, RopeSpec};
use ingle_models::arch::Dimensions;
use ingle_models::arch::llama::Llama;
use ingle_models::{Architecture, WeightFormats, shapes};

use super::{DeviceTable, Efficiency, Question};
use crate::measure::Table;

/// What kernels reach there.
const REACHED: f64 = 0.8;
/// Tokens of cache per sequence.
const TOKENS_7B: usize = 525;
/// Multiplications per token that the compute times imply.
const WEIGHTS_7B: f64 = 6.84e9;
const WEIGHTS_176B: f64 = 212e9;
const CACHE_176B: f64 = 0.323;
const UNREAD_176B: f64 = 0.1292;
const TOKENS_176B: usize = 691;
const DEVICES_176B: usize = 8;

/// A published row of the 7B table: device, TF32 Tflop/s, batch, compute ms, memory ms, tokens/s.
type Row7b = (&'static str, f64, f64, f64, f64, f64);

const PUBLISHED_7B: [Row7b; 8] = [
    ("rtx-4090", 82.6, 47.0, 9.7, 29.76, 1572.9),
    ("l40", 90.5, 140.0, 26.5, 69.44, 2022.3),
    ("l4", 60.5, 47.0, 13.2, 100.0, 468.1),
    ("a100-80g", 156.0, 265.0, 29.1, 49.04, 5408.7),
    ("a30", 82.0, 47.0, 9.7, 32.15, 1455.8),
    ("a40", 74.8, 140.0, 32.1, 86.21, 1629.0),
    ("a10", 62.5, 47.0, 12.8, 49.98, 936.5),
    ("a2", 9.0, 16.0, 29.6, 100.0, 156.0),
];

/// A published row of the 176B table: device, int8 Top/s, GB/s of sums, batch, compute ms, memory ms, communication ms, tokens/s.
type Row176b = (&'static str, f64, f64, f64, f64, f64, f64, f64);

const PUBLISHED_176B: [Row176b; 3] = [
    ("a100-80g", 624.0, 281.3, 154.0, 16.4, 36.79, 3.86, 3805.8),
    ("rtx-4090", 330.3, 3.755, 30.0, 6.2, 24.82, 57.67, 374.0),
    ("l40", 362.0, 3.755, 83.0, 15.4, 53.76, 156.87, 398.4),
];

/// GiB of 12·L·H² weights of so many bytes.
fn simple_weights(layers: f64, hidden: f64, bytes: f64) -> f64 {
    12.0 * layers * hidden * hidden * bytes / f64::from(1 << 30)
}

/// A figure of a row: published, as the assumptions give it, and ours.
struct Figure {
    name: &'static str,
    published: f64,
    rebuilt: f64,
    ours: f64,
    /// Digits behind the point of what is not whole.
    digits: usize,
}

const fn figure(name: &'static str, published: f64, rebuilt: f64, ours: f64, digits: usize) -> Figure {
    Figure { name, published, rebuilt, ours, digits }
}

impl Figure {
    fn cells(&self) -> [String; 3] {
        let to = |value: f64| format!("{value:.*}", if value.fract() == 0.0 { 0 } else { self.digits });
        [self.published.to_string(), to(self.rebuilt), to(self.ours)]
    }
}

/// A table with three columns for each figure.
fn beside(title: &str, first: &str, rows: Vec<(&str, Vec<Figure>)>) -> Table {
    let names = rows.first().map_or(&[][..], |(_, figures)| figures);
    let columns = names
        .iter()
        .flat_map(|figure| [format!("{}: published", figure.name), "rebuilt".to_owned(), "ours".to_owned()]);
    let header = std::iter::once(first.to_owned()).chain(columns).collect();
    let cells = |(name, figures): (&str, Vec<Figure>)| {
        std::iter::once(name.to_owned()).chain(figures.iter().flat_map(Figure::cells)).collect()
    };
    Table { title: title.to_owned(), header, rows: rows.into_iter().map(cells).collect() }
}

/// Published, as their assumptions give it, and ours, for every device.
pub fn table_7b() -> Result<Table, PlanError> {
    let plan = seven_billion()?;
    let known = DeviceTable::built_in();
    let mut rows = vec![];
    for (name, tf32, batch, compute, memory, rate) in PUBLISHED_7B {
        let Some(device) = known.find(name) else { continue };
        let gibibytes = device.memory_bytes as f64 / f64::from(1 << 30);
        let sequence = 524_288.0 * TOKENS_7B as f64 / f64::from(1 << 30);
        let their_batch = (gibibytes - simple_weights(32.0, 4096.0, 2.0)) / sequence;
        let their_compute = 2e3 * WEIGHTS_7B * their_batch / (tf32 * 1e12 * REACHED);
        let their_memory = 1e3 * gibibytes * 1e9 / (device.bytes_per_second * REACHED);
        let their_rate = 1e3 * their_batch / their_memory.max(their_compute);
        let ours = Question {
            plan: &plan,
            weights: WeightFormat::F16,
            cache: CacheFormat::F16,
            device,
            devices: 1,
            context: TOKENS_7B,
            batch: None,
            efficiency: Efficiency::default(),
        }
        .answer();
        let row = vec![
            figure("batch", batch, their_batch, ours.batch as f64, 1),
            figure("compute, ms", compute, their_compute, ours.compute_seconds * 1e3, 1),
            figure("memory, ms", memory, their_memory, ours.memory_seconds * 1e3, 2),
            figure("tokens/s", rate, their_rate, ours.tokens_per_second, 1),
        ];
        rows.push((name, row));
    }
    Ok(beside("7B in f16", "device", rows))
}

/// The same for the model of 176 billion weights.
pub fn table_176b() -> Result<Table, PlanError> {
    let plan = hundred_seventy_six_billion()?;
    let known = DeviceTable::built_in();
    let mut rows = vec![];
    for (name, int8, sums, batch, compute, memory, communication, rate) in PUBLISHED_176B {
        let Some(device) = known.find(name) else { continue };
        let gibibytes = device.memory_bytes as f64 / f64::from(1 << 30);
        let weights = simple_weights(70.0, 14_336.0, 0.5) / DEVICES_176B as f64;
        let their_batch = (gibibytes - weights) / (CACHE_176B + UNREAD_176B);
        let read = weights + their_batch * CACHE_176B;
        let their_memory = 1e3 * read * 1e9 / (device.bytes_per_second * REACHED);
        let their_compute = 2e3 * WEIGHTS_176B * their_batch / DEVICES_176B as f64 / (int8 * 1e12 * REACHED);
        // Two sums of a row per layer, around the ring and back.
        let told = 2.0 * 70.0 * 14_336.0 * 2.0 * 1.75 * their_batch;
        let their_communication = 1e3 * told / (sums * 1e9);
        let their_rate = 1e3 * their_batch / (their_memory.max(their_compute) + their_communication);
        let ours = Question {
            plan: &plan,
            weights: WeightFormat::Int4(ingle_backends::format::Int4Group::G128),
            cache: CacheFormat::F16,
            device,
            devices: DEVICES_176B,
            context: TOKENS_176B,
            batch: None,
            efficiency: Efficiency::default(),
        }
        .answer();
        let row = vec![
            figure("batch", batch, their_batch, ours.batch as f64, 1),
            figure("compute, ms", compute, their_compute, ours.compute_seconds * 1e3, 1),
            figure("memory, ms", memory, their_memory, ours.memory_seconds * 1e3, 2),
            figure(
                "communication, ms",
                communication,
                their_communication,
                ours.communication_seconds * 1e3,
                2,
            ),
            figure("tokens/s", rate, their_rate, ours.tokens_per_second, 1),
        ];
        rows.push((name, row));
    }
    Ok(beside("176B in int4 on eight devices", "8 ×", rows))
}

/// Llama 2 with 7 billion weights.
pub fn seven_billion() -> Result<Plan, PlanError> {
    let formats = WeightFormats::uniform(WeightFormat::F16);
    shapes::llama_2_7b().plan(&formats.into())
}

/// A model as large as the one of 176 billion weights: its sizes, and a gated feed-forward part of as many weights.
fn hundred_seventy_six_billion() -> Result<Plan, PlanError> {
    let format = WeightFormat::Int4(ingle_backends::format::Int4Group::G128);
    let llama = Llama::from(Dimensions {
        hidden: 14_336,
        layers: 70,
        heads: 112,
        kv_heads: 112,
        head_dim: 128,
        feed_forward: 38_208,
        activation: Function::Silu,
        vocabulary: 250_880,
        context: 2048,
        epsilon: 1e-5,
        rope: RopeSpec::new(128, 10_000.0).into(),
        tied: true,
    });
    llama.plan(&WeightFormats::uniform(format).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(table: &Table) -> Vec<Vec<f64>> {
        table.rows.iter().map(|row| row[1..].iter().map(|cell| cell.parse().unwrap()).collect()).collect()
    }

    #[test]
    fn the_published_tables_follow_from_their_assumptions() {
        for (table, columns) in [(table_7b().unwrap(), 4), (table_176b().unwrap(), 5)] {
            for (row, numbers) in table.rows.iter().zip(numbers(&table)) {
                for column in 0..columns {
                    let (published, rebuilt) = (numbers[3 * column], numbers[3 * column + 1]);
                    // Batches were cut to whole ones; all else was rounded to three digits, some of it from rounded numbers.
                    let near = if column == 0 {
                        (rebuilt - published).abs() < 1.0
                    } else {
                        (rebuilt / published - 1.0).abs() < 0.012
                    };
                    assert!(near, "{row:?}, column {}", table.header[3 * column + 1]);
                }
            }
        }
    }

    #[test]
    fn ours_differ_by_what_they_count_more() {
        for numbers in numbers(&table_7b().unwrap()) {
            // Embedding, head and the third matrix take 0.55 GiB, or two sequences' worth.
            assert!(numbers[2] < numbers[0] && numbers[2] > numbers[0] - 5.0, "{numbers:?}");
        }
    }
}
