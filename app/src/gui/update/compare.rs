//! What is asked of the page that compares, and what its job reports.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inglenook::measure::compare::{Comparison, Contestant, Options, compare};
use inglenook::measure::{MeasureError, Status};
use inglenook::model::Model;

use super::super::app::App;
use super::super::beside::{Beside, Task};
use super::super::command::{Command, CompareCommand, ComparisonFormat};
use super::super::job::{Job, Reporter};
use super::super::picture::{Look, draw};
use super::super::state::{State, Undo};
use super::super::toast::Toasts;
use super::super::views::{At, Drawn, Mode, Report, Running, picture};
use super::super::words::Language;
use crate::cli::weight_choice;
use crate::store::ComparisonEntry;

/// The window is told how far it is no more often than this.
const PAUSE: Duration = Duration::from_millis(40);
/// Pictures are so wide at least, in points.
const PICTURE_WIDTH: f32 = 1280.0;

pub(super) fn apply(app: &mut App, command: CompareCommand, ctx: &egui::Context) {
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    match command {
        CompareCommand::Start => start(app, ctx),
        CompareCommand::Stop => {
            if let Some(running) = &view.running {
                running.job.cancel();
            }
            if let Some(beside) = &view.beside {
                beside.stop();
            }
        }
        CompareCommand::Keep => {
            let Some(comparison) = &view.shown else { return };
            let name = if view.name.trim().is_empty() {
                default_name(comparison)
            } else {
                view.name.trim().to_owned()
            };
            match serde_json::to_value(comparison) {
                Ok(value) => {
                    let entry = app.store.save_comparison(name.clone(), value);
                    view.shown_id = Some(entry.id);
                    view.kept.insert(0, entry);
                    app.state.toasts.done(t.compare_was_kept(&name), None);
                }
                Err(error) => app.state.toasts.problem(error.to_string()),
            }
        }
        CompareCommand::Open(id) => app.store.load_comparison(id),
        CompareCommand::Rename(id) => {
            let entry = view.kept.iter().find(|entry| entry.id == id);
            view.renaming = entry.map(|entry| (id, entry.name.clone()));
        }
        CompareCommand::SetName(id, name) => {
            let name = name.trim();
            if let Some(entry) = view.kept.iter_mut().find(|entry| entry.id == id)
                && !name.is_empty()
            {
                name.clone_into(&mut entry.name);
                app.store.rename_comparison(id, name);
            }
        }
        CompareCommand::Delete(id) => {
            if view.shown_id == Some(id) {
                view.shown_id = None;
            }
            if let Some(at) = view.kept.iter().position(|entry| entry.id == id) {
                view.deleted.push(view.kept.remove(at));
                // Read before it goes, so that it can be brought back.
                app.store.load_comparison(id);
                app.store.delete_comparison(id);
            }
        }
        // Its dialog is among those for files.
        CompareCommand::Export(_) => {}
    }
}

/// What a comparison is called where nobody says.
fn default_name(comparison: &Comparison) -> String {
    let labels: Vec<&str> = comparison.entries.iter().map(|entry| entry.label.as_str()).collect();
    format!("{}: {}", comparison.model, labels.join(" / "))
}

fn start(app: &mut App, ctx: &egui::Context) {
    let contestants = contestants(&app.state);
    let Some(facts) = app.state.model.facts().cloned() else { return };
    if contestants.is_empty() || app.state.compare.is_busy() || !app.state.live.is_empty() {
        return;
    }
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    view.trouble = None;
    let prompt = view.prompt.clone().unwrap_or_else(|| t.compare_first_prompt().to_owned());
    let (generate, repeats) = (view.generate, view.repeats);
    let folder = facts.order.folder.clone();
    if view.mode == Mode::Beside {
        let task = Task { folder, prompt, tokens: generate };
        match Beside::start(ctx, task, contestants) {
            Ok(beside) => view.beside = Some(beside),
            Err(error) => view.trouble = Some(error.to_string()),
        }
        return;
    }
    let labels = contestants.iter().map(Contestant::label).collect();
    let work = move |reporter: &Reporter<Report>| {
        let result = run(&folder, &prompt, (generate, repeats), &contestants, reporter);
        reporter.tell(Report::Done(result.map(Box::new).map_err(|error| error.to_string())));
    };
    match Job::start(ctx, "compare", work) {
        Ok(job) => view.running = Some(Running { job, labels, at: None, finished: 0 }),
        Err(error) => view.trouble = Some(error.to_string()),
    }
}

/// Every chosen device with every chosen format.
fn contestants(state: &State) -> Vec<Contestant> {
    let view = &state.compare;
    let mut list = vec![];
    for card in &state.devices {
        if !view.devices.contains(&card.device.info.id.to_string()) {
            continue;
        }
        for weights in super::super::views::WEIGHTS.iter().filter(|format| view.weights.contains(*format)) {
            for cache in super::super::views::CACHES.iter().filter(|format| view.caches.contains(*format)) {
                // The names are our own; one that could not be read would not be offered.
                if let (Ok(weights), Ok(cache)) = (weight_choice(weights), cache.parse()) {
                    list.push(Contestant { cache, ..Contestant::new(card.device.clone(), weights) });
                }
            }
        }
    }
    list
}

fn run(
    folder: &Path,
    prompt: &str,
    (generate, repeats): (usize, usize),
    contestants: &[Contestant],
    reporter: &Reporter<Report>,
) -> Result<Comparison, Box<MeasureError>> {
    let model = Model::open(folder).map_err(|error| Box::new(error.into()))?;
    let options = Options { generate, repeats, ..Options::chat(&model, prompt)? };
    let mut told: Option<(Instant, usize, inglenook::measure::Stage)> = None;
    let mut watch = |status: &Status<'_>| {
        let Status { subject, stage, done, total, .. } = *status;
        let news = told.is_none_or(|(when, of, at)| (of, at) != (subject, stage) || when.elapsed() > PAUSE);
        if news {
            told = Some((Instant::now(), subject, stage));
            reporter.tell(Report::At(At { subject, stage, done, total }));
        }
        if reporter.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    compare(&model, contestants, &options, &mut watch, &mut |_, _| {
        reporter.tell(Report::Finished);
    })
    .map_err(Box::new)
}

/// Takes in what the jobs report.
pub(in super::super) fn take_reports(app: &mut App) {
    if let Some(beside) = &mut app.state.compare.beside {
        beside.take_reports();
    }
    take_picture(app);
    let view = &mut app.state.compare;
    let Some(running) = &mut view.running else { return };
    let mut over = None;
    while let Some(report) = running.job.poll() {
        match report {
            Report::At(at) => running.at = Some(at),
            Report::Finished => running.finished += 1,
            Report::Done(result) => over = Some(result),
        }
    }
    match over {
        Some(Ok(comparison)) => {
            (view.shown, view.shown_id) = (Some(*comparison), None);
            view.name.clear();
        }
        Some(Err(reason)) => view.trouble = Some(reason),
        // The job ends after its last report, unless it died.
        None if !running.job.has_ended() => return,
        None => {}
    }
    view.running = None;
}

/// A kept comparison was read: it is shown, or, where it was deleted meanwhile, remembered so that it can be brought back.
pub(super) fn opened(app: &mut App, id: i64, value: Option<serde_json::Value>) {
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    if let Some(at) = view.deleted.iter().position(|entry| entry.id == id) {
        let entry = view.deleted.remove(at);
        if let Some(value) = value {
            let undo = (t.undo().to_owned(), Command::Undo);
            app.state.toasts.done(t.compare_deleted(&entry.name), Some(undo));
            super::list::remember(&mut app.state, Undo::Comparison(entry, Box::new(value)));
        }
        return;
    }
    let read = value.and_then(|value| Comparison::from_json(&value.to_string()).ok());
    match read {
        Some(comparison) => (view.shown, view.shown_id) = (Some(comparison), Some(id)),
        None => app.state.toasts.problem(t.compare_gone()),
    }
}

/// Keeps one again that was deleted.
pub(super) fn bring_back(app: &mut App, entry: ComparisonEntry, result: serde_json::Value) {
    app.store.restore_comparison(entry.clone(), result);
    let kept = &mut app.state.compare.kept;
    kept.push(entry);
    // As the store gives them after a start: the newest first.
    kept.sort_by_key(|entry| std::cmp::Reverse(entry.id));
}

/// Writes the shown comparison into a file; a picture is drawn beside the window.
pub(in super::super) fn export(app: &mut App, format: ComparisonFormat, path: PathBuf, ctx: &egui::Context) {
    let t = app.state.settings.language();
    let Some(comparison) = &app.state.compare.shown else { return };
    let text = match format {
        ComparisonFormat::Json => comparison.json().map_err(|error| error.to_string()),
        ComparisonFormat::Markdown => Ok(comparison.markdown()),
        ComparisonFormat::Png => return export_picture(app, path, ctx),
    };
    let result = text.and_then(|text| write(&path, |file| Ok(file.write_all(text.as_bytes())?)));
    tell_export(&mut app.state.toasts, t, &path, &result);
}

fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> Result<(), String> {
    crate::files::write_atomically(path, write).map_err(|error| format!("{:#}", error.root_cause()))
}

fn tell_export(toasts: &mut Toasts, t: Language, path: &Path, result: &Result<(), String>) {
    let shown = path.display().to_string();
    match result {
        Ok(()) => toasts.done(t.compare_exported(&shown), None),
        Err(reason) => toasts.problem(t.compare_not_exported(&shown, reason)),
    }
}

fn export_picture(app: &mut App, path: PathBuf, ctx: &egui::Context) {
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    let (None, Some(comparison)) = (&view.picture, view.shown.clone()) else { return };
    let Some(canvas) = app.canvas.clone() else {
        return tell_export(&mut app.state.toasts, t, &path, &Err(t.compare_no_canvas().to_owned()));
    };
    let look = Look { theme: ctx.theme(), width: PICTURE_WIDTH };
    let work = move |reporter: &Reporter<Drawn>| {
        let mut view = |ui: &mut egui::Ui| picture(ui, &comparison, t);
        let drawn = draw(&canvas, look, &mut view).map_err(|error| error.to_string());
        let result = drawn.and_then(|picture| write(&path, |file| Ok(file.write_all(&picture)?)));
        reporter.tell(Drawn { path, result });
    };
    match Job::start(ctx, "picture", work) {
        Ok(job) => view.picture = Some(job),
        Err(error) => app.state.toasts.problem(error.to_string()),
    }
}

fn take_picture(app: &mut App) {
    let t = app.state.settings.language();
    let Some(job) = &mut app.state.compare.picture else { return };
    let drawn = job.poll();
    if drawn.is_none() && !job.has_ended() {
        return;
    }
    app.state.compare.picture = None;
    match drawn {
        Some(Drawn { path, result }) => tell_export(&mut app.state.toasts, t, &path, &result),
        // Its thread has died.
        None => app.state.toasts.problem(t.compare_not_drawn()),
    }
}
