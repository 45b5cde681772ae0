//! What is judged, on numbers that are made up.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::judge::claims;
use super::types::{Claim, Curve, Part, Point, Report, Timed};
use super::{Experiment, Request};
use crate::measure::peaks::Peaks;
use crate::measure::{Machine, MeasureError, Series};
use ingle_backends::format::{Int8Group, WeightFormat};

/// A variant that took so many seconds at each size, where the model allows so many.
fn curve(label: &str, sizes: &[usize], seconds: &[f64], floors: &[f64]) -> Curve {
    let timed = |seconds: f64, floor_seconds: f64| Timed {
        seconds: Series { samples: vec![seconds * 2.0, seconds, seconds * 0.5] },
        bytes: 1e6 * floor_seconds,
        floor_seconds,
    };
    let point = |((size, seconds), floor): ((&usize, &f64), &f64)| Point {
        size: *size,
        step: timed(*seconds, *floor),
        attention: Some(timed(seconds / 2.0, floor / 2.0)),
    };
    Curve {
        label: label.to_owned(),
        peaks: Peaks { bytes_per_second: 1e9, operations_per_second: Some(1e10) },
        operators: 100,
        cache_bytes: 1000,
        planned_cache_bytes: 1000,
        page_tokens: 16,
        page_bytes: 4096,
        points: sizes.iter().zip(seconds).zip(floors).map(point).collect(),
    }
}

fn part(curves: Vec<Curve>) -> Part {
    Part {
        notes: vec!["tier coop was passed over: a kernel is wrong".to_owned()],
        device: "cpu:0".to_owned(),
        device_name: "a processor".to_owned(),
        tier: "plain".to_owned(),
        failure: None,
        curves,
        claims: vec![],
    }
}

fn verdicts(claims: &[Claim]) -> Vec<Option<bool>> {
    claims.iter().map(|claim| claim.held).collect()
}

const BATCHES: [usize; 4] = [1, 4, 16, 64];

#[test]
fn a_gain_is_the_median_over_turns_whatever_disturbed_them() {
    let timed = |samples: &[f64]| Timed { seconds: Series { samples: samples.to_vec() }, ..Timed::default() };
    // The second turn was disturbed, and both alike.
    let gain = timed(&[1.0, 9.0, 1.1]).gain_over(&timed(&[2.0, 18.0, 2.2]));
    assert!((gain - 2.0).abs() < 1e-12, "{gain}");
}

#[test]
fn weight_only_gains_what_is_read_less_and_ends_where_the_model_says() {
    let floors = ([4.0, 4.0, 5.0, 20.0], [2.0, 2.0, 5.0, 20.0]);
    let judged = |seconds: [f64; 4]| {
        let first = curve("f16", &BATCHES, &[8.0, 8.0, 10.0, 40.0], &floors.0);
        claims(Experiment::WeightOnly, &part(vec![first, curve("int8", &BATCHES, &seconds, &floors.1)]))
    };
    let as_expected = judged([4.2, 4.2, 9.8, 40.0]);
    assert_eq!(verdicts(&as_expected), [Some(true), Some(true)], "{as_expected:?}");
    assert!(as_expected[0].expected.contains("2.00 times as quick as f16 at 1"), "{as_expected:?}");
    assert!(as_expected[1].expected.contains("it ends at 16 rows"), "{as_expected:?}");
    assert!(as_expected[1].found.contains("it ends at 16 rows"), "{as_expected:?}");
    // One size beside is near enough, two are not, nor is half of the gain.
    assert_eq!(verdicts(&judged([4.2, 7.9, 9.8, 40.0])), [Some(true), Some(true)]);
    assert_eq!(verdicts(&judged([7.9, 7.9, 9.8, 40.0])), [Some(false), Some(false)]);
    assert_eq!(verdicts(&judged([4.2, 4.2, 5.0, 20.0])), [Some(true), Some(false)]);
}

#[test]
fn w8a8_is_held_to_bytes_to_rates_and_to_never_being_slower() {
    let first = || curve("f16", &BATCHES, &[8.0, 8.0, 16.0, 60.0], &[4.0, 4.0, 8.0, 30.0]);
    let judged = |seconds: [f64; 4]| {
        let own = curve("w8a8", &BATCHES, &seconds, &[2.0, 2.0, 3.0, 10.0]);
        verdicts(&claims(Experiment::W8a8, &part(vec![first(), own])))
    };
    assert_eq!(judged([4.0, 4.0, 6.0, 20.0]), [Some(true), Some(true), Some(true)]);
    assert_eq!(judged([7.0, 9.0, 6.0, 40.0]), [Some(false), Some(false), Some(false)]);
}

#[test]
fn fusion_is_never_slower_and_gains_the_bytes_of_many_rows() {
    let first = || curve("apart", &BATCHES, &[8.0, 8.0, 16.0, 60.0], &[4.0, 4.0, 8.0, 33.0]);
    let judged = |seconds: [f64; 4]| {
        let own = Curve { operators: 60, ..curve("fused", &BATCHES, &seconds, &[4.0, 4.0, 8.0, 30.0]) };
        claims(Experiment::Fusion, &part(vec![first(), own]))
    };
    let good = judged([7.0, 7.9, 15.0, 55.0]);
    assert_eq!(verdicts(&good), [Some(true), Some(true)], "{good:?}");
    assert!(good[0].why.contains("40 of 100 operators"), "{good:?}");
    assert_eq!(verdicts(&judged([7.0, 9.0, 15.0, 80.0])), [Some(false), Some(false)]);
}

#[test]
fn pages_are_judged_by_attention_where_it_has_a_clock() {
    let sizes = [256, 1024];
    let judged = |seconds: [f64; 2], clock: bool| {
        let mut curves = vec![
            curve("one page", &sizes, &[8.0, 32.0], &[4.0, 16.0]),
            curve("pages of 16", &sizes, &seconds, &[4.0, 16.0]),
        ];
        if !clock {
            let points = curves.iter_mut().flat_map(|curve| &mut curve.points);
            points.for_each(|point| point.attention = None);
        }
        claims(Experiment::Pages, &part(curves))
    };
    assert_eq!(verdicts(&judged([8.2, 32.0], true)), [Some(true), Some(true)]);
    assert_eq!(verdicts(&judged([8.7, 32.0], true)), [Some(true), Some(false)]);
    assert_eq!(verdicts(&judged([8.0, 48.0], true)), [Some(false), Some(false)]);
    let blind = judged([8.0, 32.0], false);
    assert_eq!(verdicts(&blind), [None, Some(true)], "{blind:?}");
    assert_eq!(blind[0].verdict(), "could not be told");
    // 4 bytes for each page of 4096.
    assert!(blind[0].why.contains("0.0977 %"), "{blind:?}");
}

#[test]
fn an_int8_cache_is_judged_at_the_longest_context_and_by_its_bytes() {
    let sizes = [256, 1024];
    let judged = |seconds: [f64; 2], bytes: u64| {
        let first = curve("f16", &sizes, &[8.0, 32.0], &[4.0, 16.0]);
        let own = Curve {
            cache_bytes: bytes,
            planned_cache_bytes: 530,
            page_bytes: 2171,
            ..curve("int8", &sizes, &seconds, &[3.0, 8.5])
        };
        verdicts(&claims(Experiment::Cache, &part(vec![first, own])))
    };
    assert_eq!(judged([8.0, 17.0], 531), [Some(true); 3]);
    assert_eq!(judged([8.0, 30.0], 600), [Some(false); 3]);
}

#[test]
fn a_report_is_told_in_every_form() {
    let first = curve("f16", &BATCHES, &[8.0, 8.0, 10.0, 40.0], &[4.0, 4.0, 5.0, 20.0]);
    let own = curve("int8", &BATCHES, &[4.0, 4.0, 9.0, 40.0], &[2.0, 2.0, 5.0, 20.0]);
    let mut done = part(vec![first, own]);
    done.claims = claims(Experiment::WeightOnly, &done);
    let failed = Part { failure: Some("no room".to_owned()), ..part(vec![]) };
    let request = Request::new(Experiment::WeightOnly, WeightFormat::Int8(Int8Group::G64));
    let report = Report {
        machine: Machine::here(),
        experiment: Experiment::WeightOnly,
        model: "a model".to_owned(),
        conditions: request.conditions(),
        parts: vec![done, failed],
        cancelled: false,
    };
    let table = &report.tables()[0];
    assert_eq!(table.header, ["rows", "f16, ms", "int8, ms", "gain", "expected"]);
    assert_eq!(table.rows[0], ["1", "8000 ± 6000", "4000 ± 3000", "2.00", "2.00"]);
    let markdown = report.markdown();
    for word in ["| held |", "failed: no room", "after 128 tokens", "Note: tier coop was passed over"] {
        assert!(markdown.contains(word), "{word}: {markdown}");
    }
    for word in ["  held: int8 is 2.00 times", "  note: tier coop was passed over"] {
        assert!(report.verdicts().contains(word), "{word}: {}", report.verdicts());
    }
    let again: Report = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(again, report);
    let plot = report.plot();
    assert_eq!(plot.panels.len(), 1, "what failed has no plot");
    let labels: Vec<&str> = plot.panels[0].lines.iter().map(|line| line.label.as_str()).collect();
    assert_eq!(labels, ["int8", "int8 expected"]);
    assert_eq!(plot.panels[0].lines[0].points[0], (1.0, 2.0));
}

#[test]
fn names_are_read_back_and_senseless_requests_are_refused() {
    for experiment in Experiment::ALL {
        assert_eq!(experiment.name().parse(), Ok(experiment));
        assert!(Request::new(experiment, WeightFormat::F16).check().is_ok());
    }
    assert!("nothing".parse::<Experiment>().unwrap_err().contains("weight-only, w8a8"));
    assert_eq!(Experiment::list().rows.len(), Experiment::ALL.len());
    let good = Request::new(Experiment::WeightOnly, WeightFormat::F16);
    for bad in [
        Request { sizes: vec![], ..good.clone() },
        Request { sizes: vec![0, 1], ..good.clone() },
        Request { sizes: vec![2, 2], ..good.clone() },
        Request { repeats: 0, ..good.clone() },
        Request { context: 0, ..good.clone() },
        Request { formats: vec![], ..good.clone() },
    ] {
        assert!(matches!(bad.check(), Err(MeasureError::Settings(_))), "{bad:?}");
    }
}
