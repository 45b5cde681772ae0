//! Downloads that succeed, at the first attempt or a later one.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use ingle_models::hub::{HubError, Request, Stage, pull, resolve_in};

use crate::server::{COMMIT, Files, Reply, Server, contents_of};
use crate::{Setup, WEIGHTS, config, model, names, request, weights};

const WANTED: [&str; 5] =
    ["chat_template.jinja", "config.json", "generation_config.json", WEIGHTS, "tokenizer.json"];

#[test]
fn a_model_arrives_in_the_layout_that_programs_share() {
    let files = model();
    let server = Server::with(&files);
    let mut setup = Setup::new(&server);
    setup.settings.token = Some("secret".to_owned());
    let mut last = None;
    let pulled = setup.pull_watched(|progress| {
        last = Some((progress.done, progress.total, progress.before));
        ControlFlow::Continue(())
    });
    let pulled = pulled.unwrap();
    let total: u64 = WANTED.iter().map(|name| files.get(name).len() as u64).sum();
    assert_eq!((pulled.files, pulled.bytes, pulled.received), (5, total, total));
    assert_eq!(last, Some((total, total, 0)));
    assert_eq!(pulled.path, setup.model_folder().join("snapshots").join(COMMIT));
    assert_eq!(setup.snapshot(), WANTED);
    for name in WANTED {
        assert_eq!(fs::read(pulled.path.join(name)).unwrap(), files.get(name), "{name}");
        assert_eq!(fs::read(setup.blob(&files.checksum(name))).unwrap(), files.get(name), "{name}");
        #[cfg(unix)]
        assert_eq!(
            fs::read_link(pulled.path.join(name)).unwrap().to_str().unwrap(),
            format!("../../blobs/{}", files.checksum(name))
        );
    }
    assert_eq!(setup.blobs().len(), WANTED.len());
    assert_eq!(fs::read_to_string(setup.model_folder().join("refs/main")).unwrap(), COMMIT);
    assert_eq!(resolve_in(&setup.settings.cache, "owner/model").unwrap(), pulled.path);
    let asked = server.take_asked();
    assert!(asked.iter().all(|ask| ask.headers["authorization"] == "Bearer secret"));
}

#[test]
fn a_second_pull_downloads_nothing() {
    let server = Server::with(&model());
    let setup = Setup::new(&server);
    let first = setup.pull().unwrap();
    server.take_asked();
    let second = setup.pull().unwrap();
    assert_eq!((second.received, second.bytes, second.files), (0, first.bytes, first.files));
    let asked = server.take_asked();
    assert_eq!(asked.len(), 1, "only the list: {asked:?}");
    // Nor does a link that was lost cost a download.
    fs::remove_file(second.path.join(WEIGHTS)).unwrap();
    assert_eq!(setup.pull().unwrap().received, 0);
    assert!(second.path.join(WEIGHTS).exists());
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_dropped() {
    let (files, count) = (model(), AtomicUsize::new(0));
    let (length, expected) = (files.get(WEIGHTS).len(), files.get(WEIGHTS).to_vec());
    let server = Server::start(move |ask| {
        let mut reply = files.answer(ask);
        if ask.is_for(WEIGHTS) {
            reply.cut = [Some(100_000), Some(500_000), Some(1), None][count.fetch_add(1, Ordering::Relaxed)];
        }
        reply
    });
    let setup = Setup::new(&server);
    let mut pauses = 0;
    let pulled = setup.pull_watched(|progress| {
        pauses += usize::from(matches!(progress.stage, Stage::Pausing { file: WEIGHTS, attempt: 2, .. }));
        assert!(progress.done <= progress.total);
        ControlFlow::Continue(())
    });
    let pulled = pulled.unwrap();
    assert_eq!(server.starts(WEIGHTS), [0, 100_000, 600_000, 600_001]);
    assert!(pauses >= 3);
    assert_eq!(fs::read(pulled.path.join(WEIGHTS)).unwrap(), expected);
    assert_eq!(pulled.received, pulled.bytes, "each of the {length} bytes came once");
}

#[test]
fn a_cancelled_pull_leaves_a_part_that_the_next_goes_on_from() {
    let files = model();
    let server = Server::with(&files);
    let setup = Setup::new(&server);
    let error = setup.pull_watched(|progress| match progress.stage {
        Stage::Receiving { file: WEIGHTS } if progress.done > 400_000 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(error, Err(HubError::Cancelled)));
    assert!(!setup.snapshot().contains(&WEIGHTS.to_owned()));
    let checksum = files.checksum(WEIGHTS);
    let part = setup.blob(&format!("{checksum}.incomplete"));
    assert!(part.exists() && !setup.blob(&checksum).exists());
    assert!(!setup.model_folder().join("refs").exists(), "an incomplete model is not the newest");
    assert!(matches!(resolve_in(&setup.settings.cache, "owner/model"), Err(HubError::Incomplete { .. })));
    let there = fs::metadata(&part).unwrap().len();
    server.take_asked();
    let mut before = 0;
    let pulled = setup.pull_watched(|progress| {
        before = progress.before;
        ControlFlow::Continue(())
    });
    let pulled = pulled.unwrap();
    assert_eq!(server.starts(WEIGHTS), [there as usize]);
    assert_eq!(before + pulled.received, pulled.bytes);
    assert_eq!(fs::read(pulled.path.join(WEIGHTS)).unwrap(), files.get(WEIGHTS));
    assert!(!part.exists());
}

#[test]
fn a_server_that_ignores_ranges_sends_all_of_it_again() {
    let files = model();
    let expected = files.clone();
    let server = Server::start(move |ask| {
        let mut ask = ask.clone();
        ask.headers.remove("range");
        files.answer(&ask)
    });
    let setup = Setup::new(&server);
    let part = setup.blob(&format!("{}.incomplete", expected.checksum(WEIGHTS)));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &expected.get(WEIGHTS)[..70_000]).unwrap();
    let pulled = setup.pull().unwrap();
    assert_eq!(server.starts(WEIGHTS), [70_000]);
    assert_eq!(fs::read(pulled.path.join(WEIGHTS)).unwrap(), expected.get(WEIGHTS));
}

#[test]
fn a_damaged_part_is_thrown_away() {
    let files = model();
    let server = Server::with(&files);
    for length in [70_000, files.get(WEIGHTS).len(), files.get(WEIGHTS).len() + 1] {
        let setup = Setup::new(&server);
        let part = setup.blob(&format!("{}.incomplete", files.checksum(WEIGHTS)));
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, vec![0; length]).unwrap();
        let pulled = setup.pull().unwrap();
        assert_eq!(fs::read(pulled.path.join(WEIGHTS)).unwrap(), files.get(WEIGHTS));
        assert!(!part.exists());
    }
}

#[test]
fn a_whole_part_needs_no_request() {
    let files = model();
    let server = Server::with(&files);
    let setup = Setup::new(&server);
    let part = setup.blob(&format!("{}.incomplete", files.checksum(WEIGHTS)));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, files.get(WEIGHTS)).unwrap();
    setup.pull().unwrap();
    assert!(server.starts(WEIGHTS).is_empty());
}

#[test]
fn checksums_of_the_answers_serve_where_the_list_has_none() {
    let files = model();
    let contents = files.clone();
    // Large files lie on another server, which is not to see the token.
    let store = Server::start(move |ask| contents_of(contents.get(ask.path.trim_start_matches("/s/")), ask));
    let (store_address, listed) = (store.address.clone(), files.clone());
    let server = Server::start(move |ask| {
        if ask.path.starts_with("/api/") {
            return Reply::new(200).body(listed.list(false).to_string().as_bytes());
        }
        let name = ask.path.rsplit('/').next().unwrap();
        if !name.ends_with("safetensors") {
            return listed.answer(ask).with("ETag", &format!("W/\"{}\"", listed.checksum(name)));
        }
        if !ask.path.contains("/moved/") {
            let location = format!("/owner/moved/{name}");
            return Reply::new(307).with("Location", &location);
        }
        Reply::new(302)
            .with("Location", &format!("{store_address}/s/{name}"))
            .with("ETag", "\"something else\"")
            .with("X-Linked-Etag", &format!("\"{}\"", listed.checksum(name)))
            .with("X-Linked-Size", &listed.get(name).len().to_string())
    });
    let mut setup = Setup::new(&server);
    setup.settings.token = Some("secret".to_owned());
    let pulled = setup.pull().unwrap();
    assert_eq!(setup.snapshot(), WANTED);
    assert_eq!(fs::read(pulled.path.join(WEIGHTS)).unwrap(), files.get(WEIGHTS));
    let asked = store.take_asked();
    assert!(!asked.is_empty() && asked.iter().all(|ask| !ask.headers.contains_key("authorization")));
}

#[test]
fn weights_in_parts_are_those_of_the_index() {
    let index = r#"{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors", "c": "part-1.safetensors"}}"#;
    let files = Files::default()
        .with("config.json", config())
        .with("model.safetensors.index.json", index)
        .with("part-1.safetensors", weights(100))
        .with("part-2.safetensors", weights(200))
        .with("consolidated.safetensors", weights(300));
    let server = Server::with(&files);
    let setup = Setup::new(&server);
    setup.pull().unwrap();
    let wanted = ["config.json", "model.safetensors.index.json", "part-1.safetensors", "part-2.safetensors"];
    assert_eq!(setup.snapshot(), wanted);
}

#[test]
fn files_and_revisions_that_are_asked_for() {
    let server = Server::with(&model());
    let setup = Setup::new(&server);
    let files = vec!["onnx/*".to_owned(), "READM?.md".to_owned()];
    let request = Request { revision: Some("refs/pr/1".to_owned()), files, ..request() };
    let pulled = pull(&setup.settings, &request, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(setup.snapshot(), ["README.md", "onnx"]);
    assert_eq!(names(&pulled.path.join("onnx")), ["config.json"]);
    assert_eq!(fs::read(pulled.path.join("onnx/config.json")).unwrap(), b"{}");
    assert_eq!(fs::read_to_string(setup.model_folder().join("refs/refs/pr/1")).unwrap(), COMMIT);
    let none = Request { files: vec!["*.onnx".to_owned()], ..request };
    let error = pull(&setup.settings, &none, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("*.onnx"), "{error}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let (files, count) = (model(), AtomicUsize::new(0));
    let server = Server::start(move |ask| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(503),
        1 => Reply::new(429).with("Retry-After", "0"),
        3 | 4 => Reply::new(500),
        _ => files.answer(ask),
    });
    let setup = Setup::new(&server);
    setup.pull().unwrap();
    assert_eq!(setup.snapshot(), WANTED);
}
