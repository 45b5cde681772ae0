//! Options of the commands that write text.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use inglenook::backend::format::WeightFormat;
use inglenook::calibrate::{Activations, Alpha};
use inglenook::models::arch::FormatException;

use super::load::{LoadArguments, SamplingArguments, exception};

/// What happens when a conversation is longer than the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// Nothing more is written.
    Stop,
    /// The oldest messages are no longer shown to the model.
    Slide,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
    /// What the model is told before the conversation.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Uses `ChatML` instead of the model's own chat template.
    #[arg(long)]
    pub(crate) chatml: bool,
    /// When the conversation is longer than the context.
    #[arg(long, value_name = "WHAT", default_value = "slide")]
    pub(crate) when_full: WhenFull,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// What the model is to reply to; without it, or as `-`, standard input.
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
    /// What the model is told before the prompt.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "raw")]
    pub(crate) system: Option<String>,
    /// Uses `ChatML` instead of the model's own chat template.
    #[arg(long, conflicts_with = "raw")]
    pub(crate) chatml: bool,
    /// Continues the prompt as it is, without the model's chat template.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Prints JSON: text, tokens, how it ended, timings.
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: log-probabilities of each token, and of so many of the most likely ones in its place.
    #[arg(long, value_name = "COUNT", default_value_t = 0, requires = "json")]
    pub(crate) top_logprobs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct LogitsArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Token ids, with commas between them.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required_unless_present = "ids_file")]
    pub(crate) ids: Vec<u32>,
    /// A file of token ids, with commas or white space between them.
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    pub(crate) ids_file: Option<PathBuf>,
    /// The safetensors file to write: tensor `logits`, f32, a row for each position.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PerplexityArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// The text, in UTF-8; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Tokens of a window, its beginning token included; by default the context.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<usize>,
    /// Scores only so many characters of the text.
    #[arg(long, value_name = "COUNT")]
    pub(crate) characters: Option<usize>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuantizeArguments {
    /// The model's folder: config.json, *.safetensors.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) model: PathBuf,
    /// The format of the weights: f32, f16, bf16, int8 (also int8-g32, int8-g128), nf4, int4 (also int4-g32,
    /// int4-g64), w8a8 or w8a8-static:SCALE.
    #[arg(long, value_name = "FORMAT", visible_alias = "format")]
    pub(crate) weights: WeightFormat,
    /// The format of the embedding and the head; by default that of the weights, but int8 where these are
    /// nf4, int4 or w8a8.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) embedding: Option<WeightFormat>,
    /// Another format for some tensors, such as `lm_head.weight=int8` or `*.down_proj.*=bf16`; may be given
    /// several times, and the first that fits decides.
    #[arg(long, value_name = "TENSOR=FORMAT", value_parser = exception)]
    pub(crate) keep: Vec<FormatException>,
    /// The folder to write, which must not be there yet.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArguments,
}

/// What w8a8 learns from a text.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calibration (w8a8 only)")]
pub(crate) struct CalibrationArguments {
    /// A text, in UTF-8, like what the model will be used for: while it is read, it shows how large activations get. `-` is standard
    /// input.
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
    /// How much of the size of activations moves into the weights, from 0 to 1; `search` tries a few and takes the best, `off` leaves
    /// the weights as they are.
    #[arg(long, value_name = "SHARE", default_value = "0.5", requires = "calibrate")]
    pub(crate) alpha: Alpha,
    /// Where activations have their scale from: `token` finds one for each row, `static` takes that of the text for all.
    #[arg(long, value_name = "HOW", default_value = "token", requires = "calibrate")]
    pub(crate) activations: Activations,
    /// Tokens of the text that are read.
    #[arg(long, value_name = "COUNT", default_value_t = 8192, requires = "calibrate")]
    pub(crate) calibrate_tokens: usize,
    /// The device that reads it.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", requires = "calibrate")]
    pub(crate) calibrate_on: String,
}
