//! Any bytes as the index of a model in several files: no name in it leads out of the folder.
#![no_main]

use std::path::{Component, Path};

use ingle_models::checkpoint::ShardIndex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = ShardIndex::read(bytes) else { return };
    assert!(!index.tensors.is_empty());
    for shard in index.shards().into_keys() {
        let parts: Vec<_> = Path::new(shard).components().collect();
        assert!(matches!(parts[..], [Component::Normal(_)]), "{shard:?}");
    }
});
