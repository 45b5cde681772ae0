//! Sums over known distributions, and files of logits that are not what they should be.

use std::fs;

use ingle_backends::format::WeightFormat;
use ingle_backends::no_progress;
use ingle_models::WeightFormats;

use super::base::Writer;
use super::*;
use crate::find_device;
use crate::measure::unwatched;
use crate::score::Windows;

fn of(probabilities: &[f64]) -> Distribution {
    let logits: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
    Distribution::of(&logits)
}

#[test]
fn a_quality_is_the_means_over_its_tokens() {
    let (even, tilted) = (of(&[0.5, 0.5]), of(&[0.25, 0.75]));
    let mut sums = Sums::default();
    for _ in 0..99 {
        sums.add(0, &even, &even);
    }
    sums.add(1, &even, &tilted);
    let sizes = Sizes { seconds: 2.0, weight_bytes: 7, bits_per_weight: 4.25, cache_bytes_per_token: 8 };
    let found = sums.quality(sizes);
    let divergence = 0.5 * (0.5f64 / 0.25).ln() + 0.5 * (0.5f64 / 0.75).ln();
    // Logits are f32: an error of 2⁻²⁴ of numbers up to 1.4.
    assert!((found.mean_divergence - divergence / 100.0).abs() < 1e-8, "{found:?}");
    assert!(found.divergence_p99 < 1e-8, "the hundredth of a hundred is beyond it");
    assert!((found.same_top - 0.99).abs() < 1e-12);
    assert!((found.rms_probability_difference - 0.25 / 10.0).abs() < 1e-8);
    let surprise = (99.0 * 2f64.ln() - 0.75f64.ln()) / 100.0;
    assert!((found.perplexity - surprise.exp()).abs() < 1e-6);
    assert_eq!((found.tokens, found.weight_bytes), (100, 7));
}

fn passage() -> Passage {
    Passage { tokens: vec![1, 0, 2, 1, 1], windows: Windows { begin: Some(0), len: 3 } }
}

fn write(path: Option<&std::path::Path>) -> Base {
    let passage = passage();
    let mut writer = Writer::create(path, "tiny", "cpu:0 f16", &passage, 3).unwrap();
    for row in 0..passage.scored() {
        writer.row(&[row as f32, 0.0, -1.0]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_was_kept_is_read_again_and_as_often_as_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    for mut base in [write(Some(&path)), Base::open(&path).unwrap(), write(None)] {
        assert_eq!((base.label(), base.model(), base.vocabulary()), ("cpu:0 f16", "tiny", 3));
        assert_eq!(base.passage(), &passage());
        for _ in 0..2 {
            let mut rows = base.rows().unwrap();
            for row in 0..5 {
                assert_eq!(rows.next().unwrap(), [row as f32, 0.0, -1.0]);
            }
        }
        assert!(base.perplexity().unwrap() > 1.0);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn files_that_are_none_are_named_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    write(Some(&path));
    let good = fs::read(&path).unwrap();
    let short = &good[..good.len() - 1];
    let damaged = String::from_utf8_lossy(&good).replacen("\"model\"", "\"modem\"", 1).into_bytes();
    for bad in [&b""[..], b"something else entirely, and long enough", short, &damaged] {
        fs::write(&path, bad).unwrap();
        let error = Base::open(&path).unwrap_err();
        assert!(matches!(error, MeasureError::Base { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    let missing = Base::open(&folder.path().join("nothing")).unwrap_err();
    assert!(matches!(missing, MeasureError::File { .. }), "{missing}");
}

#[test]
fn a_base_that_is_not_finished_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    drop(Writer::create(Some(&path), "tiny", "cpu:0 f16", &passage(), 3).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_beginning_token_the_first_of_each_window_is_not_told() {
    let passage = Passage { tokens: vec![0; 10], windows: Windows { begin: None, len: 4 } };
    assert_eq!(passage.scored(), 7);
    assert!(Passage { tokens: vec![0], ..passage.clone() }.check().is_err());
    assert!(Passage { windows: Windows { begin: None, len: 1 }, ..passage }.check().is_err());
}

#[test]
fn a_folder_beside_is_as_good_as_the_same_format_made_while_loading() {
    let tiny = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/guide/tiny");
    let model = Model::open_without_text(&tiny).unwrap();
    let passage = Passage { tokens: (3..99).collect(), windows: Windows { begin: Some(0), len: 40 } };
    let place = tempfile::tempdir().unwrap();
    let int8: WeightFormat = "int8-g32".parse().unwrap();
    model.quantize(&WeightFormats::usual(int8), &place.path().join("small"), &mut no_progress).unwrap();
    let small = Model::open_without_text(&place.path().join("small")).unwrap();
    let on_cpu = |weights| Contestant::new(find_device("cpu").unwrap(), weights);
    let stored = on_cpu(WeightChoice::Stored);
    let mut base = base_of(&model, &stored, &passage, None, &mut unwatched).unwrap();
    let subjects = [
        Subject::of(&model, on_cpu(WeightChoice::Format(int8))),
        Subject::stored(&small, stored.clone()),
        Subject::of(&model, stored),
    ];
    let report = quality(&mut base, &subjects, &mut unwatched, &mut |_, _| {}).unwrap();
    let labels: Vec<&str> = report.entries.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(labels, ["cpu:0 int8-g32", "cpu:0 small", "cpu:0 stored"]);
    let [made, beside, itself] =
        [0, 1, 2].map(|place| Quality { seconds: 0.0, ..report.entries[place].quality.clone().unwrap() });
    assert_eq!(made, beside);
    assert!(made.mean_divergence > 0.0 && itself.mean_divergence == 0.0 && itself.same_top > 0.999_999);
    assert_eq!(made.tokens, 96);
}
