//! What `plan`, `bench`, `profile` and `experiment` look at: a model's folder, or a shape with random weights.

use anyhow::Context;
use inglenook::backend::format::{Int8Group, WeightFormat};
use inglenook::backend::plan::{FusionSet, Plan};
use inglenook::backend::{SyntheticWeights, WeightSource};
use inglenook::measure::MeasureError;
use inglenook::model::{Model, WeightChoice};
use inglenook::models::shapes::find;
use inglenook::models::{Architecture, WeightFormats};

use super::load::model_folder;
use crate::cli::ModelArguments;
use crate::failure::usage;

/// A plan, and where its weights come from.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) formats: WeightFormats,
    pub(crate) plan: Plan,
    source: Source,
}

impl Subject {
    pub(crate) fn weights(&self) -> &dyn WeightSource {
        self.source.weights()
    }
}

/// What plans in any format are made of.
pub(crate) struct Source {
    name: String,
    embedding: Option<WeightFormat>,
    kind: Kind,
}

enum Kind {
    Model(Box<Model>),
    Shape(Box<dyn Architecture>),
}

impl Source {
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    pub(crate) fn weights(&self) -> &dyn WeightSource {
        match &self.kind {
            Kind::Model(model) => &*model.checkpoint,
            Kind::Shape(_) => &SyntheticWeights { seed: 0 },
        }
    }

    /// The plan in a format, and what its parts are in.
    pub(crate) fn plan(
        &self,
        weights: WeightChoice,
        fusion: FusionSet,
    ) -> Result<(Plan, WeightFormats), MeasureError> {
        let architecture = match &self.kind {
            Kind::Model(model) => return Ok(model.plan(weights, self.embedding, fusion)?),
            Kind::Shape(architecture) => architecture,
        };
        let layers = match weights {
            WeightChoice::Format(format) => format,
            WeightChoice::Auto | WeightChoice::Stored => WeightFormat::Int8(Int8Group::G64),
        };
        let mut formats = WeightFormats::usual(layers);
        formats.embedding = self.embedding.unwrap_or(formats.embedding);
        let plan = architecture.plan(&formats.clone().into())?.fused(fusion)?;
        Ok((plan, formats))
    }
}

impl ModelArguments {
    /// The model or the shape asked for.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        let embedding = self.embedding;
        let Some(name) = &self.shape else {
            let model = Model::open_without_text(&model_folder(&self.model)?)?;
            return Ok(Source { name: model.name(), embedding, kind: Kind::Model(Box::new(model)) });
        };
        let Some(shape) = find(name) else {
            return Err(usage(format!("there is no shape `{name}`; `ingle shapes` lists those there are")));
        };
        let architecture = match self.layers {
            None => shape.architecture,
            Some(layers) => shape.architecture.with_layers(layers).ok_or_else(|| {
                usage(format!("the family of {name} cannot be cut to fewer layers; leave --layers out"))
            })?,
        };
        Ok(Source { name: name.clone(), embedding, kind: Kind::Shape(architecture) })
    }

    /// The same in the formats asked for.
    pub(crate) fn subject(&self) -> anyhow::Result<Subject> {
        let fusion = if self.no_fusion { FusionSet::none() } else { FusionSet::all() };
        let source = self.source()?;
        let made = source.plan(self.weights, fusion);
        let (plan, formats) = made.with_context(|| format!("{} makes no plan", source.name))?;
        Ok(Subject { name: source.name(), formats, plan, source })
    }
}
