//! Options of `ingle experiment`.

use std::path::PathBuf;

use clap::Args;
use inglenook::backend::format::WeightFormat;
use inglenook::measure::experiment::Experiment;

use super::{ModelArguments, OutputArguments};

/// What is asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    List,
    One(Experiment),
}

fn named(name: &str) -> Result<Named, String> {
    if name == "list" {
        return Ok(Named::List);
    }
    name.parse().map(Named::One).map_err(|fault| format!("{fault}; `list` tells what they ask"))
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentArguments {
    /// weight-only, w8a8, fusion, pages or cache; `list` tells what each asks and what is expected of it.
    #[arg(value_name = "NAME", value_parser = named)]
    pub(crate) name: Named,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// Devices, as `ingle devices` names them, with commas between; `auto` is the best of them, software GPUs left out.
    #[arg(
        long,
        value_name = "DEVICES",
        visible_alias = "device",
        value_delimiter = ',',
        default_value = "auto"
    )]
    pub(crate) backend: Vec<String>,
    /// The kernels, as `ingle devices` names them; by default the best.
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// Rows of a step (weight-only, w8a8, fusion), or tokens of context (pages, cache), growing, with commas between.
    #[arg(short, long, value_name = "SIZES", value_delimiter = ',')]
    pub(crate) sizes: Vec<usize>,
    /// What stands against f16 in weight-only, with commas between.
    #[arg(long, value_name = "FORMATS", value_delimiter = ',')]
    pub(crate) formats: Vec<WeightFormat>,
    /// Tokens of each sequence that are in the cache before a step, where rows grow.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 128)]
    pub(crate) context: usize,
    /// Sequences side by side, where the context grows.
    #[arg(short, long, value_name = "SEQUENCES", default_value_t = 1)]
    pub(crate) batch: usize,
    /// Turns that count, after one to warm up.
    #[arg(short, long, value_name = "TURNS", default_value_t = 5)]
    pub(crate) repeats: usize,
    /// Also draws the gains, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}
