//! What can be said of comparisons without running one; `tests/compare.rs` runs them.

use super::types::VERSION;
use super::*;
use crate::find_device;
use crate::measure::peaks::Peaks;
use crate::measure::power::{Power, Scope};
use crate::measure::{Machine, Series};
use crate::model::WeightChoice;
use ingle_backends::format::{CacheFormat, WeightFormat};

#[test]
fn texts_differ_where_one_goes_on() {
    assert_eq!(first_difference(&[1, 2, 3], &[1, 2, 3]), None);
    assert_eq!(first_difference(&[1, 2, 3], &[1, 4, 3]), Some(1));
    assert_eq!(first_difference(&[1, 2], &[1, 2, 3]), Some(2));
    assert_eq!(first_difference(&[], &[]), None);
}

fn token(log_probability: f64, reference: f64, divergence: f64, same_top: bool) -> TokenAgreement {
    TokenAgreement {
        token: 0,
        text: String::new(),
        log_probability,
        difference: log_probability - reference,
        divergence,
        same_top,
        top: vec![],
    }
}

#[test]
fn a_summary_is_the_means_of_its_tokens() {
    let ln = |p: f64| p.ln();
    let tokens = vec![
        token(ln(0.5), ln(0.25), 0.5, true),
        token(ln(0.25), ln(0.5), 0.25, false),
        token(ln(0.75), ln(0.75), 0.0, true),
        token(ln(0.125), ln(0.125), 0.25, true),
    ];
    let found = summary(tokens);
    assert!((found.same_top - 0.75).abs() < 1e-12);
    assert!((found.mean_divergence - 0.25).abs() < 1e-12);
    assert!((found.largest_divergence - 0.5).abs() < 1e-12);
    let expected = ((0.0625 + 0.0625) / 4.0f64).sqrt();
    assert!((found.rms_probability_difference - expected).abs() < 1e-12);
}

#[test]
fn labels_say_what_is_not_as_usual() {
    let cpu = find_device("cpu").unwrap();
    let plain = Contestant::new(cpu, WeightChoice::Format(WeightFormat::Nf4));
    assert_eq!(plain.label(), "cpu:0 nf4");
    let other = Contestant {
        cache: CacheFormat::Int8,
        tier: Some("avx2".to_owned()),
        fusion: false,
        embedding: Some(WeightFormat::F16),
        weights: WeightChoice::Stored,
        ..plain
    };
    assert_eq!(other.label(), "cpu:0 stored, int8 cache, f16 embedding, avx2, unfused");
}

fn comparison() -> Comparison {
    let series = |samples: &[f64]| Series { samples: samples.to_vec() };
    let measured = Measured {
        loading_seconds: 0.5,
        memory: Memory { weights: 900_000_000, cache: 90_000_000, activations: 10_000_000 },
        first_token_seconds: series(&[0.1, 0.25, 0.2]),
        prefill: series(&[100.0, 40.0, 50.0]),
        decode: series(&[10.0, 12.0, 14.0]),
        bytes_per_token: 1e9,
        peaks: Peaks { bytes_per_second: 16e9, operations_per_second: Some(1e11) },
        tokens: vec![5, 6, 7],
        text: "one two three".to_owned(),
        pieces: vec!["one".into(), " two".into(), " three".into()],
        ended: false,
        repeatable: true,
        first_difference: Some(1),
        agreement: summary(vec![token(-1.0, -1.5, 0.125, true)]),
        decode_operators: vec![],
        prefill_operators: vec![],
        power: Power::Known { scope: Scope::Processor, watts: 15.0, joules_per_token: 1.25 },
    };
    let entry = |label: &str, outcome| Entry {
        label: label.to_owned(),
        device: "cpu:0".to_owned(),
        device_name: "a processor".to_owned(),
        driver: String::new(),
        tier: "avx2".to_owned(),
        weights: "nf4".to_owned(),
        embedding: "int8-g64".to_owned(),
        cache: "f16".to_owned(),
        fusion: true,
        outcome,
    };
    Comparison {
        version: VERSION,
        machine: Machine::here(),
        model: "tiny".to_owned(),
        prompt: "Say\nthree words".to_owned(),
        prompt_tokens: 10,
        settings: Settings { generate: 3, repeats: 3, chunk: 512, temperature: 0.0, seed: 0 },
        reference: None,
        entries: vec![
            entry("a", Outcome::Done(Box::new(measured))),
            entry("b", Outcome::Failed { reason: "no room".to_owned() }),
            entry("c", Outcome::NotRun),
        ],
        cancelled: true,
    }
}

#[test]
fn what_was_written_as_json_is_read_again() {
    let comparison = comparison();
    let json = comparison.json().unwrap();
    assert_eq!(Comparison::from_json(&json).unwrap(), comparison);
    let newer = json.replacen("\"version\": 1", "\"version\": 99", 1);
    let error = Comparison::from_json(&newer).unwrap_err().to_string();
    assert!(error.contains("form 99"), "{error}");
    assert!(Comparison::from_json("{}").unwrap_err().to_string().contains("no kept comparison"));
}

#[test]
fn tables_and_markdown_say_what_was_measured() {
    let comparison = comparison();
    let speed = comparison.speed_table();
    assert_eq!(
        speed.rows[0],
        ["a", "200 ± 75.0", "50.0 ± 30.0", "12.0 ± 2.00", "1000", "12.0", "75.0 %", "1000", "15.0", "1.25"]
    );
    assert_eq!(speed.rows[1][..2], ["b", "failed: no room"]);
    assert_eq!(speed.rows[2][..2], ["c", "not run"]);
    let agreement = comparison.agreement_table();
    assert_eq!(agreement.rows[0][1..3], ["100.0 %", "0.125"]);
    assert_eq!(agreement.rows[0][5], "1");
    let text = comparison.markdown();
    assert!(text.contains("> one⟦≠⟧ two three") && text.contains("> Say\n> three words"), "{text}");
    assert!(text.contains("It was stopped"), "{text}");
    assert!(text.contains("a: power of the processor while it wrote."), "{text}");
}

#[test]
fn comparisons_from_before_power_was_looked_at_are_read() {
    let comparison = comparison();
    let mut older = serde_json::to_value(&comparison).unwrap();
    let measured = older.pointer_mut("/entries/0/outcome/done").unwrap().as_object_mut().unwrap();
    assert!(measured.remove("power").is_some());
    let read = Comparison::from_json(&older.to_string()).unwrap();
    let power = &read.entries[0].measured().unwrap().power;
    assert_eq!(*power, Power::default());
    assert_eq!(read.speed_table().rows[0][8..], ["–", "–"]);
    assert!(read.power_notes()[0].contains("power is not known"), "{:?}", read.power_notes());
}
