//! `ingle perplexity`: how well a model knows a text.

use std::time::Instant;

use anyhow::Context;
use indicatif::ProgressBar;
use inglenook::backend::plan::{BatchLimits, FusionSet};
use inglenook::score::{Score, Windows, rows_per_step, score_window, width};
use serde_json::json;

use crate::cli::PerplexityArguments;
use crate::failure::usage;
use crate::{files, text};

pub(crate) fn run(arguments: &PerplexityArguments) -> anyhow::Result<()> {
    let mut words = files::read_text(&arguments.text)?;
    if let Some((end, _)) = arguments.characters.and_then(|count| words.char_indices().nth(count)) {
        words.truncate(end);
    }
    let model = arguments.load.open(true)?;
    let tokenizer = &model.text()?.tokenizer;
    let tokens = tokenizer.encode_text(&words, false)?;
    let plan = model.plan(arguments.load.weights, None, FusionSet::none())?.0;
    let vocabulary = width(&plan).context("the model gives no logits")?;
    let rows = rows_per_step(vocabulary, 512);
    let mut loaded = arguments.load.load(&model, |options| {
        options.limits = BatchLimits { rows, selected: rows, sequences: 1 };
        options.context = options.context.or(arguments.window);
    })?;
    let windows = Windows { begin: tokenizer.bos(), len: arguments.window.unwrap_or(loaded.context()) };
    if windows.len < 2 || windows.len > loaded.context() {
        let context = loaded.context();
        return Err(usage(format!("a window has from 2 to {context} tokens, which the context holds")));
    }
    if windows.begin.is_none() {
        eprintln!("note: the model has no beginning token, so the first token of each window is not scored");
    }
    let cache = loaded.options().cache;
    let start = Instant::now();
    let bar = ProgressBar::new(tokens.len() as u64);
    let (mut score, mut count) = (Score::default(), 0);
    for window in windows.of(&tokens) {
        score_window(loaded.runner.as_mut(), cache, rows, windows.begin, window, &mut score)?;
        bar.inc(window.len() as u64);
        count += 1;
    }
    bar.finish_and_clear();
    if score.tokens == 0 {
        return Err(usage(format!("{} has no token to score", arguments.text.display())));
    }
    let rate = tokens.len() as f64 / start.elapsed().as_secs_f64();
    if arguments.json {
        let value = json!({
            "model": model.name(),
            "device": loaded.device.to_string(),
            "weights": loaded.formats().layers.to_string(),
            "embedding": loaded.formats().embedding.to_string(),
            "cache": cache.format.to_string(),
            "perplexity": score.perplexity(),
            "standard_error": score.standard_error(),
            "mean_surprise": score.surprise / score.tokens as f64,
            "tokens_scored": score.tokens,
            "tokens": tokens.len(),
            "windows": count,
            "window": windows.len,
            "begin_token": windows.begin,
            "tokens_per_second": rate,
        });
        return text::print(&serde_json::to_string_pretty(&value)?);
    }
    text::print(&format!(
        "perplexity {:.6} ± {:.3} over {} tokens in {count} windows of {}, at {rate:.0} tokens/s",
        score.perplexity(),
        score.standard_error(),
        score.tokens,
        windows.len,
    ))
}
