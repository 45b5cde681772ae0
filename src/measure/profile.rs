//! Where the time of a step goes, for any number of rows: each operator's time beside its floor, and the whole step beside their sum.

use std::sync::Arc;

use ingle_backends::format::CacheFormat;
use ingle_backends::plan::Plan;
use ingle_backends::{CacheOptions, Clocks, Profile, Runner, WeightSource};
use serde::{Deserialize, Serialize};

use super::operators::{Grouping, OperatorTime, operators, set_floors, table};
use super::peaks::Peaks;
pub use super::steps::Phase;
use super::steps::{Filling, PageOrder, Repeated, Step};
use super::table::{number, percent};
use super::watch::Watcher;
use super::{MeasureError, Series, Stage, Table, Watch};
use crate::Device;
use crate::fit::PAGE_TOKENS;
use crate::verdict::Choice;

/// What to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub phase: Phase,
    /// Rows of the steps: a profile for each.
    pub batches: Vec<usize>,
    /// Tokens that are in the cache of each sequence before the step.
    pub context: usize,
    /// Pairs of steps that count, one without clocks between its operators and one with them; another pair goes before them.
    pub repeats: usize,
    pub cache: CacheFormat,
    pub tier: Option<String>,
    pub grouping: Grouping,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profiles {
    pub phase: Phase,
    pub tier: String,
    pub peaks: Peaks,
    pub steps: Vec<StepProfile>,
}

/// How operators were timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timed {
    /// By clocks between them: what these add to the step is not the model's.
    #[default]
    Between,
    /// Each by what the step takes longer with it than without it and all that follows.
    ByLengthening,
}

impl From<Clocks> for Timed {
    fn from(clocks: Clocks) -> Self {
        match clocks {
            Clocks::BetweenNodes => Self::Between,
            Clocks::OfBeginnings => Self::ByLengthening,
        }
    }
}

/// A step of so many rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepProfile {
    pub batch: usize,
    pub context: usize,
    /// Seconds of a step without clocks for its operators, as it takes in a running reply.
    pub step_seconds: Series,
    /// Seconds of what was done to time its operators: a step with clocks between them, or all of its beginnings.
    pub clocked_seconds: Series,
    pub timed: Timed,
    /// The operators' times together, in the step whose sum is the median.
    pub operators_seconds: f64,
    /// For each pair of steps, what part of the one without clocks the operators' times in the other are.
    pub explained: Series,
    pub bytes: f64,
    pub operations: f64,
    pub operators: Vec<OperatorTime>,
}

impl StepProfile {
    /// What part of a step the operators' times explain.
    pub fn explained(&self) -> f64 {
        self.explained.median()
    }
}

impl Request {
    fn check(&self) -> Result<(), MeasureError> {
        let fault = if self.batches.is_empty() || self.batches.contains(&0) {
            "a step has one row at least"
        } else if self.repeats == 0 {
            "one step at least has to be measured"
        } else if self.context == 0 && self.phase == Phase::Decode {
            "a token that is written has something before it: the context is 1 at least"
        } else {
            return Ok(());
        };
        Err(MeasureError::Settings(fault.to_owned()))
    }

    fn steps(&self) -> Vec<Step> {
        let step = |rows: &usize| Step { phase: self.phase, rows: *rows, context: self.context };
        self.batches.iter().map(step).collect()
    }
}

/// Profiles steps of a plan on a device.
pub fn profile(
    device: &Device,
    plan: &Arc<Plan>,
    weights: &dyn WeightSource,
    request: &Request,
    watch: &mut Watch<'_>,
) -> Result<(Profiles, Choice), MeasureError> {
    request.check()?;
    let mut watcher = Watcher::new(watch, request.batches.len());
    let all = request.steps();
    let cache = CacheOptions { format: request.cache, page_tokens: PAGE_TOKENS, pages: 0 };
    let mut options = Step::options(&all, cache, request.tier.clone());
    let (mut runner, kernels) =
        watcher.loading(|progress| device.prepare(Arc::clone(plan), weights, &mut options, progress))?;
    watcher.stage(Stage::Peaks, 1)?;
    // The format that most of the weights are in.
    let largest = plan.matrices.iter().max_by_key(|matrix| matrix.bytes());
    let format = largest.map_or(ingle_backends::format::WeightFormat::F32, |matrix| matrix.format);
    let peaks = Peaks::measure(device, format, &kernels.tier, &mut ingle_backends::no_progress)?;
    let mut steps = vec![];
    let filling = Filling { cache: options.cache, order: PageOrder::InOrder, chunk: Step::chunk(&all) };
    for (subject, step) in all.into_iter().enumerate() {
        watcher.subject(subject);
        steps.push(one(runner.as_mut(), plan, request, (step, filling), &mut watcher)?);
    }
    // By now the device's clocks have risen: what it reaches now is what its operators are a share of as well.
    let peaks = peaks.at_least(device.backend.measure_bandwidth(&device.info.id)?);
    for step in &mut steps {
        set_floors(&mut step.operators, &peaks);
    }
    Ok((Profiles { phase: request.phase, tier: kernels.tier.clone(), peaks, steps }, kernels))
}

/// A step, its operators not yet beside any limits, made in pairs: without clocks between its operators, and with them. So whatever else the machine does disturbs both alike.
fn one(
    runner: &mut dyn Runner,
    plan: &Plan,
    request: &Request,
    (step, filling): (Step, Filling),
    watcher: &mut Watcher<'_, '_>,
) -> Result<StepProfile, MeasureError> {
    watcher.stage(Stage::WarmingUp, Repeated::pulses(step, filling.chunk))?;
    let mut repeated = Repeated::begin(runner, plan, step, filling, &mut || watcher.advance(1))?;
    let [mut step_seconds, mut clocked_seconds, mut explained] = [const { Series { samples: vec![] } }; 3];
    let mut profiles: Vec<Profile> = vec![];
    let sum = |profile: &Profile| profile.seconds.iter().sum::<f64>();
    watcher.stage(Stage::Profiling, 2 * (request.repeats + 1))?;
    for pair in 0..=request.repeats {
        watcher.beat(1)?;
        let seconds = repeated.timed(runner)?;
        watcher.beat(1)?;
        let (clocked, profile) = repeated.profiled(runner)?;
        if pair > 0 {
            step_seconds.samples.push(seconds);
            clocked_seconds.samples.push(clocked);
            explained.samples.extend(profile.as_ref().map(|profile| sum(profile) / seconds));
            profiles.extend(profile);
        }
    }
    profiles.sort_by(|a, b| sum(a).total_cmp(&sum(b)));
    let shape = step.shape(filling.cache);
    let total = plan.total_cost(&shape);
    let median = profiles.get(profiles.len() / 2);
    Ok(StepProfile {
        batch: step.rows,
        context: step.context,
        step_seconds,
        clocked_seconds,
        timed: median.map_or(Timed::default(), |profile| profile.clocks.into()),
        operators_seconds: median.map_or(0.0, sum),
        explained,
        bytes: total.bytes(),
        operations: total.operations,
        operators: median
            .map_or_else(Vec::new, |profile| operators(plan, profile, &shape, None, request.grouping)),
    })
}

impl Profiles {
    /// A table for each number of rows.
    pub fn tables(&self) -> Vec<Table> {
        let phase = match self.phase {
            Phase::Decode => "sequences, one token each",
            Phase::Prefill => "tokens of a prompt",
        };
        let title = |step: &StepProfile| {
            let how = match step.timed {
                Timed::Between => {
                    format!("{} ms with clocks between them", number(step.clocked_seconds.median() * 1e3))
                }
                Timed::ByLengthening => "each timed by what the step takes longer with it".to_owned(),
            };
            format!(
                "{} {phase}, after {}: a step of {} ms, of which the operators explain {} ({how})",
                step.batch,
                step.context,
                number(step.step_seconds.median() * 1e3),
                percent(Some(step.explained())),
            )
        };
        self.steps.iter().map(|step| table(&title(step), &step.operators)).collect()
    }

    /// Time per call of each operator, by number of rows, in units in which the quickest product of the first step takes 30: the form
    /// in which such tables are published.
    pub fn relative_table(&self) -> Option<Table> {
        let first = self.steps.first()?;
        let per_call = |operator: &OperatorTime| operator.seconds / operator.calls as f64;
        let products = first.operators.iter().filter(|operator| operator.name.starts_with("linear"));
        let unit = products.map(per_call).filter(|s| *s > 0.0).min_by(f64::total_cmp)? / 30.0;
        let batches: Vec<String> = self.steps.iter().map(|step| format!("{} rows", step.batch)).collect();
        let header: Vec<&str> =
            ["operator", "shape", "calls"].into_iter().chain(batches.iter().map(String::as_str)).collect();
        let mut table = Table::new("Relative time of one call", &header);
        for operator in &first.operators {
            let of = |step: &StepProfile| {
                let same =
                    |other: &&OperatorTime| (&other.name, &other.shape) == (&operator.name, &operator.shape);
                let found = step.operators.iter().find(same);
                found.map_or_else(|| "–".to_owned(), |other| number(per_call(other) / unit))
            };
            let mut row = vec![operator.name.clone(), operator.shape.clone(), operator.calls.to_string()];
            row.extend(self.steps.iter().map(of));
            table.push(row);
        }
        Some(table)
    }

    /// The share of the products with weights in each step, and whether memory limits most of their time.
    pub fn products_table(&self) -> Table {
        let header = [
            "rows",
            "products",
            "of these limited by memory",
            "attention",
            "rest",
            "op/byte",
            "device's ridge",
        ];
        let mut table = Table::new("What limits a step", &header);
        for step in &self.steps {
            let share = |wanted: &dyn Fn(&OperatorTime) -> bool| {
                step.operators.iter().filter(|operator| wanted(operator)).map(|o| o.share).sum::<f64>()
            };
            let product = |operator: &OperatorTime| {
                operator.name.starts_with("linear") || operator.name.starts_with("expert_linear")
            };
            let products = share(&product);
            let by_memory =
                share(&|operator| product(operator) && operator.limit == super::operators::Limit::Memory);
            let attention = share(&|operator| operator.name.starts_with("attention"));
            table.push(vec![
                step.batch.to_string(),
                percent(Some(products)),
                percent(Some(by_memory / products)),
                percent(Some(attention)),
                percent(Some(1.0 - products - attention)),
                number(step.operations / step.bytes),
                self.peaks.ridge().map_or_else(|| "–".to_owned(), number),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use ingle_backends::SyntheticWeights;

    use super::*;
    use crate::find_device;
    use crate::measure::operators::Limit;
    use crate::measure::unwatched;
    use crate::soak::Soak;

    fn request(phase: Phase) -> Request {
        Request {
            phase,
            batches: vec![1, 5],
            context: 20,
            repeats: 3,
            cache: CacheFormat::F16,
            tier: None,
            grouping: Grouping::Summed,
        }
    }

    fn profiled(request: &Request) -> Result<Profiles, MeasureError> {
        let soak = Soak::new(1).unwrap();
        let device = find_device("cpu").unwrap();
        let weights = SyntheticWeights { seed: 1 };
        Ok(profile(&device, soak.plan(), &weights, request, &mut unwatched)?.0)
    }

    #[test]
    fn every_number_of_rows_has_its_profile() {
        for phase in [Phase::Decode, Phase::Prefill] {
            let found = profiled(&request(phase)).unwrap();
            assert_eq!(found.steps.iter().map(|step| step.batch).collect::<Vec<_>>(), [1, 5]);
            for step in &found.steps {
                assert_eq!((step.step_seconds.samples.len(), step.explained.samples.len()), (3, 3));
                for operator in &step.operators {
                    let memory = operator.bytes / found.peaks.bytes_per_second;
                    assert!(operator.floor_seconds.unwrap() >= memory, "{operator:?} {:?}", found.peaks);
                    assert!(operator.limit != Limit::Memory || operator.floor_seconds == Some(memory));
                }
                let sum: f64 = step.operators.iter().map(|operator| operator.seconds).sum();
                assert!((sum - step.operators_seconds).abs() < 1e-9 && sum > 0.0);
            }
            // Five rows do more with the same weights (the head serves only one row of a prompt).
            let [one, five] = [&found.steps[0], &found.steps[1]];
            assert!(
                five.operations / one.operations > 1.5 * five.bytes / one.bytes,
                "{phase:?}: {one:?} {five:?}"
            );
            let relative = found.relative_table().unwrap();
            assert_eq!(relative.header.len(), 5);
            assert!(relative.rows.iter().any(|row| row[0].starts_with("linear") && row[3] == "30.0"));
            assert_eq!(found.products_table().rows.len(), 2);
        }
    }

    #[test]
    fn senseless_steps_are_refused() {
        let good = request(Phase::Decode);
        for bad in [
            Request { batches: vec![], ..good.clone() },
            Request { batches: vec![1, 0], ..good.clone() },
            Request { repeats: 0, ..good.clone() },
            Request { context: 0, ..good.clone() },
        ] {
            assert!(matches!(profiled(&bad), Err(MeasureError::Settings(_))), "{bad:?}");
        }
        assert!(profiled(&Request { context: 0, ..request(Phase::Prefill) }).is_ok());
    }
}
