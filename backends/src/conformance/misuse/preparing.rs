//! Plans, weights and options that cannot be prepared.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Check, Verdict, Victim, check, must_fail, shared};
use crate::conformance::target::Target;
use crate::format::PackedMatrix;
use crate::plan::{BatchLimits, Element, Op, Plan, PlanError};
use crate::{
    BackendError, DeviceId, MatrixRequest, PrepareOptions, Progress, Runner, WeightError, WeightSource,
    no_progress,
};

pub(super) fn checks() -> Vec<(String, Check)> {
    vec![
        check("a device that is not there", |target, victim| {
            let device = DeviceId { backend: target.device.id.backend, index: 999 };
            let result = victim.prepare_on(target, &device, &victim.options(target), &victim.case.weights);
            must_fail("device 999", result, |e| matches!(e, BackendError::UnknownDevice(_)))?;
            let device = DeviceId { backend: "nobody", index: 0 };
            let result = victim.prepare_on(target, &device, &victim.options(target), &victim.case.weights);
            must_fail("another backend's device", result, |e| matches!(e, BackendError::UnknownDevice(_)))
        }),
        check("inputs that are no numbers", strange_inputs),
        check("a tier that is not there", |target, victim| {
            let options = PrepareOptions { tier: Some("none".to_owned()), ..victim.options(target) };
            let result = victim.prepare_on(target, &target.device.id, &options, &victim.case.weights);
            let named = |e: &BackendError| match e {
                BackendError::UnknownTier { tier, available, .. } => {
                    tier == "none" && available.contains(&target.tier.name)
                }
                _ => false,
            };
            must_fail("tier `none`", result, named)
        }),
        check("missing weights", missing_weights),
        check("weights of a wrong size", wrong_sizes),
        check("a source that hands out something else", |target, victim| {
            refuses_source(target, victim, Wrong::OtherRows)?;
            refuses_source(target, victim, Wrong::OtherCols)?;
            refuses_source(target, victim, Wrong::OtherFormat)?;
            refuses_source(target, victim, Wrong::ShortVector)
        }),
        check("cancelled", cancelled),
        check("cache options", cache_options),
        check("more memory than there is", too_much),
        check("limits of nothing", no_limits),
        check("plans that are not sound", unsound),
    ]
}

impl Victim {
    fn options(&self, target: &Target<'_>) -> PrepareOptions {
        self.case.prepare_options(Some(&target.tier.name))
    }

    fn prepare_on(
        &self,
        target: &Target<'_>,
        device: &DeviceId,
        options: &PrepareOptions,
        weights: &dyn WeightSource,
    ) -> Result<Box<dyn Runner>, BackendError> {
        target.backend.prepare(device, shared(&self.case), weights, options, &mut no_progress)
    }
}

/// Weights in which one tensor is not what it should be.
struct Without<'a> {
    weights: &'a dyn WeightSource,
    tensor: String,
    error: fn(String) -> WeightError,
}

impl WeightSource for Without<'_> {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        if request.tensor == self.tensor {
            return Err((self.error)(self.tensor.clone()));
        }
        self.weights.matrix(request)
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        if tensor == self.tensor {
            return Err((self.error)(self.tensor.clone()));
        }
        self.weights.vector(tensor, len)
    }
}

/// Every tensor of a plan.
fn tensors(plan: &Plan) -> Vec<String> {
    let matrices = plan.matrices.iter().flat_map(|m| m.parts.iter().map(|part| part.tensor.clone()));
    let vectors = plan.vectors.iter().flat_map(|v| v.parts.iter().map(|(tensor, _)| tensor.clone()));
    matrices.chain(vectors).collect()
}

fn missing_weights(target: &Target<'_>, victim: &Victim) -> Verdict {
    for tensor in tensors(&victim.case.plan) {
        for error in [WeightError::Missing, |tensor| WeightError::Damaged { tensor, fault: "torn".into() }] {
            let weights = Without { weights: &victim.case.weights, tensor: tensor.clone(), error };
            let result = victim.prepare_on(target, &target.device.id, &victim.options(target), &weights);
            // The source's own error, which names the tensor, is to arrive as it is.
            must_fail(&format!("a model without {tensor}"), result, |e| match e {
                BackendError::Weights(e) => e.to_string() == error(tensor.clone()).to_string(),
                _ => false,
            })?;
        }
    }
    Ok(())
}

fn wrong_sizes(target: &Target<'_>, victim: &Victim) -> Verdict {
    for tensor in tensors(&victim.case.plan) {
        let mut weights = victim.case.weights.clone();
        weights.insert(tensor.clone(), 3, vec![1.0; 3]);
        let result = victim.prepare_on(target, &target.device.id, &victim.options(target), &weights);
        must_fail(
            &format!("a {tensor} of 1×3"),
            result,
            |e| matches!(e, BackendError::Weights(WeightError::Shape { tensor: t, .. }) if *t == tensor),
        )?;
    }
    Ok(())
}

/// What a source gets wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    OtherRows,
    OtherCols,
    OtherFormat,
    ShortVector,
}

struct WrongSource<'a> {
    weights: &'a dyn WeightSource,
    wrong: Wrong,
}

impl WeightSource for WrongSource<'_> {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let (mut rows, mut cols, mut format) = (request.rows.len(), request.cols, request.format);
        match self.wrong {
            Wrong::OtherRows => rows += 1,
            Wrong::OtherCols => cols += 1,
            Wrong::OtherFormat => format = crate::format::WeightFormat::Nf4,
            Wrong::ShortVector => return self.weights.matrix(request),
        }
        PackedMatrix::quantize(format, rows, cols, &vec![0.5; rows * cols])
            .map_err(|source| WeightError::Format { tensor: request.tensor.to_owned(), source })
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        let mut vector = self.weights.vector(tensor, len)?;
        if self.wrong == Wrong::ShortVector {
            vector.pop();
        }
        Ok(vector)
    }
}

fn refuses_source(target: &Target<'_>, victim: &Victim, wrong: Wrong) -> Verdict {
    let weights = WrongSource { weights: &victim.case.weights, wrong };
    let result = victim.prepare_on(target, &target.device.id, &victim.options(target), &weights);
    must_fail(&format!("{wrong:?}"), result, |e| {
        matches!(e, BackendError::Weights(_) | BackendError::Format(_))
    })
}

/// Breaks off at every report of progress there is, and checks the reports on the way.
fn cancelled(target: &Target<'_>, victim: &Victim) -> Verdict {
    let options = victim.options(target);
    let prepare = |progress: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>| {
        let plan = shared(&victim.case);
        target.backend.prepare(&target.device.id, plan, &victim.case.weights, &options, &mut |p| progress(p))
    };
    let (mut reports, mut faults, mut last) = (0u32, vec![], 0u64);
    let result = prepare(&mut |p| {
        reports += 1;
        if p.done_bytes > p.total_bytes || p.done_bytes < last || p.doing.is_empty() {
            faults.push(format!("progress of {} after {last} of {}", p.done_bytes, p.total_bytes));
        }
        last = p.done_bytes;
        ControlFlow::Continue(())
    });
    result.map_err(|e| e.to_string())?;
    if let Some(fault) = faults.pop() {
        return Err(fault);
    }
    if reports == 0 {
        return Err("no progress is reported".to_owned());
    }
    for stop in [1, reports / 2 + 1, reports] {
        let mut calls = 0;
        let result = prepare(&mut |_| {
            calls += 1;
            if calls >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let what = format!("breaking off at report {stop} of {reports}");
        must_fail(&what, result, |e| matches!(e, BackendError::Cancelled))?;
    }
    Ok(())
}

fn cache_options(target: &Target<'_>, victim: &Victim) -> Verdict {
    let good = victim.options(target);
    for (pages, page_tokens) in [(0, 4), (4, 0), (0, 0), (usize::MAX, 4), (4, usize::MAX)] {
        let mut options = good.clone();
        options.cache.pages = pages;
        options.cache.page_tokens = page_tokens;
        let result = victim.prepare_on(target, &target.device.id, &options, &victim.case.weights);
        must_fail(&format!("{pages} pages of {page_tokens} tokens"), result, |e| {
            matches!(
                e,
                BackendError::CacheOptions(_)
                    | BackendError::OutOfMemory { .. }
                    | BackendError::TooLarge { .. }
                    | BackendError::Format(_)
            )
        })?;
    }
    Ok(())
}

/// A cache and limits that no machine has the memory for, though every number can be counted.
fn too_much(target: &Target<'_>, victim: &Victim) -> Verdict {
    let right = |e: &BackendError| match e {
        BackendError::OutOfMemory { needed, available, advice, .. } => {
            needed > available && !advice.is_empty()
        }
        BackendError::TooLarge { needed, limit, advice, .. } => needed > limit && !advice.is_empty(),
        BackendError::Format(_) => true,
        _ => false,
    };
    let mut options = victim.options(target);
    options.cache.pages = 1 << 31;
    options.cache.page_tokens = 1 << 14;
    let result = victim.prepare_on(target, &target.device.id, &options, &victim.case.weights);
    must_fail("an absurd cache", result, right)?;
    let mut options = victim.options(target);
    options.limits = BatchLimits { rows: 1 << 44, selected: 1 << 44, sequences: 1 };
    let result = victim.prepare_on(target, &target.device.id, &options, &victim.case.weights);
    must_fail("absurd limits", result, right)
}

/// A runner for no rows may be refused, or it refuses every batch.
fn no_limits(target: &Target<'_>, victim: &Victim) -> Verdict {
    let mut options = victim.options(target);
    options.limits = BatchLimits { rows: 0, selected: 0, sequences: 0 };
    match victim.prepare_on(target, &target.device.id, &options, &victim.case.weights) {
        Err(_) => Ok(()),
        Ok(mut runner) => must_fail("a batch beyond limits of 0", runner.step(&victim.batch(0)), |e| {
            matches!(e, BackendError::Batch(crate::BatchError::TooMany { .. }))
        }),
    }
}

type Break = fn(&mut Plan);

/// Plans that nobody checked before, each broken in one place.
fn unsound(target: &Target<'_>, victim: &Victim) -> Verdict {
    let breaks: [(&str, Break); 9] = [
        ("no nodes", |p| p.nodes.clear()),
        ("a matrix too narrow", |p| p.matrices[1].cols -= 1),
        ("a matrix of nothing", |p| p.matrices[1].rows = 0),
        ("a matrix beyond memory", |p| p.matrices[1].rows = usize::MAX),
        ("a vector too long", |p| p.vectors[0].len += 1),
        ("a value used before it is written", |p| p.nodes.swap(0, 1)),
        ("a tap that nobody writes", |p| {
            p.values.push(p.values[0].clone());
            p.taps.push(crate::plan::ValueId(p.values.len() as u32 - 1));
        }),
        ("columns beyond their value", |p| {
            for node in &mut p.nodes {
                if let Op::Linear(linear) = &mut node.op {
                    linear.input.first = usize::MAX;
                }
            }
        }),
        ("a cache of no heads", |p| p.caches[0].kv_heads = 0),
    ];
    for (what, spoil) in breaks {
        let mut plan = (*victim.case.plan).clone();
        spoil(&mut plan);
        let options = victim.options(target);
        let result = target.backend.prepare(
            &target.device.id,
            Arc::new(plan),
            &victim.case.weights,
            &options,
            &mut no_progress,
        );
        must_fail(what, result, |e| matches!(e, BackendError::Plan(_)))?;
    }
    Ok(())
}

/// Callers supply numbers: inputs of codes or of indices are refused by everybody, and with the same error.
fn strange_inputs(target: &Target<'_>, _: &Victim) -> Verdict {
    let case = super::batches::input_case()?;
    for element in [Element::Int8Rows, Element::Index] {
        let mut plan = (*case.plan).clone();
        for value in plan.inputs().collect::<Vec<_>>() {
            plan.values[value.index()].shape.element = element;
        }
        // Nothing else that could be wrong with it.
        plan.nodes.retain(|node| matches!(node.op, Op::Input(_)));
        plan.taps = plan.inputs().collect();
        let options =
            PrepareOptions { cache: case.cache, limits: case.limits, tier: Some(target.tier.name.clone()) };
        let device = &target.device.id;
        let result =
            target.backend.prepare(device, Arc::new(plan), &case.weights, &options, &mut no_progress);
        must_fail(&format!("an input of {element:?}"), result, |e| {
            matches!(e, BackendError::Plan(PlanError::Unsound { .. }))
        })?;
    }
    Ok(())
}
