//! The table of devices: memory, bandwidth and arithmetic as their makers state them, to be extended by a file.

use std::path::{Path, PathBuf};

use ingle_backends::format::WeightFormat;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Device;
use crate::measure::peaks::Peaks;

/// What a device is stated, or was measured, to do at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    pub name: String,
    pub memory_bytes: u64,
    pub bytes_per_second: f64,
    /// Products of f16 with sums in f32, without sparsity.
    pub f16_operations_per_second: f64,
    /// Products of int8 with sums in int32, without sparsity; where not stated, those of f16.
    #[serde(default)]
    pub int8_operations_per_second: Option<f64>,
    /// What it sends to others of its kind, in one direction; where not stated, as PCI Express 4.0 with 16 lanes.
    #[serde(default = "pci_express_4")]
    pub link_bytes_per_second: f64,
}

const fn pci_express_4() -> f64 {
    32e9
}

impl DeviceSpec {
    fn stated((name, gibibytes, bandwidth, f16, int8, link): Row) -> Self {
        Self {
            name: name.to_owned(),
            memory_bytes: gibibytes << 30,
            bytes_per_second: bandwidth * 1e9,
            f16_operations_per_second: f16 * 1e12,
            int8_operations_per_second: Some(int8 * 1e12),
            link_bytes_per_second: link * 1e9,
        }
    }

    /// A device of this machine, as it was measured; none where its driver does not say how much memory it has.
    pub fn measured(device: &Device, f16: &Peaks, int8: Option<&Peaks>) -> Option<Self> {
        Some(Self {
            name: format!("{} (measured)", device.info.id),
            memory_bytes: device.info.memory.available.or(device.info.memory.total)?,
            bytes_per_second: f16.bytes_per_second,
            f16_operations_per_second: f16.operations_per_second?,
            int8_operations_per_second: int8.and_then(|peaks| peaks.operations_per_second),
            link_bytes_per_second: pci_express_4(),
        })
    }

    /// What it computes with weights of a format: only `w8a8` multiplies int8.
    pub fn operations_per_second(&self, format: WeightFormat) -> f64 {
        match (format, self.int8_operations_per_second) {
            (WeightFormat::W8a8(_), Some(int8)) => int8,
            _ => self.f16_operations_per_second,
        }
    }

    fn check(&self) -> Result<(), String> {
        let rates = [self.bytes_per_second, self.f16_operations_per_second, self.link_bytes_per_second];
        let positive = |rate: &f64| rate.is_finite() && *rate > 0.0;
        if self.name.is_empty() {
            Err("a device has no name".to_owned())
        } else if !rates.iter().chain(&self.int8_operations_per_second).all(positive)
            || self.memory_bytes == 0
        {
            Err(format!("the sizes and rates of {} are not all above zero", self.name))
        } else {
            Ok(())
        }
    }
}

/// Why a file of devices cannot be used.
#[derive(Debug, Error)]
pub enum DeviceTableError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: {fault}; it must be a JSON list of objects with name, memory_bytes, bytes_per_second, f16_operations_per_second, and \
         perhaps int8_operations_per_second and link_bytes_per_second",
        path.display()
    )]
    Content { path: PathBuf, fault: String },
}

/// All devices that are known.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceTable {
    pub devices: Vec<DeviceSpec>,
}

impl DeviceTable {
    /// Those that are built in.
    pub fn built_in() -> Self {
        Self { devices: STATED.iter().map(|row| DeviceSpec::stated(*row)).collect() }
    }

    /// Adds those of a JSON file; one of a name that is known takes its place.
    pub fn extend(&mut self, path: &Path) -> Result<(), DeviceTableError> {
        let read = |source| DeviceTableError::Read { path: path.to_owned(), source };
        let content = |fault| DeviceTableError::Content { path: path.to_owned(), fault };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let more: Vec<DeviceSpec> =
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        for device in more {
            device.check().map_err(content)?;
            self.devices.retain(|known| known.name != device.name);
            self.devices.push(device);
        }
        Ok(())
    }

    pub fn find(&self, name: &str) -> Option<&DeviceSpec> {
        self.devices.iter().find(|device| device.name == name)
    }
}

/// Name, GiB, GB/s, Tflop/s of f16 with f32 sums, Top/s of int8, GB/s of its link in one direction.
type Row = (&'static str, u64, f64, f64, f64, f64);

/// From the makers' data sheets, dense. Of integrated GPUs the memory is what such machines often have, and all of it is counted; their
/// arithmetic is that of f16 where the maker states it, else of f32.
const STATED: &[Row] = &[
    ("rtx-5090", 32, 1792.0, 209.5, 838.0, 64.0),
    ("rtx-4090", 24, 1008.0, 165.2, 660.6, 32.0),
    ("rtx-4080", 16, 716.8, 97.5, 389.9, 32.0),
    ("rtx-4070", 12, 504.2, 58.3, 233.2, 32.0),
    ("rtx-4060", 8, 272.0, 30.2, 121.0, 16.0),
    ("rtx-3090", 24, 936.2, 71.0, 284.0, 32.0),
    ("rtx-3060", 12, 360.0, 25.6, 102.0, 32.0),
    ("h200", 141, 4800.0, 989.4, 1978.9, 450.0),
    ("h100-sxm", 80, 3352.0, 989.4, 1978.9, 450.0),
    ("a100-80g", 80, 2039.0, 312.0, 624.0, 300.0),
    ("a100-40g", 40, 1555.0, 312.0, 624.0, 300.0),
    ("l40", 48, 864.0, 181.0, 362.0, 32.0),
    ("l4", 24, 300.0, 121.0, 242.0, 32.0),
    ("a40", 48, 696.0, 149.7, 299.3, 32.0),
    ("a30", 24, 933.0, 165.0, 330.0, 100.0),
    ("a10", 24, 600.0, 125.0, 250.0, 32.0),
    ("a2", 16, 200.0, 18.0, 36.0, 8.0),
    ("t4", 16, 320.0, 65.0, 130.0, 16.0),
    ("rx-7900-xtx", 24, 960.0, 122.8, 122.8, 32.0),
    ("arc-a770", 16, 560.0, 137.6, 275.2, 32.0),
    ("apple-m1", 16, 68.3, 2.6, 2.6, 8.0),
    ("apple-m2-pro", 32, 204.8, 6.8, 6.8, 8.0),
    ("apple-m3-max", 64, 409.6, 14.2, 14.2, 8.0),
    ("apple-m4-max", 128, 546.1, 18.4, 18.4, 8.0),
    ("intel-iris-xe", 16, 68.3, 4.1, 8.3, 8.0),
    ("intel-arc-140v", 32, 136.5, 33.5, 67.0, 8.0),
    ("radeon-680m", 32, 76.8, 6.8, 6.8, 8.0),
    ("radeon-780m", 32, 89.6, 16.6, 16.6, 8.0),
    ("radeon-8060s", 128, 256.0, 59.4, 59.4, 8.0),
];
