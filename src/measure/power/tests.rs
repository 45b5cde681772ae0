//! Sensors in a folder that looks like `/sys`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ingle_backends::{DeviceInfo, DeviceKind};
use tempfile::TempDir;

use super::*;
use crate::find_device;

fn device(kind: DeviceKind, vendor: &str) -> DeviceInfo {
    DeviceInfo { kind, vendor: vendor.to_owned(), ..find_device("cpu").unwrap().info }
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

/// Two processors, whose parts and board must not be counted once more.
fn processors() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (zone, name, energy) in [
        ("intel-rapl:0", "package-0", "1000000"),
        ("intel-rapl:0:0", "core", "900000"),
        ("intel-rapl:1", "package-1", "5000000"),
        ("intel-rapl:2", "psys", "70000000"),
    ] {
        write(root.path(), &format!("class/powercap/{zone}/name"), name);
        write(root.path(), &format!("class/powercap/{zone}/energy_uj"), energy);
        write(root.path(), &format!("class/powercap/{zone}/max_energy_range_uj"), "6000000");
    }
    root
}

fn reason(root: &Path, device: &DeviceInfo) -> String {
    let mut spent = Spent::default();
    spent.add(PowerMeter::under(root, device).start().stop());
    match spent.power(1) {
        Power::Unknown { reason } => reason,
        known @ Power::Known { .. } => panic!("{known:?}"),
    }
}

#[test]
fn counters_of_all_processors_are_added_and_may_begin_again() {
    let root = processors();
    let meter = PowerMeter::under(root.path(), &device(DeviceKind::Cpu, "Intel"));
    let recording = meter.start();
    std::thread::sleep(Duration::from_millis(60));
    write(root.path(), "class/powercap/intel-rapl:0/energy_uj", "3000000");
    // From 5 J to 6 J, and 1 J from the start.
    write(root.path(), "class/powercap/intel-rapl:1/energy_uj", "1000000");
    write(root.path(), "class/powercap/intel-rapl:2/energy_uj", "99000000");
    let mut spent = Spent::default();
    spent.add(recording.stop());
    let Power::Known { scope, watts, joules_per_token } = spent.power(8) else { panic!("{spent:?}") };
    assert_eq!(scope, Scope::Processor);
    assert!((joules_per_token - 0.5).abs() < 1e-9, "{joules_per_token}");
    assert!((watts * spent.runs[0].seconds - 4.0).abs() < 1e-9, "{watts}");
}

#[test]
fn times_that_are_too_short_for_a_sensor_have_no_power() {
    let root = processors();
    let reason = reason(root.path(), &device(DeviceKind::Cpu, "Intel"));
    assert!(reason.contains("the processor says nothing of less than 0.05 s"), "{reason}");
}

#[test]
fn the_gpu_of_amd_has_a_gauge_and_two_cannot_be_told_apart() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "class/hwmon/hwmon0/name", "nvme");
    write(root.path(), "class/hwmon/hwmon3/name", "amdgpu");
    write(root.path(), "class/hwmon/hwmon3/power1_average", "80000000");
    let gpu = device(DeviceKind::Discrete, "AMD");
    let recording = PowerMeter::under(root.path(), &gpu).start();
    std::thread::sleep(Duration::from_millis(600));
    let mut spent = Spent::default();
    spent.add(recording.stop());
    let Power::Known { scope, watts, .. } = spent.power(10) else { panic!("{spent:?}") };
    assert_eq!(scope, Scope::Gpu);
    assert!((watts - 80.0).abs() < 1e-6, "{watts}");

    // An integrated one tells what the chip draws.
    let integrated = PowerMeter::under(root.path(), &device(DeviceKind::Integrated, "AMD"));
    assert_eq!(integrated.start().scope, Scope::Processor);

    write(root.path(), "class/hwmon/hwmon4/name", "amdgpu");
    let reason = reason(root.path(), &gpu);
    assert!(reason.contains("2 AMD GPUs") && reason.contains("no battery"), "{reason}");
}

#[test]
fn a_battery_tells_the_machines_power_while_it_discharges() {
    let root = tempfile::tempdir().unwrap();
    let nvidia = device(DeviceKind::Discrete, "NVIDIA");
    let supply = |name: &str, files: &[(&str, &str)]| {
        for (file, text) in files {
            write(root.path(), &format!("class/power_supply/{name}/{file}"), text);
        }
    };
    supply("AC", &[("type", "Mains"), ("online", "0")]);
    supply(
        "mouse",
        &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("power_now", "9")],
    );
    assert!(reason(root.path(), &nvidia).contains("by NVIDIA are not read yet; there is no battery"));
    supply("BAT0", &[("type", "Battery"), ("status", "Charging"), ("current_now", "-2000000")]);
    supply("BAT0", &[("voltage_now", "12000000")]);
    assert!(reason(root.path(), &nvidia).contains("no battery is discharging"));
    supply("BAT0", &[("status", "Discharging")]);
    supply("BAT1", &[("type", "Battery"), ("status", "Discharging"), ("power_now", "6000000")]);
    let Ok(Sensor::Gauge(gauge)) = sensor::find(root.path(), &nvidia) else { panic!("no gauge") };
    assert!((gauge.watts().unwrap() - 30.0).abs() < 1e-9);
    assert_eq!(gauge.scope, Scope::Machine);
    // The charger comes in the middle.
    let recording = PowerMeter::under(root.path(), &nvidia).start();
    supply("BAT0", &[("status", "Charging")]);
    supply("BAT1", &[("status", "Full")]);
    let energy = recording.stop();
    assert!(energy.joules.unwrap_err().contains("no battery is discharging"));
}

#[test]
fn what_cannot_be_read_is_said() {
    let root = tempfile::tempdir().unwrap();
    let cpu = device(DeviceKind::Cpu, "Intel");
    assert!(reason(root.path(), &cpu).contains("virtual machines hide it; there is no battery"));
    write(root.path(), "class/powercap/intel-rapl:0/name", "package-0");
    let missing = reason(root.path(), &cpu);
    assert!(missing.contains("energy_uj cannot be read"), "{missing}");
    write(root.path(), "class/powercap/intel-rapl:0/energy_uj", "many");
    assert!(reason(root.path(), &cpu).contains("says `many`, which is no number"));
}

#[test]
fn kept_comparisons_without_power_have_none() {
    let unknown: Power = serde_json::from_str(r#"{"unknown":{"reason":"x"}}"#).unwrap();
    assert_eq!(unknown.about(), "power is not known: x");
    assert_eq!(Power::default().watts(), None);
}
