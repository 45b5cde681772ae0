//! One file per command.

mod bench;
mod devices;
pub(crate) mod models;
mod overview;
mod plan;
mod selftest;
mod shapes;

use anyhow::{Context, bail};
use inglenook::backend::plan::{FusionSet, Plan};
use inglenook::models::WeightFormats;
use inglenook::models::shapes::find;

use crate::cli::{Arguments, Command, ModelArguments};

/// Does what the command line asks.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        None => overview::run(),
        Some(Command::Devices(arguments)) => devices::run(arguments),
        Some(Command::Plan(arguments)) => plan::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Selftest(arguments)) => selftest::run(arguments),
        Some(Command::Models(command)) => models::run(command),
        Some(Command::Shapes) => shapes::run(),
    }
}

impl ModelArguments {
    /// The formats asked for.
    fn formats(&self) -> WeightFormats {
        let usual = WeightFormats::usual(self.weights);
        WeightFormats { embedding: self.embedding.unwrap_or(usual.embedding), ..usual }
    }

    /// The plan asked for, fused or not.
    fn plan(&self) -> anyhow::Result<Plan> {
        let Some(shape) = find(&self.shape) else {
            bail!("there is no shape `{}`; `ingle shapes` lists those there are", self.shape);
        };
        let plan = shape
            .architecture
            .plan(&self.formats().into())
            .with_context(|| format!("the shape {} makes no plan", self.shape))?;
        let fusion = if self.no_fusion { FusionSet::none() } else { FusionSet::all() };
        plan.fused(fusion).context("fusion broke the plan; --no-fusion leaves it out")
    }
}
