//! What is on this machine.

use std::fs;

use ingle_models::hub::library::{ModelState, list_in};
use ingle_models::hub::{HubError, resolve, resolve_in};
use tempfile::TempDir;

use crate::server::{COMMIT, Server};
use crate::{Setup, WEIGHTS, config, model, weights};

#[test]
fn models_of_the_cache_and_of_folders() {
    let setup = Setup::new(&Server::with(&model()));
    let pulled = setup.pull().unwrap();
    let own = setup.folder.path().join("own");
    let make = |name: &str, files: &[(&str, &[u8])]| {
        fs::create_dir_all(own.join(name)).unwrap();
        for (file, contents) in files {
            fs::write(own.join(name).join(file), contents).unwrap();
        }
    };
    let (config, whole) = (config(), weights(100));
    let config = config.as_bytes();
    make("a/deep", &[("config.json", config), (WEIGHTS, &whole)]);
    make("b-cut", &[("config.json", config), (WEIGHTS, &whole[..100])]);
    make("c-no-weights", &[("config.json", config), ("pytorch_model.bin", b"x")]);
    make("d-other-family", &[("config.json", br#"{"model_type": "whisper"}"#), (WEIGHTS, &whole)]);
    make("e-no-json", &[("config.json", b"{"), (WEIGHTS, &whole)]);
    let index = br#"{"weight_map": {"w": "1.safetensors", "x": "2.safetensors"}}"#;
    make(
        "f-part",
        &[("config.json", config), ("model.safetensors.index.json", index), ("1.safetensors", &whole)],
    );
    make("g-garbage", &[("config.json", config), (WEIGHTS, &[0xff; 64])]);
    make("h-no-model", &[("notes.txt", b"")]);
    let models = list_in(&setup.settings.cache, std::slice::from_ref(&own)).unwrap();
    let found: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    let expected = [
        "b-cut",
        "c-no-weights",
        "d-other-family",
        "deep",
        "e-no-json",
        "f-part",
        "g-garbage",
        "owner/model",
    ];
    assert_eq!(found, expected);
    let named = |name: &str| models.iter().find(|model| model.name == name).unwrap();
    let cached = named("owner/model");
    assert_eq!((&cached.path, cached.bytes), (&pulled.path, pulled.bytes));
    assert_eq!((cached.revision.as_deref(), cached.family.as_deref()), (Some("main"), Some("llama")));
    assert_eq!((cached.parameters, cached.dtype.as_deref()), (Some(300_000), Some("F32")));
    assert_eq!(cached.state, ModelState::Supported);
    assert_eq!(named("deep").state, ModelState::Supported);
    assert!(
        matches!(&named("d-other-family").state, ModelState::Unsupported(why) if why.contains("whisper"))
    );
    assert_eq!(named("d-other-family").family.as_deref(), Some("whisper"));
    for (name, reason) in [
        ("b-cut", "cut short"),
        ("c-no-weights", "there is neither"),
        ("e-no-json", "config.json"),
        ("f-part", "2.safetensors is missing"),
        ("g-garbage", "beyond the file"),
    ] {
        let state = &named(name).state;
        assert!(matches!(state, ModelState::Broken(why) if why.contains(reason)), "{name}: {state:?}");
    }
    let missing = own.join("nowhere");
    let error = list_in(&setup.settings.cache, std::slice::from_ref(&missing)).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_cache_that_is_not_there_is_empty() {
    let folder = TempDir::new().unwrap();
    assert!(list_in(&folder.path().join("none"), &[]).unwrap().is_empty());
}

#[test]
fn names_become_folders() {
    let setup = Setup::new(&Server::with(&model()));
    let pulled = setup.pull().unwrap();
    let cache = &setup.settings.cache;
    // A newer commit, downloaded by somebody else under another name, and one that is not complete.
    let snapshots = setup.model_folder().join("snapshots");
    let newer = snapshots.join("fedcba");
    fs::create_dir_all(&newer).unwrap();
    for file in ["config.json", WEIGHTS] {
        fs::copy(pulled.path.join(file), newer.join(file)).unwrap();
    }
    fs::create_dir_all(snapshots.join("abcdef")).unwrap();
    fs::write(snapshots.join("abcdef/config.json"), "{}").unwrap();
    fs::write(setup.model_folder().join("refs/v2"), "fedcba\n").unwrap();
    assert_eq!(resolve_in(cache, "owner/model").unwrap(), pulled.path, "main comes first");
    assert_eq!(resolve_in(cache, "owner/model@v2").unwrap(), newer);
    assert_eq!(resolve_in(cache, "owner/model@fed").unwrap(), newer);
    assert_eq!(resolve_in(cache, &format!("owner/model@{COMMIT}")).unwrap(), pulled.path);
    assert!(matches!(resolve_in(cache, "owner/model@abcdef"), Err(HubError::Incomplete { .. })));
    fs::remove_file(setup.model_folder().join("refs/main")).unwrap();
    assert_eq!(resolve_in(cache, "owner/model").unwrap(), newer, "else the newest that is complete");
    for name in ["owner/other", "owner/model@v3", "owner/model@../x", "no such folder/anywhere/at all", ""] {
        let error = resolve_in(cache, name).unwrap_err();
        assert!(matches!(error, HubError::NotHere { .. }), "{name}: {error}");
    }
    // A folder that exists wins, and needs no cache.
    let folder = setup.folder.path().to_str().unwrap();
    assert_eq!(resolve(folder).unwrap(), setup.folder.path());
}
