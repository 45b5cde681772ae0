//! The closing table of a benchmark run: what criterion measured, as bytes per second and as shares of
//! the plain read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Prints every benchmark that criterion has results of.
pub(crate) fn print(device: &str, bandwidth: f64) {
    println!("\n{device}: a plain read reaches {:.1} GB/s", bandwidth / 1e9);
    println!("{:<44} {:>12} {:>10} {:>8}", "operator", "µs", "GB/s", "share");
    let mut rows = vec![];
    collect(&target().join("criterion"), &mut rows);
    rows.sort();
    for (name, seconds, bytes) in
        rows.iter().map(|(name, s, b)| (name, f64::from_bits(*s), f64::from_bits(*b)))
    {
        let rate = bytes / seconds;
        println!(
            "{name:<44} {:>12.1} {:>10.2} {:>7.0}%",
            seconds * 1e6,
            rate / 1e9,
            100.0 * rate / bandwidth
        );
    }
}

/// Where criterion keeps its results.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// Finds the newest estimates under a folder: name, seconds, bytes (as bits, so that rows can be sorted).
fn collect(folder: &Path, rows: &mut Vec<(String, u64, u64)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let path = entry.path();
        if entry.file_name() != "new" {
            collect(&path, rows);
            continue;
        }
        let read = |file: &str| -> Option<Value> {
            serde_json::from_str(&fs::read_to_string(path.join(file)).ok()?).ok()
        };
        let found = || {
            let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
            let nanoseconds = estimates["median"]["point_estimate"].as_f64()?;
            let bytes = benchmark["throughput"]["Bytes"].as_f64()?;
            let name = benchmark["full_id"].as_str()?.to_owned();
            Some((name, (nanoseconds / 1e9).to_bits(), bytes.to_bits()))
        };
        rows.extend(found());
    }
}
