//! What commands do to the state, and what the desk and the store have to say.

mod chat;
mod compare;
mod files;
mod library;
mod list;
mod model;
mod news;

use std::path::PathBuf;

#[cfg(test)]
pub(super) use compare::export as export_comparison;
pub(super) use compare::take_reports;
pub(super) use files::{take_dropped, take_picked};
pub(super) use library::take_library;
pub(super) use model::take_built_in;
pub(super) use news::{take_events, take_news};

use super::app::App;
use super::command::{Command, CompareCommand, Zoom};
use super::state::Field;
use super::views::{PaletteView, View};

/// How much larger or smaller everything becomes, and how far that goes.
const ZOOM_STEP: f32 = 0.1;
const ZOOM_RANGE: std::ops::RangeInclusive<f32> = 0.6..=2.5;

/// Opens the model that a window begins with.
pub(super) fn begin(app: &mut App, model: Option<PathBuf>) {
    model::begin(app, model);
}

/// Carries out a command.
pub(super) fn apply(app: &mut App, command: Command, ctx: &egui::Context) {
    let state = &mut app.state;
    match command {
        Command::NewChat
        | Command::OpenChat(_)
        | Command::OpenMessage(..)
        | Command::Find
        | Command::StepChat(_)
        | Command::Rename(_)
        | Command::SetTitle(..)
        | Command::Pin(_)
        | Command::DeleteChat(_)
        | Command::Undo => list::apply(app, command),
        Command::Send
        | Command::Stop
        | Command::Regenerate(_)
        | Command::Edit(_)
        | Command::SendEdit
        | Command::CancelEdit
        | Command::Copy(_)
        | Command::DeleteMessage(_)
        | Command::Version(..)
        | Command::SetSystem(_)
        | Command::SetSampling(_)
        | Command::ApplyPreset(_)
        | Command::SavePreset(_)
        | Command::DeletePreset(_) => chat::apply(app, command, ctx),
        Command::OpenModel(_)
        | Command::CloseModel
        | Command::UseDevice(_)
        | Command::UseFormats { .. }
        | Command::Load(_)
        | Command::TryAgain
        | Command::LookForDevices => model::apply(app, command),
        Command::Library(command) => library::apply(app, command, ctx),
        Command::ChooseModel
        | Command::ChooseLibraryFolder
        | Command::Export(_)
        | Command::Import
        | Command::TakePath
        | Command::CancelPath
        | Command::Compare(CompareCommand::Export(_)) => files::apply(app, &command, ctx),
        Command::Compare(command) => compare::apply(app, command, ctx),
        Command::Search => {
            state.settings.sidebar = true;
            state.focus = Some(Field::Search);
        }
        Command::FocusComposer => {
            state.view = View::Chat;
            state.focus = Some(Field::Composer);
        }
        Command::Show(view) => state.view = view,
        Command::Palette => {
            state.palette = if state.palette.is_some() { None } else { Some(PaletteView::default()) };
        }
        Command::ToggleSidebar => state.settings.sidebar = !state.settings.sidebar,
        Command::ToggleSampling => {
            state.view = View::Chat;
            state.settings.sampling_panel = !state.settings.sampling_panel;
        }
        Command::SetTheme(theme) => {
            state.settings.theme = theme;
            theme.apply(ctx);
        }
        Command::SetLanguage(language) => state.settings.language = Some(language),
        Command::SetEnterSends(sends) => state.settings.enter_sends = sends,
        Command::Zoom(zoom) => {
            let now = state.settings.zoom;
            let wanted = match zoom {
                Zoom::In => now + ZOOM_STEP,
                Zoom::Out => now - ZOOM_STEP,
                Zoom::Reset => 1.0,
            };
            state.settings.zoom = wanted.clamp(*ZOOM_RANGE.start(), *ZOOM_RANGE.end());
            ctx.set_zoom_factor(state.settings.zoom);
        }
        Command::Say(words) => state.toasts.done(words, None),
        Command::CloseToast(id) => state.toasts.close(id),
        Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
    }
}
