//! What this machine has, what fits on it, and how fast it can be.

use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{BatchLimits, FusionSet};
use inglenook::fit::{Fit, Forecast, cache_for};
use inglenook::models::{WeightFormats, shapes};
use inglenook::{Device, devices};

use super::devices::describe;
use crate::text;

/// The context that every row of the table is told for.
const CONTEXT: usize = 4096;

pub(crate) fn run() -> anyhow::Result<()> {
    for device in devices() {
        text::print(&describe(&device))?;
        let bandwidth = device.backend.measure_bandwidth(&device.info.id)?;
        text::print(&format!("    memory is read at {}\n", text::gigabytes_per_second(bandwidth)))?;
        text::print(&table(&device, bandwidth)?)?;
    }
    text::print(
        "Tokens per second are what the memory allows at an empty context, with a cache for 4096 tokens\n\
         in f16. `ingle bench --shape NAME --weights FORMAT` measures what is reached; `ingle --help`\n\
         shows the rest.",
    )
}

/// Tokens per second of each shape in each format, or what is missing.
fn table(device: &Device, bandwidth: f64) -> anyhow::Result<String> {
    let formats = ["f16", "int8", "nf4"];
    let cache = cache_for(CONTEXT, CacheFormat::F16);
    let limits = BatchLimits { rows: 512, selected: 1, sequences: 1 };
    let mut rows = vec![];
    for shape in shapes::all() {
        let mut row = vec![shape.name.to_owned()];
        for format in formats {
            let format: WeightFormat = format.parse()?;
            let plan =
                shape.architecture.plan(&WeightFormats::usual(format).into())?.fused(FusionSet::all())?;
            let forecast = Forecast::decode(&plan, 0, cache, bandwidth);
            row.push(match Fit::of(&plan.footprint(&cache, &limits), &device.info.memory) {
                Fit::Short { missing } => format!("{} short", text::gibibytes(missing)),
                Fit::Fits { .. } | Fit::Unknown => format!("{:.1}", forecast.tokens_per_second),
            });
        }
        rows.push(row);
    }
    let header: Vec<String> = formats.iter().map(|f| format!("{f}, tokens/s")).collect();
    let header: Vec<&str> = std::iter::once("model").chain(header.iter().map(String::as_str)).collect();
    Ok(text::table(&header, &rows))
}
