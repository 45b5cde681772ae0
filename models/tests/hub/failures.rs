//! Downloads that fail: what is said, and what is left.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::ControlFlow;

use ingle_models::hub::{HubError, Request, Stage, pull};

use crate::server::{Files, Reply, Server};
use crate::{Setup, WEIGHTS, config, model, names, request, weights};

#[test]
fn contents_with_the_wrong_checksum_never_appear() {
    for name in [WEIGHTS, "tokenizer.json"] {
        let files = model();
        let server = Server::start(move |ask| {
            let mut reply = files.answer(ask);
            if ask.is_for(name) {
                reply.body[0] ^= 1;
            }
            reply
        });
        let setup = Setup::new(&server);
        let error = setup.pull().unwrap_err();
        assert!(matches!(&error, HubError::WrongChecksum { file, .. } if file == name), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!setup.snapshot().contains(&name.to_owned()));
        let checksum = model().checksum(name);
        assert!(!setup.blobs().iter().any(|blob| blob.starts_with(&checksum)), "nothing of it is left");
    }
}

#[test]
fn a_connection_that_always_drops_is_given_up() {
    let files = model();
    let server = Server::start(move |ask| {
        // Always from the start, so no attempt ever brings anything new.
        let mut ask = ask.clone();
        ask.headers.remove("range");
        let mut reply = files.answer(&ask);
        reply.cut = ask.is_for(WEIGHTS).then_some(5000);
        reply
    });
    let setup = Setup::new(&server);
    let error = setup.pull().unwrap_err();
    assert!(matches!(&error, HubError::Interrupted { file, attempts: 4, .. } if file == WEIGHTS), "{error}");
    let part = setup.blob(&format!("{}.incomplete", model().checksum(WEIGHTS)));
    assert_eq!(fs::read(part).unwrap(), model().get(WEIGHTS)[..5000]);
}

#[test]
fn refusals_say_what_to_do() {
    let refusal = |status: u16, code: &'static str, token: Option<&str>| {
        let server = Server::start(move |_| Reply::new(status).with("X-Error-Code", code));
        let mut setup = Setup::new(&server);
        setup.settings.token = token.map(str::to_owned);
        let error = setup.pull().unwrap_err();
        assert_eq!(server.take_asked().len(), 1, "asking again would not help");
        error
    };
    let error = refusal(401, "GatedRepo", None);
    assert!(matches!(error, HubError::NeedsPermission { with_token: false, .. }), "{error}");
    assert!(error.to_string().contains("HF_TOKEN") && error.to_string().contains("/owner/model"), "{error}");
    let error = refusal(403, "GatedRepo", Some("x"));
    assert!(error.to_string().contains("token is not valid or not sufficient"), "{error}");
    let error = refusal(401, "", Some("x"));
    assert!(matches!(error, HubError::NeedsPermission { with_token: true, .. }), "{error}");
    for (status, code) in [(404, ""), (404, "RepoNotFound"), (401, "RepoNotFound")] {
        let error = refusal(status, code, None);
        assert!(matches!(error, HubError::NoModel { .. }), "{error}");
        assert!(error.to_string().contains("no model owner/model"), "{error}");
    }
    let error = refusal(404, "RevisionNotFound", None);
    assert!(error.to_string().contains("no revision `main`"), "{error}");
    assert!(matches!(refusal(418, "", None), HubError::Status { status: 418, .. }));
}

#[test]
fn an_address_where_nobody_listens_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut setup = Setup::new(&Server::with(&model()));
    drop(listener);
    setup.settings.endpoint.clone_from(&address);
    let error = setup.pull().unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn nothing_is_asked_where_that_is_forbidden() {
    let server = Server::with(&model());
    let mut setup = Setup::new(&server);
    setup.settings.offline = true;
    assert!(
        matches!(setup.pull(), Err(HubError::Offline { address }) if address.starts_with(&server.address))
    );
    assert!(server.take_asked().is_empty());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let evil = [
        "../evil.json",
        "/tmp/evil.json",
        "a/../../evil.json",
        "..\\evil.json",
        "tokenizer:evil.json",
        "tokenizer\u{7}.json",
    ];
    for name in evil {
        let server = Server::with(&model().with(name, "{}"));
        let setup = Setup::new(&server);
        let error = setup.pull().unwrap_err();
        assert!(matches!(&error, HubError::UnsafeFileName(refused) if refused == name), "{error}");
        assert!(names(setup.folder.path()).is_empty(), "nothing was written");
    }
    let index = r#"{"weight_map": {"a": "../../evil.safetensors"}}"#;
    let files = Files::default().with("config.json", config()).with("model.safetensors.index.json", index);
    let error = Setup::new(&Server::with(&files)).pull().unwrap_err();
    assert!(error.to_string().contains("../../evil.safetensors"), "{error}");
}

#[test]
fn commits_and_checksums_that_lead_elsewhere_are_refused() {
    for (key, value) in [("sha", "../../evil"), ("sha", ".."), ("sha", "")] {
        let server = Server::start(move |_| {
            let mut list = model().list(true);
            list[key] = value.into();
            Reply::new(200).body(list.to_string().as_bytes())
        });
        let setup = Setup::new(&server);
        assert!(matches!(setup.pull(), Err(HubError::Answer { .. })));
        assert!(names(setup.folder.path()).is_empty());
    }
    let server = Server::start(|ask| {
        if ask.path.starts_with("/api/") {
            let list = Files::default().with("config.json", "{}").with(WEIGHTS, "").list(false);
            return Reply::new(200).body(list.to_string().as_bytes());
        }
        Reply::new(200).with("ETag", "\"../../../../../../../../../../evil/x\"")
    });
    let setup = Setup::new(&server);
    assert!(matches!(setup.pull(), Err(HubError::NoChecksum { .. })));
    assert!(names(setup.folder.path()).is_empty());
}

#[test]
fn answers_that_are_no_lists() {
    for body in ["", "null", "[]", "<html>", "{}", r#"{"sha": 1}"#, r#"{"sha": "a", "siblings": [{}]}"#] {
        let server = Server::start(move |_| Reply::new(200).body(body.as_bytes()));
        let error = Setup::new(&server).pull().unwrap_err();
        assert!(matches!(error, HubError::Answer { .. }), "{body}: {error}");
    }
}

#[test]
fn models_without_weights_that_can_be_read() {
    let files = Files::default().with("config.json", "{}").with("model-q4.gguf", "x");
    let error = Setup::new(&Server::with(&files)).pull().unwrap_err();
    assert!(matches!(error, HubError::NoWeights { .. }));
    assert!(error.to_string().contains("model-q4.gguf"), "{error}");
    let files = Files::default().with(WEIGHTS, weights(1));
    let error = Setup::new(&Server::with(&files)).pull().unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
    let index = r#"{"weight_map": {"a": "part-1.safetensors"}}"#;
    let files = Files::default().with("config.json", config()).with("model.safetensors.index.json", index);
    let error = Setup::new(&Server::with(&files)).pull().unwrap_err();
    assert!(matches!(&error, HubError::NoFile { file, .. } if file == "part-1.safetensors"), "{error}");
}

#[test]
fn names_that_are_none_are_refused_before_anyone_is_asked() {
    let server = Server::with(&model());
    let setup = Setup::new(&server);
    for (model, revision) in [("../x", None), ("a/b/c", None), ("owner/model", Some("../x"))] {
        let request = Request { model: model.to_owned(), revision: revision.map(str::to_owned), ..request() };
        let error = pull(&setup.settings, &request, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, HubError::ModelName(_) | HubError::RevisionName(_)), "{error}");
    }
    assert!(server.take_asked().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let server = Server::with(&model());
    let mut setup = Setup::new(&server);
    let file = setup.folder.path().join("a file");
    fs::write(&file, "").unwrap();
    setup.settings.cache = file.join("hub");
    let error = setup.pull().unwrap_err();
    assert!(error.to_string().contains("a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::with(&model());
    let setup = Setup::new(&server);
    fs::create_dir_all(&setup.settings.cache).unwrap();
    fs::set_permissions(&setup.settings.cache, fs::Permissions::from_mode(0o500)).unwrap();
    if File::create(setup.settings.cache.join("allowed all the same")).is_ok() {
        return; // as the system's administrator nothing is forbidden
    }
    let error = setup.pull().unwrap_err();
    assert!(
        matches!(&error, HubError::NotAllowed { path } if path.starts_with(&setup.settings.cache)),
        "{error}"
    );
}

#[test]
fn a_file_that_another_program_downloads_is_waited_for() {
    let files = model();
    let server = Server::with(&files);
    let setup = Setup::new(&server);
    let lock = setup.settings.cache.join(".locks/models--owner--model");
    fs::create_dir_all(&lock).unwrap();
    let lock = File::create(lock.join(format!("{}.lock", files.checksum(WEIGHTS)))).unwrap();
    lock.lock().unwrap();
    let mut waits = 0;
    let mut lock = Some(lock);
    let pulled = setup.pull_watched(|progress| {
        if let Stage::Another { file: WEIGHTS } = progress.stage {
            waits += 1;
            // The other one is done.
            fs::write(setup.blob(&files.checksum(WEIGHTS)), files.get(WEIGHTS)).unwrap();
            drop(lock.take());
        }
        ControlFlow::Continue(())
    });
    pulled.unwrap();
    assert!(waits > 0);
    assert!(server.starts(WEIGHTS).is_empty());
}
