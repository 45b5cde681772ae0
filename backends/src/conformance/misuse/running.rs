//! Calls out of order, page copies that cannot be, numbers that are no numbers; and how a runner reports
//! on itself.

use super::{Check, Verdict, Victim, check, must_fail};
use crate::batch::{Batch, LogitRows};
use crate::conformance::case::{Case, NO_CACHE, Step, input_batch, plain_rows};
use crate::conformance::run::prepare;
use crate::conformance::target::Target;
use crate::plan::PlanBuilder;
use crate::sampling::Sampling;
use crate::weights::WeightMap;
use crate::{BackendError, PageCopy, StepOutput, Ticket};

pub(super) fn checks() -> Vec<(String, Check)> {
    vec![
        check("tickets out of order", tickets),
        check("too far ahead", too_far_ahead),
        check("copies of pages that are not there", |target, victim| {
            victim.goes_on_after(target, |runner| {
                for (from, to) in [(40, 0), (0, 40), (u32::MAX, 1), (1, u32::MAX)] {
                    // A good copy before the bad one: none of them may be made.
                    let copies = [PageCopy { from: 0, to: 0 }, PageCopy { from, to }];
                    must_fail("a copy", runner.copy_pages(&copies), |e| {
                        matches!(e, BackendError::NoSuchPage { page: 40 | u32::MAX, pages: 40 })
                    })?;
                }
                Ok(())
            })
        }),
        check("a refused copy copies nothing", |target, victim| {
            victim.goes_on_after(target, |runner| {
                // These would overwrite the first pages of both sequences.
                let pages = victim.batch(2).sequences;
                let mut copies =
                    pages.iter().map(|s| PageCopy { from: 39, to: s.pages[0] }).collect::<Vec<_>>();
                copies.push(PageCopy { from: 0, to: 41 });
                must_fail("a copy", runner.copy_pages(&copies), |e| {
                    matches!(e, BackendError::NoSuchPage { page: 41, .. })
                })
            })
        }),
        check("logits that are no numbers", not_finite),
        check("profiles", profiles),
        check("reports on itself", reports),
        check("two runners at once", two_runners),
    ]
}

fn tickets(target: &Target<'_>, victim: &Victim) -> Verdict {
    let wrong = |e: &BackendError| matches!(e, BackendError::WrongTicket(_));
    victim.goes_on_after(target, |runner| {
        must_fail("a ticket that nobody had", runner.collect(Ticket::new(1_000_000)), wrong)
    })?;
    let mut runner = prepare(target, &victim.case).map_err(|e| e.to_string())?;
    let submitted = runner.submit(&victim.batch(0)).and_then(|a| Ok((a, runner.submit(&victim.batch(1))?)));
    let (first, second) = submitted.map_err(|e| e.to_string())?;
    let number = first.number();
    must_fail("the second ticket first", runner.collect(Ticket::new(second.number())), wrong)?;
    let output = runner.collect(first).map_err(|e| format!("the first ticket afterwards: {e}"))?;
    victim.judge(0, &output, victim.expected.first())?;
    must_fail("the same ticket twice", runner.collect(Ticket::new(number)), wrong)?;
    let output = runner.collect(second).map_err(|e| format!("the second ticket: {e}"))?;
    victim.judge(1, &output, victim.expected.get(1))?;
    must_fail("a ticket with nothing under way", runner.collect(Ticket::new(number)), wrong)
}

fn too_far_ahead(target: &Target<'_>, victim: &Victim) -> Verdict {
    let mut runner = prepare(target, &victim.case).map_err(|e| e.to_string())?;
    let submitted = runner.submit(&victim.batch(0)).and_then(|a| Ok((a, runner.submit(&victim.batch(1))?)));
    let (first, second) = submitted.map_err(|e| format!("one step ahead: {e}"))?;
    let ahead = |e: &BackendError| matches!(e, BackendError::TooFarAhead);
    must_fail("a third step", runner.submit(&victim.batch(2)), ahead)?;
    for (index, ticket) in [first, second].into_iter().enumerate() {
        let output = runner.collect(ticket).map_err(|e| e.to_string())?;
        victim.judge(index, &output, victim.expected.get(index))?;
    }
    let output = runner.step(&victim.batch(2)).map_err(|e| e.to_string())?;
    victim.judge(2, &output, victim.expected.get(2))
}

/// Samples from the caller's own rows.
fn sampling_case() -> Result<Case, String> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("logits", 9);
    let selected = plan.select_rows(x);
    plan.hand_out_logits(selected);
    plan.sample(selected);
    let plan = plan.finish().map_err(|e| e.to_string())?;
    let mut batch = input_batch(&plan, 2, |count| (0..count).map(|i| i as f32).collect());
    batch.sequences = vec![plain_rows(1), plain_rows(1)];
    batch.sequences[0].logits = LogitRows::Last;
    batch.sequences[1].sample = Some(Sampling::greedy());
    Ok(Case::new(plan, WeightMap::default(), NO_CACHE, vec![Step::Run(batch)]))
}

/// Sampling from what is not finite is an error that names the sequence; handing such logits out is not.
fn not_finite(target: &Target<'_>, _: &Victim) -> Verdict {
    let case = sampling_case()?;
    let Some(good) = case.batches().next() else { return Err("no batch".to_owned()) };
    let mut runner = prepare(target, &case).map_err(|e| e.to_string())?;
    let sound = |output: StepOutput| {
        if output.tokens == [None, Some(8)] { Ok(()) } else { Err(format!("then {:?}", output.tokens)) }
    };
    for temperature in [0.0, 1.0] {
        for broken in [f32::NAN, f32::INFINITY] {
            let mut bad: Batch = good.clone();
            bad.inputs[0].data[13] = broken;
            if let Some(options) = &mut bad.sequences[1].sample {
                options.temperature = temperature;
            }
            must_fail(&format!("a logit of {broken} at {temperature}"), runner.step(&bad), |e| {
                matches!(e, BackendError::NotFinite { sequence: 1 })
            })?;
            sound(runner.step(good).map_err(|e| e.to_string())?)?;
            // Passed on, not hidden.
            let mut passed = good.clone();
            passed.inputs[0].data[3] = broken;
            let output = runner.step(&passed).map_err(|e| format!("{broken} handed out: {e}"))?;
            let shown = output.logits.first().and_then(|logits| logits.get(3)).copied();
            if shown.map(f32::to_bits) != Some(broken.to_bits())
                && !shown.is_some_and(|s| s.is_nan() && broken.is_nan())
            {
                return Err(format!("{broken} is handed out as {shown:?}"));
            }
            sound(output)?;
        }
    }
    let mut bad = good.clone();
    bad.inputs[0].data[9..].fill(f32::NEG_INFINITY);
    let all = |e: &BackendError| matches!(e, BackendError::NotFinite { sequence: 1 });
    must_fail("logits of -∞ only", runner.step(&bad), all)?;
    sound(runner.step(good).map_err(|e| e.to_string())?)
}

/// Times per node, when they are asked for, and the same results with them.
fn profiles(target: &Target<'_>, victim: &Victim) -> Verdict {
    let mut on = false;
    let nodes = victim.case.plan.nodes.len();
    victim.goes_on_after(target, |runner| {
        let profile = runner.profile();
        match (on, profile) {
            (false, Some(_)) => return Err("a profile that nobody asked for".to_owned()),
            (true, Some(profile)) => {
                let sound = profile.seconds.iter().all(|s| s.is_finite() && *s >= 0.0);
                if profile.seconds.len() != nodes || !sound {
                    return Err(format!(
                        "{} times for {nodes} nodes: {:?}",
                        profile.seconds.len(),
                        profile.seconds
                    ));
                }
            }
            // A step without profiling may lie between, and some drivers have no timers.
            (_, None) => {}
        }
        on = true;
        runner.set_profiling(true);
        Ok(())
    })
}

/// What a runner says of itself is what the plan and the device said before.
fn reports(target: &Target<'_>, victim: &Victim) -> Verdict {
    let runner = prepare(target, &victim.case).map_err(|e| e.to_string())?;
    if runner.numerics() != target.tier.numerics {
        return Err(format!("numerics of {:?}, the tier has {:?}", runner.numerics(), target.tier.numerics));
    }
    let planned = victim.case.plan.footprint(&victim.case.cache, &victim.case.limits);
    let held = runner.memory();
    // Padding and tables cost something; weights and cache cannot take less than they are.
    if held.weights < planned.weights || held.cache < planned.cache || held.total() == 0 {
        return Err(format!("holds {held}, planned {planned}"));
    }
    Ok(())
}

/// Runners of the same plan share nothing that a step changes.
fn two_runners(target: &Target<'_>, victim: &Victim) -> Verdict {
    let mut other = prepare(target, &victim.case).map_err(|e| e.to_string())?;
    let first = victim.batch(0);
    victim.goes_on_after(target, |_| {
        let mut disturbing = first.clone();
        if let crate::Tokens::Ids(ids) = &mut disturbing.sequences[0].tokens {
            ids.reverse();
        }
        other.step(&disturbing).map(|_| ()).map_err(|e| e.to_string())
    })
}
