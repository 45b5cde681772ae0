//! Options of the commands that measure and estimate.

use std::path::PathBuf;

use clap::Args;
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::model::WeightChoice;

use super::ModelArguments;
use super::load::{BUILTIN, weight_choice};

/// In which form results are given.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also writes it to a file, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// Who takes part: every device with every weight format and every cache format.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Contestants (every device with every format)")]
pub(crate) struct ContestantArguments {
    /// Devices, as `ingle devices` names them, with commas between; `cpu@avx2` has a device use these kernels. By default all but
    /// software GPUs.
    #[arg(long, value_name = "DEVICES", value_delimiter = ',')]
    pub(crate) on: Vec<String>,
    /// Formats of the weights, with commas between, as in `ingle bench`.
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "auto", value_parser = weight_choice)]
    pub(crate) weights: Vec<WeightChoice>,
    /// The format of the embedding and the head; by default it follows from that of the weights.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) embedding: Option<WeightFormat>,
    /// Formats of the cache, with commas between: f16, int8.
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "f16")]
    pub(crate) cache: Vec<CacheFormat>,
    /// Keeps all operators apart.
    #[arg(long)]
    pub(crate) no_fusion: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The model's folder: config.json, *.safetensors, tokenizer.json; `builtin` is the model that comes with the program.
    #[arg(short, long, value_name = "FOLDER", default_value = BUILTIN)]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) contestants: ContestantArguments,
    /// What the model is to reply to; `-` is standard input.
    #[arg(short, long, value_name = "TEXT", default_value = "Once upon a time")]
    pub(crate) prompt: String,
    /// Continues the prompt as it is; so it is with a model that has no chat template.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Tokens written in each run.
    #[arg(short = 'n', long, value_name = "TOKENS", default_value_t = 64)]
    pub(crate) generate: usize,
    /// Runs that count, after one to warm up.
    #[arg(short, long, value_name = "RUNS", default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Token rows of one step; longer prompts are read in several.
    #[arg(long, value_name = "ROWS", default_value_t = 512)]
    pub(crate) chunk: usize,
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[arg(short, long, value_name = "NUMBER", default_value_t = 0.0)]
    pub(crate) temperature: f32,
    /// The same seed draws the same tokens.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Also prints where the time of a token goes.
    #[arg(long)]
    pub(crate) operators: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArguments {
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// The device, as `ingle devices` names it; `auto` is the best GPU, or the CPU where there is none or it has no room.
    #[arg(long, value_name = "DEVICE", visible_alias = "device", default_value = "auto")]
    pub(crate) backend: String,
    /// The kernels, as `ingle devices` names them; by default the best.
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// Rows of a step, with commas between: sequences that get a token each, or with --prefill tokens of one prompt.
    #[arg(short, long, value_name = "ROWS", value_delimiter = ',', default_value = "1")]
    pub(crate) batch: Vec<usize>,
    /// Looks at steps that read a prompt instead of those that write.
    #[arg(long)]
    pub(crate) prefill: bool,
    /// Tokens of each sequence that are in the cache before the step.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 128)]
    pub(crate) context: usize,
    /// Steps that count, after one to warm up.
    #[arg(short, long, value_name = "STEPS", default_value_t = 5)]
    pub(crate) repeats: usize,
    /// A line for every operator of every layer, in their order.
    #[arg(long)]
    pub(crate) per_layer: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct QualityArguments {
    /// The model's folder: config.json, *.safetensors, tokenizer.json; `builtin` is the model that comes with the program.
    #[arg(short, long, value_name = "FOLDER", default_value = BUILTIN)]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) contestants: ContestantArguments,
    /// Also int8 with groups of 32, 64 and 128 weights.
    #[arg(long)]
    pub(crate) groups: bool,
    /// Also these folders of the same model, such as `ingle quantize` writes, as they are stored; with commas between.
    #[arg(long, value_name = "FOLDERS", value_delimiter = ',')]
    pub(crate) beside: Vec<PathBuf>,
    /// The text, in UTF-8; `-` is standard input. A base file brings its own.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["codebooks", "base"])]
    pub(crate) text: Option<PathBuf>,
    /// Tokens of a window, its beginning token included; by default what the model was made for, 512 at most.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Scores only so many characters of the text.
    #[arg(long, value_name = "COUNT")]
    pub(crate) characters: Option<usize>,
    /// The format of the base's weights.
    #[arg(long, value_name = "FORMAT", default_value = "f16", conflicts_with = "base")]
    pub(crate) base_weights: WeightFormat,
    /// The device of the base.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with = "base")]
    pub(crate) base_on: String,
    /// Takes the base from this file instead of computing it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "window", "characters"])]
    pub(crate) base: Option<PathBuf>,
    /// Keeps the base's logits in this file: 4 bytes for each token of the vocabulary and of the text.
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    pub(crate) save_base: Option<PathBuf>,
    /// Instead shows how near the levels of each format come to weights: normally distributed ones, and the model's own.
    #[arg(long, conflicts_with_all = ["text", "base", "save_base", "groups", "beside"])]
    pub(crate) codebooks: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct EstimateArguments {
    /// A model's folder, or just its config.json.
    #[arg(short, long, value_name = "PATH", conflicts_with = "shape")]
    pub(crate) model: Option<PathBuf>,
    /// A shape; `ingle shapes` lists them.
    #[arg(long, value_name = "NAME", default_value = "llama-2-7b")]
    pub(crate) shape: String,
    /// The format of the weights.
    #[arg(long, value_name = "FORMAT", default_value = "f16")]
    pub(crate) weights: WeightFormat,
    /// The format of the embedding and the head; by default it follows from that of the weights.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) embedding: Option<WeightFormat>,
    /// The format of the cache: f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value = "f16")]
    pub(crate) cache: CacheFormat,
    /// Devices of the table, with commas between; `this` stands for those of this machine, measured. By default all of the table.
    #[arg(long, value_name = "DEVICES", value_delimiter = ',')]
    pub(crate) on: Vec<String>,
    /// A JSON file of more devices: a list of objects with name, `memory_bytes`, `bytes_per_second`, `f16_operations_per_second`, and
    /// perhaps `int8_operations_per_second` and `link_bytes_per_second`.
    #[arg(long, value_name = "FILE")]
    pub(crate) devices: Option<PathBuf>,
    /// Devices of a kind that share the work of each layer.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) count: usize,
    /// Tokens of each sequence that are in the cache.
    #[arg(short, long, value_name = "TOKENS", default_value_t = 512)]
    pub(crate) context: usize,
    /// Sequences side by side; by default the most that fit.
    #[arg(short, long, value_name = "SEQUENCES")]
    pub(crate) batch: Option<usize>,
    /// The share of stated peaks that is taken to be reached; of what was measured it is all.
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    pub(crate) efficiency: f64,
    /// From which batch on is the feed-forward part bound by arithmetic, and by what is it at these?
    #[arg(long, value_name = "BATCHES", value_delimiter = ',', num_args = 0.., default_missing_value = "1,8,64,512")]
    pub(crate) ffn: Option<Vec<usize>>,
    /// Instead prints tables that were published, beside what their assumptions give and ours.
    #[arg(long, conflicts_with_all = ["model", "on", "devices", "batch", "ffn"])]
    pub(crate) published: bool,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}
