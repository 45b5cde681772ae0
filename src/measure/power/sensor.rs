//! Sensors under `/sys`, and which of them tells the power of a device.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingle_backends::{DeviceInfo, DeviceKind};

use super::Scope;

/// Something that tells power or energy.
#[derive(Clone, Debug)]
pub(super) enum Sensor {
    /// One for each processor of the machine.
    Counters(Vec<Counter>),
    Gauge(Gauge),
}

impl Sensor {
    pub(super) const fn scope(&self) -> Scope {
        match self {
            Self::Counters(_) => Scope::Processor,
            Self::Gauge(gauge) => gauge.scope,
        }
    }

    /// The sensor follows what happens only so fast.
    pub(super) const fn patience(&self) -> Duration {
        match self.scope() {
            // Counters are brought up to date once in a millisecond, and the averages of GPUs within a few tens.
            Scope::Processor => Duration::from_millis(50),
            Scope::Gpu => Duration::from_millis(500),
            // Batteries measure every few seconds.
            Scope::Machine => Duration::from_secs(10),
        }
    }
}

/// A file that counts microjoules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    file: PathBuf,
    /// After this much it begins at 0 again.
    range: Option<u64>,
}

impl Counter {
    /// Between two readings.
    pub(super) fn joules(&self, before: u64, after: u64) -> Result<f64, String> {
        let around = match self.range {
            _ if after >= before => 0,
            Some(range) => range,
            None => {
                return Err(format!(
                    "{} began anew, and does not say after how much it does",
                    self.file.display()
                ));
            }
        };
        Ok((after.saturating_add(around)).saturating_sub(before) as f64 / 1e6)
    }
}

pub(super) fn read_all(counters: &[Counter]) -> Result<Vec<u64>, String> {
    counters.iter().map(|counter| number(&counter.file)).collect()
}

/// Files that tell the power of now.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    pub(super) scope: Scope,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Microwatts(PathBuf),
    /// Folders of batteries, of which one at least is discharging.
    Batteries(Vec<PathBuf>),
}

impl Gauge {
    /// The power of now, in watts.
    pub(super) fn watts(&self) -> Result<f64, String> {
        match &self.source {
            Source::Microwatts(file) => Ok(number(file)? as f64 / 1e6),
            Source::Batteries(folders) => {
                let discharging: Vec<_> = folders.iter().filter(|folder| is_discharging(folder)).collect();
                if discharging.is_empty() {
                    return Err(NOT_DISCHARGING.to_owned());
                }
                discharging.into_iter().map(|folder| battery_watts(folder)).sum()
            }
        }
    }
}

const NOT_DISCHARGING: &str = "no battery is discharging, so that none tells what the machine draws";

/// The sensor that is nearest to a device; where there is none, why.
pub(super) fn find(root: &Path, device: &DeviceInfo) -> Result<Sensor, String> {
    let amd = device.vendor == "AMD";
    let nearest = match device.kind {
        // What is measured there is the chip with both in it.
        DeviceKind::Integrated if amd => amd_gpu(root, Scope::Processor)
            .or_else(|of_gpu| processors(root).map_err(|of_processor| format!("{of_gpu}; {of_processor}"))),
        DeviceKind::Cpu | DeviceKind::Software | DeviceKind::Integrated => processors(root),
        DeviceKind::Discrete if amd => amd_gpu(root, Scope::Gpu),
        DeviceKind::Discrete => Err(format!("sensors of GPUs by {} are not read yet", maker(device))),
    };
    nearest.or_else(|reason| batteries(root).map_err(|of_battery| format!("{reason}; {of_battery}")))
}

fn maker(device: &DeviceInfo) -> &str {
    if device.vendor.is_empty() { "this maker" } else { &device.vendor }
}

/// The energy counters of the processors; those of their parts are in them.
fn processors(root: &Path) -> Result<Sensor, String> {
    let mut counters = vec![];
    for folder in entries(&root.join("class/powercap")) {
        let zone = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whole = zone.starts_with("intel-rapl:") && zone.matches(':').count() == 1;
        // The one of the whole board counts the processors once more.
        if whole && text(&folder.join("name")).is_ok_and(|name| name.starts_with("package")) {
            let counter = Counter {
                file: folder.join("energy_uj"),
                range: number(&folder.join("max_energy_range_uj")).ok(),
            };
            number(&counter.file)?;
            counters.push(counter);
        }
    }
    if counters.is_empty() {
        return Err(
            "the system shows no energy counter of the processor; virtual machines hide it".to_owned()
        );
    }
    Ok(Sensor::Counters(counters))
}

/// The sensor of the one AMD GPU that there is.
fn amd_gpu(root: &Path, scope: Scope) -> Result<Sensor, String> {
    let is = |folder: &PathBuf| text(&folder.join("name")).is_ok_and(|name| name == "amdgpu");
    let folders: Vec<_> = entries(&root.join("class/hwmon")).into_iter().filter(is).collect();
    let folder = match folders.as_slice() {
        [] => return Err("the driver amdgpu shows no sensor of the GPU".to_owned()),
        [one] => one,
        several => {
            let count = several.len();
            return Err(format!(
                "there are {count} AMD GPUs, and it is not known which sensor is this one's"
            ));
        }
    };
    // Newer drivers tell the power of the moment where older ones told an average.
    let files = ["power1_average", "power1_input"].map(|name| folder.join(name));
    let file = files.iter().find(|file| file.exists());
    let file = file.ok_or_else(|| format!("{} tells no power of this GPU", folder.display()))?;
    number(file)?;
    Ok(Sensor::Gauge(Gauge { scope, source: Source::Microwatts(file.clone()) }))
}

/// The machine's batteries, where one is discharging.
fn batteries(root: &Path) -> Result<Sensor, String> {
    let is_the_machines = |folder: &PathBuf| {
        let is_battery = text(&folder.join("type")).is_ok_and(|kind| kind == "Battery");
        // Mice and headphones have theirs.
        is_battery && !text(&folder.join("scope")).is_ok_and(|scope| scope == "Device")
    };
    let folders: Vec<_> =
        entries(&root.join("class/power_supply")).into_iter().filter(is_the_machines).collect();
    if folders.is_empty() {
        return Err("there is no battery".to_owned());
    }
    let gauge = Gauge { scope: Scope::Machine, source: Source::Batteries(folders) };
    gauge.watts()?;
    Ok(Sensor::Gauge(gauge))
}

fn is_discharging(folder: &Path) -> bool {
    text(&folder.join("status")).is_ok_and(|status| status == "Discharging")
}

/// Some tell their power, others current and voltage.
fn battery_watts(folder: &Path) -> Result<f64, String> {
    let signed = |name: &str| -> Result<f64, String> {
        parsed::<i64>(&folder.join(name)).map(|n| n.abs() as f64 / 1e6)
    };
    signed("power_now").or_else(|_| Ok(signed("current_now")? * signed("voltage_now")?))
}

/// What is in a folder, in the order of names; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(folder) else { return vec![] };
    let mut list: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    list.sort();
    list
}

fn number(file: &Path) -> Result<u64, String> {
    parsed(file)
}

fn parsed<T: std::str::FromStr>(file: &Path) -> Result<T, String> {
    let text = text(file)?;
    text.parse().map_err(|_| format!("{} says `{text}`, which is no number", file.display()))
}

fn text(file: &Path) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(format!("{} may be read by administrators only", file.display()))
        }
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}
