//! Options of all commands that load a model or write with it.

use std::path::PathBuf;

use clap::Args;
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::model::WeightChoice;
use inglenook::models::arch::FormatException;

/// Reads `auto`, `stored` or the name of a format.
pub(crate) fn weight_choice(text: &str) -> Result<WeightChoice, String> {
    match text {
        "auto" => Ok(WeightChoice::Auto),
        "stored" => Ok(WeightChoice::Stored),
        format => format
            .parse()
            .map(WeightChoice::Format)
            .map_err(|error: inglenook::backend::format::FormatError| format!("{error}; or auto, or stored")),
    }
}

/// How the model that comes with the program is named in place of a folder; `./builtin` is a folder of that name.
pub(crate) const BUILTIN: &str = "builtin";

/// Reads `TENSOR=FORMAT`.
pub(crate) fn exception(text: &str) -> Result<FormatException, String> {
    let (pattern, format) = text.split_once('=').ok_or("it must be TENSOR=FORMAT")?;
    let format =
        format.parse().map_err(|error: inglenook::backend::format::FormatError| error.to_string())?;
    Ok(FormatException { pattern: pattern.to_owned(), format })
}

/// Which model, and how it is loaded.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct LoadArguments {
    /// The model's folder: config.json, *.safetensors, tokenizer.json; `builtin` is the small model that comes with
    /// Inglenook.
    #[arg(short, long, value_name = "FOLDER", default_value = BUILTIN)]
    pub(crate) model: PathBuf,
    /// The device, as `ingle devices` names it; `auto` is the best GPU, or the CPU where there is none or it has no room.
    #[arg(long, value_name = "DEVICE", visible_alias = "device", default_value = "auto")]
    pub(crate) backend: String,
    /// The kernels, as `ingle devices` names them; by default the best.
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// The format of the weights: f32, f16, bf16, int8, nf4, int4, w8a8; `stored` is that of the files;
    /// `auto` is that, too, but int8 where it is larger than 2 GB or does not fit.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = weight_choice)]
    pub(crate) weights: WeightChoice,
    /// The format of the embedding and the head; by default it follows from that of the weights.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) embedding: Option<WeightFormat>,
    /// Another format for some tensors, such as `lm_head.weight=int8` or `*.down_proj.*=bf16`; may be given
    /// several times, and the first that fits decides.
    #[arg(long, value_name = "TENSOR=FORMAT", value_parser = exception)]
    pub(crate) keep: Vec<FormatException>,
    /// The format of the cache: f16 or int8.
    #[arg(long, value_name = "FORMAT", default_value = "f16")]
    pub(crate) cache: CacheFormat,
    /// Tokens that a conversation can have; by default what the model was made for and fits, 8192 at most.
    #[arg(short, long, value_name = "TOKENS")]
    pub(crate) context: Option<usize>,
    /// Keeps all operators apart.
    #[arg(long)]
    pub(crate) no_fusion: bool,
    /// Where converted weights are kept for the next start; by default in the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) converted: Option<PathBuf>,
    /// Converts the weights each time, and keeps nothing.
    #[arg(long, conflicts_with = "converted")]
    pub(crate) no_converted: bool,
}

/// How replies are written.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Writing (by default as the model's makers suggest)")]
pub(crate) struct SamplingArguments {
    /// How freely tokens are drawn; 0 always takes the most likely one.
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) temperature: Option<f32>,
    /// Draws from so many of the most likely tokens; 0 is all.
    #[arg(long, value_name = "COUNT")]
    pub(crate) top_k: Option<u32>,
    /// Draws from the most likely tokens whose probabilities reach this sum.
    #[arg(long, value_name = "SHARE")]
    pub(crate) top_p: Option<f32>,
    /// Leaves out tokens less likely than this share of the most likely one.
    #[arg(long, value_name = "SHARE")]
    pub(crate) min_p: Option<f32>,
    /// Divides the logits of recent tokens by this; 1 is off.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) repeat_penalty: Option<f32>,
    /// Subtracted from the logits of recent tokens.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, default_value_t = 0.0)]
    pub(crate) presence_penalty: f32,
    /// Subtracted from the logits of recent tokens for each time that they occur.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, default_value_t = 0.0)]
    pub(crate) frequency_penalty: f32,
    /// Tokens that count as recent.
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    pub(crate) penalty_window: usize,
    /// The same seed draws the same tokens; by default each run has its own.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// A reply ends after so many tokens.
    #[arg(short = 'n', long, value_name = "TOKENS")]
    pub(crate) max_tokens: Option<usize>,
    /// A reply ends before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// A reply ends at this token too; may be given several times.
    #[arg(long, value_name = "ID")]
    pub(crate) stop_token: Vec<u32>,
}
