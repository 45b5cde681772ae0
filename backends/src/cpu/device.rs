//! The CPU as a device, and what is decided before anything runs on it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Isa;
use super::bandwidth::read_bandwidth;
use super::load::load_weights;
use super::machine::{self, Processor};
use super::runner::CpuRunner;
use super::scratch::{ScratchSizes, footprint};
use super::threads::Threads;
use super::values::refused;
use crate::pages::usable_cache;
use crate::plan::{Plan, check};
use crate::room::what_would_fit;
use crate::{
    Backend, BackendError, CacheOptions, DeviceId, DeviceInfo, DeviceKind, DeviceLimits, Numerics,
    PrepareOptions, ProgressFn, Runner, Tier, Unavailable, WeightSource,
};

pub(super) const NAME: &str = "cpu";
/// What a user sets to force a tier.
const TIER_VARIABLE: &str = "INGLE_CPU_TIER";

/// Bytes that are read to measure the memory's bandwidth: beyond the caches of all but the largest servers.
const BANDWIDTH_BYTES: u64 = 1 << 30;
const BANDWIDTH_PASSES: usize = 5;

/// The CPU: one device, and a tier for each instruction set that it has.
///
/// All runners of a backend share its threads, one per core.
#[derive(Debug, Default)]
pub struct CpuBackend {
    threads: Option<usize>,
    started: Mutex<Option<Arc<Threads>>>,
}

impl CpuBackend {
    /// A backend with a number of threads other than that of the cores.
    pub fn with_threads(threads: usize) -> Self {
        Self { threads: Some(threads.max(1)), started: Mutex::default() }
    }

    /// The threads, started when they are first needed.
    fn started(&self) -> Result<Arc<Threads>, BackendError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = &*started {
            return Ok(Arc::clone(threads));
        }
        let threads = self.threads.unwrap_or_else(|| Processor::detect().cores);
        let new = Threads::start(threads).map_err(|error| BackendError::Unsupported {
            device: device_id().to_string(),
            what: format!("{threads} threads: {error}"),
        })?;
        Ok(Arc::clone(started.insert(Arc::new(new))))
    }
}

fn device_id() -> DeviceId {
    DeviceId { backend: NAME, index: 0 }
}

fn known(device: &DeviceId) -> Result<(), BackendError> {
    if *device == device_id() { Ok(()) } else { Err(BackendError::UnknownDevice(device.to_string())) }
}

/// The tiers that this processor has, best first.
fn tiers() -> Vec<Isa> {
    let mut tiers: Vec<Isa> = Isa::available().collect();
    tiers.reverse();
    tiers
}

/// The tier that was asked for, or the best.
fn choose_tier(asked: Option<&str>) -> Result<Isa, BackendError> {
    let Some(asked) = asked else { return Ok(Isa::detect()) };
    tiers().into_iter().find(|isa| isa.name() == asked).ok_or_else(|| BackendError::UnknownTier {
        device: device_id().to_string(),
        tier: asked.to_owned(),
        available: tiers().iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", "),
    })
}

/// Refuses what does not fit, before any of it is allocated: a system that runs out of memory stops
/// programs rather than returning errors.
fn check_memory(
    plan: &Plan,
    options: &PrepareOptions,
    (isa, threads): (Isa, usize),
    available: Option<u64>,
) -> Result<(), BackendError> {
    let needs = |plan: &Plan, cache: &CacheOptions| {
        let scratch = ScratchSizes::of(plan, cache, &options.limits, isa, threads);
        footprint(plan, cache, &options.limits, &scratch, threads).total()
    };
    let needed = needs(plan, &options.cache);
    let Some(available) = available.filter(|available| needed > *available) else { return Ok(()) };
    Err(BackendError::OutOfMemory {
        device: device_id().to_string(),
        what: "the model with its cache".to_owned(),
        needed,
        available,
        advice: what_would_fit(plan, &options.cache, available, needs),
    })
}

impl Backend for CpuBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let processor = Processor::detect();
        let tier = |isa: Isa| Tier { name: isa.name().to_owned(), numerics: Numerics::F32 };
        vec![DeviceInfo {
            id: device_id(),
            name: processor.name,
            vendor: processor.vendor,
            driver: std::env::consts::ARCH.to_owned(),
            kind: DeviceKind::Cpu,
            memory: machine::memory(),
            tiers: tiers().into_iter().map(tier).collect(),
            features: machine::features(),
            limits: DeviceLimits::default(),
            parallel_units: Some(self.threads.unwrap_or(processor.cores)),
            bandwidth: None,
        }]
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        vec![]
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        known(device)?;
        let available = machine::memory().available.unwrap_or(BANDWIDTH_BYTES);
        let bytes = BANDWIDTH_BYTES.min(available / 4) as usize;
        let found = self.started()?.pool().install(|| read_bandwidth(Isa::detect(), bytes, BANDWIDTH_PASSES));
        Ok(found.ok_or_else(|| refused(bytes))?.best)
    }

    fn revision(&self) -> String {
        crate::revisions::CPU.to_owned()
    }

    fn forced_tier(&self) -> Option<String> {
        std::env::var(TIER_VARIABLE).ok().filter(|tier| !tier.is_empty())
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        known(device)?;
        let forced = self.forced_tier();
        let isa = choose_tier(options.tier.as_deref().or(forced.as_deref()))?;
        check::check(&plan)?;
        let cache = usable_cache(&plan, &options.cache)?;
        let options = PrepareOptions { cache, ..options.clone() };
        let threads = self.started()?;
        check_memory(&plan, &options, (isa, threads.count()), machine::memory().available)?;
        let weights = load_weights(&plan, weights, progress)?;
        Ok(Box::new(CpuRunner::new(plan, weights, &options, isa, threads)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WeightFormat;
    use crate::plan::PlanBuilder;

    /// A matrix of 4 MiB in f32 and a cache of 64 KiB per page.
    fn plan() -> Plan {
        let mut plan = PlanBuilder::new();
        let w = plan.matrix("w", 1024, 1024, WeightFormat::F32);
        let cache = plan.cache(16, 64);
        let x = plan.input("x", 1024);
        let y = plan.linear(x, w);
        let y = plan.attention(y, y, y, cache, 16);
        plan.tap(y);
        plan.finish().unwrap()
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let options = PrepareOptions {
            cache: CacheOptions { pages: 1 << 20, ..CacheOptions::default() },
            limits: crate::plan::BatchLimits { rows: 1, selected: 1, sequences: 1 },
            tier: None,
        };
        let advice =
            |available: u64| match check_memory(&plan(), &options, (Isa::Portable, 2), Some(available)) {
                Err(BackendError::OutOfMemory { advice, .. }) => advice,
                other => panic!("{other:?}"),
            };
        let pages = |advice: String| {
            let pages =
                advice.strip_prefix("it would fit with a cache of ").and_then(|a| a.split(' ').next());
            pages.unwrap().parse::<usize>().unwrap()
        };
        let fits = |pages: usize, available: u64| {
            let options =
                PrepareOptions { cache: CacheOptions { pages, ..options.cache }, ..options.clone() };
            check_memory(&plan(), &options, (Isa::Portable, 2), Some(available)).is_ok()
        };
        for available in [5 << 20, 6_000_000, 16 << 20] {
            let most = pages(advice(available));
            assert!(fits(most, available) && !fits(most + 1, available), "{most} in {available}");
        }
        let small = PrepareOptions { cache: CacheOptions { pages: 4, ..options.cache }, ..options.clone() };
        assert!(check_memory(&plan(), &small, (Isa::Portable, 2), Some(5 << 20)).is_ok());
        assert!(check_memory(&plan(), &options, (Isa::Portable, 2), None).is_ok());
        // Not even the smallest weights.
        assert!(advice(1 << 18).contains("smaller model"));
    }

    #[test]
    fn tiers_are_chosen_by_name() {
        assert_eq!(choose_tier(Some("portable")).unwrap(), Isa::Portable);
        assert_eq!(choose_tier(None).unwrap(), Isa::detect());
        let error = choose_tier(Some("avx9000")).unwrap_err();
        assert!(error.to_string().contains("portable"), "{error}");
    }

    #[test]
    fn the_device_is_described() {
        let [device] = CpuBackend::default().devices().try_into().unwrap();
        assert_eq!(device.id.to_string(), "cpu:0");
        assert!(!device.name.is_empty());
        assert_eq!(device.tiers.last().unwrap().name, "portable");
        assert_eq!(device.tiers[0].name, Isa::detect().name());
    }
}
