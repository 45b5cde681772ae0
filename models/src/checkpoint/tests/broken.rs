//! Every way a folder, an index or a file can be broken has its own error, which names the file.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::*;
use crate::checkpoint::{Checkpoint, CheckpointError, FileFault, IndexFault, TensorFault};

fn fault_of(bytes: Vec<u8>) -> FileFault {
    let error = Checkpoint::from_bytes("some.safetensors", bytes).unwrap_err();
    assert!(error.to_string().contains("some.safetensors"), "{error}");
    match error {
        CheckpointError::File { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

fn tensor_fault(header: &str, data: usize) -> TensorFault {
    match fault_of(raw_file(header, data)) {
        FileFault::Tensor { tensor, fault } => {
            assert_eq!(tensor, "t");
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn index_fault(folder: &Path) -> IndexFault {
    let error = Checkpoint::open(folder).unwrap_err();
    assert!(error.to_string().contains("model.safetensors.index.json"), "{error}");
    match error {
        CheckpointError::Index { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

fn entry(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

#[test]
fn truncated_anywhere() {
    let whole = file_of(&[f32_tensor("t", &[4, 6]), f32_tensor("u", &[3])]);
    assert!(Checkpoint::from_bytes("", whole.clone()).is_ok());
    for len in 0..whole.len() {
        let fault = fault_of(whole[..len].to_vec());
        let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize + 8;
        let told = match fault {
            FileFault::TooShort(_) => len < 8,
            FileFault::HeaderOutside { .. } => (8..header).contains(&len),
            FileFault::Tensor { fault: TensorFault::Outside { .. }, .. } => len >= header,
            _ => false,
        };
        assert!(told, "{len}: {fault}");
        assert!(fault.to_string().contains("truncated"), "{fault}");
    }
}

#[test]
fn header_length_beyond_the_file_or_all_reason() {
    let with_length = |len: u64, file_len: usize| {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.resize(file_len, b' ');
        fault_of(bytes)
    };
    for len in [93, 1 << 40, u64::MAX] {
        assert!(matches!(with_length(len, 100), FileFault::HeaderOutside { file_len: 100, .. }));
    }
    assert!(matches!(with_length(100_000_001, 100_000_009), FileFault::HeaderTooLong { .. }));
}

#[test]
fn header_that_is_no_table() {
    let mut not_utf8 = raw_file(r#"{"x":1}"#, 0);
    not_utf8[10] = 0xff;
    assert!(matches!(fault_of(not_utf8), FileFault::HeaderNotUtf8));
    for header in [
        "",
        "[]",
        "{",
        "nonsense",
        "{} {}",
        r#"{"t":1}"#,
        r#"{"t":{}}"#,
        r#"{"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#,
        r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}}"#,
        r#"{"t":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
    ] {
        let fault = fault_of(raw_file(header, 0));
        assert!(matches!(fault, FileFault::HeaderNotJson(_)), "{header}: {fault}");
    }
    let deep = format!(r#"{{"t":{}}}"#, "[".repeat(100_000));
    assert!(matches!(fault_of(raw_file(&deep, 0)), FileFault::HeaderNotJson(_)));
    let fault = fault_of(raw_file(r#"{"t":{"dtype":"F32"}}"#, 0));
    assert!(fault.to_string().contains("tensor `t`"), "{fault}");
}

#[test]
fn tensors_that_do_not_fit_the_file() {
    let (a, b) = (entry("s", "F32", "[2]", 0, 8), |start, end| entry("t", "F32", "[2]", start, end));
    let two = |start, end| format!("{{{a},{}}}", b(start, end));
    assert!(matches!(tensor_fault(&two(4, 12), 12), TensorFault::Overlap(other) if other == "s"));
    assert!(matches!(tensor_fault(&two(0, 8), 8), TensorFault::Overlap(_)));
    assert!(matches!(tensor_fault(&two(12, 20), 20), TensorFault::Gap(4)));
    assert!(matches!(tensor_fault(&two(8, 16), 12), TensorFault::Outside { end: 16, data_len: 12 }));
    assert!(matches!(tensor_fault(&two(8, u64::MAX), 12), TensorFault::Outside { .. }));
    assert!(matches!(tensor_fault(&two(16, 8), 16), TensorFault::Reversed { start: 16, end: 8 }));
    assert!(matches!(tensor_fault(&two(8, 12), 12), TensorFault::Size { claimed: 4, needed: 8, .. }));
    assert!(matches!(fault_of(raw_file(&two(8, 16), 19)), FileFault::Unclaimed(3)));
    let gap = format!("{{{}}}", entry("t", "F32", "[1]", 4, 8));
    assert!(matches!(tensor_fault(&gap, 8), TensorFault::Gap(4)));
}

#[test]
fn names_that_occur_twice() {
    let twice = format!("{{{},{}}}", entry("t", "F32", "[1]", 0, 4), entry("t", "F32", "[1]", 4, 8));
    assert!(matches!(fault_of(raw_file(&twice, 8)), FileFault::DuplicateName(name) if name == "t"));
    let metadata = r#"{"__metadata__":{"a":"1","a":"2"}}"#;
    assert!(matches!(fault_of(raw_file(metadata, 0)), FileFault::DuplicateName(name) if name == "a"));
}

#[test]
fn unknown_types_and_shapes_without_end() {
    let one = |dtype, shape| format!("{{{}}}", entry("t", dtype, shape, 0, 4));
    assert!(matches!(tensor_fault(&one("F31", "[1]"), 4), TensorFault::UnknownDtype(name) if name == "F31"));
    for shape in ["[4294967296,4294967296]", "[18446744073709551615]", "[2305843009213693952]"] {
        assert!(matches!(tensor_fault(&one("F32", shape), 4), TensorFault::TooLarge(_)), "{shape}");
    }
    // Nothing, however wide, takes no bytes.
    let empty = format!("{{{}}}", entry("t", "F32", "[0,4294967296,4294967296]", 0, 0));
    assert!(Checkpoint::from_bytes("", raw_file(&empty, 0)).is_ok());
}

#[test]
fn folders_without_a_model() {
    let folder = tempdir().unwrap();
    let missing = Checkpoint::open(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(missing, CheckpointError::NoFolder(_)), "{missing}");
    let nothing = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(nothing, CheckpointError::NoWeights { .. }), "{nothing}");

    let other = folder.path().join("pytorch_model.bin");
    fs::write(&other, "x").unwrap();
    let file = Checkpoint::open(&other).unwrap_err();
    assert!(matches!(file, CheckpointError::NotAFolder(_)), "{file}");
    fs::write(folder.path().join("model-q4.GGUF"), "x").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("pytorch_model.bin") && text.contains("model-q4.GGUF"), "{text}");
    assert!(text.contains("only safetensors"), "{text}");

    fs::write(folder.path().join("model-00001-of-00002.safetensors"), "x").unwrap();
    let text = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(text.contains("model-00001-of-00002.safetensors, which no index lists"), "{text}");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::create_dir(&path).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(&error, CheckpointError::NotAFile(found) if *found == path), "{error}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, []).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::File { fault: FileFault::TooShort(0), .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let refused = |folder: &Path, expected: &Path| {
        let error = Checkpoint::open(folder).unwrap_err();
        assert!(matches!(&error, CheckpointError::Read { path, .. } if path == expected), "{error}");
    };
    // A link that leads to itself, and one that leads nowhere, are readable for nobody.
    symlink(&path, &path).unwrap();
    refused(folder.path(), &path);
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    refused(folder.path(), &path);
    fs::remove_file(&path).unwrap();

    fs::write(&path, file_of(&[f32_tensor("t", &[1])])).unwrap();
    let forbid = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    forbid(&path, 0);
    // The superuser may read everything.
    if fs::File::open(&path).is_err() {
        refused(folder.path(), &path);
        forbid(folder.path(), 0);
        refused(folder.path(), folder.path());
        forbid(folder.path(), 0o700);
    }
}

#[test]
fn broken_indices() {
    let folder = tempdir().unwrap();
    write_sharded(folder.path());
    assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().count(), 3);

    write_index(folder.path(), &[("model.a", 1), ("model.c", 1)]);
    let fault = index_fault(folder.path());
    assert!(matches!(&fault, IndexFault::ShardLacks { tensor, .. } if tensor == "model.c"), "{fault}");
    write_index(folder.path(), &[("model.a", 1), ("model.d", 3)]);
    let fault = index_fault(folder.path());
    assert!(matches!(&fault, IndexFault::MissingShard { tensor, .. } if tensor == "model.d"), "{fault}");
    write_index(folder.path(), &[("model.a", 1), ("model.a", 2)]);
    assert!(matches!(index_fault(folder.path()), IndexFault::DuplicateName(name) if name == "model.a"));
    write_index(folder.path(), &[]);
    assert!(matches!(index_fault(folder.path()), IndexFault::Empty));

    let index = folder.path().join("model.safetensors.index.json");
    for text in ["", "{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"a": 1}}"#, "{\"weight_map\""] {
        fs::write(&index, text).unwrap();
        assert!(matches!(index_fault(folder.path()), IndexFault::NotJson(_)), "{text}");
    }
    fs::write(&index, [0xff, 0xfe]).unwrap();
    assert!(matches!(index_fault(folder.path()), IndexFault::NotUtf8));
    for shard in ["../other/model.safetensors", "/etc/passwd", "..", "", "a/b", r"..\\x", "c:x"] {
        fs::write(&index, format!(r#"{{"weight_map": {{"t": "{shard}"}}}}"#)).unwrap();
        assert!(matches!(index_fault(folder.path()), IndexFault::ShardName { .. }), "{shard}");
    }
    fs::File::create(&index).unwrap().set_len(100_000_001).unwrap();
    assert!(matches!(index_fault(folder.path()), IndexFault::TooLarge { .. }));
}

#[test]
fn a_broken_shard_is_named() {
    let folder = tempdir().unwrap();
    write_sharded(folder.path());
    let second = folder.path().join("model-00002-of-00002.safetensors");
    let whole = fs::read(&second).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(&error, CheckpointError::File { file, .. } if *file == second), "{error}");
}
