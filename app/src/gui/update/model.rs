//! Which model is open, where, and in which formats.

use std::path::{Path, PathBuf};

use inglenook::model::builtin;

use super::super::app::App;
use super::super::command::Command;
use super::super::desk::Loading;
use super::super::state::ModelState;
use super::super::views::View;

/// Names the model to open, for those who try things out.
const MODEL_VARIABLE: &str = "INGLE_MODEL";

/// Opens the model that was asked for, or that was open the last time.
pub(super) fn begin(app: &mut App, asked: Option<PathBuf>) {
    let named = std::env::var_os(MODEL_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    if let Some(folder) = asked.or(named) {
        return open(app, folder);
    }
    match app.state.settings.model.take() {
        Some(folder) if folder.is_dir() => open(app, folder),
        // What comes with the program is unpacked again.
        Some(folder) if app.built_in.is_some() && builtin::is_inside(&folder) => {}
        Some(gone) => {
            let t = app.state.settings.language();
            app.state.toasts.problem(t.model_is_gone(&gone.display().to_string()));
        }
        None => {}
    }
}

/// Takes the built-in model once it is unpacked: it is opened where no other is.
pub(in super::super) fn take_built_in(app: &mut App) {
    let Some(job) = &mut app.built_in else { return };
    let found = job.poll();
    if found.is_none() && !job.has_ended() {
        return;
    }
    app.built_in = None;
    match found {
        Some(Ok(folder)) => {
            app.state.library.built_in = Some(folder.clone());
            // What was found before does not have it.
            app.state.library.models = None;
            if app.state.model.is_none() && app.state.trouble.is_none() {
                open(app, folder);
            }
        }
        Some(Err(error)) => app.state.toasts.problem(error.to_string()),
        None => {}
    }
}

pub(super) fn apply(app: &mut App, command: Command) {
    match command {
        Command::OpenModel(folder) => {
            app.state.view = View::Chat;
            open(app, folder);
        }
        Command::Load(order) => {
            app.state.view = View::Chat;
            app.state.settings.take(&order);
            open(app, order.folder);
        }
        Command::CloseModel => {
            app.state.settings.model = None;
            app.desk.close();
        }
        Command::UseDevice(device) => {
            app.state.settings.device = device;
            again(app);
        }
        Command::UseFormats { weights, cache, context } => {
            let settings = &mut app.state.settings;
            let same = settings.weights == weights && settings.cache == cache && settings.context == context;
            (settings.weights, settings.cache, settings.context) = (weights, cache, context);
            if !same {
                again(app);
            }
        }
        Command::TryAgain => {
            if let Some(trouble) = app.state.trouble.take() {
                open(app, trouble.folder);
            }
        }
        Command::LookForDevices => app.desk.look_for_devices(),
        _ => {}
    }
}

/// Loads the model that is open or loading once more, as it is set now.
fn again(app: &mut App) {
    let folder = match &app.state.model {
        ModelState::Open(facts) => Some(facts.order.folder.clone()),
        ModelState::Loading(_) => app.state.settings.model.clone(),
        ModelState::None => app.state.trouble.as_ref().map(|trouble| trouble.folder.clone()),
    };
    if let Some(folder) = folder {
        open(app, folder);
    }
}

fn open(app: &mut App, folder: PathBuf) {
    let state = &mut app.state;
    state.trouble = None;
    state.settings.model = Some(folder.clone());
    state.model = ModelState::Loading(Loading {
        model: name(&folder),
        device: String::new(),
        doing: String::new(),
        done_bytes: 0,
        total_bytes: 0,
    });
    app.desk.open(state.settings.order(folder));
}

/// The folder's own name.
fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
