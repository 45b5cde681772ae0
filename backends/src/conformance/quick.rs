//! The few cases that tell whether the kernels which a plan will use compute rightly on a device.
//!
//! A [`Check`] is about one operator in one format or form, such as `linear nf4`, so that what one model has shown is known of the
//! next. Its cases are small ones of the catalogue, and attention with the plan's own heads: together they reach every regime of
//! rows, tails of tiles and groups, and fused forms. All of them take a second or two on a GPU, where most of that is the
//! compiling of kernels which the model needs anyway.

use std::ops::ControlFlow;

use rayon::prelude::*;
use thiserror::Error;

use super::case::{Case, CaseError, CaseSpec, Group};
use super::cases::{attention_like, catalogue, catalogued, many_features};
use super::compare::Comparison;
use super::expectation::{Expected, expectations};
use super::known_failures::matches;
use super::record::Record;
use super::report::Failure;
use super::run::{describe, judge, run_steps, without_panic};
use super::target::Target;
use crate::format::WeightFormat;
use crate::plan::{Attention, Cache, CacheId, NormKind, Op, Plan, RopeLayout};
use crate::{BackendError, CacheOptions, Progress, ProgressFn, StepOutput};

/// Features from which on a product may have kernels of its own.
const MANY_FEATURES: usize = 1 << 15;

/// What is asked of a device's kernels before they are used.
#[derive(Debug)]
pub struct Check {
    /// Such as `linear nf4`: equal names mean equal cases.
    pub name: String,
    pub cases: Vec<CaseSpec>,
}

/// Why a check came to no verdict.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What has to be checked before a plan is run with such a cache.
pub fn checks(plan: &Plan, cache: &CacheOptions) -> Vec<Check> {
    let mut list = List { plan, cache, checks: vec![] };
    for node in &plan.nodes {
        list.node(&node.op);
    }
    list.models();
    list.checks
}

impl Check {
    /// Runs the cases on a target, up to the first that fails; `total_bytes` is what progress is told of.
    ///
    /// A kernel that the driver refuses has failed, and so has one that loses the device or panics. What is no fault of the
    /// kernels' is an error: no memory left, a cancelled start, an operator that the device cannot run at all.
    pub fn run(
        &self,
        target: &Target<'_>,
        progress: &mut ProgressFn<'_>,
        total_bytes: u64,
    ) -> Result<Option<Failure>, CheckError> {
        let doing = format!("checking kernels of tier {}: {}", target.tier.name, self.name);
        let mut go_on = || progress(&Progress { doing: &doing, done_bytes: 0, total_bytes });
        if go_on().is_break() {
            return Err(BackendError::Cancelled.into());
        }
        // The oracle is slow and the cases are small: all cores at once.
        let expected: Vec<(Case, Vec<Expected>)> =
            self.cases.par_iter().map(|spec| expect(spec, target)).collect::<Result<_, _>>()?;
        for (spec, (case, expected)) in self.cases.iter().zip(&expected) {
            let failure = run_case(target, spec, case, expected, &mut go_on)?;
            if failure.is_some() {
                return Ok(failure);
            }
        }
        Ok(None)
    }
}

fn expect(spec: &CaseSpec, target: &Target<'_>) -> Result<(Case, Vec<Expected>), CaseError> {
    let case = spec.case()?;
    let record = Record::of(&spec.name, &case)?;
    let expected = expectations(&spec.name, &case, &record, &target.tier.numerics)?;
    Ok((case, expected))
}

fn run_case(
    target: &Target<'_>,
    spec: &CaseSpec,
    case: &Case,
    expected: &[Expected],
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Failure>, BackendError> {
    let mut run = || {
        // What a backend says while it prepares a case means nothing to anybody; that it asks is what lets it be cancelled.
        let mut quiet = |_: &Progress<'_>| go_on();
        without_panic(|| Ok(run_steps(target, case, &mut quiet)))
    };
    let judged = |outputs: Result<Result<Vec<StepOutput>, BackendError>, String>| match outputs {
        Ok(Ok(outputs)) => Ok((judge(case, expected, &outputs), outputs)),
        Ok(Err(error)) if is_no_fault(&error) => Err(error),
        Ok(Err(error)) => {
            Ok((Comparison { faults: vec![error.to_string()], ..Comparison::default() }, vec![]))
        }
        Err(panic) => Ok((Comparison { faults: vec![panic], ..Comparison::default() }, vec![])),
    };
    let (mut found, outputs) = judged(run())?;
    // Whole models are where timing could tell.
    if spec.group == Group::Sequences && !found.failed() {
        let (again, second) = judged(run())?;
        found.merge(again);
        if second != outputs && !found.failed() {
            found.faults.push("a second run gives other bits".to_owned());
        }
    }
    Ok(found.failed().then(|| Failure { case: spec.name.clone(), what: describe(&found) }))
}

/// Whether an error says nothing of whether kernels compute rightly.
const fn is_no_fault(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::Cancelled
            | BackendError::OutOfMemory { .. }
            | BackendError::Unsupported { .. }
            | BackendError::UnknownDevice(_)
            | BackendError::UnknownTier { .. }
            | BackendError::Setting { .. }
    )
}

/// The checks of a plan while they are being listed.
struct List<'a> {
    plan: &'a Plan,
    cache: &'a CacheOptions,
    checks: Vec<Check>,
}

impl List<'_> {
    fn knows(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name)
    }

    /// A check of cases that the catalogue has, by patterns of what their names say after the group.
    fn add(&mut self, name: String, group: Group, patterns: &[String]) {
        if self.knows(&name) {
            return;
        }
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("{group}/{pattern}")).collect();
        let mut cases = catalogue(group);
        cases.retain(|case| patterns.iter().any(|pattern| matches(pattern, &case.name)));
        self.checks.push(Check { name, cases });
    }

    fn add_case(&mut self, name: String, case: CaseSpec) {
        if !self.knows(&name) {
            self.checks.push(Check { name, cases: vec![case] });
        }
    }

    fn node(&mut self, op: &Op) {
        let format_of = |matrix: crate::plan::MatrixId| catalogued(self.plan.matrices[matrix.index()].format);
        match op {
            // Attention's cases store what they read, and mixtures' combine what they multiply.
            Op::Input(_) | Op::StoreKv(_) | Op::ExpertCombine(_) => {}
            Op::Embed(o) => {
                let f = format_of(o.table);
                let cases = [format!("{f} 300×65 times 5*"), format!("{f} 1000×192 times 1")];
                self.add(format!("embed {f}"), Group::Embed, &cases);
            }
            Op::Norm(o) => self.norm(o.kind, o.quantize.is_some()),
            Op::Linear(o) => {
                let (format, rows) = (format_of(o.matrix), self.plan.matrices[o.matrix.index()].rows);
                self.linear(format, rows);
            }
            Op::Rope(o) => {
                let layout = self.plan.ropes[o.rope.index()].layout;
                let cases =
                    [format!("llama3 {layout:?} 128 of 128"), format!("unscaled {layout:?} 32 of 80")];
                self.add(format!("rope {layout:?}"), Group::Rope, &cases);
            }
            Op::Attention(o) => self.attention(o),
            Op::Gated(o) => {
                let function = o.function;
                let cases = [format!("gated {function:?} 65"), format!("gated {function:?} 1000")];
                self.add(format!("gated {}", function.name()), Group::Elementwise, &cases);
                if o.quantize.is_some() {
                    let cases = [format!("gated {function:?} for w8a8 *")];
                    self.add(format!("gated {} to int8", function.name()), Group::Elementwise, &cases);
                }
            }
            Op::Activate(o) => {
                let cases =
                    [format!("activate {:?} 65", o.function), format!("activate {:?} 1000", o.function)];
                self.add(format!("activate {}", o.function.name()), Group::Elementwise, &cases);
            }
            Op::Add(_) => self.elementwise("add", &["add 65", "add in place 1000"]),
            Op::Scale(_) => self.elementwise("scale", &["scale 65", "scale in place 1000"]),
            Op::Softcap(_) => self.elementwise("softcap", &["softcap 65"]),
            Op::Route(o) => {
                let scoring = o.scoring;
                let cases = [
                    format!("route {scoring:?} 4 of 60*"),
                    format!("route {scoring:?} 8 of 128 renormalized"),
                ];
                self.add(format!("route {scoring:?}"), Group::Experts, &cases);
            }
            Op::ExpertLinear(o) => {
                let f = format_of(o.matrix);
                let cases = [f.to_string(), format!("{f} with bias")];
                self.add(format!("experts {f}"), Group::Experts, &cases);
            }
            Op::SelectRows(_) => {
                let cases = ["selected rows go on", "tied head"].map(str::to_owned);
                self.add("rows".to_owned(), Group::Rows, &cases);
            }
            Op::Sample(_) => {
                let cases = [
                    "greedy with bias of 300",
                    "everything of 5000",
                    "greedy with penalties of 70001",
                    "top-p of 70001",
                    "ties top-k of 5000",
                ];
                self.add("sample".to_owned(), Group::Sample, &cases.map(str::to_owned));
            }
        }
    }

    fn elementwise(&mut self, name: &str, cases: &[&str]) {
        let cases: Vec<String> = cases.iter().map(|case| (*case).to_owned()).collect();
        self.add(name.to_owned(), Group::Elementwise, &cases);
    }

    fn norm(&mut self, kind: NormKind, quantized: bool) {
        let cases = ["1000", "32 heads of 4096", "bias and offset", "add, sum kept"];
        self.add(format!("norm {kind:?}"), Group::Norm, &cases.map(|case| format!("{kind:?} {case}")));
        if quantized {
            self.add(format!("norm {kind:?} to int8"), Group::Norm, &[format!("{kind:?} everything *")]);
        }
    }

    fn linear(&mut self, f: WeightFormat, rows: usize) {
        let cases = ["33×65", "130×127", "256×256", "128×96 Everything", "33×65 ColumnsAndEverything"];
        let more = "128×96 ResidualInPlace";
        let cases: Vec<String> = cases.iter().chain([&more]).map(|case| format!("{f} {case}")).collect();
        self.add(format!("linear {f}"), Group::Linear, &cases);
        if rows >= MANY_FEATURES {
            self.add_case(format!("large linear {f}"), many_features(f));
        }
    }

    /// How operators fit together. Last, since what fails alone says more.
    fn models(&mut self) {
        let attends = |op: &Op| matches!(op, Op::Attention(_));
        if !self.plan.nodes.iter().any(|node| attends(&node.op)) {
            return;
        }
        for node in &self.plan.nodes {
            if let Op::Linear(o) = &node.op {
                let f = catalogued(self.plan.matrices[o.matrix.index()].format);
                self.add(
                    format!("model {f}"),
                    Group::Sequences,
                    &[format!("llama-like {f}, cache *, fused")],
                );
            }
        }
    }

    fn attention(&mut self, op: &Attention) {
        let shape: Cache = self.plan.caches[op.cache.index()];
        let own = attention_like(op, shape, self.rotation(op.cache), self.cache);
        let name = own.name.replacen('/', " ", 1);
        self.add_case(name, own);
        let format = self.cache.format;
        self.add(format!("long attention {format}"), Group::Attention, &[format!("long {format}")]);
        self.add(format!("pages {format}"), Group::Pages, &[format!("{format} 16 run ahead")]);
    }

    /// How keys are rotated on their way into a cache.
    fn rotation(&self, cache: CacheId) -> Option<RopeLayout> {
        self.plan.nodes.iter().find_map(|node| match &node.op {
            Op::StoreKv(store) if store.cache == cache => {
                store.rotate.as_ref().map(|rotate| self.plan.ropes[rotate.rope.index()].layout)
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::ReferenceBackend;
    use crate::{Backend, no_progress};

    /// Plans that together have every operator, in every format.
    fn plans() -> Vec<std::sync::Arc<Plan>> {
        let wanted = |name: &str| matches("sequences/*-like *", name) || matches("sequences/scaled*", name);
        let specs = catalogue(Group::Sequences).into_iter().filter(|spec| wanted(&spec.name));
        specs.map(|spec| spec.case().unwrap().plan).collect()
    }

    #[test]
    fn every_check_has_cases_and_a_name_of_its_own() {
        for plan in plans() {
            let checks = checks(&plan, &CacheOptions::default());
            for (index, check) in checks.iter().enumerate() {
                assert!(!check.cases.is_empty(), "{}", check.name);
                assert!(checks[..index].iter().all(|other| other.name != check.name), "{}", check.name);
            }
            let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
            let has = |part: &str| names.iter().any(|name| name.contains(part));
            assert!(has("linear ") && has("attention ") && has("sample") && has("model "), "{names:?}");
        }
    }

    #[test]
    fn the_oracle_passes_its_own_checks() {
        let device = ReferenceBackend.devices().remove(0);
        let target = Target { backend: &ReferenceBackend, tier: device.tiers[0].clone(), device };
        let plan = plans().remove(0);
        let checks = checks(&plan, &CacheOptions::default());
        for check in checks {
            assert_eq!(check.run(&target, &mut no_progress, 0).unwrap(), None, "{}", check.name);
        }
    }

    #[test]
    fn checks_can_be_cancelled() {
        let device = ReferenceBackend.devices().remove(0);
        let target = Target { backend: &ReferenceBackend, tier: device.tiers[0].clone(), device };
        let checks = checks(&plans().remove(0), &CacheOptions::default());
        let mut asked = 0;
        let mut stop = |progress: &Progress<'_>| {
            assert!(progress.doing.contains("checking kernels of tier reference"), "{}", progress.doing);
            asked += 1;
            if asked > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let cancelled = checks[1].run(&target, &mut stop, 0);
        assert!(matches!(cancelled, Err(CheckError::Backend(BackendError::Cancelled))));
    }
}
