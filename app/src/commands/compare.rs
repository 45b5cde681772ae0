//! `ingle compare`: devices and formats side by side on one prompt.

use std::path::Path;

use inglenook::backend::sampling::Sampling;
use inglenook::measure::compare::{Comparison, Entry, Options, Outcome, compare};
use inglenook::model::Model;

use super::load::model_folder;
use super::measuring::{Watching, give, shown, unless_stopped};
use crate::cli::CompareArguments;
use crate::{files, text};

pub(crate) fn run(arguments: &CompareArguments) -> anyhow::Result<()> {
    let prompt = match arguments.prompt.as_str() {
        "-" => files::read_text(Path::new("-"))?,
        prompt => prompt.to_owned(),
    };
    let model = Model::open(&model_folder(&arguments.model)?)?;
    let contestants = arguments.contestants.contestants()?;
    let template = &model.text()?.template;
    if template.is_fallback() && !arguments.raw {
        eprintln!("note: the model has no chat template, so the prompt is continued as it is");
    }
    let raw = arguments.raw || template.is_fallback();
    let options = if raw { Options::raw(&model, &prompt)? } else { Options::chat(&model, &prompt)? };
    let options = Options {
        generate: arguments.generate,
        repeats: arguments.repeats,
        chunk: arguments.chunk,
        sampling: Sampling { temperature: arguments.temperature, seed: arguments.seed, ..Sampling::greedy() },
        ..options
    };
    let watching =
        Watching::new(contestants.iter().map(inglenook::measure::compare::Contestant::label).collect())?;
    let mut finished = |_: usize, entry: &Entry| {
        if let Outcome::Failed { reason } = &entry.outcome {
            watching.say(&format!("{}: {reason}", entry.label));
        }
    };
    let comparison =
        compare(&model, &contestants, &options, &mut |status| watching.tell(status), &mut finished)?;
    watching.finish();
    let tables = comparison.tables();
    give(&arguments.output, &tables, || Ok(comparison.json()?), || comparison.markdown())?;
    if !arguments.output.json {
        text::print(&text::printable(&comparison.power_notes().join("\n")))?;
        text::print(&texts(&comparison))?;
        if arguments.operators {
            let tables = comparison.operator_tables();
            text::print(&tables.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
        }
    }
    unless_stopped(comparison.cancelled)
}

/// What each wrote, with a mark before the first token that differs from the reference's.
fn texts(comparison: &Comparison) -> String {
    let mut out = String::new();
    for entry in &comparison.entries {
        let Some(measured) = entry.measured() else { continue };
        let (same, rest) = measured.split_text();
        let mark = if rest.is_empty() { "" } else { "⟦≠⟧" };
        out += &format!("\n{}: {same}{mark}{rest}\n", entry.label);
    }
    text::printable(&out).into_owned()
}
