//! `ingle run`: one reply.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use inglenook::chat::{Conversation, Ending, Overflow, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::{GeneratedToken, Timings};
use inglenook::model::{Model, ModelText};
use serde_json::{Value, json};

use super::chat::settle_template;
use super::reply::{lost, restored, summary};
use crate::cli::RunArguments;
use crate::failure::usage;
use crate::interrupt::{self, Stoppable};
use crate::{files, text};

/// A reply that was written.
#[derive(Default)]
struct Written {
    tokens: Vec<GeneratedToken>,
    text: String,
    thinking: String,
    end: Option<(Ending, Timings)>,
}

pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let prompt = match arguments.prompt.as_deref() {
        None | Some("-") => files::read_text(Path::new("-"))?,
        Some(prompt) => prompt.to_owned(),
    };
    let mut model = arguments.load.open(true)?;
    if !arguments.raw {
        settle_template(&mut model, arguments.chatml)?;
    }
    let speaker = model.text()?;
    let sampling = arguments.sampling.sampling(&model);
    let seed = sampling.seed;
    let loaded = arguments.load.load(&model, |options| {
        (options.limits.selected, options.limits.sequences) = (1, 1);
    })?;
    let context = loaded.context();
    let formats = loaded.formats().clone();
    let (tokens, thinking_open) = encode(arguments, speaker, prompt, context)?;
    let mut request = arguments.sampling.request(tokens.clone(), sampling, &speaker.end_tokens);
    request.top_candidates = arguments.top_logprobs;
    let engine = loaded.into_engine()?;
    let options = ReplyOptions {
        continues: if arguments.raw { tokens.clone() } else { vec![] },
        stops: arguments.sampling.stop.clone(),
        split_thinking: !arguments.raw,
        thinking_open,
    };
    let session = engine.session();
    let reply = TextReply::new(session.generate(request), speaker, options);
    let written = follow(reply, !arguments.json)?;
    let Some((ending, timings)) = &written.end else { return Ok(()) };
    eprintln!("[{}]", summary(ending, timings));
    if !arguments.json {
        return Ok(());
    }
    let settings = json!({
        "model": model.name(),
        "weights": formats.layers.to_string(),
        "embedding": formats.embedding.to_string(),
        "cache": arguments.load.cache.to_string(),
        "context": context,
        "seed": seed,
        "prompt_token_ids": tokens,
    });
    let value = as_json(&model, &written, ending, timings, &settings, arguments.top_logprobs > 0)?;
    text::print(&serde_json::to_string_pretty(&value)?)
}

/// The prompt's tokens, and whether the reply begins inside the model's thinking.
fn encode(
    arguments: &RunArguments,
    speaker: &ModelText,
    prompt: String,
    context: usize,
) -> anyhow::Result<(Vec<u32>, bool)> {
    if !arguments.raw {
        let mut conversation = Conversation::new(arguments.system.clone());
        conversation.say(prompt);
        let prompt = conversation.prompt(speaker, context, 1, Overflow::Stop)?;
        return Ok((prompt.tokens, prompt.thinking_open));
    }
    let tokens = speaker.tokenizer.encode_text(&prompt, true)?;
    if tokens.is_empty() {
        return Err(usage("the prompt is empty, and the model has no token that begins a text"));
    }
    if tokens.len() >= context {
        let count = tokens.len();
        return Err(usage(format!("the prompt has {count} tokens; the context holds {context} (--context)")));
    }
    Ok((tokens, false))
}

fn follow(reply: TextReply, show: bool) -> anyhow::Result<Written> {
    let _stoppable = Stoppable::new(reply.canceller());
    let mut out = std::io::stdout().lock();
    let mut written = Written::default();
    for event in reply {
        match event {
            ReplyEvent::Reading { .. } => {}
            ReplyEvent::DeviceLost(error) => eprintln!("\n{}", lost(&error)),
            ReplyEvent::DeviceRestored { loading } => eprintln!("{}", restored(loading)),
            ReplyEvent::Token(token) => written.tokens.push(token),
            ReplyEvent::Text { text: piece, thinking } => {
                if show && thinking {
                    eprint!("{}", text::printable(&piece));
                } else if show {
                    if written.text.is_empty() && !written.thinking.is_empty() {
                        eprintln!("\n");
                    }
                    out.write_all(text::for_output(&piece).as_bytes())?;
                    out.flush()?;
                }
                if thinking { written.thinking += &piece } else { written.text += &piece }
            }
            ReplyEvent::Finished { ending, timings } => written.end = Some((ending, timings)),
            ReplyEvent::Failed(error) => return Err(error).context("the reply could not be written"),
        }
    }
    if show {
        writeln!(out)?;
    }
    Ok(written)
}

fn as_json(
    model: &Model,
    written: &Written,
    ending: &Ending,
    timings: &Timings,
    settings: &Value,
    probabilities: bool,
) -> anyhow::Result<Value> {
    let tokenizer = &model.text()?.tokenizer;
    let mut value = json!({
        "text": written.text,
        "thinking": written.thinking,
        "token_ids": written.tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
        "reason": ending.name(),
        "stop_token": match ending { Ending::StopToken(token) => Some(token), _ => None },
        "timings": {
            "prompt_tokens": timings.prompt_tokens,
            "reused_tokens": timings.reused_tokens,
            "generated_tokens": timings.generated_tokens,
            "waiting_seconds": timings.waiting.as_secs_f64(),
            "reading_seconds": timings.reading.as_secs_f64(),
            "writing_seconds": timings.writing.as_secs_f64(),
            "prefill_tokens_per_second": timings.prefill_rate(),
            "decode_tokens_per_second": timings.decode_rate(),
        },
        "settings": settings,
    });
    if probabilities {
        let token = |token: &GeneratedToken| {
            let of = |id: u32, log_probability: Option<f32>| json!({ "id": id, "text": tokenizer.token_text(id), "log_probability": log_probability });
            let top = token.candidates.iter().map(|c| of(c.id, Some(c.log_probability)));
            let mut entry = of(token.id, token.log_probability);
            entry["top"] = top.collect();
            entry
        };
        value["tokens"] = written.tokens.iter().map(token).collect();
    }
    Ok(value)
}
