//! Opening and loading a model, with what the user should know of it on standard error.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use inglenook::Device;
use inglenook::backend::plan::FusionSet;
use inglenook::backend::{Progress, ProgressFn};
use inglenook::model::{LoadOptions, LoadedModel, Model, builtin};
use inglenook::verdict::{Choice, Note};

use super::device::on_device;
use crate::cli::{BUILTIN, LoadArguments};
use crate::text;

impl LoadArguments {
    /// Opens the model's folder.
    pub(crate) fn open(&self, with_text: bool) -> anyhow::Result<Model> {
        let folder = model_folder(&self.model)?;
        let model = if with_text { Model::open(&folder)? } else { Model::open_without_text(&folder)? };
        if self.no_converted {
            return Ok(model);
        }
        if let Some(folder) = &self.converted {
            return Ok(model.keep_converted(folder)?);
        }
        keep_converted(model, &mut |line| eprintln!("{line}"))
    }

    /// Loads it, and says in which formats and how much it takes.
    pub(crate) fn load(
        &self,
        model: &Model,
        adjust: impl FnOnce(&mut LoadOptions),
    ) -> anyhow::Result<LoadedModel> {
        let mut options = LoadOptions {
            weights: self.weights,
            embedding: self.embedding,
            exceptions: self.keep.clone(),
            cache: self.cache,
            context: self.context,
            tier: self.tier.clone(),
            fusion: if self.no_fusion { FusionSet::none() } else { FusionSet::all() },
            ..LoadOptions::default()
        };
        adjust(&mut options);
        on_device(&self.backend, self.tier.as_deref(), |device| load_on(device, model, &options))
    }
}

/// Keeps converted weights in the user's cache folder, where there is one.
pub(crate) fn keep_converted(model: Model, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Model> {
    let Some(folder) = inglenook::folders::cache_folder().map(|folder| folder.join("converted")) else {
        return Ok(model);
    };
    // Nobody asked for this one, so that it cannot be used is no reason to stop.
    if let Err(error) = std::fs::create_dir_all(&folder) {
        tell(&format!("converted weights are not kept: {}: {error}", folder.display()));
        return Ok(model);
    }
    Ok(model.keep_converted(&folder)?)
}

/// The folder of a model that was named on the command line.
pub(crate) fn model_folder(named: &Path) -> anyhow::Result<PathBuf> {
    if named == Path::new(BUILTIN) { Ok(builtin::folder()?) } else { Ok(named.to_owned()) }
}

fn load_on(device: &Device, model: &Model, options: &LoadOptions) -> anyhow::Result<LoadedModel> {
    let preflight = model.preflight(device, options)?;
    eprintln!(
        "{} ({}) on {}: weights in {} ({}), embedding in {}, cache in {} for {} tokens ({})",
        model.name(),
        model.architecture.family(),
        device.info.id,
        preflight.formats.layers,
        preflight.weight_reason,
        preflight.formats.embedding,
        preflight.prepare.cache.format,
        preflight.context,
        preflight.context_reason,
    );
    let loaded = with_progress(|progress| Ok(model.load(device, preflight, progress)?))
        .with_context(|| format!("{} cannot be loaded on {}", model.folder.display(), device.info.id))?;
    tell(&loaded.kernels);
    for notice in &loaded.notices {
        eprintln!("note: {notice}");
    }
    eprintln!("{} in {:.1} s", loaded.footprint, loaded.loading.as_secs_f64());
    Ok(loaded)
}

/// Says which kernels were checked or passed over, where there is anything to say.
pub(crate) fn tell(kernels: &Choice) {
    if kernels.cases > 0 {
        eprintln!("kernels of tier {} were checked, once and for all: {} cases", kernels.tier, kernels.cases);
    }
    for note in &kernels.notes {
        let word = if matches!(note, Note::Forced { .. }) { "WARNING" } else { "note" };
        eprintln!("{word}: {}", text::printable(&note.to_string()));
    }
}

/// Shows a bar while something loads.
pub(crate) fn with_progress<T>(
    load: impl FnOnce(&mut ProgressFn<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let style = ProgressStyle::with_template("{msg:40!} {bar:30} {bytes}/{total_bytes}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let mut progress = |progress: &Progress<'_>| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        bar.set_message(text::printable(progress.doing).into_owned());
        ControlFlow::Continue(())
    };
    let loaded = load(&mut progress);
    bar.finish_and_clear();
    loaded
}
