//! Opening and loading a model, with progress; and what the user should know of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Context;
use inglenook::Device;
use inglenook::backend::Progress;
use inglenook::engine::Engine;
use inglenook::model::{LoadOptions, LoadedModel, Model};

use super::mailbox::Mailbox;
use super::news::{Facts, Loading, News};
use super::{OpenOrder, Shared};
use crate::commands::device::on_device_telling;
use crate::commands::load::keep_converted;
use crate::failure;

/// A model that is ready to write.
pub(super) struct Opened {
    pub(super) model: Arc<Model>,
    pub(super) engine: Engine,
    pub(super) facts: Arc<Facts>,
}

/// Opens a model and loads it. Gives up where it is not wanted any more.
pub(super) fn open(
    order: &OpenOrder,
    wish: u64,
    shared: &Shared,
    mailbox: &Mailbox,
    troubles: &mut Vec<(String, String)>,
) -> anyhow::Result<Opened> {
    let mut loading = Loading {
        model: order.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        device: String::new(),
        doing: String::new(),
        done_bytes: 0,
        total_bytes: 0,
    };
    mailbox.post(News::Loading(loading.clone()));
    let mut tell = |line: &str| mailbox.post(News::Told(line.to_owned()));
    let model = keep_converted(Model::open(&order.folder)?, &mut tell)?;
    let model = Arc::new(with_template(model, &mut tell)?);
    loading.model = model.name();
    let options = LoadOptions {
        weights: order.weights,
        cache: order.cache,
        context: order.context,
        ..LoadOptions::default()
    };
    let mut last = String::new();
    let load = |device: &Device| {
        last = device.info.id.to_string();
        loading.device.clone_from(&device.info.name);
        let loaded = load_on(&model, device, &options, |progress| {
            progress.doing.clone_into(&mut loading.doing);
            (loading.done_bytes, loading.total_bytes) = (progress.done_bytes, progress.total_bytes);
            mailbox.post(News::Loading(loading.clone()));
            shared.is_wanted(wish)
        });
        if let Err(error) = &loaded
            && shared.is_wanted(wish)
        {
            troubles.push((last.clone(), failure::message(error)));
        }
        loaded.map(|loaded| (loaded, device.clone()))
    };
    // Which device it is can be seen all the time; only one that is given up is worth a line.
    let mut tell_of_device = |line: &str| {
        if line.starts_with("note:") {
            mailbox.post(News::Told(line.trim_start_matches("note: ").to_owned()));
        }
    };
    let (loaded, device) = on_device_telling(&order.device, None, &mut tell_of_device, load)?;
    troubles.retain(|(name, _)| *name != device.info.id.to_string());
    for note in &loaded.kernels.notes {
        mailbox.post(News::Told(note.to_string()));
    }
    for notice in &loaded.notices {
        mailbox.post(News::Told(notice.to_string()));
    }
    let facts = Arc::new(facts(order, &model, &device, &loaded));
    Ok(Opened { model, engine: loaded.into_engine()?, facts })
}

fn load_on(
    model: &Model,
    device: &Device,
    options: &LoadOptions,
    mut goes_on: impl FnMut(&Progress<'_>) -> bool,
) -> anyhow::Result<LoadedModel> {
    let preflight = model.preflight(device, options)?;
    let mut progress = |progress: &Progress<'_>| {
        if goes_on(progress) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let loaded = model.load(device, preflight, &mut progress);
    loaded.with_context(|| format!("{} cannot be loaded on {}", model.folder.display(), device.info.id))
}

/// Sees to it that conversations have a form, and says so where it is not the model's own.
fn with_template(mut model: Model, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Model> {
    let text = model.text()?;
    if let Some(fault) = &text.template_fault {
        tell(&format!("{fault}; ChatML is used in its place, which the model may not know"));
        model.use_chatml()?;
    } else if text.template.is_fallback() {
        tell("the model has no chat template; ChatML is used, which it may not know");
    }
    Ok(model)
}

fn facts(order: &OpenOrder, model: &Model, device: &Device, loaded: &LoadedModel) -> Facts {
    Facts {
        order: order.clone(),
        name: model.name(),
        family: model.architecture.family(),
        device: device.info.clone(),
        tier: loaded.kernels.tier.clone(),
        weights: loaded.formats().layers.to_string(),
        weights_reason: loaded.preflight.weight_reason.to_string(),
        cache: loaded.options().cache.format.to_string(),
        context: loaded.context(),
        context_reason: loaded.preflight.context_reason.to_string(),
        footprint: loaded.footprint,
        loading: loaded.loading,
        makers: model.config.generation.clone(),
        plan: Arc::clone(loaded.plan()),
    }
}
