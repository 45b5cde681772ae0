//! Devices whose better kernels are wrong, and what is remembered of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;

use super::*;
use crate::conformance::faulty::{Fault as Broken, Faulty};
use crate::conformance::{Group, catalogue};
use crate::format::PackedMatrix;
use crate::plan::Op;
use crate::{
    Batch, DeviceId, Numerics, Progress, Runner, StepOutput, Unavailable, WeightSource, no_progress,
};

/// The oracle as a device with several tiers, some of which have a fault. It counts how often it prepares.
struct Tiered {
    tiers: Vec<(&'static str, Broken)>,
    driver: &'static str,
    revision: &'static str,
    forced: Option<&'static str>,
    prepared: AtomicUsize,
}

impl Tiered {
    fn new(tiers: &[(&'static str, Broken)]) -> Self {
        let (driver, revision, prepared) = ("1.0", "a", AtomicUsize::new(0));
        Self { tiers: tiers.to_vec(), driver, revision, forced: None, prepared }
    }

    fn device(&self) -> DeviceInfo {
        self.devices().remove(0)
    }

    /// How often it prepared since the last time it was asked.
    fn prepared(&self) -> usize {
        self.prepared.swap(0, Ordering::Relaxed)
    }
}

impl Backend for Tiered {
    fn name(&self) -> &'static str {
        "tiered"
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let mut device = Faulty(Broken::default()).devices().remove(0);
        device.driver = self.driver.to_owned();
        let tier = |(name, _): &(&str, Broken)| Tier { name: (*name).to_owned(), numerics: Numerics::F32 };
        device.tiers = self.tiers.iter().map(tier).collect();
        vec![device]
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        vec![]
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        Faulty(Broken::default()).measure_bandwidth(device)
    }

    fn revision(&self) -> String {
        self.revision.to_owned()
    }

    fn forced_tier(&self) -> Option<String> {
        self.forced.map(str::to_owned)
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        let asked = options.tier.as_deref().unwrap();
        let (_, fault) = self.tiers.iter().find(|(name, _)| *name == asked).unwrap();
        let options = PrepareOptions { tier: None, ..options.clone() };
        Faulty(*fault).prepare(device, plan, weights, &options, progress)
    }
}

/// A small model with weights in f16.
fn plan() -> Arc<Plan> {
    model("sequences/llama-like f16, cache *, fused")
}

fn model(pattern: &str) -> Arc<Plan> {
    let (begin, end) = pattern.split_once('*').unwrap();
    let specs = catalogue(Group::Sequences).into_iter();
    let mut specs = specs.filter(|spec| spec.name.starts_with(begin) && spec.name.ends_with(end));
    specs.next().unwrap().case().unwrap().plan
}

fn options(tier: Option<&str>) -> PrepareOptions {
    let limits = crate::plan::BatchLimits { rows: 16, selected: 2, sequences: 2 };
    PrepareOptions { cache: crate::CacheOptions::default(), limits, tier: tier.map(str::to_owned) }
}

fn choose(verdicts: &Verdicts, backend: &Tiered, tier: Option<&str>) -> Result<Choice, VerdictError> {
    verdicts.choose(backend, &backend.device(), &plan(), &options(tier), &mut no_progress)
}

/// Products of f16 that lose the last column of each row.
fn lost_tail(matrix: &PackedMatrix) -> PackedMatrix {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let mut values = vec![0.0; rows * cols];
    matrix.dequantize_rows(0..rows, &mut values).unwrap();
    values.chunks_mut(cols).for_each(|row| row[cols - 1] = 0.0);
    PackedMatrix::quantize(matrix.format(), rows, cols, &values).unwrap()
}

const SOUND: Broken = Broken {
    output: None,
    weights: None,
    vectors: None,
    plan: None,
    rope: None,
    batch: None,
    ignores_copies: false,
    refuses: false,
    panics: false,
    numerics: None,
};
const WRONG_WEIGHTS: Broken = Broken { weights: Some(|matrix| lost_tail(&matrix)), ..SOUND };

/// The only note, which is about a tier that was passed over.
fn passed_over(choice: &Choice) -> &Fault {
    match choice.notes.as_slice() {
        [Note::PassedOver { fault, used, .. }] if *used == choice.tier => fault,
        notes => panic!("{notes:?}"),
    }
}

#[test]
fn a_tier_that_computes_wrongly_is_passed_over_and_that_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Tiered::new(&[("fast", WRONG_WEIGHTS), ("plain", SOUND)]);
    let verdicts = Verdicts::new(Some(folder.path()));
    let choice = choose(&verdicts, &backend, None).unwrap();
    assert_eq!(choice.tier, "plain");
    let fault = passed_over(&choice);
    assert_eq!((fault.tier.as_str(), fault.check.as_str()), ("fast", "embed f16"));
    assert!(fault.what.contains("of the tolerance"), "{fault}");
    assert!(backend.prepared() > 20 && choice.cases > 20, "{choice:?}");
    // Neither this process nor the next runs anything, and both are told the same.
    for verdicts in [verdicts, Verdicts::new(Some(folder.path()))] {
        let again = choose(&verdicts, &backend, None).unwrap();
        assert_eq!((again.tier.as_str(), again.cases, backend.prepared()), ("plain", 0, 0));
        assert_eq!(passed_over(&again), fault);
        let known = verdicts.known(&backend, &backend.device());
        assert_eq!((known[0].passed.len(), known[0].failed.as_slice()), (0, std::slice::from_ref(fault)));
        assert!(known[1].failed.is_empty() && known[1].passed.iter().any(|name| name == "linear f16"));
    }
}

#[test]
fn only_what_is_new_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let mut backend = Tiered::new(&[("plain", SOUND)]);
    let verdicts = Verdicts::new(Some(folder.path()));
    let first = choose(&verdicts, &backend, None).unwrap();
    let other = model("sequences/llama-like nf4, cache *, fused");
    let more =
        verdicts.choose(&backend, &backend.device(), &other, &options(None), &mut no_progress).unwrap();
    assert!(more.cases > 0 && more.cases < first.cases, "{} after {}", more.cases, first.cases);
    backend.prepared();
    // Another driver, and other kernels, are strangers.
    let all = choose(&verdicts, &backend, None).unwrap();
    assert_eq!((all.cases, backend.prepared()), (0, 0));
    backend.driver = "1.1";
    assert_eq!(choose(&verdicts, &backend, None).unwrap().cases, first.cases);
    assert!(backend.prepared() >= first.cases);
    backend.revision = "b";
    assert_eq!(choose(&verdicts, &backend, None).unwrap().cases, first.cases);
    // The first driver comes back; its old kernels' verdicts went with the old kernels.
    backend.driver = "1.0";
    assert_eq!(choose(&verdicts, &backend, None).unwrap().cases, first.cases);
    backend.revision = "a";
    assert_eq!(choose(&verdicts, &backend, None).unwrap().cases, first.cases);
}

#[test]
fn a_forced_tier_is_used_whatever_it_computes() {
    let mut backend = Tiered::new(&[("fast", WRONG_WEIGHTS), ("plain", SOUND)]);
    let verdicts = Verdicts::new(None);
    let told = |choice: &Choice| match choice.notes.as_slice() {
        [note @ Note::Forced { .. }] => note.to_string(),
        notes => panic!("{notes:?}"),
    };
    let choice = choose(&verdicts, &backend, Some("fast")).unwrap();
    assert_eq!(choice.tier, "fast");
    assert!(told(&choice).contains("COMPUTE WRONGLY"), "{}", told(&choice));
    // By the environment, and remembered: it is said each time.
    backend.forced = Some("fast");
    let choice = choose(&verdicts, &backend, None).unwrap();
    assert_eq!((choice.tier.as_str(), choice.cases), ("fast", 0));
    assert!(told(&choice).contains("embed f16"), "{}", told(&choice));
    // What was asked for in person comes first.
    let choice = choose(&verdicts, &backend, Some("plain")).unwrap();
    assert_eq!((choice.tier.as_str(), choice.notes.len()), ("plain", 0));
    // A tier that is not there is left to the backend to refuse.
    backend.prepared();
    assert_eq!(choose(&verdicts, &backend, Some("none")).unwrap().tier, "none");
    assert_eq!(backend.prepared(), 0);
}

#[test]
fn where_no_tier_is_sound_there_is_an_error_that_says_what_to_do() {
    let refuses = Broken { refuses: true, ..SOUND };
    let panics = Broken { panics: true, ..SOUND };
    let backend = Tiered::new(&[("a", WRONG_WEIGHTS), ("b", refuses), ("c", panics)]);
    let error = choose(&Verdicts::new(None), &backend, None).unwrap_err();
    let text = error.to_string();
    for part in [
        "reference:0",
        "tier a fails embed f16",
        "of the tolerance",
        "on purpose",
        "panicked",
        "--backend cpu",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(matches!(error, VerdictError::NoTier { faults, .. } if faults.len() == 3));
}

#[test]
fn each_kind_of_fault_is_found() {
    let halves = |output: &mut StepOutput, _| {
        let data = output.taps.iter_mut().flat_map(|tap| &mut tap.data);
        data.for_each(|x| *x = f16::from_f32(*x).to_f32());
    };
    let next = |output: &mut StepOutput, _| output.tokens.iter_mut().flatten().for_each(|token| *token ^= 1);
    let other_epsilon = |op: &mut Op| {
        if let Op::Norm(o) = op {
            o.epsilon *= 1.5;
        }
    };
    let no_residual = |op: &mut Op| {
        if let Op::Linear(o) = op {
            o.residual = None;
        }
    };
    let far = |batch: &mut Batch| batch.sequences.iter_mut().for_each(|s| s.pages.reverse());
    let found = |fault: Broken| {
        let backend = Tiered::new(&[("fast", fault), ("plain", SOUND)]);
        passed_over(&choose(&Verdicts::new(None), &backend, None).unwrap()).check.clone()
    };
    assert_eq!(found(Broken { output: Some(halves), ..SOUND }), "embed f16");
    assert_eq!(found(Broken { output: Some(next), ..SOUND }), "rows");
    assert_eq!(found(Broken { plan: Some(other_epsilon), ..SOUND }), "norm Rms");
    assert_eq!(found(Broken { plan: Some(no_residual), ..SOUND }), "linear f16");
    assert!(found(Broken { batch: Some(far), ..SOUND }).contains("attention"));
    assert_eq!(found(Broken { ignores_copies: true, ..SOUND }), "pages f16");
}

#[test]
fn files_that_are_damaged_or_cannot_be_written_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Tiered::new(&[("plain", SOUND)]);
    let path = folder.path().join("verdicts.json");
    let sound = |choice: &Choice| assert_eq!((choice.tier.as_str(), choice.cases > 20), ("plain", true));
    let not_kept = |choice: &Choice| matches!(choice.notes.as_slice(), [Note::NotKept(why)] if why.contains("verdicts.json"));
    for damaged in ["", "{", "[1, 2]", "{\"version\": 1, \"entries\": 7}", "\u{0}\u{1}"] {
        std::fs::write(&path, damaged).unwrap();
        let choice = choose(&Verdicts::new(Some(folder.path())), &backend, None).unwrap();
        sound(&choice);
        assert!(not_kept(&choice), "{choice:?}");
        // It has been written anew.
        let choice = choose(&Verdicts::new(Some(folder.path())), &backend, None).unwrap();
        assert_eq!((choice.cases, choice.notes), (0, vec![]));
    }
    // A file of a later form is nobody's fault.
    std::fs::write(&path, "{\"version\": 2, \"entries\": []}").unwrap();
    let choice = choose(&Verdicts::new(Some(folder.path())), &backend, None).unwrap();
    sound(&choice);
    assert_eq!(choice.notes, vec![]);
    // A folder that is a file.
    let choice = choose(&Verdicts::new(Some(&path)), &backend, None).unwrap();
    sound(&choice);
    assert!(choice.notes.iter().any(|note| matches!(note, Note::NotKept(_))), "{choice:?}");
}

#[test]
fn what_is_no_fault_is_not_held_against_a_tier() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Tiered::new(&[("plain", SOUND)]);
    let verdicts = Verdicts::new(Some(folder.path()));
    let mut left = 12;
    let mut stop = |_: &Progress<'_>| {
        left -= 1;
        if left == 0 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    };
    let cancelled = verdicts.choose(&backend, &backend.device(), &plan(), &options(None), &mut stop);
    assert!(matches!(cancelled, Err(VerdictError::Backend(BackendError::Cancelled))));
    // What had passed by then is known.
    let rest = choose(&verdicts, &backend, None).unwrap();
    let all = choose(&Verdicts::new(None), &backend, None).unwrap();
    assert!(rest.cases > 0 && rest.cases < all.cases && rest.notes.is_empty(), "{rest:?}");
    verdicts.forget().unwrap();
    assert!(!Path::new(&folder.path().join("verdicts.json")).exists());
    assert_eq!(choose(&verdicts, &backend, None).unwrap().cases, all.cases);
}

#[test]
fn a_tier_that_ends_the_program_is_passed_over_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Tiered::new(&[("deadly", SOUND), ("plain", SOUND)]);
    let device = backend.device();
    // As if the program had died in the midst of a check.
    let die = |times: u32| {
        let mut store = Store::new(Some(folder.path()));
        store.set(&Key::new(&backend, &device, "deadly"), WHOLE, Outcome::Begun { times });
        store.save();
    };
    die(FATAL_ENDS - 1);
    assert_eq!(choose(&Verdicts::new(Some(folder.path())), &backend, None).unwrap().tier, "deadly");
    Verdicts::new(Some(folder.path())).forget().unwrap();
    die(FATAL_ENDS);
    let verdicts = Verdicts::new(Some(folder.path()));
    let choice = choose(&verdicts, &backend, None).unwrap();
    assert_eq!(choice.tier, "plain");
    assert!(passed_over(&choice).what.contains("3 times in a row"), "{choice:?}");
    assert_eq!(verdicts.known(&backend, &device)[0].failed.len(), 1);
}
