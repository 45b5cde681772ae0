//! The command line.

use clap::{Args, Parser, Subcommand};
use inglenook::backend::format::{CacheFormat, WeightFormat};

use crate::commands::models::ModelsCommand;

/// Local language models on whatever this machine has.
///
/// Without a command: this machine's devices, and how fast well-known models can be on them.
#[derive(Debug, Parser)]
#[command(name = "ingle", version, arg_required_else_help = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the devices that can run models, with what they can do.
    Devices(DevicesArguments),
    /// Prints a model as the list of operators that a backend runs, with shapes, buffers and bytes.
    Plan(PlanArguments),
    /// Measures how fast a model of a given shape reads and writes, with random weights.
    Bench(BenchArguments),
    /// Compares every operator on every device with exact arithmetic.
    Selftest(SelftestArguments),
    /// Lists the models on this machine, and downloads others.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Lists the shapes that `plan` and `bench` know.
    Shapes,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A model and the formats it is kept in.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// The model's shape; `ingle shapes` lists them.
    #[arg(long, value_name = "NAME", default_value = "llama-3.2-1b")]
    pub(crate) shape: String,
    /// The format of the weights: f32, f16, bf16, int8 (also int8-g32, int8-g128), nf4, w8a8, or
    /// w8a8-static:SCALE.
    #[arg(long, value_name = "FORMAT", default_value = "int8")]
    pub(crate) weights: WeightFormat,
    /// The format of the embedding and the head; by default that of the weights, but int8 where these
    /// are nf4 or w8a8.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) embedding: Option<WeightFormat>,
    /// The format of the cache: f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value = "f16")]
    pub(crate) cache: CacheFormat,
    /// Keeps all operators apart.
    #[arg(long)]
    pub(crate) no_fusion: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// Tokens that the cache holds.
    #[arg(long, value_name = "TOKENS", default_value_t = 4096)]
    pub(crate) context: usize,
    /// Token rows of the largest step.
    #[arg(long, value_name = "ROWS", default_value_t = 512)]
    pub(crate) rows: usize,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// The device, as `ingle devices` names it.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) backend: String,
    /// The kernels, as `ingle devices` names them; by default the best.
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// Tokens of the prompt.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 128)]
    pub(crate) prompt: usize,
    /// Tokens written after it.
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 32)]
    pub(crate) generate: usize,
    /// Tokens in the cache before the prompt.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 0)]
    pub(crate) depth: usize,
    /// Sequences side by side.
    #[arg(short, long, value_name = "SEQUENCES", default_value_t = 1)]
    pub(crate) batch: usize,
    /// Measured runs, after one to warm up.
    #[arg(short, long, value_name = "RUNS", default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Token rows of one step; longer prompts are read in several.
    #[arg(long, value_name = "ROWS", default_value_t = 512)]
    pub(crate) chunk: usize,
    /// Also prints where the time goes.
    #[arg(long)]
    pub(crate) profile: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SelftestArguments {
    /// Only this backend: cpu.
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<String>,
    /// Only cases with names like this, such as `linear/nf4*`.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
}
