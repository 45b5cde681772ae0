//! Every kernel is compiled for every architecture, with the compiler alone: no device is needed.

use std::collections::BTreeSet;
use std::env;

use rayon::prelude::*;

use super::capabilities::Capabilities;
use super::driver::DeviceFacts;
use super::kernels::Module;
use super::nvrtc::Nvrtc;
use super::{CudaBackend, bandwidth, ops};
use crate::{Backend, BackendError, DeviceId};

/// What has to be compiled for: one of each generation that kernels know apart.
const ARCHITECTURES: [u32; 5] = [75, 80, 86, 89, 90];
/// Set where a missing compiler is a failure.
const EXPECT: &str = "INGLE_EXPECT_NVRTC";
/// Names a file of which only kernels are compiled, such as `norm/norm`: for who is writing it.
const ONLY: &str = "INGLE_CUDA_ONLY";

/// A device of an architecture.
fn device(arch: u32) -> Capabilities {
    let facts = DeviceFacts {
        ordinal: 0,
        name: format!("sm_{arch}"),
        capability: (arch / 10, arch % 10),
        multiprocessors: 132,
        shared_memory: if arch == 75 { 64 << 10 } else { 99 << 10 },
        total_memory: 16 << 30,
        integrated: false,
    };
    Capabilities::new(&facts, arch, 13_000)
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let compiler = match Nvrtc::load(13) {
        Ok(compiler) => compiler,
        Err(reason) => {
            assert!(env::var_os(EXPECT).is_none(), "{reason}");
            eprintln!("not run: {reason}");
            return;
        }
    };
    let only = env::var(ONLY).unwrap_or_default();
    let mut all = BTreeSet::new();
    for arch in ARCHITECTURES {
        let best = device(arch);
        for tier in best.tiers() {
            let kernels = ops::variants(&best.limited_to(tier)).into_iter().chain(bandwidth::variants());
            all.extend(kernels.map(|kernel| (kernel.module, arch)));
        }
    }
    all.retain(|(module, _)| module.to_string().starts_with(&only));
    assert!(!all.is_empty());
    let compile = |(module, arch): &(Module, u32)| {
        let target = device(*arch).target;
        module.compile(&compiler, target).err().map(|fault| format!("sm_{arch}: {fault}"))
    };
    let faults = all.par_iter().filter_map(compile).collect::<Vec<_>>();
    assert!(faults.is_empty(), "{} of {} modules: {}", faults.len(), all.len(), faults.join("\n"));
}

#[test]
fn every_entry_is_in_its_source() {
    for arch in ARCHITECTURES {
        for kernel in ops::variants(&device(arch)) {
            let source = kernel.module.source().unwrap();
            assert!(source.contains(&format!(" {}(", kernel.entry)), "{kernel}");
        }
    }
}

#[test]
fn what_there_is_not_is_explained() {
    let backend = CudaBackend::default();
    let devices = backend.devices();
    assert!(!devices.is_empty() || !backend.unavailable().is_empty());
    for missing in backend.unavailable() {
        assert!(!missing.what.is_empty() && !missing.reason.is_empty());
    }
    for id in [DeviceId { backend: "cuda", index: devices.len() }, DeviceId { backend: "wgpu", index: 0 }] {
        let error = backend.measure_bandwidth(&id).unwrap_err();
        assert!(matches!(&error, BackendError::UnknownDevice(name) if *name == id.to_string()), "{error}");
        assert_eq!(backend.allocated_bytes(&id), None);
    }
}
