//! What is asked of the page that compares, and what its job reports.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use inglenook::measure::compare::{Comparison, Contestant, Options, compare};
use inglenook::measure::{MeasureError, Status};
use inglenook::model::Model;

use super::super::app::App;
use super::super::command::CompareCommand;
use super::super::job::{Job, Reporter};
use super::super::state::State;
use super::super::views::{At, Report, Running};
use crate::cli::weight_choice;

/// The window is told how far it is no more often than this.
const PAUSE: Duration = Duration::from_millis(40);

pub(super) fn apply(app: &mut App, command: CompareCommand, ctx: &egui::Context) {
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    match command {
        CompareCommand::Start => start(app, ctx),
        CompareCommand::Stop => {
            if let Some(running) = &view.running {
                running.job.cancel();
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
        CompareCommand::Delete(id) => {
            view.kept.retain(|entry| entry.id != id);
            if view.shown_id == Some(id) {
                view.shown_id = None;
            }
            app.store.delete_comparison(id);
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
    if contestants.is_empty() || app.state.compare.running.is_some() || !app.state.live.is_empty() {
        return;
    }
    let t = app.state.settings.language();
    let view = &mut app.state.compare;
    view.trouble = None;
    let prompt = view.prompt.clone().unwrap_or_else(|| t.compare_first_prompt().to_owned());
    let (generate, repeats) = (view.generate, view.repeats);
    let labels = contestants.iter().map(Contestant::label).collect();
    let folder = facts.order.folder.clone();
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
    compare(&model, contestants, &options, &mut watch, &mut |_, entry| {
        reporter.tell(Report::Finished(Box::new(entry.clone())));
    })
    .map_err(Box::new)
}

/// Takes in what the job reports.
pub(in super::super) fn take_reports(app: &mut App) {
    let view = &mut app.state.compare;
    let Some(running) = &mut view.running else { return };
    let mut over = None;
    while let Some(report) = running.job.poll() {
        match report {
            Report::At(at) => running.at = Some(at),
            Report::Finished(_) => running.finished += 1,
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

/// Shows a kept comparison.
pub(super) fn opened(app: &mut App, id: i64, value: Option<serde_json::Value>) {
    let t = app.state.settings.language();
    let read = value.and_then(|value| Comparison::from_json(&value.to_string()).ok());
    match read {
        Some(comparison) => {
            (app.state.compare.shown, app.state.compare.shown_id) = (Some(comparison), Some(id));
        }
        None => app.state.toasts.problem(t.compare_gone()),
    }
}

/// Writes the shown comparison into a file.
pub(super) fn export(app: &mut App, format: crate::store::ExportFormat, path: &Path) {
    let t = app.state.settings.language();
    let Some(comparison) = &app.state.compare.shown else { return };
    let text = match format {
        crate::store::ExportFormat::Json => comparison.json().map_err(|error| error.to_string()),
        crate::store::ExportFormat::Markdown => Ok(comparison.markdown()),
    };
    let written = text.and_then(|text| {
        crate::files::write_atomically(path, |file| Ok(file.write_all(text.as_bytes())?))
            .map_err(|error| error.to_string())
    });
    let shown = path.display().to_string();
    match written {
        Ok(()) => app.state.toasts.done(t.compare_exported(&shown), None),
        Err(reason) => app.state.toasts.problem(t.compare_not_exported(&shown, &reason)),
    }
}
