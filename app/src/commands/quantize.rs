//! `ingle quantize`: a model's folder written anew, with its weights in another format.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use inglenook::model::Model;
use inglenook::models::WeightFormats;

use super::load::{model_folder, with_progress};
use crate::cli::QuantizeArguments;
use crate::interrupt::{self, Stoppable};
use crate::text;

pub(crate) fn run(arguments: &QuantizeArguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let model = Model::open_without_text(&model_folder(&arguments.model)?)?;
    let mut formats = WeightFormats::usual(arguments.weights);
    formats.embedding = arguments.embedding.unwrap_or(formats.embedding);
    formats.exceptions.clone_from(&arguments.keep);
    eprintln!(
        "{} ({}): weights in {}, embedding in {}",
        model.name(),
        model.architecture.family(),
        formats.layers,
        formats.embedding
    );
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let stoppable = Stoppable::new(move || stop.store(true, Ordering::Relaxed));
    let exported = with_progress(|progress| {
        let mut progress = |step: &inglenook::backend::Progress<'_>| {
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { progress(step) }
        };
        Ok(model.quantize(&formats, &arguments.out, &mut progress)?)
    })
    .with_context(|| format!("{} cannot be made", arguments.out.display()))?;
    drop(stoppable);
    let out = arguments.out.display();
    let files = if exported.files == 1 { "one file".to_owned() } else { format!("{} files", exported.files) };
    let mut report = format!(
        "{out}: {} of weights in {files}, {} before\nstored as {}",
        text::gibibytes(exported.bytes),
        text::gibibytes(exported.bytes_before),
        exported.form
    );
    if let Some(reason) = exported.reason {
        report += &format!(": {reason}");
    }
    text::print(&report)
}
