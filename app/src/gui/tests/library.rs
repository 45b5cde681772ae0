//! The page of models: what is found, what is reckoned, and downloads from a hub on this machine.

#[path = "../../../../models/tests/hub/server.rs"]
#[allow(dead_code, reason = "the tests of downloads use all of it")]
mod server;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use inglenook::backend::format::CacheFormat;
use inglenook::fit::Fit;
use inglenook::model::{WeightChoice, builtin};
use inglenook::models::hub::Settings;
use inglenook::models::hub::library::ModelState;
use tempfile::TempDir;

use super::{Window, fixtures, model};
use crate::gui::command::Command;
use crate::gui::library::{End, LibraryCommand, Outlook, Subject};
use crate::gui::views::View;
use server::{Files, Reply, Server};

const FIELD: &str = "A folder, or a name such as owner/model";

/// A window on the page of models, with a cache of its own and a hub, and devices that need not be measured.
fn library(endpoint: &str) -> (Window, TempDir) {
    let mut window = Window::empty();
    // All of the page at once, so that nothing has to be scrolled to.
    window.harness.set_size(egui::vec2(1180.0, 1800.0));
    let cache = tempfile::tempdir().unwrap();
    let mut hub = Settings::new(endpoint.to_owned(), cache.path().join("hub"));
    (hub.first_pause, hub.attempts) = (Duration::from_millis(1), 2);
    window.harness.state_mut().state.library.hub = Some(hub);
    window.wait("devices are known", |state| !state.devices.is_empty());
    let state = &mut window.harness.state_mut().state;
    for card in &state.devices {
        state.settings.speeds.insert(crate::gui::library::speed_name(&card.device.info), 1e10);
    }
    window.command(Command::Show(View::Models));
    window.wait("models were looked for", |state| state.library.models.is_some());
    (window, cache)
}

/// A hub that nobody should ask.
fn nowhere() -> (Window, TempDir) {
    library("http://127.0.0.1:1")
}

fn add(window: &mut Window, typed: &str) {
    window.type_into(FIELD, typed);
    window.click("Look");
}

fn outlook(window: &mut Window, folder: &Path) -> Outlook {
    let subject = Subject::Folder(folder.canonicalize().unwrap());
    window.wait("it is reckoned", |state| state.library.outlook(&subject).is_some());
    window.state().library.outlook(&subject).unwrap().clone().unwrap()
}

#[test]
fn a_folder_that_is_typed_is_found_reckoned_with_and_loaded() {
    let (mut window, _cache) = nowhere();
    assert!(window.has_text("Comes with the program"));
    let folder = model();
    add(&mut window, folder.path().to_str().unwrap());
    let real = folder.path().canonicalize().unwrap();
    window.wait("it is found", |state| state.library.models.as_ref().is_some_and(|models| models.len() == 2));
    let found = window.state().library.models.as_ref().unwrap()[1].clone();
    assert_eq!((found.path.as_path(), &found.state), (real.as_path(), &ModelState::Supported));
    let reckoned = outlook(&mut window, folder.path());
    let devices = window.state().devices.len();
    assert!(
        reckoned.formats.len() > 4 && reckoned.formats.iter().all(|format| format.cells.len() == devices)
    );
    let (stored, smaller) = (&reckoned.formats[0], &reckoned.formats[1]);
    assert!(smaller.footprint.weights < stored.footprint.weights);
    let cell = stored.cells.iter().find(|cell| cell.device.backend == "cpu").unwrap();
    assert!(matches!(cell.fit, Fit::Fits { .. }) && cell.rate.is_some());
    window.frames(2);
    assert!(window.has_text("tokens/s") && window.has_text("to spare"));
    // The one that was added is looked at. Int8 takes less cache, and what was reckoned follows.
    let before = stored.footprint.cache;
    window.harness.state_mut().state.library.cache = CacheFormat::Int8;
    let subject = Subject::Folder(real.clone());
    window.wait("it is reckoned anew", |state| {
        let reckoned = state.library.outlook(&subject).and_then(|reckoned| reckoned.as_ref().ok());
        reckoned.is_some_and(|reckoned| reckoned.formats[0].footprint.cache < before)
    });
    let int8 = window.harness.get_by_role_and_label(Role::RadioButton, "Weights in int8-g64");
    int8.click();
    window.frames(2);
    assert!(matches!(window.state().library.weights, WeightChoice::Format(_)));
    window.harness.state_mut().state.library.device = Some("cpu".to_owned());
    window.click(&format!("Load {}", found.name));
    window.wait("it is open", |state| state.model.facts().is_some());
    let facts = window.state().model.facts().unwrap().clone();
    assert_eq!((facts.weights.as_str(), facts.cache.as_str()), ("int8-g64", "int8"));
    assert_eq!(window.state().settings.weights, "int8-g64", "it is remembered");
    // The folder is remembered, too, until it is taken away.
    window.command(Command::Show(View::Models));
    window.frames(2);
    assert!(window.has_text("Open"));
    let known = window.state().settings.folders[0].display().to_string();
    window.click(&format!("Do not look into {known} any more"));
    window.wait("it is gone", |state| state.library.models.as_ref().is_some_and(|models| models.len() == 1));
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let (mut window, _cache) = nowhere();
    add(&mut window, "/no/such/folder");
    assert!(window.has_text("There is no folder “/no/such/folder”"));
    window.harness.state_mut().state.library.typed.clear();
    // A model that is damaged, one of a family that nobody knows, and a folder that goes away.
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(fixtures("tests/fixtures/models/llama").join(file), path.join(file)).unwrap();
        }
        path
    };
    let (damaged, unknown) = (made("damaged"), made("unknown"));
    fs::write(damaged.join("model.safetensors"), "short").unwrap();
    let config = fs::read_to_string(unknown.join("config.json")).unwrap();
    let config = config.replace("\"llama\"", "\"unheard-of\"").replace("LlamaForCausalLM", "Unheard");
    fs::write(unknown.join("config.json"), config).unwrap();
    add(&mut window, folder.path().to_str().unwrap());
    window.wait("both are found", |state| {
        state.library.models.as_ref().is_some_and(|models| models.len() == 3)
    });
    window.frames(2);
    assert!(window.has_text("Incomplete or damaged") && window.has_text("Cannot be run here"));
    assert!(window.has_text("unheard-of"));
    assert!(window.harness.query_by_label("Load damaged").is_none());
    fs::remove_dir_all(folder.path()).unwrap();
    window.command(Command::Library(LibraryCommand::Look));
    window.wait("it is missed", |state| !state.library.faults.is_empty());
    window.frames(2);
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    assert!(window.state().library.faults[0].contains(name));
    assert!(window.has_text(name));
}

#[test]
fn the_model_that_comes_with_the_program_is_first_and_can_be_loaded() {
    let (mut window, _cache) = nowhere();
    let first = window.state().library.models.as_ref().unwrap()[0].clone();
    assert_eq!((first.name.as_str(), &first.state), (builtin::NAME, &ModelState::Supported));
    assert_eq!(window.state().library.built_in.as_ref(), Some(&first.path));
    let reckoned = outlook(&mut window, &first.path);
    assert!(reckoned.automatic().is_some());
    window.frames(2);
    window.harness.state_mut().state.settings.device = "cpu".to_owned();
    window.click(&format!("Load {}", builtin::NAME));
    window.wait("it is open", |state| state.model.facts().is_some());
}

/// The tiny model as a hub has it.
fn files() -> Files {
    let folder = model();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"]
        .into_iter()
        .fold(Files::default(), |files, name| files.with(name, read(name)))
}

#[test]
fn a_model_is_looked_at_downloaded_in_pieces_and_loaded() {
    let served = files();
    let total: usize = served.0.iter().map(|(_, contents)| contents.len()).sum();
    let weights = served.get("model.safetensors").len();
    let (drops, patient) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, calm) = (Arc::clone(&drops), Arc::clone(&patient));
    let server = Server::start(move |ask| {
        let mut reply = served.answer(ask);
        // The connection drops in the midst of the weights, until it is told not to.
        if ask.is_for("model.safetensors") && !calm.load(Ordering::Relaxed) {
            counted.fetch_add(1, Ordering::Relaxed);
            reply.cut = Some(reply.body.len() / 3);
        }
        reply
    });
    let (mut window, cache) = library(&server.address);
    add(&mut window, "owner/model");
    window.wait("it is known", |state| {
        state.library.offer.as_ref().is_some_and(|asked| asked.answer.is_some())
    });
    let offer = window.state().library.offer.as_ref().unwrap().answer.clone().unwrap().unwrap();
    assert_eq!(offer.bytes, Some(total as u64));
    let subject = Subject::Offer(offer);
    window.wait("it is reckoned", |state| state.library.outlook(&subject).is_some());
    assert!(window.state().library.outlook(&subject).unwrap().is_ok());
    assert!(!cache.path().join("hub").exists(), "nothing was downloaded yet");
    window.frames(2);
    assert!(window.has_text("to download") && window.has_text("to spare"));
    window.click("Download owner/model");
    // Each attempt brings a third of what is left, and starts the count of attempts anew; the user stops it in between.
    window.wait("it is on its way", |_| drops.load(Ordering::Relaxed) > 1);
    window.command(Command::Library(LibraryCommand::StopDownload));
    let ended = |window: &mut Window| {
        window.wait("it has ended", |state| state.library.download.as_ref().is_some_and(|d| d.end.is_some()));
        window.state().library.download.as_ref().unwrap().end.clone().unwrap()
    };
    assert!(!matches!(ended(&mut window), End::Here(_)));
    assert_eq!(window.state().library.models.iter().flatten().count(), 1, "only what comes with the program");
    patient.store(true, Ordering::Relaxed);
    server.take_asked();
    window.frames(2);
    window.click("Go on");
    let End::Here(folder) = ended(&mut window) else { panic!("{:?}", ended(&mut window)) };
    let starts = server.starts("model.safetensors");
    assert!(starts.len() == 1 && starts[0] > 0 && starts[0] < weights, "it goes on from there: {starts:?}");
    window.wait("it is in the library", |state| {
        state.library.models.iter().flatten().any(|model| model.name == "owner/model")
    });
    assert_eq!(window.state().library.chosen.as_ref(), Some(&folder));
    window.harness.state_mut().state.library.device = Some("cpu".to_owned());
    // What is reckoned moves the button.
    outlook(&mut window, &folder);
    window.frames(2);
    window.click("Load owner/model");
    window.wait("it is open", |state| state.model.facts().is_some());
}

#[test]
fn a_download_whose_checksum_is_wrong_becomes_no_model() {
    let served = files();
    let server = Server::start(move |ask| {
        let mut reply = served.answer(ask);
        // As long as it should be, and not what it should be.
        if ask.is_for("model.safetensors") {
            reply.body.iter_mut().rev().take(100).for_each(|byte| *byte ^= 0x55);
        }
        reply
    });
    let (mut window, cache) = library(&server.address);
    window.command(Command::Library(LibraryCommand::Download("owner/model".to_owned())));
    window.wait("it has failed", |state| {
        matches!(state.library.download.as_ref().and_then(|d| d.end.as_ref()), Some(End::Failed(_)))
    });
    let Some(End::Failed(why)) = window.state().library.download.as_ref().unwrap().end.clone() else {
        panic!()
    };
    assert!(why.contains("model.safetensors") && why.contains("checksum"), "{why}");
    window.frames(2);
    assert!(window.has_text("owner/model was not downloaded") && window.has_text("Go on"));
    window.command(Command::Library(LibraryCommand::Look));
    window.wait("it was looked for", |state| !state.library.is_looking());
    let models = window.state().library.models.clone().unwrap();
    assert!(models.iter().all(|model| model.state != ModelState::Supported || model.name == builtin::NAME));
    let snapshot = cache.path().join("hub/models--owner--model/snapshots").join(server::COMMIT);
    assert!(!snapshot.join("model.safetensors").exists(), "nothing is handed out");
}

#[test]
fn a_model_that_no_hub_has_is_said_to_be_missing() {
    let server = Server::start(|_| Reply::new(404).with("X-Error-Code", "RepoNotFound"));
    let (mut window, _cache) = library(&server.address);
    add(&mut window, "owner/missing");
    window.wait("it is answered", |state| {
        state.library.offer.as_ref().is_some_and(|asked| asked.answer.is_some())
    });
    window.frames(2);
    assert!(window.has_text("there is no model owner/missing"));
    // A download of it ends the same way.
    window.command(Command::Library(LibraryCommand::Download("owner/missing".to_owned())));
    window.wait("it has failed", |state| {
        matches!(state.library.download.as_ref().and_then(|d| d.end.as_ref()), Some(End::Failed(_)))
    });
    window.frames(2);
    assert!(window.has_text("owner/missing was not downloaded"));
}

#[test]
fn a_folder_that_is_dropped_is_looked_at_before_it_is_loaded() {
    let (mut window, _cache) = nowhere();
    let folder = model();
    window.drop_path(folder.path());
    window.wait("it is found", |state| state.library.models.as_ref().is_some_and(|models| models.len() == 2));
    assert!(window.state().model.is_none());
    assert_eq!(window.state().library.chosen, Some(folder.path().canonicalize().unwrap()));
}

#[test]
fn chinese_words_fill_the_page_too() {
    let (mut window, _cache) = nowhere();
    window.command(Command::SetLanguage(crate::gui::words::Language::Chinese));
    window.frames(2);
    assert!(window.has_text("程序自带"));
    window.command(Command::Show(View::Devices));
    window.frames(2);
    assert!(window.has_text("本机可运行模型的设备"));
}
