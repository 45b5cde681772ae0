//! What `plan` and `bench` look at: a model's folder, or a shape with random weights.

use anyhow::Context;
use inglenook::backend::format::{Int8Group, WeightFormat};
use inglenook::backend::plan::{FusionSet, Plan};
use inglenook::backend::{SyntheticWeights, WeightSource};
use inglenook::model::{Model, WeightChoice};
use inglenook::models::WeightFormats;
use inglenook::models::shapes::find;

use super::load::model_folder;
use crate::cli::ModelArguments;
use crate::failure::usage;

/// A plan, and where its weights come from.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) formats: WeightFormats,
    pub(crate) plan: Plan,
    model: Option<Model>,
}

impl Subject {
    pub(crate) fn weights(&self) -> &dyn WeightSource {
        match &self.model {
            Some(model) => &*model.checkpoint,
            None => &SyntheticWeights { seed: 0 },
        }
    }
}

impl ModelArguments {
    /// The model or the shape asked for.
    pub(crate) fn subject(&self) -> anyhow::Result<Subject> {
        let fusion = if self.no_fusion { FusionSet::none() } else { FusionSet::all() };
        let Some(name) = &self.shape else {
            let model = Model::open_without_text(&model_folder(&self.model)?)?;
            let (plan, formats) = model.plan(self.weights, self.embedding, fusion)?;
            return Ok(Subject { name: model.name(), formats, plan, model: Some(model) });
        };
        let Some(shape) = find(name) else {
            return Err(usage(format!("there is no shape `{name}`; `ingle shapes` lists those there are")));
        };
        let layers = match self.weights {
            WeightChoice::Format(format) => format,
            WeightChoice::Auto | WeightChoice::Stored => WeightFormat::Int8(Int8Group::G64),
        };
        let mut formats = WeightFormats::usual(layers);
        formats.embedding = self.embedding.unwrap_or(formats.embedding);
        let architecture = match self.layers {
            None => shape.architecture,
            Some(layers) => shape.architecture.with_layers(layers).ok_or_else(|| {
                usage(format!("the family of {name} cannot be cut to fewer layers; leave --layers out"))
            })?,
        };
        let plan = architecture
            .plan(&formats.clone().into())
            .with_context(|| format!("the shape {name} makes no plan"))?;
        let plan = plan.fused(fusion).context("fusion broke the plan; --no-fusion leaves it out")?;
        Ok(Subject { name: name.clone(), formats, plan, model: None })
    }
}
