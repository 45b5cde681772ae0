//! The cache: hits, misses, damage, a full disk, and several users at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use ingle_backends::format::{ActivationScale, Int8Group, PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightSource};
use tempfile::{TempDir, tempdir};

use super::super::tests::{f32_tensor, file_of, numbers};
use super::*;
use crate::checkpoint::Checkpoint;

const ROWS: usize = 50;
const COLS: usize = 100;
/// Weights of a block: 8 rows, so that the last of seven blocks has two.
const BLOCK: usize = 8 * COLS;
const BLOCKS: usize = 7;
const INT8: WeightFormat = WeightFormat::Int8(Int8Group::G64);

/// A model folder and a cache folder.
struct Setup {
    model: TempDir,
    cache: TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self { model: tempdir().unwrap(), cache: tempdir().unwrap() };
        fs::write(setup.model_file(), file_of(&[f32_tensor("t", &[ROWS, COLS])])).unwrap();
        make_old(&setup.model_file());
        setup
    }

    fn model_file(&self) -> PathBuf {
        self.model.path().join("model.safetensors")
    }

    fn cache(&self) -> ConvertedCache {
        let cache = ConvertedCache::open(self.cache.path()).unwrap();
        ConvertedCache { smallest: 0, block_elements: BLOCK, ..cache }
    }

    fn open(&self) -> Checkpoint {
        Checkpoint::open(self.model.path()).unwrap().with_cache(self.cache())
    }

    /// The files of the cache with this ending, each with its time.
    fn files(&self, ending: &str) -> Vec<(PathBuf, SystemTime)> {
        let entries = fs::read_dir(self.cache.path().join("converted-weights")).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().extension().is_some_and(|found| found == ending))
            .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    }
}

/// Sets a file's time back, so that its identity is trusted.
fn make_old(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn rows(source: &Checkpoint, rows: std::ops::Range<usize>, format: WeightFormat) -> PackedMatrix {
    source.matrix(&MatrixRequest { tensor: "t", rows, cols: COLS, format }).unwrap()
}

/// What it must be, cache or not.
fn check_all(source: &Checkpoint, format: WeightFormat) {
    let values = numbers(ROWS * COLS);
    for range in [0..ROWS, 0..8, 3..5, 7..9, 5..49, 48..50, 49..50] {
        let found = rows(source, range.clone(), format);
        let values = &values[range.start * COLS..range.end * COLS];
        let expected = PackedMatrix::quantize(format, range.len(), COLS, values).unwrap();
        assert_eq!(found.format(), format);
        assert_eq!(found.codes()[..], expected.codes()[..], "{range:?}");
        assert_eq!(found.scales()[..], expected.scales()[..], "{range:?}");
    }
}

#[test]
fn blocks_are_written_once_and_used_again() {
    let setup = Setup::new();
    for (index, format) in
        [INT8, WeightFormat::Nf4, WeightFormat::W8a8(ActivationScale::PerToken)].into_iter().enumerate()
    {
        check_all(&setup.open(), format);
        let written = setup.files("safetensors");
        assert_eq!(written.len(), BLOCKS * (index + 1));
        check_all(&setup.open(), format);
        assert_eq!(setup.files("safetensors"), written, "nothing is written again");
    }
    // How activations are scaled does not change the weights.
    let count = setup.files("safetensors").len();
    check_all(&setup.open(), WeightFormat::W8a8(ActivationScale::PerTensor(0.5)));
    assert_eq!(setup.files("safetensors").len(), count);
    // Dense formats are not kept.
    check_all(&setup.open(), WeightFormat::Bf16);
    assert_eq!(setup.files("safetensors").len(), count);
    assert!(setup.cache().check_contents().unwrap().is_empty());
    let other_tool = fs::read(&setup.files("safetensors")[0].0).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&other_tool).unwrap().tensor("codes").is_ok());
}

#[test]
fn small_tensors_are_not_kept() {
    let setup = Setup::new();
    let cache = setup.cache().with_smallest(ROWS * COLS + 1);
    check_all(&Checkpoint::open(setup.model.path()).unwrap().with_cache(cache), INT8);
    assert!(setup.files("safetensors").is_empty());
    let cache = setup.cache().with_smallest(ROWS * COLS);
    check_all(&Checkpoint::open(setup.model.path()).unwrap().with_cache(cache), INT8);
    assert_eq!(setup.files("safetensors").len(), BLOCKS);
}

#[test]
fn a_known_file_is_not_read_and_a_moved_one_is_found_by_content() {
    let setup = Setup::new();
    check_all(&setup.open(), INT8);
    let known = setup.files("known");
    assert_eq!(known.len(), 1);
    let lines = fs::read_to_string(&known[0].0).unwrap().lines().filter(|l| !l.is_empty()).count();
    assert_eq!(lines, BLOCKS);
    let blocks = setup.files("safetensors");

    // What the identity says is believed, so a lie shows that the rows are not read.
    let text = fs::read_to_string(&known[0].0).unwrap();
    let of_first = text.lines().find_map(|line| line.split(' ').nth(2)).unwrap();
    let of_first = blake3::Hash::from_hex(of_first).unwrap();
    let source = setup.open();
    let start = source.tensor("t").unwrap().range.start;
    Known::read(known[0].0.clone()).add(&(start + BLOCK * 4..start + BLOCK * 8), of_first, true);
    let lied = rows(&setup.open(), 8..16, INT8);
    assert_eq!(lied.codes()[..], rows(&source, 0..8, INT8).codes()[..]);

    // A moved file has another identity but the same contents.
    let moved = Setup { model: tempdir().unwrap(), cache: setup.cache };
    fs::copy(setup.model.path().join("model.safetensors"), moved.model_file()).unwrap();
    make_old(&moved.model_file());
    check_all(&moved.open(), INT8);
    assert_eq!(moved.files("safetensors"), blocks);
    assert_eq!(moved.files("known").len(), 2);
}

#[test]
fn a_changed_file_gets_its_own_weights() {
    let setup = Setup::new();
    check_all(&setup.open(), INT8);
    let mut bytes = fs::read(setup.model_file()).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&0.75_f32.to_le_bytes());
    let modified = fs::metadata(setup.model_file()).unwrap().modified().unwrap();
    fs::write(setup.model_file(), bytes).unwrap();
    // Even with the size and the time of the old one.
    fs::OpenOptions::new().write(true).open(setup.model_file()).unwrap().set_modified(modified).unwrap();
    let mut values = numbers(ROWS * COLS);
    *values.last_mut().unwrap() = 0.75;
    let expected = PackedMatrix::quantize(INT8, ROWS, COLS, &values).unwrap();
    let found = rows(&setup.open(), 0..ROWS, INT8);
    if cfg!(unix) {
        assert_eq!(found.codes()[..], expected.codes()[..]);
        assert_eq!(setup.files("safetensors").len(), BLOCKS + 1, "the other blocks are the same");
    }
}

#[test]
fn a_file_too_young_to_be_trusted_is_hashed_each_time() {
    let setup = Setup::new();
    let now = SystemTime::now();
    fs::OpenOptions::new().write(true).open(setup.model_file()).unwrap().set_modified(now).unwrap();
    check_all(&setup.open(), INT8);
    assert!(setup.files("known").is_empty());
    assert_eq!(setup.files("safetensors").len(), BLOCKS);
    check_all(&setup.open(), INT8);
}

#[test]
fn damage_anywhere_is_found_told_and_mended() {
    let setup = Setup::new();
    check_all(&setup.open(), WeightFormat::Nf4);
    let path = setup.files("safetensors")[2].0.clone();
    let sound = fs::read(&path).unwrap();
    let mut broken: Vec<Vec<u8>> = [0, 1, 7, 8, 9, 200].iter().map(|len| sound[..*len].to_vec()).collect();
    broken.push(sound[..sound.len() - 1].to_vec());
    broken.push([&sound[..], &[0]].concat());
    broken.push(fs::read(&setup.files("safetensors")[3].0).unwrap());
    for place in (0..sound.len()).step_by(13) {
        let mut bytes = sound.clone();
        bytes[place] ^= 0x10;
        broken.push(bytes);
    }
    for bytes in broken {
        fs::write(&path, &bytes).unwrap();
        let source = setup.open();
        check_all(&source, WeightFormat::Nf4);
        let notices = source.take_notices();
        let [Notice::CacheDamaged { path: named, .. }] = notices.as_slice() else { panic!("{notices:?}") };
        assert_eq!(*named, path);
        assert_eq!(fs::read(&path).unwrap(), sound);

        fs::write(&path, &bytes).unwrap();
        let notices = setup.cache().check_contents().unwrap();
        assert!(matches!(notices.as_slice(), [Notice::CacheDamaged { .. }]), "{notices:?}");
        assert!(!path.exists());
        check_all(&setup.open(), WeightFormat::Nf4);
    }
}

#[test]
fn sizes_alone_are_checked_if_so_wished() {
    let setup = Setup::new();
    check_all(&setup.open(), INT8);
    let path = setup.files("safetensors")[0].0.clone();
    let sound = fs::read(&path).unwrap();
    let mut changed = sound.clone();
    *changed.last_mut().unwrap() ^= 1;
    let trusting = || {
        let cache = setup.cache().with_check(CacheCheck::Sizes);
        Checkpoint::open(setup.model.path()).unwrap().with_cache(cache)
    };
    fs::write(&path, &changed).unwrap();
    rows(&trusting(), 0..ROWS, INT8);
    assert_eq!(fs::read(&path).unwrap(), changed);
    fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    check_all(&trusting(), INT8);
    assert_eq!(fs::read(&path).unwrap(), sound);
}

#[test]
fn a_full_disk_stops_the_writing_and_nothing_else() {
    let setup = Setup::new();
    for room in [0, 10, 900, 3000] {
        let cache = setup.cache();
        cache.folder.room.store(room, Ordering::Relaxed);
        let source = Checkpoint::open(setup.model.path()).unwrap().with_cache(cache);
        check_all(&source, INT8);
        let notices = source.take_notices();
        let [Notice::CacheNotWritten { source: fault, .. }] = notices.as_slice() else {
            panic!("{notices:?}")
        };
        assert_eq!(fault.kind(), io::ErrorKind::StorageFull);
        assert!(setup.files("part").is_empty());
        assert!(source.cache().unwrap().check_contents().unwrap().is_empty());
    }
    assert!(setup.files("safetensors").len() < BLOCKS);
    check_all(&setup.open(), INT8);
    assert_eq!(setup.files("safetensors").len(), BLOCKS);
}

#[test]
fn many_users_at_once() {
    let setup = Setup::new();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                // Each with its own cache, as processes have.
                let source = setup.open();
                check_all(&source, INT8);
                assert!(source.take_notices().is_empty());
            });
        }
    });
    assert_eq!(setup.files("safetensors").len(), BLOCKS);
    assert!(setup.files("part").is_empty());
    assert!(setup.cache().check_contents().unwrap().is_empty());
}

#[test]
fn it_says_what_there_is_and_removes_just_that() {
    let setup = Setup::new();
    check_all(&setup.open(), INT8);
    let cache = setup.cache();
    let own = cache.path().join("notes.txt");
    fs::write(&own, "mine").unwrap();
    fs::write(cache.path().join("model.safetensors"), "mine too").unwrap();
    let key = blake3::hash(b"x");
    let (old, young) =
        (cache.path().join(format!("{key}.1-2.part")), cache.path().join(format!("{key}.1-3.part")));
    fs::write(&old, "left").unwrap();
    fs::write(&young, "left").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    fs::OpenOptions::new().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    let report = cache.report().unwrap();
    assert_eq!((report.blocks, report.leftovers), (BLOCKS, 2));
    let bytes: u64 = ["safetensors", "known", "part"]
        .iter()
        .flat_map(|ending| setup.files(ending))
        .filter(|(path, _)| !path.ends_with("model.safetensors"))
        .map(|(path, _)| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(report.bytes, bytes);
    // Whoever comes next removes what has been abandoned.
    let next = setup.cache();
    assert!(!old.exists() && young.exists());

    let source = Checkpoint::open(setup.model.path()).unwrap().with_cache(next);
    let in_use = rows(&source, 0..8, INT8);
    let removed = source.cache().unwrap().clear().unwrap();
    assert_eq!((removed.blocks, removed.leftovers), (BLOCKS, 1));
    assert_eq!(source.cache().unwrap().report().unwrap(), CacheReport::default());
    assert!(own.exists() && cache.path().join("model.safetensors").exists());
    // What was in use still is, and the cache fills again.
    assert_eq!(in_use.codes()[..], rows(&setup.open(), 0..8, INT8).codes()[..]);
    check_all(&source, INT8);
    assert_eq!(source.cache().unwrap().report().unwrap().blocks, BLOCKS);
}

#[test]
fn a_cache_that_cannot_be_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let Err(error) = ConvertedCache::open(&file) else { panic!("a file is no folder") };
    assert!(error.to_string().contains("file"), "{error}");
}
