//! The page of devices: what is known of each, and checking their kernels anew.

use super::Window;
use crate::gui::command::Command;
use crate::gui::library::LibraryCommand;
use crate::gui::views::View;

#[test]
fn devices_tell_what_they_are_and_are_checked_again() {
    let mut window = Window::ready();
    window.harness.set_size(egui::vec2(1180.0, 1800.0));
    window.command(Command::Show(View::Devices));
    window.wait("verdicts are known", |state| {
        state.devices.iter().any(|card| card.verdicts.iter().any(|verdict| !verdict.passed.is_empty()))
    });
    let cpu = window.state().devices.iter().find(|card| card.device.info.id.backend == "cpu").unwrap();
    let (id, name) = (cpu.device.info.id.to_string(), cpu.device.info.name.clone());
    window.frames(2);
    assert!(window.has_text(&name) && window.has_text("In use: kernels of tier"));
    assert!(window.has_text("checks passed") && window.has_text("INGLE_WGPU_TIER"));
    window.click(&format!("Check {name} again"));
    window.wait("it is checked", |state| state.checkup.as_ref().is_some_and(|checkup| checkup.end.is_some()));
    let checkup = window.state().checkup.as_ref().unwrap();
    assert_eq!(checkup.device, id);
    let checked = checkup.end.clone().unwrap().unwrap();
    assert!(checked.cases > 10 && checked.notes.is_empty(), "{checked:?}");
    assert!(checked.tiers.len() >= 4, "{:?}", checked.tiers);
    window.frames(2);
    assert!(window.has_text("cases agree with exact arithmetic"));
    // Once more without forgetting would find all of it known.
    window.wait("verdicts are back", |state| {
        state.devices.iter().any(|card| card.verdicts.iter().any(|verdict| verdict.passed.len() > 3))
    });
}

#[test]
fn a_check_can_be_stopped() {
    let mut window = Window::empty();
    window.wait("devices are known", |state| !state.devices.is_empty());
    let id = window.state().devices[0].device.info.id.to_string();
    window.command(Command::Library(LibraryCommand::Check(id)));
    assert!(window.state().checkup.is_some());
    window.command(Command::Library(LibraryCommand::StopCheck));
    window.wait("it has ended", |state| state.checkup.as_ref().is_some_and(|checkup| checkup.end.is_some()));
}

#[test]
fn measured_speeds_are_remembered() {
    let mut window = Window::empty();
    window.wait("devices are known", |state| !state.devices.is_empty());
    window.command(Command::Library(LibraryCommand::Measure));
    assert!(window.state().library.is_measuring());
    window.wait("they are measured", |state| !state.library.is_measuring());
    let speeds = window.state().settings.speeds.clone();
    assert!(!speeds.is_empty() && speeds.values().all(|speed| *speed > 1e8), "{speeds:?}");
    let window = window.again();
    assert_eq!(window.state().settings.speeds, speeds);
}
