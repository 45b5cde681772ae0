//! The variables that say where models come from and where they are kept.

use std::fs;
use std::path::{Path, PathBuf};

use ingle_models::hub::{HubError, Settings};
use tempfile::TempDir;

fn settings(variables: &[(&str, &str)], home: Option<&Path>) -> Result<Settings, HubError> {
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::from_variables(variable, home)
}

#[test]
fn the_cache() {
    let home = Some(Path::new("/home/x"));
    for (variables, cache) in [
        (vec![], "/home/x/.cache/huggingface/hub"),
        (vec![("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
        (vec![("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/c")], "/h/hub"),
        (vec![("HF_HOME", "~/h")], "/home/x/h/hub"),
        (vec![("HF_HOME", "")], "/home/x/.cache/huggingface/hub"),
        (vec![("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")], "/old"),
        (vec![("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/new"),
    ] {
        assert_eq!(settings(&variables, home).unwrap().cache, PathBuf::from(cache), "{variables:?}");
    }
    assert!(matches!(settings(&[], None), Err(HubError::NoCacheFolder)));
    assert_eq!(settings(&[("HF_HUB_CACHE", "/new")], None).unwrap().cache, Path::new("/new"));
}

#[test]
fn the_server_and_the_token() {
    let home = TempDir::new().unwrap();
    let of = |variables: &[(&str, &str)]| settings(variables, Some(home.path())).unwrap();
    assert_eq!((of(&[]).endpoint.as_str(), of(&[]).token), ("https://huggingface.co", None));
    assert_eq!(of(&[("HF_ENDPOINT", "http://mirror/ ")]).endpoint, "http://mirror");
    assert_eq!(of(&[("HF_TOKEN", " a ")]).token.as_deref(), Some("a"));
    assert_eq!(of(&[("HUGGING_FACE_HUB_TOKEN", "b"), ("HF_TOKEN", " ")]).token.as_deref(), Some("b"));
    let folder = home.path().join(".cache/huggingface");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("token"), "c\n").unwrap();
    assert_eq!(of(&[]).token.as_deref(), Some("c"));
    fs::write(home.path().join("other"), "d").unwrap();
    assert_eq!(of(&[("HF_TOKEN_PATH", "~/other")]).token.as_deref(), Some("d"));
    assert!(of(&[("HF_HUB_OFFLINE", "1")]).offline && !of(&[("HF_HUB_OFFLINE", "0")]).offline);
    let shown = format!("{:?}", of(&[("HF_TOKEN", "secret-thing")]));
    assert!(!shown.contains("secret-thing"), "{shown}");
}
