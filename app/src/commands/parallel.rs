//! `ingle bench --parallel`: what continuous batching is worth.

use std::sync::Arc;

use anyhow::Context;
use inglenook::Device;
use inglenook::backend::PrepareOptions;
use inglenook::engine::Engine;
use inglenook::measure::{Replies, parallel};
use serde_json::json;

use super::load::{tell, with_progress};
use super::subject::Subject;
use crate::cli::BenchArguments;
use crate::text;

pub(crate) fn run(
    arguments: &BenchArguments,
    device: &Device,
    subject: &Subject,
    mut options: PrepareOptions,
) -> anyhow::Result<()> {
    let plan = Arc::new(subject.plan.clone());
    let replies = Replies {
        count: options.limits.sequences,
        prompt: arguments.prompt,
        generate: arguments.generate,
        repeats: arguments.repeats,
        vocabulary: plan.vocabulary().context("the model has no vocabulary")?,
    };
    let (runner, kernels) =
        with_progress(|progress| Ok(device.prepare(plan, subject.weights(), &mut options, progress)?))
            .with_context(|| format!("{} cannot be prepared on {}", subject.name, device.info.id))?;
    tell(&kernels);
    let engine = Engine::start(runner, &options)?;
    let measured = parallel(&engine, &replies)?;
    let (alone, together) = (&measured.one_by_one, &measured.together);
    if arguments.json {
        let series = |series: &inglenook::measure::Series| json!({ "median": series.median(), "spread": series.spread(), "samples": series.samples });
        let value = json!({
            "device": device.info.id.to_string(),
            "device_name": device.info.name,
            "model": subject.name,
            "synthetic": arguments.model.shape.is_some(),
            "weights": subject.formats.layers.to_string(),
            "embedding": subject.formats.embedding.to_string(),
            "cache": arguments.model.cache.to_string(),
            "replies": replies.count,
            "prompt": replies.prompt,
            "generate": replies.generate,
            "one_by_one_seconds": series(alone),
            "together_seconds": series(together),
            "gain": measured.gain(),
        });
        return text::print(&serde_json::to_string_pretty(&value)?);
    }
    text::print(&format!(
        "{} with layers in {}, embedding in {}, cache in {}, on {} ({})\n\
         {} replies of {} tokens, each to {} tokens\n\
         one by one  {:8.2} s  (spread {:.2})\n\
         at once     {:8.2} s  (spread {:.2}), {:.2} times sooner",
        subject.name,
        subject.formats.layers,
        subject.formats.embedding,
        arguments.model.cache,
        device.info.id,
        device.info.name,
        replies.count,
        replies.generate,
        replies.prompt,
        alone.median(),
        alone.spread(),
        together.median(),
        together.spread(),
        measured.gain(),
    ))
}
