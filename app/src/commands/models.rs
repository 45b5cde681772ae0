//! `ingle models`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use inglenook::model::builtin;
use inglenook::models::hub::library::{LocalModel, ModelState, list};
use inglenook::models::hub::{Progress, Request, Settings, Stage, pull};
use serde_json::json;

use crate::text;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Lists the models on this machine: those in the cache that programs share, and in given folders.
    List(ListArguments),
    /// Downloads a model, or the rest of one; nothing of it is used before its checksum was right.
    Pull(PullArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Looks in this folder too; may be given several times.
    #[arg(long, value_name = "FOLDER")]
    folder: Vec<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// The model, such as owner/model.
    #[arg(value_name = "REPO")]
    model: String,
    /// A branch, a tag or a commit; by default main.
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Only files with names like these, such as `*.json`; by default what is needed to run the model.
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    files: Vec<String>,
}

pub(crate) fn run(command: &ModelsCommand) -> anyhow::Result<()> {
    match command {
        ModelsCommand::List(arguments) => show(arguments),
        ModelsCommand::Pull(arguments) => download(arguments),
    }
}

fn show(arguments: &ListArguments) -> anyhow::Result<()> {
    let mut folders = arguments.folder.clone();
    match builtin::folder() {
        Ok(folder) => folders.push(folder),
        Err(error) => eprintln!("note: {error}"),
    }
    let models = list(&folders)?;
    if arguments.json {
        let models: Vec<_> = models.iter().map(in_json).collect();
        return text::print(&serde_json::to_string_pretty(&models)?);
    }
    if models.is_empty() {
        let cache = Settings::from_environment()?.cache;
        let cache = cache.display();
        return text::print(&format!("no models in {cache}; `ingle models pull REPO` downloads one"));
    }
    let header = ["model", "revision", "family", "parameters", "stored as", "on disk", "state"];
    let mut output = text::table(&header, &models.iter().map(row).collect::<Vec<_>>());
    for model in &models {
        if let ModelState::Unsupported(why) | ModelState::Broken(why) = &model.state {
            output += &format!("\n{}: {why}", model.name);
        }
    }
    text::print(&output)
}

fn row(model: &LocalModel) -> Vec<String> {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let parameters = match model.parameters {
        Some(count) if count >= 1_000_000_000 => format!("{:.2} billion", count as f64 / 1e9),
        Some(count) => format!("{:.2} million", count as f64 / 1e6),
        None => "-".to_owned(),
    };
    vec![
        model.name.clone(),
        known(&model.revision),
        known(&model.family),
        parameters,
        known(&model.dtype),
        HumanBytes(model.bytes).to_string(),
        state(&model.state).to_owned(),
    ]
}

fn state(state: &ModelState) -> &'static str {
    match state {
        ModelState::Supported => "ready",
        ModelState::Unsupported(_) => "unsupported",
        ModelState::Broken(_) => "broken",
    }
}

fn in_json(model: &LocalModel) -> serde_json::Value {
    let why = match &model.state {
        ModelState::Supported => None,
        ModelState::Unsupported(why) | ModelState::Broken(why) => Some(why),
    };
    json!({
        "name": model.name,
        "revision": model.revision,
        "path": model.path,
        "family": model.family,
        "bytes": model.bytes,
        "parameters": model.parameters,
        "dtype": model.dtype,
        "state": state(&model.state),
        "why": why,
    })
}

fn download(arguments: &PullArguments) -> anyhow::Result<()> {
    let settings = Settings::from_environment()?;
    let request = Request {
        model: arguments.model.clone(),
        revision: arguments.revision.clone(),
        files: arguments.files.clone(),
    };
    let bar = bar()?;
    let mut counted_before = 0;
    let pulled = pull(&settings, &request, &mut |progress| {
        // What was here already says nothing about the speed of the connection.
        if progress.before != counted_before {
            counted_before = progress.before;
            bar.set_position(progress.done);
            bar.reset_eta();
        }
        advance(&bar, progress);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let pulled = pulled?;
    let (all, received) = (HumanBytes(pulled.bytes), HumanBytes(pulled.received));
    let path = pulled.path.display();
    text::print(&format!("{} files, {all}, {received} of them downloaded now\n{path}", pulled.files))
}

fn bar() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    let style = "{wide_msg}\n{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    bar.enable_steady_tick(Duration::from_millis(250));
    Ok(bar)
}

fn advance(bar: &ProgressBar, progress: &Progress<'_>) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
    bar.set_message(match progress.stage {
        Stage::Listing => "asking the server".to_owned(),
        Stage::Receiving { file } => file.to_owned(),
        Stage::Checking { file } => format!("{file}: checking what is there"),
        Stage::Pausing { file, attempt, fault } => format!("{file}: attempt {attempt} follows ({fault})"),
        Stage::Another { file } => format!("{file}: another program is downloading it"),
    });
}
