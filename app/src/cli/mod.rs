//! The command line.

mod experiment;
mod load;
mod measure;
mod talk;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::model::WeightChoice;

pub(crate) use experiment::{ExperimentArguments, Named};
pub(crate) use load::{BUILTIN, LoadArguments, SamplingArguments, weight_choice};
pub(crate) use measure::{
    CompareArguments, ContestantArguments, EstimateArguments, OutputArguments, ProfileArguments,
    QualityArguments,
};
pub(crate) use talk::{
    CalibrationArguments, ChatArguments, LogitsArguments, PerplexityArguments, QuantizeArguments,
    RunArguments, WhenFull,
};

const EXAMPLES: &str = "\
Examples:
  ingle                                                   opens the window
  ingle chat                                              talk with the built-in model
  ingle chat --model ~/models/Qwen3-0.6B                  talk with another
  ingle chat --model ~/models/Qwen3-0.6B --weights nf4    the same in a quarter of the memory
  ingle run --model ~/models/Qwen3-0.6B \"Why is the sky blue?\"
  ingle run --model ~/models/Qwen3-0.6B --json < prompt.txt
  ingle quantize --model ~/models/Qwen3-0.6B --weights nf4 --out ~/models/Qwen3-0.6B-nf4
  ingle quantize --model ~/models/Qwen3-0.6B --weights w8a8 --calibrate book.txt --out ~/models/Qwen3-0.6B-w8a8
  ingle bench --model ~/models/Qwen3-0.6B --weights int8 --profile
  ingle bench --shape llama-3.1-8b --weights nf4          how fast would it be here?
  ingle bench --shape smollm2-135m --parallel 8           eight replies at once
  ingle compare --model ~/models/Qwen3-0.6B --on cpu,wgpu --weights f16,int8
  ingle profile --shape llama-2-7b --weights int8 -b 1,8,64
  ingle quality --model ~/models/Qwen3-0.6B --text book.txt --weights int8,nf4
  ingle experiment weight-only --shape llama-3.2-1b --plot gain.svg
  ingle estimate --shape llama-3.1-8b --weights nf4 --on rtx-4060,apple-m1,this

Exit codes:
  0  done                         4  the model does not fit into memory
  1  something else failed        5  the device or its backend failed
  2  the options make no sense    6  a file could not be read or written
  3  the model's files are bad    130  interrupted";

use crate::commands::models::ModelsCommand;

/// Local language models on whatever this machine has.
///
/// Without a command: the window. Where there is no display, a conversation with the only model on this machine, or with the
/// built-in one where there is no other; a reply to what is piped in; else the machine's devices, how fast well-known
/// models can be on them, and how to begin.
#[derive(Debug, Parser)]
#[command(name = "ingle", version, arg_required_else_help = false, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Opens the window.
    #[command(visible_alias = "app")]
    Gui(GuiArguments),
    /// Talks with a model in the terminal.
    Chat(Box<ChatArguments>),
    /// Writes one reply: to a prompt, or to what comes on standard input.
    Run(Box<RunArguments>),
    /// Lists the devices that can run models, with what they can do.
    Devices(DevicesArguments),
    /// Measures how fast a model, or a shape with random weights, reads and writes.
    Bench(BenchArguments),
    /// Compares devices and formats on the same model and prompt: speed, text, agreement, and where the time goes.
    ///
    /// One after another and with nothing beside it: each is loaded, runs once to warm up, and then as often as asked with the same
    /// seed. Then all of them read what the first one wrote, token by token, so that their opinions about the same tokens can be
    /// compared. Ctrl-C stops it and shows what was found so far.
    Compare(Box<CompareArguments>),
    /// Measures the time of every operator in a step, beside the least that the device's limits allow.
    ///
    /// The peaks that shares are of are measured: a plain read of the memory, and the best large product in the same weight format.
    Profile(ProfileArguments),
    /// Measures what formats cost: perplexity, divergence and agreement against a base, with time and bytes.
    ///
    /// The base is the model in f16 on the CPU, or a file that was written with --save-base. Divergences are in nats.
    Quality(Box<QualityArguments>),
    /// Tells by arithmetic what a model takes and how fast it can be on devices that need not be here.
    Estimate(Box<EstimateArguments>),
    /// Sets what a design is expected to be worth beside what it is worth on this machine.
    ///
    /// Variants of a model (formats, fusion, pages) are loaded side by side and take turns, step by step. Expectations are those of the
    /// cost model at the device's measured peaks; each is said, with its reason, and whether it held. `ingle experiment list` tells
    /// what there is.
    Experiment(Box<ExperimentArguments>),
    /// Measures how well a model knows a text.
    Perplexity(PerplexityArguments),
    /// Writes a model's logits at every position to a file.
    Logits(LogitsArguments),
    /// Writes a model's folder anew with its weights in another format, ready to be loaded.
    ///
    /// Loading what this writes gives the same numbers as loading the original in the same formats. Where other
    /// programs have a form for these numbers (bitsandbytes for nf4, compressed-tensors for w8a8, GPTQ for int4,
    /// each with `--embedding bf16`; plain files for f16 and bf16) it is that form, else Inglenook's own.
    Quantize(QuantizeArguments),
    /// Prints a model as the list of operators that a backend runs, with shapes, buffers and bytes.
    Plan(PlanArguments),
    /// Compares every operator on every device with exact arithmetic.
    Selftest(SelftestArguments),
    /// Lists the models on this machine, and downloads others.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Lists the shapes that `plan` and `bench` know.
    Shapes,
}

#[derive(Debug, Args)]
pub(crate) struct GuiArguments {
    /// The model's folder; by default the model of the last time.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Forgets which kernels were found to compute rightly or wrongly, so that the next use checks them anew.
    #[arg(long)]
    pub(crate) forget: bool,
}

/// A model or a shape, and the formats it is kept in.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// A model's folder; `builtin` is the small model that comes with Inglenook.
    #[arg(short, long, value_name = "FOLDER", default_value = BUILTIN, conflicts_with = "shape")]
    pub(crate) model: PathBuf,
    /// A shape, which gets random weights, in place of a model; `ingle shapes` lists them.
    #[arg(long, value_name = "NAME")]
    pub(crate) shape: Option<String>,
    /// The format of the weights: f32, f16, bf16, int8 (also int8-g32, int8-g128), nf4, int4, w8a8, or
    /// w8a8-static:SCALE; `stored` is that of the model's files, and `auto` is that, too, but int8 beyond
    /// 2 GB. For a shape both are int8.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = load::weight_choice)]
    pub(crate) weights: WeightChoice,
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
    /// Takes only the first layers of a shape, where its family can be cut so.
    #[arg(long, value_name = "COUNT", requires = "shape")]
    pub(crate) layers: Option<usize>,
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
    /// The device, as `ingle devices` names it; `auto` is the best GPU, or the CPU where there is none or it has no room.
    #[arg(long, value_name = "DEVICE", visible_alias = "device", default_value = "auto")]
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
    /// Compares so many replies asked for at once with the same asked for one after another, prompt and all.
    #[arg(long, value_name = "REPLIES", conflicts_with_all = ["batch", "depth", "profile"])]
    pub(crate) parallel: Option<usize>,
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
    /// Only this backend: cpu, cuda or wgpu; with --steps also a device, such as wgpu:1.
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<String>,
    /// Only cases with names like this, such as `linear/nf4*`.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Instead takes so many random steps on each device, and fails if memory grows or a driver complains.
    #[arg(long, value_name = "STEPS", conflicts_with = "only")]
    pub(crate) steps: Option<usize>,
}
