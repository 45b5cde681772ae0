//! The devices of this machine: which one is in use and why the others are not, what is known of their kernels, and checks.

use egui::{CollapsingHeader, RichText, Ui};
use inglenook::backend::DeviceInfo;

use super::model_menu::why;
use crate::gui::command::Command;
use crate::gui::desk::DeviceCard;
use crate::gui::library::{LibraryCommand, speed_name};
use crate::gui::page::Page;
use crate::gui::parts::{card, page as place, quiet, section};
use crate::gui::state::State;
use crate::gui::theme::{gap, strong, text};
use crate::gui::words::Language;
use crate::text::{gibibytes, gigabytes_per_second};

const AUTO: &str = "auto";

pub(super) fn show(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    place(ui, t.view_devices(), 760.0, |ui| {
        ui.spacing_mut().item_spacing.y = gap::SMALL;
        ui.label(RichText::new(t.devices_intro()).color(page.tokens.text_muted));
        ui.horizontal_wrapped(|ui| {
            for command in [
                Command::LookForDevices,
                Command::Library(LibraryCommand::Measure),
                Command::Library(LibraryCommand::ForgetVerdicts),
            ] {
                if quiet(ui, &command.name(t)).clicked() {
                    page.send(command);
                }
            }
            if state.settings.device != AUTO && quiet(ui, t.use_automatic_device()).clicked() {
                page.send(Command::UseDevice(AUTO.to_owned()));
            }
        });
        if state.devices.is_empty() {
            ui.label(t.devices_unknown());
        }
        for known in &state.devices {
            card(ui, |ui| device(ui, state, known, page));
        }
        if !state.missing.is_empty() {
            section(ui, t.missing_devices());
            card(ui, |ui| {
                for missing in &state.missing {
                    ui.label(RichText::new(&missing.what).font(strong(text::CONTROL)));
                    ui.label(RichText::new(&missing.reason).color(page.tokens.text_muted));
                }
            });
        }
        section(ui, t.environment());
        card(ui, |ui| environment(ui, page));
    });
}

fn device(ui: &mut Ui, state: &State, known: &DeviceCard, page: &mut Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let info = &known.device.info;
    let id = info.id.to_string();
    let in_use = state.model.facts().is_some_and(|facts| facts.device.id == info.id);
    ui.horizontal(|ui| {
        ui.label(RichText::new(&info.name).font(strong(text::TITLE)).color(tokens.text));
        ui.label(RichText::new(&id).monospace().size(text::SMALL).color(tokens.text_muted));
    });
    let color = if in_use {
        tokens.good
    } else if known.trouble.is_some() {
        tokens.danger
    } else {
        tokens.text_muted
    };
    ui.label(RichText::new(why(t, state, known)).color(color));
    for line in about(t, state, known) {
        ui.label(RichText::new(line).size(text::SMALL).color(tokens.text_muted));
    }
    kernels(ui, known, page);
    if !info.features.is_empty() {
        CollapsingHeader::new(t.device_features()).id_salt(("features", &id)).show(ui, |ui| {
            ui.label(RichText::new(info.features.join(", ")).size(text::SMALL).color(tokens.text_muted));
        });
    }
    checkup(ui, state, &id, page);
    ui.horizontal_wrapped(|ui| {
        if !in_use && quiet(ui, &t.use_this_device(&info.name)).clicked() {
            page.send(Command::UseDevice(id.clone()));
        }
        let running = state.checkup.as_ref().is_some_and(|checkup| checkup.end.is_none());
        ui.add_enabled_ui(!running, |ui| {
            if quiet(ui, t.check_device()).accessible_name(t.check_named_device(&info.name)).clicked() {
                page.send(Command::Library(LibraryCommand::Check(id.clone())));
            }
        });
    });
}

/// What there is to know of a device.
fn about(t: Language, state: &State, known: &DeviceCard) -> Vec<String> {
    let info = &known.device.info;
    let mut kind = vec![info.kind.to_string()];
    if !info.vendor.is_empty() {
        kind.push(t.device_vendor(&info.vendor));
    }
    if !info.driver.is_empty() {
        kind.push(t.device_driver(&info.driver));
    }
    kind.extend(info.parallel_units.map(|units| t.device_units(units)));
    let mut lines = vec![kind.join("  ·  "), memory(t, known)];
    let name = speed_name(info);
    if let Some(why) = state.library.unmeasured.get(&name) {
        lines.push(t.device_not_measured(why));
    } else if let Some(speed) = state.settings.speeds.get(&name) {
        lines.push(t.device_reads(&gigabytes_per_second(*speed)));
    }
    lines
}

fn memory(t: Language, known: &DeviceCard) -> String {
    let DeviceInfo { id, memory, .. } = &known.device.info;
    let mut words = vec![match (memory.total, memory.available) {
        (Some(total), Some(free)) => t.device_memory(&gibibytes(total), &gibibytes(free)),
        (Some(total), None) => t.device_memory_total(&gibibytes(total)),
        (None, _) => t.device_memory_unknown().to_owned(),
    }];
    if memory.shared_with_cpu && id.backend != "cpu" {
        words.push(t.device_memory_shared().to_owned());
    }
    let held = known.device.backend.allocated_bytes(id).filter(|bytes| *bytes > 0);
    words.extend(held.map(|bytes| t.device_holds(&gibibytes(bytes))));
    words.join("  ·  ")
}

/// The verdicts on its kernels, the best first.
fn kernels(ui: &mut Ui, known: &DeviceCard, page: &Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    ui.label(RichText::new(t.device_tiers()).size(text::SMALL).color(tokens.text_muted));
    if let Some(forced) = known.device.backend.forced_tier() {
        ui.label(RichText::new(t.tier_forced(&forced)).size(text::SMALL).color(tokens.warning));
    }
    for verdict in &known.verdicts {
        let tier = &verdict.tier;
        let (words, color) = match (verdict.failed.first(), verdict.passed.len()) {
            (Some(fault), _) => (t.tier_failed(tier, &fault.to_string()), tokens.danger),
            (None, 0) => (t.tier_unchecked(tier), tokens.text_muted),
            (None, count) => (t.tier_passed(tier, count), tokens.good),
        };
        ui.label(RichText::new(words).size(text::SMALL).color(color));
    }
}

fn checkup(ui: &mut Ui, state: &State, id: &str, page: &mut Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let Some(checkup) = state.checkup.as_ref().filter(|checkup| checkup.device == id) else { return };
    match &checkup.end {
        None => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(t.check_running());
                if quiet(ui, t.check_stop()).clicked() {
                    page.send(Command::Library(LibraryCommand::StopCheck));
                }
            });
            ui.label(RichText::new(&checkup.doing).size(text::SMALL).color(tokens.text_muted));
        }
        Some(Err(why)) => {
            ui.label(RichText::new(t.check_failed(why)).color(tokens.danger));
        }
        Some(Ok(checked)) => {
            if checked.notes.is_empty() {
                let words = match checked.cases {
                    0 => t.check_known().to_owned(),
                    cases => t.check_done(cases),
                };
                ui.label(RichText::new(words).color(tokens.good));
            }
            for note in &checked.notes {
                ui.label(RichText::new(note).color(tokens.danger));
            }
            let tiers: Vec<String> =
                checked.tiers.iter().map(|(format, tier)| format!("{format}: {tier}")).collect();
            ui.label(RichText::new(tiers.join("  ·  ")).size(text::SMALL).color(tokens.text_muted));
        }
    }
}

fn environment(ui: &mut Ui, page: &Page<'_>) {
    let t = page.t;
    ui.label(RichText::new(t.environment_intro()).color(page.tokens.text_muted));
    egui::Grid::new("environment").num_columns(2).spacing([gap::LARGE, 4.0]).show(ui, |ui| {
        for (name, meaning) in [
            ("INGLE_WGPU_TIER", t.env_tier()),
            ("INGLE_CPU_TIER", t.env_cpu_tier()),
            ("INGLE_WGPU_TUNE", t.env_tune()),
            ("INGLE_DATA", t.env_data()),
            ("HF_HUB_CACHE", t.env_hub()),
        ] {
            ui.label(RichText::new(name).monospace().size(text::SMALL));
            ui.label(RichText::new(meaning).size(text::SMALL));
            ui.end_row();
        }
    });
}
