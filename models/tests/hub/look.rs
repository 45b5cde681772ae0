//! Looking at models before they are downloaded.

use std::ops::ControlFlow;

use ingle_models::hub::{HubError, Offer, look};

use crate::server::{COMMIT, Files, Reply, Server};
use crate::{Setup, config, model, request, weights};

fn looked(setup: &Setup) -> Result<Offer, HubError> {
    look(&setup.settings, &request(), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn an_offer_is_what_a_pull_would_bring() {
    let server = Server::with(&model());
    let setup = Setup::new(&server);
    let offer = looked(&setup).unwrap();
    assert_eq!((offer.model.as_str(), offer.commit.as_str()), ("owner/model", COMMIT));
    assert_eq!(offer.config.model_type(), Some("llama"));
    assert!(!setup.settings.cache.exists(), "nothing is written");
    assert_eq!(offer.bytes, Some(setup.pull().unwrap().bytes));
}

#[test]
fn weights_in_parts_are_counted_by_the_index() {
    let index =
        r#"{"weight_map":{"a":"part-1.safetensors","b":"part-2.safetensors","c":"part-1.safetensors"}}"#;
    let files = Files::default()
        .with("config.json", config())
        .with("model.safetensors.index.json", index)
        .with("part-1.safetensors", weights(100))
        .with("part-2.safetensors", weights(200))
        .with("part-3.safetensors", weights(4000));
    let server = Server::with(&files);
    let setup = Setup::new(&server);
    let wanted = ["config.json", "model.safetensors.index.json", "part-1.safetensors", "part-2.safetensors"];
    let bytes: usize = wanted.iter().map(|name| files.get(name).len()).sum();
    assert_eq!(looked(&setup).unwrap().bytes, Some(bytes as u64));
}

#[test]
fn what_is_no_model_is_said_to_be_none() {
    let failed = |files: Files| looked(&Setup::new(&Server::with(&files))).unwrap_err();
    let error = failed(Files::default().with("README.md", "a page"));
    assert!(matches!(error, HubError::NoWeights { .. }), "{error}");
    let error = failed(Files::default().with("config.json", config()).with("model.gguf", "x"));
    assert!(matches!(&error, HubError::NoWeights { fault, .. } if fault.contains("model.gguf")), "{error}");
    let error = failed(Files::default().with("config.json", "{").with("model.safetensors", weights(1)));
    assert!(matches!(&error, HubError::Answer { address, .. } if address.contains("config.json")), "{error}");
    let index = r#"{"weight_map":{"a":"../../elsewhere"}}"#;
    let error =
        failed(Files::default().with("config.json", config()).with("model.safetensors.index.json", index));
    assert!(matches!(error, HubError::Answer { .. }), "{error}");
    let nobody = Server::start(|_| Reply::new(404).with("X-Error-Code", "RepoNotFound"));
    assert!(matches!(looked(&Setup::new(&nobody)), Err(HubError::NoModel { .. })));
}

#[test]
fn looking_can_be_stopped() {
    let server = Server::start(|_| Reply::new(503));
    let setup = Setup::new(&server);
    let stopped = look(&setup.settings, &request(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(HubError::Cancelled)));
}
