//! The library of models, and checks of devices.

use std::path::Path;

use super::super::app::App;
use super::super::checkup::Checkup;
use super::super::dialog::with_home;
use super::super::library::{End, Held, LibraryCommand, Terms, is_usual, speed_name};
use super::super::state::{ModelState, State};
use super::super::views::View;

/// Carries out a command of the page of models or of devices.
pub(super) fn apply(app: &mut App, command: LibraryCommand, ctx: &egui::Context) {
    let state = &mut app.state;
    match command {
        LibraryCommand::Look => look(state, ctx),
        LibraryCommand::Add(typed) => add(state, &typed, ctx),
        LibraryCommand::ForgetFolder(folder) => {
            state.settings.folders.retain(|known| *known != folder);
            look(state, ctx);
        }
        LibraryCommand::Download(model) => state.library.download(ctx, model),
        LibraryCommand::StopDownload => {
            if let Some(download) = &state.library.download {
                download.cancel();
            }
        }
        LibraryCommand::Measure => {
            let in_use = state.model.facts().map(|facts| facts.device.id.clone());
            let devices = state.devices.iter().map(|card| &card.device);
            // Drivers that compute on the CPU are slow at this, too, and nobody wants to know how slow.
            let wanted =
                devices.filter(|device| is_usual(&device.info) || in_use.as_ref() == Some(&device.info.id));
            let wanted = wanted.cloned().collect();
            state.library.measure(ctx, wanted);
        }
        LibraryCommand::Check(name) => check(state, &name, ctx),
        LibraryCommand::StopCheck => {
            if let Some(checkup) = &state.checkup {
                checkup.cancel();
            }
        }
        LibraryCommand::ForgetVerdicts => state.library.forget(ctx),
    }
}

/// What was dropped or chosen is looked at in the library, and kept in mind.
pub(in super::super) fn add_folder(state: &mut State, folder: &Path, ctx: &egui::Context) {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if !state.settings.folders.contains(&folder) {
        state.settings.folders.push(folder.clone());
    }
    state.library.chosen = Some(folder);
    look(state, ctx);
}

/// A folder is looked into, and a name is asked for.
fn add(state: &mut State, typed: &str, ctx: &egui::Context) {
    let typed = typed.trim();
    let t = state.settings.language();
    state.library.typed_fault = None;
    let folder = with_home(typed);
    let is_name =
        typed.split('/').count() == 2 && !typed.starts_with(['/', '.', '~']) && !typed.contains('\\');
    if typed.is_empty() {
    } else if folder.is_dir() {
        state.library.typed.clear();
        add_folder(state, &folder, ctx);
    } else if is_name {
        state.library.ask(ctx, typed);
    } else {
        state.library.typed_fault = Some(t.not_a_model_name(typed));
    }
}

fn look(state: &mut State, ctx: &egui::Context) {
    let folders = state.settings.folders.clone();
    state.library.look(ctx, folders);
}

/// Checks a device anew.
fn check(state: &mut State, name: &str, ctx: &egui::Context) {
    if state.checkup.as_ref().is_some_and(|checkup| checkup.end.is_none()) {
        return;
    }
    let Some(card) = state.devices.iter().find(|card| card.device.info.id.to_string() == name) else {
        return;
    };
    let in_use = state.model.facts().map(|facts| (facts.plan.clone(), facts.weights.clone()));
    match Checkup::start(ctx, card.device.clone(), in_use) {
        Ok(checkup) => state.checkup = Some(checkup),
        Err(error) => state.toasts.problem(error.to_string()),
    }
}

/// Takes what the library and checks have to say, and sees to it that what is shown is known.
pub(in super::super) fn take_library(app: &mut App, ctx: &egui::Context) {
    let changed = app.state.library.take();
    let state = &mut app.state;
    let t = state.settings.language();
    for (name, speed) in changed.speeds {
        // Whole numbers are read back as they were written.
        state.settings.speeds.insert(name, speed.round());
    }
    match changed.downloaded {
        Some((model, End::Here(folder))) => {
            state.toasts.note(t.download_done(&model));
            state.library.chosen = Some(folder);
            state.library.offer = None;
            look(state, ctx);
        }
        Some((model, End::Stopped)) => state.toasts.note(t.download_stopped(&model)),
        // It is told where it happened.
        Some((_, End::Failed(_))) | None => {}
    }
    match changed.forgotten {
        Some(Ok(())) => {
            state.toasts.note(t.verdicts_forgotten());
            app.desk.look_for_devices();
        }
        Some(Err(why)) => state.toasts.problem(why),
        None => {}
    }
    if state.checkup.as_mut().is_some_and(Checkup::take) {
        app.desk.look_for_devices();
    }
    let state = &mut app.state;
    if state.view != View::Models {
        return;
    }
    if state.library.models.is_none() && !state.library.is_looking() {
        look(state, ctx);
    }
    // Measuring takes the memory's whole speed, so it waits until nothing else needs it.
    let unknown = |state: &State| -> Vec<inglenook::Device> {
        let devices = state.devices.iter().map(|card| &card.device).filter(|device| is_usual(&device.info));
        devices
            .filter(|device| {
                let name = speed_name(&device.info);
                !state.settings.speeds.contains_key(&name) && !state.library.unmeasured.contains_key(&name)
            })
            .cloned()
            .collect()
    };
    let is_busy = !state.live.is_empty() || matches!(state.model, ModelState::Loading(_));
    if !is_busy && !state.library.is_measuring() {
        let devices = unknown(state);
        if !devices.is_empty() {
            state.library.measure(ctx, devices);
        }
    }
    if !state.devices.is_empty() {
        let held = state.model.facts();
        let held = held.map(|facts| Held { device: facts.device.id.clone(), bytes: facts.footprint.total() });
        let terms = Terms {
            devices: state.devices.iter().map(|card| card.device.info.clone()).collect(),
            speeds: state.settings.speeds.clone(),
            held,
            cache: state.library.cache,
            context: state.library.context,
        };
        state.library.reckon(ctx, terms);
    }
}
