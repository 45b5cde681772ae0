//! What power a device draws while it writes, as far as Linux tells everybody.
//!
//! Looked at are, under `/sys`, the energy counters of processors, the sensors of AMD GPUs, and a battery that is discharging, whose
//! power is that of the whole machine (`sensor.rs`). Where none of them can be read it is said why. NVIDIA's management library is
//! not asked yet.
//!
//! A counter is read before and after; a gauge is read ten times a second by a thread of its own, so that what is measured is not
//! held up by it.

mod sensor;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ingle_backends::DeviceInfo;
use serde::{Deserialize, Serialize};

use crate::Device;
use sensor::{Gauge, Sensor};

/// A gauge is read this often.
const PERIOD: Duration = Duration::from_millis(100);

/// Whose power it is that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The processor's, with the GPU that is part of it.
    Processor,
    Gpu,
    /// All of the machine's: it was read from the battery.
    Machine,
}

impl Scope {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processor => "the processor",
            Self::Gpu => "the GPU",
            Self::Machine => "the whole machine",
        }
    }
}

/// What power was drawn while tokens were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Known { scope: Scope, watts: f64, joules_per_token: f64 },
    Unknown { reason: String },
}

impl Default for Power {
    fn default() -> Self {
        Self::Unknown { reason: "nobody looked at it".to_owned() }
    }
}

impl Power {
    pub const fn watts(&self) -> Option<f64> {
        if let Self::Known { watts, .. } = self { Some(*watts) } else { None }
    }

    pub const fn joules_per_token(&self) -> Option<f64> {
        if let Self::Known { joules_per_token, .. } = self { Some(*joules_per_token) } else { None }
    }

    /// Whose it is, or why it is not known.
    pub fn about(&self) -> String {
        match self {
            Self::Known { scope, .. } => format!("power of {} while it wrote", scope.name()),
            Self::Unknown { reason } => format!("power is not known: {reason}"),
        }
    }
}

/// Reads the power of one device.
#[derive(Clone, Debug)]
pub struct PowerMeter {
    sensor: Result<Sensor, String>,
}

impl PowerMeter {
    /// The best there is for a device.
    pub fn of(device: &Device) -> Self {
        if cfg!(target_os = "linux") {
            return Self::under(Path::new("/sys"), &device.info);
        }
        Self { sensor: Err("it is read on Linux only".to_owned()) }
    }

    /// The same where the system's files are elsewhere.
    pub fn under(root: &Path, device: &DeviceInfo) -> Self {
        Self { sensor: sensor::find(root, device) }
    }

    /// Begins to measure.
    pub fn start(&self) -> Recording {
        let way = match &self.sensor {
            Err(reason) => Way::Nothing(reason.clone()),
            Ok(Sensor::Counters(counters)) => match sensor::read_all(counters) {
                Ok(before) => Way::Counted(counters.clone(), before),
                Err(reason) => Way::Nothing(reason),
            },
            Ok(Sensor::Gauge(gauge)) => Way::sampled(gauge.clone()),
        };
        let told = self.sensor.as_ref().ok();
        let scope = told.map_or(Scope::Machine, Sensor::scope);
        let patience = told.map_or(Duration::ZERO, Sensor::patience);
        Recording { way, scope, patience, since: Instant::now() }
    }
}

/// A measurement under way.
#[derive(Debug)]
pub struct Recording {
    way: Way,
    scope: Scope,
    patience: Duration,
    since: Instant,
}

#[derive(Debug)]
enum Way {
    Nothing(String),
    /// The counters, and what each said at the start.
    Counted(Vec<sensor::Counter>, Vec<u64>),
    /// A thread that finds the mean of the watts until the other end of its channel is gone.
    Sampled(JoinHandle<Result<f64, String>>, Sender<()>),
}

impl Way {
    fn sampled(gauge: Gauge) -> Self {
        let (stop, stopped) = channel::<()>();
        let sample = move || {
            let mut last = (Instant::now(), gauge.watts()?);
            let (mut joules, mut seconds) = (0.0, 0.0);
            loop {
                let over = matches!(stopped.recv_timeout(PERIOD), Err(RecvTimeoutError::Disconnected));
                let now = (Instant::now(), gauge.watts()?);
                let step = (now.0 - last.0).as_secs_f64();
                joules += f64::midpoint(last.1, now.1) * step;
                seconds += step;
                last = now;
                if over {
                    return Ok(if seconds > 0.0 { joules / seconds } else { last.1 });
                }
            }
        };
        match std::thread::Builder::new().name("power".to_owned()).spawn(sample) {
            Ok(thread) => Self::Sampled(thread, stop),
            Err(error) => Self::Nothing(format!("no thread could be started to read it: {error}")),
        }
    }
}

impl Recording {
    /// What was spent since the start, or why that is not known.
    pub fn stop(self) -> Energy {
        let seconds = self.since.elapsed().as_secs_f64();
        let joules = match self.way {
            Way::Nothing(reason) => Err(reason),
            Way::Counted(counters, before) => sensor::read_all(&counters)
                .and_then(|now| counters.iter().zip(before).zip(now).map(|((c, a), b)| c.joules(a, b)).sum()),
            Way::Sampled(thread, stop) => {
                drop(stop);
                let watts =
                    thread.join().unwrap_or_else(|_| Err("the thread that reads it has died".to_owned()));
                watts.map(|watts| watts * seconds)
            }
        };
        Energy { joules, seconds, scope: self.scope, patience: self.patience }
    }
}

/// What was spent in some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Energy {
    joules: Result<f64, String>,
    seconds: f64,
    scope: Scope,
    /// The sensor says nothing of times that are shorter.
    patience: Duration,
}

/// What was spent in several runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    runs: Vec<Energy>,
}

impl Spent {
    pub fn add(&mut self, run: Energy) {
        self.runs.push(run);
    }

    /// The power of all runs, in which so many tokens were written.
    pub fn power(&self, tokens: usize) -> Power {
        let Some(first) = self.runs.first() else { return Power::default() };
        let (mut joules, mut seconds) = (0.0, 0.0);
        for run in &self.runs {
            match &run.joules {
                Ok(more) => joules += more,
                Err(reason) => return Power::Unknown { reason: reason.clone() },
            }
            seconds += run.seconds;
        }
        let patience = first.patience.as_secs_f64();
        // Each recording by itself: a sensor that is too slow for one is so for each of many.
        let shortest = self.runs.iter().map(|run| run.seconds).fold(f64::INFINITY, f64::min);
        if shortest < patience || shortest <= 0.0 {
            let reason = format!(
                "writing took {shortest:.2} s, and the sensor of {} says nothing of less than {patience} s; let more tokens be \
                 written",
                first.scope.name()
            );
            return Power::Unknown { reason };
        }
        let joules_per_token = joules / tokens.max(1) as f64;
        Power::Known { scope: first.scope, watts: joules / seconds, joules_per_token }
    }
}
