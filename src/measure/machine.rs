//! On which machine, when and with what something was measured: what every kept result begins with.

use chrono::Utc;
use ingle_backends::Backend;
use ingle_backends::cpu::CpuBackend;
use serde::{Deserialize, Serialize};

/// The machine and the moment of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// In UTC, as RFC 3339 writes it.
    pub date: String,
    pub cpu: String,
    pub threads: usize,
    pub system: String,
    /// Of Inglenook.
    pub version: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let cpu = CpuBackend::default().devices().into_iter().next();
        Self {
            date: Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.map_or_else(|| "unknown".to_owned(), |cpu| cpu.name),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// `2026-11-27, Intel Xeon, 2 threads, linux x86_64, Inglenook 0.1.0`.
    pub fn line(&self) -> String {
        let day = self.date.split('T').next().unwrap_or_default();
        let Self { cpu, threads, system, version, .. } = self;
        format!("{day}, {cpu}, {threads} threads, {system}, Inglenook {version}")
    }
}
