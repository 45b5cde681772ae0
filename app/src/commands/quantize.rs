//! `ingle quantize`: a model's folder written anew, with its weights in another format.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use inglenook::calibrate::{Calibrated, Input, Options, calibrate};
use inglenook::find_device;
use inglenook::measure::quality::Passage;
use inglenook::model::Model;
use inglenook::models::WeightFormats;
use inglenook::models::checkpoint::Rescaling;
use inglenook::score::Windows;

use super::load::{model_folder, with_progress};
use super::measuring::Watching;
use super::quality::USUAL_WINDOW;
use crate::cli::{CalibrationArguments, QuantizeArguments};
use crate::failure::usage;
use crate::interrupt::{self, Stoppable};
use crate::{files, text};

pub(crate) fn run(arguments: &QuantizeArguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let folder = model_folder(&arguments.model)?;
    let calibrates = arguments.calibration.calibrate.is_some();
    let model = if calibrates { Model::open(&folder)? } else { Model::open_without_text(&folder)? };
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
    if calibrates && arguments.out.symlink_metadata().is_ok() {
        // Before minutes are spent on a calibration.
        return Err(usage(format!("{} is there already; name a new folder", arguments.out.display())));
    }
    let mut rescaling = Rescaling::default();
    if let Some(calibrated) = calibrated(&arguments.calibration, &model, &formats)? {
        eprint!("{}", told(&calibrated));
        (formats, rescaling) = (calibrated.formats, calibrated.rescaling);
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let stoppable = Stoppable::new(move || stop.store(true, Ordering::Relaxed));
    let exported = with_progress(|progress| {
        let mut progress = |step: &inglenook::backend::Progress<'_>| {
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { progress(step) }
        };
        Ok(model.quantize_rescaled(&formats, &rescaling, &arguments.out, &mut progress)?)
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

/// What the model learns from the calibration text, where there is one.
fn calibrated(
    arguments: &CalibrationArguments,
    model: &Model,
    formats: &WeightFormats,
) -> anyhow::Result<Option<Calibrated>> {
    let Some(path) = &arguments.calibrate else { return Ok(None) };
    let words = files::read_text(path)?;
    let tokenizer = &model.text()?.tokenizer;
    let mut tokens = tokenizer.encode_text(&words, false)?;
    tokens.truncate(arguments.calibrate_tokens);
    let windows = Windows { begin: tokenizer.bos(), len: model.architecture.context().min(USUAL_WINDOW) };
    let options = Options { alpha: arguments.alpha, activations: arguments.activations };
    let device = find_device(&arguments.calibrate_on)?;
    let watching = Watching::new(vec!["the calibration text".to_owned()])?;
    let passage = Passage { tokens, windows };
    let found = calibrate(model, &device, formats, &passage, &options, &mut |status| watching.tell(status));
    watching.finish();
    Ok(Some(found.with_context(|| format!("{} cannot be calibrated with {}", model.name(), path.display()))?))
}

/// What calibrating found, in lines.
fn told(calibrated: &Calibrated) -> String {
    let mut told = String::new();
    let share = |alpha: Option<f64>| alpha.map_or("off".to_owned(), |alpha| alpha.to_string());
    for (alpha, divergence) in &calibrated.tried {
        told += &format!("alpha {}: mean divergence {divergence:.3e} nats\n", share(*alpha));
    }
    let count = calibrated.inputs.len();
    let largest = |of: fn(&Input) -> f64| calibrated.inputs.iter().map(of).fold(0.0, f64::max);
    told += &format!(
        "{} tokens read: the largest channel of an input was {:.0} times its median one",
        calibrated.tokens,
        largest(|input| input.before)
    );
    if calibrated.alpha.is_some() {
        let moved = calibrated.inputs.iter().filter(|input| input.hindrance.is_none()).count();
        let after = largest(|input| input.after);
        let alpha = share(calibrated.alpha);
        told +=
            &format!(", and is {after:.0} times now\nalpha {alpha}: {moved} of {count} inputs are scaled\n");
    } else {
        told += "\nno weights are changed\n";
    }
    for input in calibrated.inputs.iter().filter(|_| calibrated.alpha.is_some()) {
        if let Some(hindrance) = &input.hindrance {
            told += &format!("left as it is: the input of {}, since {hindrance}\n", input.name);
        }
    }
    let scaled = calibrated.inputs.iter().filter(|input| input.scale.is_some()).count();
    if scaled > 0 {
        told += &format!("{scaled} of {count} inputs have one scale for all rows\n");
    }
    told
}
