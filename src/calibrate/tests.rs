//! Scaled models compute what they did, channels that stick out shrink, and what is lost by quantising shrinks with them.

use std::fs;
use std::path::{Path, PathBuf};

use ingle_backends::format::Int8Group;
use ingle_backends::plan::{BatchLimits, Op};
use ingle_backends::{LogitRows, WeightSource, no_progress};
use tempfile::{TempDir, tempdir};

use super::folds::Fold;
use super::observe::Prepared;
use super::*;
use crate::find_device;
use crate::measure::{Distribution, unwatched};
use crate::model::LoadOptions;
use crate::score::Windows;

const WINDOW: usize = 48;

fn families() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let mut folders: Vec<_> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn family(name: &str) -> Model {
    let folder = families().into_iter().find(|folder| folder.ends_with(name)).unwrap();
    Model::open_without_text(&folder).unwrap()
}

fn w8a8() -> WeightFormats {
    WeightFormats {
        embedding: WeightFormat::F32,
        ..WeightFormats::uniform(WeightFormat::W8a8(ActivationScale::PerToken))
    }
}

fn passage(model: &Model, count: u32) -> Passage {
    let vocabulary = model.unfused(&w8a8()).unwrap().vocabulary().unwrap() as u32;
    let tokens = (0..count).map(|i| (i * i * 31 + i * 7 + 3) % vocabulary).collect();
    Passage { tokens, windows: Windows { begin: None, len: WINDOW } }
}

/// All logits of a text, row by row.
fn logits(
    model: &Model,
    formats: &WeightFormats,
    source: &dyn WeightSource,
    passage: &Passage,
) -> Vec<Vec<f32>> {
    let plan = model.unfused(formats).unwrap().fused(FusionSet::all()).unwrap();
    let width = crate::score::width(&plan).unwrap();
    let limits = BatchLimits { rows: WINDOW, selected: WINDOW, sequences: 1 };
    let mut watch = unwatched;
    let mut watcher = Watcher::new(&mut watch, 1);
    let device = find_device("cpu").unwrap();
    let mut prepared = Prepared::new(&device, plan, source, limits, passage, &mut watcher).unwrap();
    let mut rows = vec![];
    prepared
        .read(passage, LogitRows::All, &mut watcher, |output| {
            rows.extend(output.logits[0].chunks_exact(width).map(<[f32]>::to_vec));
            Ok::<_, MeasureError>(())
        })
        .unwrap();
    rows
}

fn f32_logits(model: &Model, source: &dyn WeightSource) -> Vec<Vec<f32>> {
    logits(model, &WeightFormats::uniform(WeightFormat::F32), source, &passage(model, 2 * WINDOW as u32))
}

fn found(
    model: &Model,
    formats: &WeightFormats,
    alpha: Alpha,
    activations: Activations,
) -> Result<Calibrated, CalibrateError> {
    let device = find_device("cpu").unwrap();
    calibrate(model, &device, formats, &passage(model, 600), &Options { alpha, activations }, &mut unwatched)
}

/// Scales every channel that can be, by factors that depend on its place.
fn scaled(model: &Model, factor: impl Fn(&Site, usize) -> f32) -> Rescaling {
    let plan = model.unfused(&w8a8()).unwrap();
    let mut rescaling = Rescaling::default();
    for site in folds::sites(&plan).iter().filter(|site| site.fold.is_ok()) {
        let width = plan.values[site.value.index()].shape.width;
        let count = site.folded(&vec![0.0; width]).len();
        let factors: Vec<f32> = (0..count).map(|channel| factor(site, channel)).collect();
        site.apply(&plan, &factors, &*model.checkpoint, &mut rescaling).unwrap();
    }
    rescaling
}

/// Whether norms have weights that are stored as `w − 1`, which cannot be divided without rounding.
fn has_offsets(model: &Model) -> bool {
    let plan = model.unfused(&w8a8()).unwrap();
    plan.nodes.iter().any(|node| matches!(&node.op, Op::Norm(norm) if norm.weight_offset != 0.0))
}

/// Fails unless logits differ by no more than the cache rounds: each layer's keys and values by 2⁻¹¹ of themselves, twice, since the cache
/// of either model is rounded; the largest logit says how large what they add up is.
fn assert_near(model: &Model, ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
    let layers = model.unfused(&w8a8()).unwrap().caches.len() as f32;
    let largest = theirs.iter().flatten().fold(0.0_f32, |most, x| most.max(x.abs()));
    let bound = 2.0 * layers * largest / 2048.0;
    for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        assert!((a - b).abs() <= bound, "{}: {a} {b}, bound {bound}", model.folder.display());
    }
}

#[test]
fn scaling_by_powers_of_two_changes_no_bit_where_norms_have_no_offset() {
    for folder in families() {
        let model = Model::open_without_text(&folder).unwrap();
        let plain = f32_logits(&model, &*model.checkpoint);
        // Values are made larger only: an f16 cache has no exact place for much smaller ones.
        let rescaling = scaled(&model, |site, channel| {
            let power = (channel * 7 % 5) as i32;
            2.0_f32.powi(if matches!(site.fold, Ok(Fold::Norm(_))) { power - 2 } else { -power })
        });
        assert!(!rescaling.is_empty(), "{}", folder.display());
        let moved = f32_logits(&model, &rescaling.of(&*model.checkpoint));
        if has_offsets(&model) {
            assert_near(&model, &moved, &plain);
        } else {
            assert_eq!(moved, plain, "{}", folder.display());
        }
    }
}

#[test]
fn scaling_by_anything_changes_no_more_than_the_cache_rounds() {
    for folder in families() {
        let model = Model::open_without_text(&folder).unwrap();
        let plain = f32_logits(&model, &*model.checkpoint);
        let rescaling = scaled(&model, |_, channel| 0.3 + (channel * 13 % 29) as f32 / 7.0);
        assert_near(&model, &f32_logits(&model, &rescaling.of(&*model.checkpoint)), &plain);
    }
}

#[test]
fn each_family_has_the_folds_that_its_shape_allows() {
    // Of each layer: inputs behind a norm, behind attention, behind a gate; and what is said of the others.
    let cases = [
        ("llama", [2, 1, 1], None),
        ("phi3", [2, 1, 1], None),
        ("qwen2", [2, 1, 1], None),
        ("gemma3", [2, 1, 1], None),
        ("granite", [2, 1, 1], None),
        ("olmo2", [0, 1, 1], Some("reads it too")),
        ("starcoder2", [2, 1, 0], Some("a function")),
        ("mixtral", [2, 1, 0], Some("each expert")),
    ];
    for (name, expected, hindrance) in cases {
        let model = family(name);
        let plan = model.unfused(&w8a8()).unwrap();
        let sites = folds::sites(&plan);
        let layers = plan.caches.len();
        let count = |kind: fn(&Fold) -> bool| {
            sites.iter().filter_map(|site| site.fold.as_ref().ok()).filter(|fold| kind(fold)).count()
        };
        let folds = [
            count(|fold| matches!(fold, Fold::Norm(_))),
            count(|fold| matches!(fold, Fold::Rows { sharing: Some(_), .. })),
            count(|fold| matches!(fold, Fold::Rows { sharing: None, .. })),
        ];
        assert_eq!(folds, expected.map(|of_layer| of_layer * layers), "{name}");
        let left: Vec<&String> = sites.iter().filter_map(|site| site.fold.as_ref().err()).collect();
        assert_eq!(left.is_empty(), hindrance.is_none(), "{name}: {left:?}");
        assert!(left.iter().all(|told| told.contains(hindrance.unwrap_or_default())), "{name}: {left:?}");
    }
}

#[test]
fn a_head_of_its_own_is_behind_the_last_norm_and_one_that_is_the_embedding_is_left() {
    let formats = WeightFormats::uniform(WeightFormat::W8a8(ActivationScale::PerToken));
    for (name, tied) in [("llama", false), ("gemma3", true)] {
        let plan = family(name).unfused(&formats).unwrap();
        let sites = folds::sites(&plan);
        let last = sites.last().unwrap();
        assert_eq!(last.fold.is_err(), tied, "{name}: {}", last.name);
        assert!(!tied || last.fold.as_ref().err().unwrap().contains("embedding"), "{name}");
    }
}

/// A model that computes what a fixture does, with two channels behind each norm forty times as large.
fn with_outliers() -> (TempDir, Model) {
    let model = family("llama");
    let outliers = scaled(&model, |site, channel| {
        let sticks_out = matches!(site.fold, Ok(Fold::Norm(_))) && matches!(channel, 5 | 20);
        if sticks_out { 1.0 / 40.0 } else { 1.0 }
    });
    let place = tempdir().unwrap();
    let out = place.path().join("outliers");
    model
        .quantize_rescaled(&WeightFormats::uniform(WeightFormat::F32), &outliers, &out, &mut no_progress)
        .unwrap();
    let made = Model::open_without_text(&out).unwrap();
    assert_near(&model, &f32_logits(&made, &*made.checkpoint), &f32_logits(&model, &*model.checkpoint));
    (place, made)
}

/// The mean divergence of logits from those of the model in f32.
fn divergence(model: &Model, formats: &WeightFormats, source: &dyn WeightSource) -> f64 {
    let text = passage(model, 4 * WINDOW as u32);
    let base = logits(model, &WeightFormats::uniform(WeightFormat::F32), &*model.checkpoint, &text);
    let own = logits(model, formats, source, &text);
    let pairs = base.iter().zip(&own);
    pairs.map(|(base, own)| Distribution::of(base).divergence_to(&Distribution::of(own))).sum::<f64>()
        / base.len() as f64
}

#[test]
fn channels_that_stick_out_shrink_and_less_is_lost() {
    let (_place, model) = with_outliers();
    let plain = divergence(&model, &w8a8(), &*model.checkpoint);
    for activations in [Activations::Token, Activations::Static] {
        let off = found(&model, &w8a8(), Alpha::Off, activations).unwrap();
        assert!(off.rescaling.is_empty() && off.alpha.is_none());
        let unmoved = divergence(&model, &off.formats, &*model.checkpoint);
        let half = found(&model, &w8a8(), Alpha::Fixed(0.5), activations).unwrap();
        for input in half.inputs.iter().filter(|input| input.name.contains("q_proj")) {
            assert!(input.before > 10.0 && input.after < input.before / 3.0, "{input:?}");
            assert_eq!(input.scale.is_some(), activations == Activations::Static);
        }
        let moved = divergence(&model, &half.formats, &half.rescaling.of(&*model.checkpoint));
        assert!(moved < plain / 4.0 && moved < unmoved / 4.0, "{moved} {plain} {unmoved}");
    }
}

#[test]
fn a_search_takes_the_best_of_what_it_tried() {
    let (_place, model) = with_outliers();
    let best = found(&model, &w8a8(), Alpha::Search, Activations::Token).unwrap();
    assert_eq!(best.tried.len(), search::CANDIDATES.len());
    let (alpha, least) = best.tried.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(best.alpha, alpha);
    let (_, unmoved) = best.tried[0];
    assert!(alpha.is_some() && least < unmoved / 4.0, "{:?}", best.tried);
    assert_eq!(best.tokens, 450);
}

#[test]
fn a_folder_gives_what_was_found_bit_by_bit() {
    for folder in families() {
        let model = Model::open_without_text(&folder).unwrap();
        let embedding = WeightFormat::Int8(Int8Group::G64);
        let formats = WeightFormats { embedding, ..w8a8() };
        for activations in [Activations::Token, Activations::Static] {
            let calibrated = found(&model, &formats, Alpha::Fixed(0.5), activations).unwrap();
            let place = tempdir().unwrap();
            let out = place.path().join("out");
            model
                .quantize_rescaled(&calibrated.formats, &calibrated.rescaling, &out, &mut no_progress)
                .unwrap();
            let written = Model::open_without_text(&out).unwrap();
            let text = passage(&model, WINDOW as u32);
            let expected =
                logits(&model, &calibrated.formats, &calibrated.rescaling.of(&*model.checkpoint), &text);
            let stored = written.stored_formats().unwrap();
            let found = logits(&written, &stored, &*written.checkpoint, &text);
            assert_eq!(found, expected, "{} {activations:?}", folder.display());
            assert!(written.checkpoint.take_notices().is_empty());
            // And as anybody loads it.
            let options = LoadOptions { weights: WeightChoice::Auto, ..LoadOptions::default() };
            let loaded = written.prepare(&find_device("cpu").unwrap(), &options, &mut no_progress).unwrap();
            let scaled = loaded
                .plan()
                .matrices
                .iter()
                .filter(|matrix| matches!(matrix.format, WeightFormat::W8a8(ActivationScale::PerTensor(_))))
                .count();
            assert_eq!(scaled > 0, activations == Activations::Static);
        }
    }
}

#[test]
fn other_programs_form_holds_scales_that_differ() {
    let model = family("llama");
    let calibrated = found(&model, &w8a8(), Alpha::Fixed(0.5), Activations::Static).unwrap();
    let place = tempdir().unwrap();
    let out = place.path().join("out");
    let exported =
        model.quantize_rescaled(&calibrated.formats, &calibrated.rescaling, &out, &mut no_progress).unwrap();
    assert_eq!(exported.reason, None);
    assert!(matches!(exported.form, ingle_models::checkpoint::Form::CompressedInt8(_)));
}

#[test]
fn what_cannot_be_calibrated_says_what_to_do() {
    let model = family("llama");
    let told = |formats: &WeightFormats, tokens: u32, alpha| {
        let device = find_device("cpu").unwrap();
        let options = Options { alpha, activations: Activations::Token };
        calibrate(&model, &device, formats, &passage(&model, tokens), &options, &mut unwatched).unwrap_err()
    };
    let short = told(&w8a8(), 255, Alpha::Fixed(0.5));
    assert!(matches!(short, CalibrateError::TooShort { tokens: 255, needed: 256 }), "{short}");
    let short = told(&w8a8(), 511, Alpha::Search);
    assert!(matches!(short, CalibrateError::TooShort { tokens: 511, needed: 512 }), "{short}");
    assert!(short.to_string().contains("a few pages"), "{short}");
    let other = told(&WeightFormats::usual(WeightFormat::Nf4), 600, Alpha::Off);
    assert!(matches!(other, CalibrateError::NotW8a8(WeightFormat::Nf4)), "{other}");
    assert!(other.to_string().contains("nf4") && other.to_string().contains("ask for w8a8"), "{other}");
    let given = told(&WeightFormats::uniform("w8a8-static:0.5".parse().unwrap()), 600, Alpha::Off);
    assert!(matches!(given, CalibrateError::ScaleGiven(_)), "{given}");

    let place = tempdir().unwrap();
    let out = place.path().join("out");
    model.quantize(&WeightFormats::usual(WeightFormat::Nf4), &out, &mut no_progress).unwrap();
    let again = found(&Model::open_without_text(&out).unwrap(), &w8a8(), Alpha::Off, Activations::Static)
        .unwrap_err();
    assert!(matches!(again, CalibrateError::Quantized { .. }), "{again}");
    assert!(again.to_string().contains("start from the original"), "{again}");
}

#[test]
fn factors_share_the_size_and_keep_the_mean() {
    let (x, w) = ([4.0, 1.0, 0.0, 16.0], [1.0, 1.0, 1.0, 0.25]);
    let near = |a: &[f32], b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6 * b);
    // √(x/w): 2, 1, 8; their geometric mean is 16^(1/3).
    let mean = 16.0_f64.cbrt();
    assert!(near(&folds::factors(0.5, &x, &w), [2.0 / mean, 1.0 / mean, 1.0, 8.0 / mean]));
    let mean = 64.0_f64.cbrt();
    assert!(near(&folds::factors(1.0, &x, &w), [4.0 / mean, 1.0 / mean, 1.0, 16.0 / mean]));
    let extreme = folds::factors(1.0, &[1e-30, 1e30], &[1.0, 1.0]);
    assert_eq!(extreme, [1.0 / 1024.0, 1024.0]);
}

#[test]
fn shares_are_read_as_they_are_typed() {
    assert_eq!("0.5".parse(), Ok(Alpha::Fixed(0.5)));
    assert_eq!(("off".parse(), "search".parse()), (Ok(Alpha::Off), Ok(Alpha::Search)));
    for bad in ["", "1.5", "-0.1", "NaN", "half"] {
        assert!(bad.parse::<Alpha>().unwrap_err().contains("from 0 to 1"), "{bad}");
    }
    assert_eq!("static".parse(), Ok(Activations::Static));
    assert!("dynamic".parse::<Activations>().is_err());
}
