//! `ingle selftest --steps N`: many random steps on a device, after which no memory may be missing and no driver may have complained.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::bail;
use inglenook::backend::cpu::CpuBackend;
use inglenook::backend::wgpu::WgpuBackend;
use inglenook::backend::{Backend, DeviceId, SyntheticWeights, no_progress};
use inglenook::soak::{Soak, resident_bytes};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::failure::usage;
use crate::text;

/// How much more memory than after warming up there may be at the end: allocators keep what was freed, and a step that asks for more
/// logits than any before gets a larger buffer. Of ten thousand steps that each keep as little as two kilobytes it is exceeded.
const HOST_ROOM: u64 = 16 << 20;
const DEVICE_ROOM: u64 = 1 << 20;

/// What drivers and wgpu said.
static SAID: Mutex<BTreeSet<(Level, String)>> = Mutex::new(BTreeSet::new());

/// Listens to what is said of devices and drivers, and keeps each message once.
struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu")
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        // That the driver's own checks are not installed is no warning to wgpu.
        let unchecked = message.contains("VALIDATION requested");
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if self.enabled(record.metadata()) && (record.level() <= Level::Warn || unchecked) && said.len() < 100
        {
            said.insert((record.level(), message));
        }
    }

    fn flush(&self) {}
}

/// Takes so many steps on every device of a backend, or on the one that is named.
pub(crate) fn run(steps: usize, name: Option<&str>) -> anyhow::Result<()> {
    if steps < 100 {
        return Err(usage("--steps has to be at least 100: before that, memory says nothing"));
    }
    if log::set_logger(&Listener).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    let backends: [Arc<dyn Backend>; 2] =
        [Arc::new(WgpuBackend::validated()), Arc::new(CpuBackend::default())];
    // Drivers are asked now; what is said of steps matters from warnings on.
    let devices: Vec<_> =
        backends.iter().flat_map(|b| b.devices().into_iter().map(move |d| (b, d))).collect();
    log::set_max_level(LevelFilter::Warn);
    let mut problems = vec![];
    let mut ran = 0;
    for (backend, device) in devices {
        if name.is_none_or(|name| name == device.id.backend || name == device.id.to_string()) {
            text::print(&format!("{} ({}, {})", device.id, device.name, device.driver))?;
            let found = soak(backend.as_ref(), &device.id, steps)?;
            problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", device.id)));
            ran += 1;
        }
    }
    if ran == 0 {
        bail!("there is no such device; `ingle devices` lists those there are");
    }
    for (level, message) in &*SAID.lock().unwrap_or_else(PoisonError::into_inner) {
        if *level == Level::Error {
            problems.push(message.clone());
        } else {
            eprintln!("note: {message}");
        }
    }
    match problems.as_slice() {
        [] => text::print("No memory is missing, and nobody complained."),
        _ => bail!("{} problems:\n{}", problems.len(), problems.join("\n")),
    }
}

/// Takes the steps; says what is wrong afterwards.
fn soak(backend: &dyn Backend, device: &DeviceId, steps: usize) -> anyhow::Result<Vec<String>> {
    let mut soak = Soak::new(7)?;
    let (plan, options) = (Arc::clone(soak.plan()), soak.options(None));
    let weights = SyntheticWeights { seed: 7 };
    let mut runner = backend.prepare(device, plan, &weights, &options, &mut no_progress)?;
    let interval = steps / 10;
    let shown = |bytes: Option<u64>| {
        bytes.map_or("?".to_owned(), |b| format!("{:.2}", b as f64 / f64::from(1 << 20)))
    };
    let (mut rows, mut after_warming_up, mut last) = (vec![], None, (None, None));
    let start = Instant::now();
    for step in 1..=steps {
        soak.step(runner.as_mut())?;
        if step.is_multiple_of(interval) || step == steps {
            soak.finish(runner.as_mut())?;
            last = (resident_bytes(), backend.allocated_bytes(device));
            after_warming_up.get_or_insert(last);
            let rate = step as f64 / start.elapsed().as_secs_f64();
            rows.push(vec![step.to_string(), format!("{rate:.0}"), shown(last.0), shown(last.1)]);
        }
    }
    text::print(&text::table(&["steps", "steps/s", "process MiB", "device MiB"], &rows))?;
    let before = after_warming_up.unwrap_or_default();
    let grown = |what: &str, before: Option<u64>, after: Option<u64>, room: u64| match (before, after) {
        (Some(before), Some(after)) if after > before + room => Some(format!(
            "{what} has grown by {} bytes since step {interval}; {room} can be explained",
            after - before
        )),
        (Some(_), Some(_)) => None,
        _ => {
            eprintln!("note: {device} does not say how much memory {what} has, so that was not looked at");
            None
        }
    };
    let host = grown("the process", before.0, last.0, HOST_ROOM);
    Ok(host.into_iter().chain(grown("the device", before.1, last.1, DEVICE_ROOM)).collect())
}
