//! What a case's results should be, and how near is near enough.
//!
//! A value whose producer read nothing but exact numbers has that node's local tolerance. For any other
//! the errors of all nodes before it add up in ways that no formula follows, so the tolerance is found by
//! experiment, **in the oracle alone**: it runs the case again a few times with every node's outputs moved
//! at random within their local tolerances, and the tolerance of a row is four times the largest
//! deviation that any of its elements showed. The backend under test plays no part in it.
//!
//! Why four: of eight runs, the largest deviation of a row of tens of elements lies above one standard
//! deviation of what such errors do together; a backend's own deviation is another draw of the same kind
//! (and usually much smaller, since local tolerances are bounds), and four times lets none of them fail by
//! chance. An element's tolerance is never below the local one of the node that wrote it, which covers
//! rows that the experiment happened not to move.
//!
//! Where activations are rounded to int8, errors do not add up but jump: nearly always a code stays what it is, and what comes
//! after is exact again; now and then one becomes its neighbour, as likely in any row as in any other. Eight runs show how far that
//! carries, but not in every row. So rows of such plans share the largest deviation that any row of the value showed.

use super::case::{Case, CaseError};
use super::draw::Draw;
use super::record::{Event, Record, StepRecord};
use super::tolerance::{Local, RoutedRow, Routing};
use crate::batch::LogitRows;
use crate::format::WeightFormat;
use crate::plan::{Element, Op, Plan, ValueId};
use crate::sampling::Sampling;
use crate::{Numerics, Tokens};

/// How often the oracle repeats a case with noise.
const NOISY_RUNS: u64 = 8;
/// What the largest deviation of those runs is multiplied by.
const SAFETY: f64 = 4.0;

/// What one step should give.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub taps: Vec<ExpectedTap>,
    /// Logits of one row.
    pub(crate) vocabulary: usize,
    /// For each sequence, its logits.
    pub logits: Vec<Numbers>,
    /// For each sequence, its draw.
    pub draws: Vec<Option<Draw>>,
}

/// What a tap should hold.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedTap {
    pub name: String,
    /// Elements per row, all slots.
    pub row: usize,
    pub content: Content,
}

/// The kinds of taps.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Numbers(Numbers),
    /// Whole numbers that leave no room.
    Indices(Vec<u32>),
    /// The experts that rows chose.
    Experts(Box<ExpectedChoice>),
}

/// Experts, and the tap that holds their weights, where there is one.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedChoice {
    pub rows: Vec<RoutedRow>,
    pub routing: Routing,
    /// The place of the weights among the taps.
    pub weights: Option<usize>,
    pub numerics: Numerics,
}

/// Numbers and what each may differ by.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Numbers {
    pub values: Vec<f64>,
    pub tolerance: Vec<f64>,
}

/// What every step of a case should give on a device with these numerics.
pub(crate) fn expectations(
    name: &str,
    case: &Case,
    record: &Record,
    numerics: &Numerics,
) -> Result<Vec<Expected>, CaseError> {
    let locals = local_tolerances(case, record, numerics);
    let plan = &*record.plan;
    let routes = plan.nodes.iter().filter_map(|node| match &node.op {
        Op::Route(route) if plan.taps.contains(&route.experts) => Some(route.logits.value),
        _ => None,
    });
    // A choice is judged by how well its logits are known, so those count as handed out.
    let handed_out = plan.taps.iter().chain(&plan.logits).copied().chain(routes).collect::<Vec<_>>();
    let needs_experiment =
        handed_out.iter().any(|value| !locals.direct[value.index()]) && !locals.slack.is_empty();
    let mut tolerance = locals.slack.clone();
    if needs_experiment {
        let spread = spread(name, case, record, &locals.slack, &handed_out)?;
        for (step, spread) in tolerance.iter_mut().zip(spread) {
            for (value, spread) in spread {
                if !locals.direct[value.index()] {
                    let own = &mut step[value.index()];
                    own.iter_mut().zip(spread).for_each(|(own, spread)| *own = own.max(SAFETY * spread));
                }
            }
        }
    }
    let steps = record.steps().zip(&tolerance);
    steps.map(|(step, tolerance)| expected(name, plan, record, step, tolerance, numerics)).collect()
}

/// Local tolerances of a run.
struct Locals {
    /// Per step and value, one number per element.
    slack: Vec<Vec<Vec<f64>>>,
    /// Values whose producers read only exact numbers in every step.
    direct: Vec<bool>,
}

fn local_tolerances(case: &Case, record: &Record, numerics: &Numerics) -> Locals {
    let plan = &*record.plan;
    let mut local = Local::new(plan, &record.weights, &case.cache, numerics);
    let mut slack = vec![];
    let mut direct = vec![true; plan.values.len()];
    let mut exact = vec![true; plan.values.len()];
    let mut exact_cache = vec![true; plan.caches.len()];
    for event in &record.events {
        let step = match event {
            Event::Copy(copies) => {
                local.copy_pages(copies);
                continue;
            }
            Event::Step(step) => step,
        };
        let mut values = vec![vec![]; plan.values.len()];
        for node in &plan.nodes {
            let mut inputs_exact = node.op.inputs().iter().all(|o| exact[o.value.index()]);
            match &node.op {
                Op::StoreKv(o) => exact_cache[o.cache.index()] &= inputs_exact,
                Op::Attention(o) => inputs_exact &= exact_cache[o.cache.index()],
                _ => {}
            }
            for (output, tolerance) in local.node(step, &node.op) {
                let at = output.index();
                direct[at] &= inputs_exact;
                exact[at] &= inputs_exact && tolerance.iter().all(|t| *t == 0.0);
                values[at] = tolerance;
            }
        }
        slack.push(values);
    }
    Locals { slack, direct }
}

/// Per step and value handed out: for each element, the largest deviation that its row showed.
type Spread = Vec<Vec<(ValueId, Vec<f64>)>>;

fn spread(
    name: &str,
    case: &Case,
    record: &Record,
    slack: &[Vec<Vec<f64>>],
    handed_out: &[ValueId],
) -> Result<Spread, CaseError> {
    let none = |step: &StepRecord| {
        handed_out.iter().map(|v| (*v, vec![0.0; step.value(*v).len()])).collect::<Vec<_>>()
    };
    let mut largest: Spread = record.steps().map(none).collect();
    for run in 0..NOISY_RUNS {
        record.with_noise(name, case, slack, run, |index, step, values| {
            for (value, largest) in &mut largest[index] {
                let shape = record.plan.values[value.index()].shape;
                let (exact, noisy) = (step.value(*value), &values[value.index()]);
                let rows = exact.chunks(shape.width).zip(noisy.chunks(shape.width));
                for ((exact, noisy), largest) in rows.zip(largest.chunks_mut(shape.width)) {
                    let moved = exact.iter().zip(noisy).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                    for largest in largest {
                        *largest = largest.max(moved);
                    }
                }
            }
        })?;
    }
    if record.plan.matrices.iter().any(|matrix| matches!(matrix.format, WeightFormat::W8a8(_))) {
        for place in 0..handed_out.len() {
            let all = largest.iter().flat_map(|step| &step[place].1).copied().fold(0.0, f64::max);
            largest.iter_mut().for_each(|step| step[place].1.fill(all));
        }
    }
    Ok(largest)
}

fn expected(
    name: &str,
    plan: &Plan,
    record: &Record,
    step: &StepRecord,
    tolerance: &[Vec<f64>],
    numerics: &Numerics,
) -> Result<Expected, CaseError> {
    let broken = |fault: String| CaseError::Broken { case: name.to_owned(), fault };
    let numbers = |value: ValueId| {
        let numbers =
            Numbers { values: step.value(value).to_vec(), tolerance: tolerance[value.index()].clone() };
        if numbers.values.len() != numbers.tolerance.len() {
            let what = &plan.values[value.index()].name;
            return Err(broken(format!(
                "{} numbers of {what} and {} tolerances",
                numbers.values.len(),
                numbers.tolerance.len()
            )));
        }
        Ok(numbers)
    };
    let mut taps = vec![];
    for value in &plan.taps {
        let shape = plan.values[value.index()].shape;
        let content = match shape.element {
            Element::F32 | Element::Int8Rows => Content::Numbers(numbers(*value)?),
            Element::Index => match choice(record, step, tolerance, *value, numerics) {
                Some(choice) => Content::Experts(Box::new(choice)),
                None => Content::Indices(step.value(*value).iter().map(|x| *x as u32).collect()),
            },
        };
        let name = plan.values[value.index()].name.clone();
        taps.push(ExpectedTap { name, row: (shape.slots * shape.width).max(1), content });
    }
    let (mut logits, mut draws) = (vec![], vec![]);
    let all = plan.logits.map(|value| Ok((plan.values[value.index()].shape.width, numbers(value)?)));
    let all = all.transpose()?;
    for (index, sequence) in step.batch.sequences.iter().enumerate() {
        let rows = step.layout.first_selected[index] as usize..step.layout.first_selected[index + 1] as usize;
        let (mut own, mut last) = (Numbers::default(), Numbers::default());
        if let Some((width, all)) = all.as_ref().filter(|_| !rows.is_empty()) {
            let cut = |rows: std::ops::Range<usize>| Numbers {
                values: all.values[rows.start * width..rows.end * width].to_vec(),
                tolerance: all.tolerance[rows.start * width..rows.end * width].to_vec(),
            };
            last = cut(rows.end - 1..rows.end);
            if sequence.logits != LogitRows::None {
                own = cut(rows);
            }
        }
        logits.push(own);
        draws.push(sequence.sample.as_ref().map(|options| {
            let first = step.layout.first_row[index] as usize;
            let sampled = matches!(sequence.tokens, Tokens::Sampled(_)).then(|| step.tokens[first]);
            let mut options: Sampling = options.clone();
            options.history.extend(sampled);
            let position = step.layout.context(index) as u32;
            Draw::new(last, options, position, step.output.tokens[index], numerics)
        }));
    }
    let vocabulary = all.map_or(1, |(width, _)| width);
    Ok(Expected { taps, vocabulary, logits, draws })
}

/// The judge of a tap of chosen experts.
fn choice(
    record: &Record,
    step: &StepRecord,
    tolerance: &[Vec<f64>],
    value: ValueId,
    numerics: &Numerics,
) -> Option<ExpectedChoice> {
    let plan = &*record.plan;
    let route = plan.nodes.iter().find_map(|node| match &node.op {
        Op::Route(route) if route.experts == value => Some(route),
        _ => None,
    })?;
    let routing = super::tolerance::routing(&record.weights, route);
    let units = super::tolerance::Units::new(numerics);
    let logits = step.operand(route.logits);
    let exact = record.plan.inputs().any(|input| input == route.logits.value);
    let uncertain = tolerance[route.logits.value.index()].iter().copied().fold(0.0, f64::max);
    let uncertain = if exact { 0.0 } else { uncertain };
    let rows = logits.chunks(route.logits.width);
    Some(ExpectedChoice {
        rows: rows.map(|logits| RoutedRow::new(logits, uncertain, &routing, &units)).collect(),
        routing,
        weights: plan.taps.iter().position(|tap| *tap == route.weights),
        numerics: *numerics,
    })
}
