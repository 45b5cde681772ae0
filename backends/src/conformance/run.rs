//! Runs cases on targets and judges them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::case::{Case, CaseError, CaseSpec, Group, Step};
use super::compare::{Comparison, compare};
use super::expectation::{Expected, expectations};
use super::known_failures::{KNOWN_FAILURES, KnownFailure, matches};
use super::misuse;
use super::record::{Record, goes_on_from_draws};
use super::report::{Failure, Report, TargetReport};
use super::target::{ExpectedTarget, Target, targets};
use crate::{Backend, BackendError, Batch, Numerics, ProgressFn, Runner, StepOutput, Ticket, no_progress};

/// A run of the conformance tests: what is tested, and what is known of it.
#[derive(Clone)]
pub struct Conformance<'a> {
    pub backends: Vec<&'a dyn Backend>,
    pub known_failures: Vec<KnownFailure>,
    /// Only cases whose names fit this pattern, in which `*` stands for any text.
    pub only: Option<String>,
    /// Targets that must be there.
    pub expected: Vec<ExpectedTarget>,
}

impl fmt::Debug for Conformance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.backends.iter().map(|backend| backend.name()).collect::<Vec<_>>();
        write!(f, "Conformance({names:?}, {:?}, {:?})", self.only, self.known_failures)
    }
}

impl<'a> Conformance<'a> {
    /// With the failures that are known and the devices that the environment demands.
    pub fn new(backends: Vec<&'a dyn Backend>) -> Self {
        Self {
            backends,
            known_failures: KNOWN_FAILURES.to_vec(),
            only: None,
            expected: ExpectedTarget::from_environment(),
        }
    }

    /// Runs the cases of these groups on every tier of every device.
    ///
    /// An error means that a case is broken, not that a backend is.
    pub fn run(&self, groups: &[Group]) -> Result<Report, CaseError> {
        let specs = groups.iter().flat_map(|group| super::cases::catalogue(*group)).collect::<Vec<_>>();
        let mut report = self.run_cases(&specs)?;
        if groups.contains(&Group::Misuse) {
            self.run_misuse(&mut report)?;
        }
        Ok(report)
    }

    /// Runs these cases on every tier of every device.
    pub fn run_cases(&self, specs: &[CaseSpec]) -> Result<Report, CaseError> {
        let targets = targets(&self.backends);
        let mut report = self.empty_report(&targets);
        for spec in specs.iter().filter(|spec| self.wants(&spec.name)) {
            let case = spec.case()?;
            let record = Record::of(&spec.name, &case)?;
            // Most tiers compute alike, and a tolerance knows nothing but the numerics.
            let mut known: Vec<(Numerics, Vec<Expected>)> = vec![];
            for (target, report) in targets.iter().zip(&mut report.targets) {
                let numerics = target.tier.numerics;
                let place = known.iter().position(|(n, _)| *n == numerics).unwrap_or(known.len());
                if place == known.len() {
                    known.push((numerics, expectations(&spec.name, &case, &record, &numerics)?));
                }
                let found = run_case(target, spec, &case, &known[place].1);
                self.note(report, target, spec.group, &spec.name, &found);
            }
        }
        Ok(report)
    }

    fn run_misuse(&self, report: &mut Report) -> Result<(), CaseError> {
        let targets = targets(&self.backends);
        for (target, report) in targets.iter().zip(&mut report.targets) {
            let victim = misuse::Victim::new(&target.tier.numerics)?;
            for (name, check) in misuse::checks() {
                let name = format!("{}/{name}", Group::Misuse);
                if self.wants(&name) {
                    let result = without_panic(|| check(target, &victim));
                    let faults = result.err().into_iter().collect();
                    let found = Comparison { faults, ..Comparison::default() };
                    self.note(report, target, Group::Misuse, &name, &found);
                }
            }
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|pattern| matches(pattern, name))
    }

    fn empty_report(&self, targets: &[Target<'_>]) -> Report {
        let missing = self.expected.iter().filter(|e| !targets.iter().any(|t| e.is_met_by(t)));
        let report = |t: &Target<'_>| TargetReport { target: t.to_string(), groups: vec![] };
        Report {
            targets: targets.iter().map(report).collect(),
            not_run: self.backends.iter().flat_map(|b| b.unavailable()).collect(),
            missing: missing.map(ToString::to_string).collect(),
        }
    }

    /// Enters what was found of a case.
    fn note(
        &self,
        report: &mut TargetReport,
        target: &Target<'_>,
        group: Group,
        case: &str,
        found: &Comparison,
    ) {
        let known = self.known_failures.iter().find(|known| known.names(target, case));
        let report = report.group(group);
        report.cases += 1;
        report.close_calls += found.close_calls;
        let failure = |what: String| Failure { case: case.to_owned(), what };
        match (found.failed(), known) {
            (true, None) => report.failures.push(failure(describe(found))),
            (true, Some(known)) => {
                report.known_failures.push(failure(format!("{} [{}]", describe(found), known.reason)));
            }
            (false, Some(known)) => report.unexpected_passes.push(failure(known.reason.to_owned())),
            (false, None) => {
                if found.share > report.largest_share {
                    report.largest_share = found.share;
                    report.worst = format!("{case}: {}", found.at);
                }
            }
        }
    }
}

/// What is wrong, in one line.
pub(super) fn describe(found: &Comparison) -> String {
    let mut what = found.faults.clone();
    if found.share.is_nan() || found.share > 1.0 {
        what.push(format!("{:.3e} of the tolerance: {}", found.share, found.at));
    }
    what.join("; ")
}

/// Runs a case on a target. Whatever goes wrong there, a panic too, is a finding.
fn run_case(target: &Target<'_>, spec: &CaseSpec, case: &Case, expected: &[Expected]) -> Comparison {
    let judged = without_panic(|| {
        let outputs = run_steps(target, case, &mut no_progress).map_err(|error| error.to_string())?;
        let mut found = judge(case, expected, &outputs);
        // The same again must give the same bits; whole models are where timing could tell.
        if spec.group == Group::Sequences {
            let again = run_steps(target, case, &mut no_progress)
                .map_err(|error| format!("the second time: {error}"))?;
            if again != outputs && !found.failed() {
                found.faults.push("a second run gives other bits".to_owned());
            }
        }
        Ok(found)
    });
    judged.unwrap_or_else(|fault| Comparison { faults: vec![fault], ..Comparison::default() })
}

pub(super) fn judge(case: &Case, expected: &[Expected], outputs: &[StepOutput]) -> Comparison {
    let mut found = Comparison::default();
    for (step, (expected, got)) in expected.iter().zip(outputs).enumerate() {
        let mut of_step = compare(got, expected, &case.plan.taps);
        let place = |text: &str| format!("step {step}: {text}");
        of_step.at = place(&of_step.at);
        of_step.faults = of_step.faults.iter().map(|f| place(f)).collect();
        let another_text = of_step.draws_differ && goes_on_from_draws(case, step);
        found.merge(of_step);
        if another_text {
            return found;
        }
    }
    if outputs.len() != expected.len() {
        found.faults.push(format!("{} steps were collected, not {}", outputs.len(), expected.len()));
    }
    found
}

/// Turns a panic into a fault: a backend must not, and the other cases are still worth running.
pub(super) fn without_panic<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a message")))
    })
}

/// Prepares a case on a target.
pub(super) fn prepare(target: &Target<'_>, case: &Case) -> Result<Box<dyn Runner>, BackendError> {
    prepare_told(target, case, &mut no_progress)
}

fn prepare_told(
    target: &Target<'_>,
    case: &Case,
    progress: &mut ProgressFn<'_>,
) -> Result<Box<dyn Runner>, BackendError> {
    let options = case.prepare_options(Some(&target.tier.name));
    let plan = Arc::clone(&case.plan);
    target.backend.prepare(&target.device.id, plan, &case.weights, &options, progress)
}

/// Everything that the steps of a case hand out.
pub(super) fn run_steps(
    target: &Target<'_>,
    case: &Case,
    progress: &mut ProgressFn<'_>,
) -> Result<Vec<StepOutput>, BackendError> {
    let mut runner = prepare_told(target, case, progress)?;
    let mut outputs = vec![];
    let mut waiting: Vec<Ticket> = vec![];
    let collect_but = |left: usize, waiting: &mut Vec<Ticket>, runner: &mut dyn Runner| {
        let mut collected = vec![];
        while waiting.len() > left {
            collected.push(runner.collect(waiting.remove(0))?);
        }
        Ok::<Vec<StepOutput>, BackendError>(collected)
    };
    for step in &case.steps {
        let (batch, left): (&Batch, usize) = match step {
            Step::Run(batch) => (batch, 0),
            Step::Ahead(batch) => (batch, 1),
            Step::Copy(copies) => {
                runner.copy_pages(copies)?;
                continue;
            }
        };
        waiting.push(runner.submit(batch)?);
        outputs.extend(collect_but(left, &mut waiting, &mut *runner)?);
    }
    outputs.extend(collect_but(0, &mut waiting, &mut *runner)?);
    Ok(outputs)
}
