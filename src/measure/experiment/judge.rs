//! What is expected of an experiment, in numbers, and whether it was so.

use super::Experiment;
use super::types::{Claim, Curve, Gain, Part};
use crate::measure::operators::Limit;
use crate::measure::table::{number, percent};

/// A gain is as expected within this share of it.
const NEAR: f64 = 0.25;
/// Below this a gain has ended: it is no more than what a machine varies by.
const ENDED: f64 = 1.1;
/// What is not slower may be by this share, which machines vary by between turns.
const SAME: f64 = 0.05;
/// Attention by itself, which is timed more coarsely, may be by this share.
const SAME_ATTENTION: f64 = 0.1;
/// Bytes are counted, not measured.
const SAME_BYTES: f64 = 0.02;
/// Bytes of an entry of a page table.
const TABLE_ENTRY: f64 = 4.0;

/// What is expected of an experiment on a device, beside what was found there.
pub(super) fn claims(experiment: Experiment, part: &Part) -> Vec<Claim> {
    let pairs = part.against_the_first();
    match experiment {
        Experiment::WeightOnly => pairs.flat_map(|(first, curve)| weight_only(first, curve)).collect(),
        Experiment::W8a8 => pairs.flat_map(|(first, curve)| w8a8(first, curve)).collect(),
        Experiment::Fusion => pairs.flat_map(|(first, curve)| fusion(first, curve)).collect(),
        Experiment::Pages => pairs.flat_map(|(first, curve)| pages(first, curve)).collect(),
        Experiment::Cache => pairs.flat_map(|(first, curve)| cache(first, curve)).collect(),
    }
}

fn weight_only(first: &Curve, curve: &Curve) -> Vec<Claim> {
    let gains = curve.gains_over(first);
    let ends = |gain: fn(&Gain) -> f64| gains.iter().position(|one| gain(one) < ENDED);
    let (expected, found) = (ends(|gain| gain.expected), ends(|gain| gain.found));
    let told = |place: Option<usize>| match place {
        Some(place) => format!("it ends at {} rows", gains[place].size),
        None => "it does not end".to_owned(),
    };
    let ridge = first
        .peaks
        .ridge()
        .map_or_else(|| "unknown".to_owned(), |ridge| format!("{} op/byte", number(ridge)));
    let mut claims: Vec<Claim> =
        gains.first().map(|gain| near(first, curve, gain, &why_bytes(first, curve, 0))).into_iter().collect();
    claims.push(Claim {
        expected: format!(
            "{}: the gain ends (falls below {ENDED}) where the model says, or one size beside: {}",
            curve.label,
            told(expected)
        ),
        why: format!(
            "{} turns a step from bound by memory into bound by arithmetic at the ridge, which is {ridge} here",
            first.label
        ),
        found: told(found),
        held: both_rates(first, curve).then_some(match (expected, found) {
            (None, None) => true,
            (Some(expected), Some(found)) => expected.abs_diff(found) <= 1,
            // Beyond the last size may be one size beside the last.
            (Some(place), None) | (None, Some(place)) => place + 1 == gains.len(),
        }),
    });
    claims
}

fn w8a8(first: &Curve, curve: &Curve) -> Vec<Claim> {
    let gains = curve.gains_over(first);
    let rate = |curve: &Curve| {
        let rate = curve.peaks.operations_per_second;
        rate.map_or_else(|| "an unknown rate".to_owned(), |rate| format!("{} GFLOP/s", number(rate / 1e9)))
    };
    let rates = format!(
        "the best product reaches {} in {} and {} in {}",
        rate(curve),
        curve.label,
        rate(first),
        first.label
    );
    let mut claims = vec![];
    if let [few, .., many] = gains.as_slice() {
        claims.push(near(first, curve, few, &why_bytes(first, curve, 0)));
        let mut of_rates = near(first, curve, many, &rates);
        of_rates.held = of_rates.held.filter(|_| both_rates(first, curve));
        claims.push(of_rates);
    }
    claims.extend(not_slower(first, curve, &gains, SAME, "it reads less, and its products are no slower"));
    claims
}

fn fusion(first: &Curve, curve: &Curve) -> Vec<Claim> {
    let gains = curve.gains_over(first);
    let fewer = first.operators.saturating_sub(curve.operators);
    let why = format!("{fewer} of {} operators are not launched, and no bytes are added", first.operators);
    let mut claims: Vec<Claim> = not_slower(first, curve, &gains, SAME, &why).into_iter().collect();
    if let Some(many) = gains.last() {
        let why = format!(
            "{}; launching costs nothing beside so many rows",
            why_bytes(first, curve, gains.len() - 1)
        );
        claims.push(near(first, curve, many, &why));
    }
    claims
}

fn pages(first: &Curve, curve: &Curve) -> Vec<Claim> {
    let table = TABLE_ENTRY / curve.page_bytes.max(1) as f64;
    let why = format!("both read the same bytes, and the table of pages adds {:.4} % to them", 100.0 * table);
    let attention = curve.attention_gains_over(first);
    let of_attention = not_slower(first, curve, &attention, SAME_ATTENTION, &why).map(|mut claim| {
        claim.expected = format!("attention with {}", claim.expected);
        claim
    });
    let step = not_slower(first, curve, &curve.gains_over(first), SAME, &why).map(|mut claim| {
        claim.expected = format!("a step with {}", claim.expected);
        claim
    });
    let expected = || format!("attention with {} takes as long as with {}", curve.label, first.label);
    std::iter::once(of_attention.unwrap_or_else(|| without_clock(expected(), &why))).chain(step).collect()
}

fn cache(first: &Curve, curve: &Curve) -> Vec<Claim> {
    let mut claims = vec![];
    let attention = curve.attention_gains_over(first);
    if let Some(longest) = attention.last() {
        let bytes = curve.page_bytes as f64 / first.page_bytes.max(1) as f64;
        // Where the floors differ as the bytes do, bytes are what they are made of.
        let limit = if longest.expected * bytes > 1.0 - SAME { Limit::Memory } else { Limit::Compute };
        let why = format!(
            "a token takes {} of the bytes in the cache, and at the measured peaks the limit of attention is {}",
            percent(Some(bytes)),
            limit.name()
        );
        let mut claim = near(first, curve, longest, &why);
        claim.expected = format!("attention: {}", claim.expected);
        claims.push(claim);
    } else {
        let expected = format!("attention with {} is quicker than with {}", curve.label, first.label);
        claims.push(without_clock(expected, "a token takes fewer bytes in the cache"));
    }
    let steps = curve.gains_over(first);
    if let Some(longest) = steps.last() {
        claims.push(near(first, curve, longest, &why_bytes(first, curve, steps.len() - 1)));
    }
    let planned = curve.planned_cache_bytes as f64 / first.planned_cache_bytes.max(1) as f64;
    let held = curve.cache_bytes as f64 / first.cache_bytes.max(1) as f64;
    claims.push(Claim {
        expected: format!(
            "{} takes {} of the memory of {}",
            curve.label,
            percent(Some(planned)),
            first.label
        ),
        why: "a code per element, and a scale per token and head".to_owned(),
        found: percent(Some(held)),
        held: Some((held / planned - 1.0).abs() <= SAME_BYTES),
    });
    claims
}

/// A claim about attention that cannot be judged.
fn without_clock(expected: String, why: &str) -> Claim {
    Claim { expected, why: why.to_owned(), found: "the device has no clock for it".to_owned(), held: None }
}

/// Whether it is known how fast both compute. What is expected where arithmetic is the limit cannot be judged without.
const fn both_rates(first: &Curve, curve: &Curve) -> bool {
    first.peaks.operations_per_second.is_some() && curve.peaks.operations_per_second.is_some()
}

/// What two variants read at a size, as a reason.
fn why_bytes(first: &Curve, curve: &Curve, place: usize) -> String {
    let bytes = |curve: &Curve| curve.points.get(place).map_or(f64::NAN, |point| point.step.bytes);
    format!("a step moves {} MB instead of {} MB", number(bytes(curve) / 1e6), number(bytes(first) / 1e6))
}

/// The gain at one size is near what the model says.
fn near(first: &Curve, curve: &Curve, gain: &Gain, why: &str) -> Claim {
    Claim {
        expected: format!(
            "{} is {} times as quick as {} at {}, within {:.0} %",
            curve.label,
            number(gain.expected),
            first.label,
            gain.size,
            100.0 * NEAR
        ),
        why: why.to_owned(),
        found: format!("{} times", number(gain.found)),
        held: Some((gain.found / gain.expected - 1.0).abs())
            .filter(|off| off.is_finite())
            .map(|off| off <= NEAR),
    }
}

/// At no size is it slower than the first, but for a margin; none where nothing was timed.
fn not_slower(first: &Curve, curve: &Curve, gains: &[Gain], margin: f64, why: &str) -> Option<Claim> {
    let worst = gains.iter().min_by(|a, b| a.found.total_cmp(&b.found))?;
    Some(Claim {
        expected: format!(
            "{} is nowhere slower than {}, within {:.0} %",
            curve.label,
            first.label,
            100.0 * margin
        ),
        why: why.to_owned(),
        found: format!("at worst {} times as quick, at {}", number(worst.found), worst.size),
        held: Some(worst.found >= 1.0 - margin),
    })
}
