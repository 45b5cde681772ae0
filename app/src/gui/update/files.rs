//! Files: dialogs to choose them, and those that are dropped on the window.

use std::path::{Path, PathBuf};

use super::super::app::{App, Picked};
use super::super::command::{Command, CompareCommand};
use super::super::dialog::{Answer, Purpose, ask, check, whole};
use super::super::job::Job;
use super::super::state::{Asking, State};
use super::super::views::View;
use super::apply as carry_out;
use crate::store::ExportFormat;

pub(super) fn apply(app: &mut App, command: &Command, ctx: &egui::Context) {
    let purpose = match command {
        Command::ChooseModel => Purpose::Model,
        Command::ChooseLibraryFolder => Purpose::Library,
        Command::Export(format) => Purpose::Export(*format),
        Command::Compare(CompareCommand::Export(format)) => Purpose::ExportComparison(*format),
        Command::TakePath => return take_typed(app, ctx),
        Command::CancelPath => {
            app.state.asking = None;
            return;
        }
        _ => Purpose::Import,
    };
    if app.dialog.is_some() {
        return;
    }
    let t = app.state.settings.language();
    let dialog = rfd::AsyncFileDialog::new();
    // It is made here, as some systems ask for, and waited for elsewhere.
    let wait: std::pin::Pin<Box<dyn Future<Output = Option<rfd::FileHandle>> + Send>> = match purpose {
        Purpose::Model => Box::pin(dialog.set_title(t.choose_folder()).pick_folder()),
        Purpose::Library => Box::pin(dialog.set_title(t.choose_library_folder()).pick_folder()),
        Purpose::Import => {
            Box::pin(dialog.set_title(t.import()).add_filter("JSON, Markdown", &["json", "md"]).pick_file())
        }
        Purpose::Export(_) => {
            let name = suggested(&app.state, purpose);
            Box::pin(dialog.set_title(t.export()).set_file_name(name).save_file())
        }
        Purpose::ExportComparison(_) => {
            if app.state.compare.shown.is_none() {
                return;
            }
            let name = suggested(&app.state, purpose);
            Box::pin(dialog.set_title(t.compare_export_title()).set_file_name(name).save_file())
        }
    };
    let started = Job::start(ctx, "dialog", move |reporter| {
        let answer = ask(wait);
        reporter.tell(Picked { purpose, answer });
    });
    match started {
        Ok(job) => app.dialog = Some(job),
        Err(error) => app.state.toasts.problem(error.to_string()),
    }
}

/// The name that a file is offered under.
fn suggested(state: &State, purpose: Purpose) -> String {
    match (purpose, &state.compare.shown) {
        (Purpose::ExportComparison(format), Some(comparison)) => {
            file_name(&comparison.model, format.ending())
        }
        (Purpose::Export(ExportFormat::Json), _) => file_name(&state.chats.current.head().title, "json"),
        _ => file_name(&state.chats.current.head().title, "md"),
    }
}

/// A name that every system takes.
fn file_name(title: &str, ending: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || " -_".contains(c) { c } else { '-' };
    let name: String = title.chars().map(plain).take(60).collect();
    let name = name.trim();
    if name.is_empty() { format!("conversation.{ending}") } else { format!("{name}.{ending}") }
}

/// Takes what was chosen in a dialog.
pub(in super::super) fn take_picked(app: &mut App, ctx: &egui::Context) {
    let Some(dialog) = &mut app.dialog else { return };
    let picked = dialog.poll();
    if picked.is_none() && !dialog.has_ended() {
        return;
    }
    app.dialog = None;
    let Some(Picked { purpose, answer }) = picked else { return };
    match answer {
        Answer::Path(path) => take(app, purpose, path, ctx),
        Answer::Nothing => {}
        Answer::NoDialog => app.state.asking = Some(asking(&app.state, purpose)),
    }
}

/// The field for a path. What is exported goes to the home folder if nothing else is typed.
fn asking(state: &State, purpose: Purpose) -> Asking {
    let typed = match purpose {
        Purpose::Export(_) | Purpose::ExportComparison(_) => format!("~/{}", suggested(state, purpose)),
        Purpose::Model | Purpose::Library | Purpose::Import => String::new(),
    };
    Asking { purpose, typed, fault: None, fresh: true }
}

/// Takes the path that was typed, if it can be.
fn take_typed(app: &mut App, ctx: &egui::Context) {
    let Some(asking) = &mut app.state.asking else { return };
    let path = whole(asking.typed.trim());
    match check(asking.purpose, &path) {
        Ok(()) => {
            let purpose = asking.purpose;
            app.state.asking = None;
            take(app, purpose, path, ctx);
        }
        Err(fault) => (asking.fault, asking.fresh) = (Some(fault), true),
    }
}

/// Does with a path what it was asked for.
fn take(app: &mut App, purpose: Purpose, path: PathBuf, ctx: &egui::Context) {
    match purpose {
        Purpose::Model => super::model::apply(app, Command::OpenModel(path)),
        Purpose::Library => super::library::add_folder(&mut app.state, &path, ctx),
        Purpose::Import => app.store.import(path),
        Purpose::ExportComparison(format) => super::compare::export(app, format, path, ctx),
        Purpose::Export(format) => {
            app.store.export(vec![app.state.chats.current.id()], format, path);
        }
    }
}

/// Takes what was dropped on the window: folders are models, files are exported conversations.
pub(in super::super) fn take_dropped(app: &mut App, ctx: &egui::Context) {
    let dropped = ctx.input(|input| input.raw.dropped_files.clone());
    for path in dropped.into_iter().map(|file| file.path().to_owned()) {
        match kind(&path) {
            // There one looks before one loads.
            Some(folder) if app.state.view == View::Models => {
                super::library::add_folder(&mut app.state, &folder, ctx);
            }
            Some(folder) => carry_out(app, Command::OpenModel(folder), ctx),
            None => app.store.import(path),
        }
    }
}

/// The folder of the model that is meant, if it is one.
fn kind(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let is_weights = path.extension().is_some_and(|ending| ending == "safetensors");
    let is_config = path.file_name().is_some_and(|name| name == "config.json");
    path.parent().filter(|_| is_weights || is_config).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names_of_files() {
        assert_eq!(file_name("Why is the sky blue?", "md"), "Why is the sky blue-.md");
        assert_eq!(file_name("a/b\\c:d", "json"), "a-b-c-d.json");
        assert_eq!(file_name("为什么", "md"), "为什么.md");
        assert_eq!(file_name("", "md"), "conversation.md");
    }

    #[test]
    fn weights_that_are_dropped_stand_for_their_folder() {
        assert_eq!(kind(Path::new("/m/model.safetensors")), Some(PathBuf::from("/m")));
        assert_eq!(kind(Path::new("/m/config.json")), Some(PathBuf::from("/m")));
        assert_eq!(kind(Path::new("/m/chats.json")), None);
    }
}
