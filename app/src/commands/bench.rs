//! `ingle bench`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use inglenook::Device;
use inglenook::backend::plan::{Plan, StepShape};
use inglenook::backend::{PrepareOptions, Profile, ProgressFn, Runner};
use inglenook::measure::{Series, Speed, Start, Workload, speed};
use serde_json::{Value, json};

use super::device::on_device;
use super::load::{tell, with_progress};
use super::subject::Subject;
use crate::cli::BenchArguments;
use crate::text;

pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let workload = Workload {
        prompt: arguments.prompt,
        generate: arguments.generate,
        depth: arguments.depth,
        batch: arguments.parallel.unwrap_or(arguments.batch),
        repeats: arguments.repeats,
        chunk: arguments.chunk,
    };
    if workload.batch == 0 || workload.repeats == 0 || workload.chunk == 0 {
        bail!("the batch, the repeats and the chunk must be at least 1");
    }
    if workload.prompt == 0 && workload.depth == 0 {
        bail!("writing needs something before it: give --prompt or --depth");
    }
    let subject = arguments.model.subject()?;
    let begun = Instant::now();
    on_device(&arguments.backend, arguments.tier.as_deref(), |device| {
        run_on(device, arguments, &subject, workload, begun)
    })
}

fn run_on(
    device: &Device,
    arguments: &BenchArguments,
    subject: &Subject,
    workload: Workload,
    begun: Instant,
) -> anyhow::Result<()> {
    let plan = Arc::new(subject.plan.clone());
    let cache = workload.cache(arguments.model.cache);
    let mut options = PrepareOptions { cache, limits: workload.limits(), tier: arguments.tier.clone() };

    if arguments.parallel.is_some() {
        return super::parallel::run(arguments, device, subject, options);
    }
    // First of all, since whatever else is asked of the device opens it.
    let (kernels, (mut runner, mut start)) = with_progress(|progress| {
        let backend = device.backend.as_ref();
        let kernels = device.choose(&plan, &mut options, progress)?;
        let (id, plan) = (&device.info.id, Arc::clone(&plan));
        let prepare =
            |progress: &mut ProgressFn<'_>| backend.prepare(id, plan, subject.weights(), &options, progress);
        Ok((kernels, Start::prepare(begun, progress, prepare)?))
    })
    .with_context(|| format!("{} cannot be prepared on {}", subject.name, device.info.id))?;
    tell(&kernels);
    start.read(runner.as_mut(), &plan, &workload, cache)?;
    let bandwidth = device.backend.measure_bandwidth(&device.info.id)?;
    let speed = speed(runner.as_mut(), &plan, &workload, cache)?;
    let bandwidth_after = device.backend.measure_bandwidth(&device.info.id)?;

    let report = Report {
        arguments,
        device,
        tier: &kernels.tier,
        subject,
        plan: &plan,
        speed: &speed,
        start,
        // The faster of both: a share of a peak is not to be flattered by a disturbed measurement of it.
        bandwidth: bandwidth.max(bandwidth_after),
        workload,
        cache,
    };
    if arguments.json {
        return text::print(&serde_json::to_string_pretty(&report.json())?);
    }
    text::print(&report.text(runner.as_ref()))
}

struct Report<'a> {
    arguments: &'a BenchArguments,
    device: &'a Device,
    tier: &'a str,
    subject: &'a Subject,
    plan: &'a Plan,
    speed: &'a Speed,
    start: Start,
    bandwidth: f64,
    workload: Workload,
    cache: inglenook::backend::CacheOptions,
}

impl Report<'_> {
    /// Bytes per second of the median decode step.
    fn decode_bandwidth(&self) -> Option<f64> {
        let steps = self.speed.decode.as_ref()?.median() / self.workload.batch as f64;
        Some(steps * self.speed.decode_step_bytes)
    }

    fn json(&self) -> Value {
        let series = |series: &Option<Series>| {
            series
                .as_ref()
                .map(|s| json!({ "median": s.median(), "spread": s.spread(), "samples": s.samples }))
        };
        json!({
            "device": self.device.info.id.to_string(),
            "device_name": self.device.info.name,
            "tier": self.tier,
            "model": self.subject.name,
            "synthetic": self.arguments.model.shape.is_some(),
            "weights": self.subject.formats.layers.to_string(),
            "embedding": self.subject.formats.embedding.to_string(),
            "cache": self.arguments.model.cache.to_string(),
            "fusion": !self.arguments.model.no_fusion,
            "prompt": self.workload.prompt,
            "generate": self.workload.generate,
            "depth": self.workload.depth,
            "batch": self.workload.batch,
            "chunk": self.workload.chunk,
            "first_token_seconds": {
                "opening": self.start.opening.as_secs_f64(),
                "weights": self.start.weights.as_secs_f64(),
                "kernels": self.start.kernels.as_secs_f64(),
                "reading": self.start.reading.as_secs_f64(),
                "total": self.start.total().as_secs_f64(),
            },
            "prefill_tokens_per_second": series(&self.speed.prefill),
            "decode_tokens_per_second": series(&self.speed.decode),
            "decode_bytes_per_step": self.speed.decode_step_bytes,
            "decode_bytes_per_second": self.decode_bandwidth(),
            "read_bytes_per_second": self.bandwidth,
        })
    }

    fn text(&self, runner: &dyn Runner) -> String {
        let model = &self.arguments.model;
        let formats = &self.subject.formats;
        let mut out = format!(
            "{} with layers in {}, embedding in {}, cache in {}, on {} ({}, {})\n{}\n",
            self.subject.name,
            formats.layers,
            formats.embedding,
            model.cache,
            self.device.info.id,
            self.device.info.name,
            self.tier,
            runner.memory(),
        );
        let line = |name: &str, series: &Option<Series>| {
            series.as_ref().map_or(String::new(), |s| {
                format!("{name}  {:8.2} tokens/s  (spread {:.2})\n", s.median(), s.spread())
            })
        };
        let seconds = |time: std::time::Duration| format!("{:.3} s", time.as_secs_f64());
        out += &format!(
            "first token after {}: opening the device {}, weights {}, kernels {}, prompt {}\n",
            seconds(self.start.total()),
            seconds(self.start.opening),
            seconds(self.start.weights),
            seconds(self.start.kernels),
            seconds(self.start.reading),
        );
        out += &line("prefill", &self.speed.prefill);
        out += &line("decode ", &self.speed.decode);
        if let Some(rate) = self.decode_bandwidth() {
            let sentence = format!(
                "decode moves {:.1} MB per step, {}: {:.0} % of the {} that a plain read reaches\n",
                self.speed.decode_step_bytes / 1e6,
                text::gigabytes_per_second(rate),
                100.0 * rate / self.bandwidth,
                text::gigabytes_per_second(self.bandwidth),
            );
            out += &sentence;
        }
        if self.arguments.profile {
            let middle = self.workload.depth + self.workload.prompt;
            let prefill = StepShape {
                sequences: vec![(self.workload.prompt.min(self.workload.chunk), self.workload.depth)],
                selected: 1,
                cache: self.cache,
            };
            let decode = StepShape::decode(self.workload.batch, middle, self.cache);
            out += &self.profile("prefill", self.speed.prefill_profile.as_ref(), &prefill);
            out += &self.profile("decode", self.speed.decode_profile.as_ref(), &decode);
        }
        out
    }

    /// Time by kind of operator, beside what it moved and did.
    fn profile(&self, name: &str, profile: Option<&Profile>, step: &StepShape) -> String {
        let Some(profile) = profile else { return String::new() };
        let total: f64 = profile.seconds.iter().sum();
        let mut kinds: BTreeMap<String, (usize, f64, f64, f64)> = BTreeMap::new();
        let costs = self.plan.costs(step);
        for ((node, seconds), cost) in self.plan.nodes.iter().zip(&profile.seconds).zip(costs) {
            let local = node.name.rsplit('.').next().unwrap_or_default();
            let kind = format!("{} {local}", node.op.name());
            let entry = kinds.entry(kind).or_default();
            entry.0 += 1;
            entry.1 += seconds;
            entry.2 += cost.bytes();
            entry.3 += cost.operations;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let row = |(kind, (calls, seconds, bytes, operations)): (String, (usize, f64, f64, f64))| {
            vec![
                kind,
                calls.to_string(),
                format!("{:.0}", seconds * 1e6),
                format!("{:.1} %", 100.0 * seconds / total),
                format!("{:.1}", bytes / seconds / 1e9),
                format!("{:.1}", operations / seconds / 1e9),
            ]
        };
        let rows: Vec<_> = kinds.into_iter().map(row).collect();
        let header = ["operator", "calls", "µs", "share", "GB/s", "Gop/s"];
        format!("\n{name}, one step of {:.1} ms\n{}", total * 1e3, text::table(&header, &rows))
    }
}
