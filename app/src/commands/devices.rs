//! `ingle devices`.

use std::fmt::Write;

use inglenook::backend::DeviceInfo;
use inglenook::{Device, devices};
use serde_json::{Value, json};

use crate::cli::DevicesArguments;
use crate::text;

pub(crate) fn run(arguments: &DevicesArguments) -> anyhow::Result<()> {
    let devices = devices();
    if arguments.json {
        let list: Vec<Value> = devices.iter().map(|device| as_json(&device.info)).collect();
        return text::print(&serde_json::to_string_pretty(&list)?);
    }
    let mut out = String::new();
    for device in &devices {
        out += &describe(device);
    }
    for backend in inglenook::backends() {
        for missing in backend.unavailable() {
            writeln!(out, "\n{}: not available: {}", missing.what, missing.reason)?;
        }
    }
    text::print(&out)
}

/// A device in a few lines.
pub(crate) fn describe(device: &Device) -> String {
    let info = &device.info;
    let bytes = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), text::gibibytes);
    let units = info.parallel_units.map_or(String::new(), |n| format!(", {n} units"));
    let tiers: Vec<&str> = info.tiers.iter().map(|tier| tier.name.as_str()).collect();
    format!(
        "{id}  {name} ({kind}{units})\n    memory   {total}, {available} available\n    \
         kernels  {tiers}\n    features {features}\n",
        id = info.id,
        name = info.name,
        kind = info.kind,
        total = bytes(info.memory.total),
        available = bytes(info.memory.available),
        tiers = tiers.join(", "),
        features = if info.features.is_empty() { "none".to_owned() } else { info.features.join(" ") },
    )
}

fn as_json(info: &DeviceInfo) -> Value {
    json!({
        "id": info.id.to_string(),
        "name": info.name,
        "vendor": info.vendor,
        "driver": info.driver,
        "kind": info.kind.to_string(),
        "memory_total": info.memory.total,
        "memory_available": info.memory.available,
        "memory_shared_with_cpu": info.memory.shared_with_cpu,
        "tiers": info.tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>(),
        "features": info.features,
        "parallel_units": info.parallel_units,
        "bandwidth": info.bandwidth,
    })
}
