//! Running an experiment.

use std::collections::HashMap;
use std::sync::Arc;

use ingle_backends::format::{ActivationScale, CacheFormat, WeightFormat};
use ingle_backends::plan::{Footprint, FusionSet, Op, Plan};
use ingle_backends::{CacheOptions, PrepareOptions, Profile, Runner, no_progress};

use super::judge::claims;
use super::types::{Curve, Part, Point, Report, Timed};
use super::{Experiment, Request, Subject};
use crate::Device;
use crate::fit::{Fit, PAGE_TOKENS};
use crate::measure::operators::floor;
use crate::measure::peaks::Peaks;
use crate::measure::steps::{Filling, PageOrder, Repeated, Step};
use crate::measure::watch::Watcher;
use crate::measure::{Machine, MeasureError, Stage, Watch};

/// Makes an experiment on several devices, one after another; `finished` is told of each as soon as its turn is over.
///
/// A device that fails is an outcome like others, and does not end the experiment. Being stopped by the watch ends it, with what was
/// found so far.
pub fn run(
    devices: &[Device],
    subject: &dyn Subject,
    request: &Request,
    watch: &mut Watch<'_>,
    finished: &mut dyn FnMut(&Part),
) -> Result<Report, MeasureError> {
    request.check()?;
    let mut report = Report {
        machine: Machine::here(),
        experiment: request.experiment,
        model: subject.name(),
        conditions: request.conditions(),
        parts: vec![],
        cancelled: false,
    };
    let mut watcher = Watcher::new(watch, devices.len());
    for (place, device) in devices.iter().enumerate() {
        watcher.subject(place);
        let mut part = Part {
            device: device.info.id.to_string(),
            device_name: device.info.name.clone(),
            tier: String::new(),
            notes: vec![],
            failure: None,
            curves: vec![],
            claims: vec![],
        };
        match on(device, subject, request, &mut part, &mut watcher) {
            Ok(()) => part.claims = claims(request.experiment, &part),
            Err(MeasureError::Cancelled) => {
                report.cancelled = true;
                break;
            }
            Err(error) => {
                part.failure = Some(error.to_string());
                part.curves.clear();
            }
        }
        finished(&part);
        report.parts.push(part);
    }
    Ok(report)
}

/// One of the things that are set side by side.
struct Variant {
    label: String,
    weights: WeightFormat,
    fusion: FusionSet,
    cache: CacheFormat,
    page_tokens: usize,
    order: PageOrder,
}

impl Variant {
    fn new(label: impl Into<String>, request: &Request) -> Self {
        Self {
            label: label.into(),
            weights: request.weights,
            fusion: FusionSet::all(),
            cache: request.cache,
            page_tokens: PAGE_TOKENS,
            order: PageOrder::InOrder,
        }
    }
}

/// The variants of an experiment, the one that the others are set against first.
fn variants(request: &Request) -> Vec<Variant> {
    let new = |label: &str| Variant::new(label, request);
    let weights = |format: WeightFormat| Variant { weights: format, ..new(&format.to_string()) };
    match request.experiment {
        Experiment::WeightOnly => {
            let formats = request.formats.iter().copied().map(weights);
            std::iter::once(weights(WeightFormat::F16)).chain(formats).collect()
        }
        Experiment::W8a8 => {
            let w8a8 = WeightFormat::W8a8(ActivationScale::PerToken);
            vec![weights(WeightFormat::F16), weights(w8a8)]
        }
        Experiment::Fusion => {
            vec![Variant { fusion: FusionSet::none(), ..new("apart") }, new("fused")]
        }
        Experiment::Pages => {
            // What a cache without pages would be: all positions of a head behind one another. The longest context and the token that
            // is written after it make the page.
            let whole = request.sizes.last().map_or(1, |longest| longest + 1);
            let pages = format!("pages of {PAGE_TOKENS}");
            vec![
                Variant { page_tokens: whole, ..new("one page") },
                new(&format!("{pages} in order")),
                Variant { order: PageOrder::Scattered, ..new(&format!("{pages} scattered")) },
            ]
        }
        Experiment::Cache => {
            let cache = |format: CacheFormat| Variant { cache: format, ..new(&format.to_string()) };
            vec![cache(CacheFormat::F16), cache(CacheFormat::Int8)]
        }
    }
}

/// A variant on the device.
struct Prepared {
    variant: Variant,
    plan: Arc<Plan>,
    options: PrepareOptions,
    runner: Box<dyn Runner>,
    peaks: Peaks,
    points: Vec<Point>,
}

fn on(
    device: &Device,
    subject: &dyn Subject,
    request: &Request,
    part: &mut Part,
    watcher: &mut Watcher<'_, '_>,
) -> Result<(), MeasureError> {
    let steps: Vec<Step> = request.sizes.iter().map(|size| request.step(*size)).collect();
    let mut plans = vec![];
    for variant in variants(request) {
        let plan = Arc::new(subject.plan(variant.weights, variant.fusion)?);
        let cache = CacheOptions { format: variant.cache, page_tokens: variant.page_tokens, pages: 0 };
        let options = Step::options(&steps, cache, request.tier.clone());
        plans.push((variant, plan, options));
    }
    check_room(device, &plans)?;
    let bandwidth = || device.backend.measure_bandwidth(&device.info.id);
    let read = bandwidth()?;
    let mut peaks: HashMap<(&'static str, String), Peaks> = HashMap::new();
    let (mut prepared, mut tiers) = (vec![], vec![]);
    for (variant, plan, mut options) in plans {
        let (runner, kernels) = watcher.loading(|progress| {
            device.prepare(Arc::clone(&plan), subject.weights(), &mut options, progress)
        })?;
        for note in kernels.notes.iter().map(ToString::to_string) {
            if !part.notes.contains(&note) {
                part.notes.push(note);
            }
        }
        watcher.stage(Stage::Peaks, 1)?;
        let (format, tier) = (variant.weights, kernels.tier);
        let peaks = if let Some(known) = peaks.get(&(format.name(), tier.clone())) {
            *known
        } else {
            let found = Peaks::with_bandwidth(device, read, format, &tier, &mut no_progress)?;
            peaks.insert((format.name(), tier.clone()), found);
            found
        };
        tiers.push(tier);
        prepared.push(Prepared { variant, plan, options, runner, peaks, points: vec![] });
    }
    part.tier = tell_tiers(&mut prepared, tiers);
    // A floor is not to be flattered by a measurement of the memory that was disturbed.
    let again = bandwidth()?;
    prepared.iter_mut().for_each(|one| one.peaks = one.peaks.at_least(again));
    for (size, step) in request.sizes.iter().zip(steps.iter().copied()) {
        let chunk = Step::chunk(&steps);
        turns(&mut prepared, request, (*size, step, chunk), watcher)?;
    }
    part.curves = prepared.into_iter().map(Prepared::curve).collect();
    Ok(())
}

/// The set of kernels that all variants run on. Where a set was passed over for some of them their labels tell which they got, since a
/// gain is then one of kernels, too.
fn tell_tiers(prepared: &mut [Prepared], mut tiers: Vec<String>) -> String {
    if tiers.iter().any(|tier| *tier != tiers[0]) {
        for (one, tier) in prepared.iter_mut().zip(&tiers) {
            one.variant.label = format!("{} ({tier})", one.variant.label);
        }
    }
    tiers.sort();
    tiers.dedup();
    tiers.join(" and ")
}

/// All variants are on the device at once; says so where there is no room for that.
fn check_room(device: &Device, plans: &[(Variant, Arc<Plan>, PrepareOptions)]) -> Result<(), MeasureError> {
    let footprints = plans.iter().map(|(_, plan, options)| plan.footprint(&options.cache, &options.limits));
    let all = footprints.fold(Footprint::default(), |sum, one| Footprint {
        weights: sum.weights + one.weights,
        cache: sum.cache + one.cache,
        activations: sum.activations + one.activations,
    });
    match Fit::of(&all, &device.info.memory) {
        Fit::Fits { .. } | Fit::Unknown => Ok(()),
        Fit::Short { missing } => Err(MeasureError::Settings(format!(
            "the {} variants, which are loaded side by side, take {all} on {}, {:.1} MiB more than is free; a smaller shape, fewer \
             layers, fewer formats or shorter contexts take less",
            plans.len(),
            device.info.id,
            missing as f64 / f64::from(1 << 20),
        ))),
    }
}

/// All variants at one size, taking turns.
fn turns(
    prepared: &mut [Prepared],
    request: &Request,
    (size, step, chunk): (usize, Step, usize),
    watcher: &mut Watcher<'_, '_>,
) -> Result<(), MeasureError> {
    watcher.stage(Stage::WarmingUp, prepared.len() * Repeated::pulses(step, chunk))?;
    let mut all = vec![];
    for one in prepared.iter_mut() {
        let filling = Filling { cache: one.options.cache, order: one.variant.order, chunk };
        let runner = one.runner.as_mut();
        all.push(Repeated::begin(runner, &one.plan, step, filling, &mut || watcher.advance(1))?);
        one.points.push(one.begun(size, step));
    }
    let attention = request.experiment.looks_at_attention();
    for turn in 0..=request.repeats {
        let stage = if turn == 0 { Stage::WarmingUp } else { Stage::Run(turn) };
        watcher.stage(stage, prepared.len())?;
        for (one, repeated) in prepared.iter_mut().zip(&mut all) {
            watcher.beat(1)?;
            let seconds = repeated.timed(one.runner.as_mut())?;
            let profile = if attention { repeated.profiled(one.runner.as_mut())?.1 } else { None };
            if turn > 0 {
                one.keep(seconds, profile.as_ref());
            }
        }
    }
    Ok(())
}

impl Prepared {
    /// A point before anything is timed: what the cost model says of it.
    fn begun(&self, size: usize, step: Step) -> Point {
        let costs = self.plan.costs(&step.shape(self.options.cache));
        let of = |wanted: &dyn Fn(&Op) -> bool| {
            let nodes = self.plan.nodes.iter().zip(&costs).filter(|(node, _)| wanted(&node.op));
            let mut timed = Timed::default();
            for (_, cost) in nodes {
                timed.bytes += cost.bytes();
                timed.floor_seconds += floor(cost.bytes(), cost.operations, &self.peaks).0;
            }
            timed
        };
        Point { size, step: of(&|_| true), attention: Some(of(&is_attention)) }
    }

    fn keep(&mut self, seconds: f64, profile: Option<&Profile>) {
        let Some(point) = self.points.last_mut() else { return };
        point.step.seconds.samples.push(seconds);
        if let (Some(profile), Some(attention)) = (profile, &mut point.attention) {
            let nodes = self.plan.nodes.iter().zip(&profile.seconds);
            let seconds = nodes.filter(|(node, _)| is_attention(&node.op)).map(|(_, seconds)| seconds).sum();
            attention.seconds.samples.push(seconds);
        }
    }

    fn curve(mut self) -> Curve {
        for point in &mut self.points {
            // What was not timed is not there, and what a device's clock is too coarse for neither.
            point.attention = point.attention.take().filter(|timed| timed.seconds.median() > 0.0);
        }
        let Self { variant, plan, options, runner, peaks, points } = self;
        let page = plan.caches.first().map(|cache| cache.layout(&options.cache).bytes_per_page());
        Curve {
            label: variant.label,
            peaks,
            operators: plan.nodes.len(),
            cache_bytes: runner.memory().cache,
            planned_cache_bytes: plan.footprint(&options.cache, &options.limits).cache,
            page_tokens: options.cache.page_tokens,
            page_bytes: page.unwrap_or(0) as u64,
            points,
        }
    }
}

const fn is_attention(op: &Op) -> bool {
    matches!(op, Op::Attention(_))
}
