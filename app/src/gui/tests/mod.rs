//! The window, driven without a display: a tiny model, a database in a folder of its own, and what people do with both.
//!
//! The harness looks at every frame that settles: an input without an accessible name fails the test.

mod chat;
mod checks;
mod compare;
mod devices;
mod evening;
mod library;
mod list;
mod looks;
mod losses;
mod pictures;
mod speed;
mod troubles;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use inglenook::backend::DeviceId;
use inglenook::devices;
use tempfile::TempDir;

use super::app::{App, Start};
use super::command::Command;
use super::state::State;
use crate::conversation::{Message, MessageState};

/// Longer than anything here takes, even where other things run beside it: the first use of a GPU in software checks its kernels, which
/// took 46 s on two busy cores.
const PATIENCE: Duration = Duration::from_mins(5);

const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }} </s>\
                        {% endfor %}{% if add_generation_prompt %}assistant {% endif %}";

/// A GPU, if only in software, for one test at a time: some of them lose it. Where tests must have one, none is a failure.
pub(super) struct Gpu {
    pub(super) id: DeviceId,
    _turn: MutexGuard<'static, ()>,
}

pub(super) fn gpu() -> Option<Gpu> {
    static TURN: Mutex<()> = Mutex::new(());
    let found = devices().into_iter().find(|device| device.info.id.backend == "wgpu");
    let expected = std::env::var("INGLE_EXPECT_DEVICES").is_ok_and(|list| list.contains("wgpu/"));
    assert!(found.is_some() || !expected, "there is no device of wgpu");
    if found.is_none() {
        eprintln!("not run: there is no device of wgpu");
    }
    Some(Gpu { id: found?.info.id, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) })
}

/// A file or a folder, as a desktop hands it over.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.0).map_err(|error| error.to_string())
    }
}

/// A window with its folders.
pub(super) struct Window {
    pub(super) harness: Harness<'static, App>,
    pub(super) data: TempDir,
    pub(super) model: TempDir,
}

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A tiny model whose replies end when they are stopped, or at their greatest length.
pub(super) fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = fixtures("tests/fixtures/models/llama");
    fs::copy(from.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let config = fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config.as_object_mut().unwrap().remove("eos_token_id");
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let tokenizer = fixtures("models/tests/fixtures/tokenizers/words/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("chat_template.jinja"), TEMPLATE).unwrap();
    folder
}

impl Window {
    /// A window with an empty database and without a model.
    pub(super) fn empty() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// A window without a model whose conversations are kept in this folder.
    pub(super) fn at(data: TempDir) -> Self {
        Self::with(data, tempfile::tempdir().unwrap(), false)
    }

    /// Another window on the folder of this one.
    pub(super) fn beside(&self) -> Self {
        let start = Start { data: Some(self.data.path().to_owned()), model: None, built_in: false };
        Self::start(start, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    /// The first start: the model that comes with the program opens by itself.
    pub(super) fn first() -> Self {
        let (data, model) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut window = Self::with(data, model, true);
        window.wait("the model is open", |state| state.model.facts().is_some());
        window
    }

    /// A window in which the tiny model is open on the CPU, with room for long replies.
    pub(super) fn ready() -> Self {
        let mut window = Self::empty();
        window.model = model();
        window.open_model();
        window
    }

    fn with(data: TempDir, model: TempDir, built_in: bool) -> Self {
        let start = Start { data: Some(data.path().to_owned()), model: None, built_in };
        Self::start(start, data, model)
    }

    fn start(start: Start, data: TempDir, model: TempDir) -> Self {
        let harness = Harness::builder()
            .with_size([1180.0, 780.0])
            .allow_missing_glyphs()
            .build_eframe(move |context| App::new(&context.egui_ctx, start).unwrap());
        let mut window = Self { harness, data, model };
        // Whatever the system's language is.
        window.command(Command::SetLanguage(super::words::Language::English));
        window
    }

    pub(super) fn open_model(&mut self) {
        let settings = &mut self.harness.state_mut().state.settings;
        (settings.device, settings.context) = ("cpu".to_owned(), Some(20_000));
        let folder = self.model.path().to_owned();
        self.command(Command::OpenModel(folder));
        self.wait("the model is open", |state| state.model.facts().is_some());
    }

    /// Closes the window, and opens it again with the same folders.
    pub(super) fn again(self) -> Self {
        let Self { harness, data, model } = self;
        drop(harness);
        Self::with(data, model, false)
    }

    pub(super) fn state(&self) -> &State {
        &self.harness.state().state
    }

    /// Carries out a command, as a button or the palette would.
    pub(super) fn command(&mut self, command: Command) {
        let ctx = self.harness.ctx.clone();
        super::update::apply(self.harness.state_mut(), command, &ctx);
        self.harness.step();
    }

    /// Draws frames until something is so.
    pub(super) fn wait(&mut self, what: &str, so: impl Fn(&State) -> bool) {
        let start = Instant::now();
        while !so(self.state()) {
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}; {:?}", self.state().trouble);
            std::thread::sleep(Duration::from_millis(3));
            self.harness.step();
        }
        self.harness.step();
    }

    /// Draws some frames.
    pub(super) fn frames(&mut self, count: usize) {
        for _ in 0..count {
            self.harness.step();
        }
    }

    pub(super) fn click(&mut self, name: &str) {
        // What lies over the window needs a frame to find its size.
        self.frames(2);
        self.harness.get_by_role_and_label(Role::Button, name).click();
        self.frames(2);
    }

    /// A field that is typed into.
    fn field<'a>(&'a self, name: &'a str) -> egui_kittest::Node<'a> {
        use egui_kittest::kittest::NodeT;

        let is_field = |node: &egui_kittest::Node<'_>| {
            matches!(node.accesskit_node().role(), Role::TextInput | Role::MultilineTextInput)
        };
        self.harness.get_all_by_label(name).find(is_field).unwrap()
    }

    pub(super) fn type_into(&mut self, field: &str, text: &str) {
        self.field(field).focus();
        self.frames(1);
        self.field(field).type_text(text);
        self.frames(2);
    }

    /// The messages that are shown.
    pub(super) fn shown(&self) -> Vec<Message> {
        self.state().chats.current.shown().cloned().collect()
    }

    /// Types a message and sends it.
    pub(super) fn say(&mut self, text: &str) {
        self.type_into("Message", text);
        self.harness.key_press(egui::Key::Enter);
        self.frames(2);
    }

    /// Waits for so much of the reply.
    pub(super) fn wait_for_text(&mut self, bytes: usize) {
        self.wait("a reply grows", |state| state.last_reply().is_some_and(|reply| reply.text.len() >= bytes));
    }

    pub(super) fn stop(&mut self) {
        self.click("Stop");
        self.wait("the reply has ended", |state| state.chats.current.writing().is_none());
    }

    /// Waits until nothing is written any more.
    pub(super) fn wait_for_end(&mut self) -> Message {
        self.wait("the reply has ended", |state| state.chats.current.writing().is_none());
        self.state().last_reply().cloned().unwrap()
    }

    /// Drops a file or a folder on the window.
    pub(super) fn drop_path(&mut self, path: &Path) {
        self.harness.input_mut().dropped_files.push(Arc::new(Dropped(path.to_owned())));
        self.frames(1);
        self.harness.input_mut().dropped_files.clear();
    }

    /// Whether some text is in sight.
    pub(super) fn has_text(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).next().is_some()
    }

    /// What the short messages at the edge say.
    pub(super) fn told(&mut self) -> Vec<String> {
        let toasts = &mut self.harness.state_mut().state.toasts;
        toasts.shown().0.iter().map(|toast| toast.words.clone()).collect()
    }

    /// Draws frames until a short message says something.
    pub(super) fn wait_until_told(&mut self, part: &str) -> String {
        let start = Instant::now();
        loop {
            let told = self.told();
            if let Some(words) = told.iter().find(|words| words.contains(part)) {
                return words.clone();
            }
            assert!(start.elapsed() < PATIENCE, "nobody says “{part}”: {told:?}");
            std::thread::sleep(Duration::from_millis(3));
            self.harness.step();
        }
    }

    /// Says something, and stops the reply when there is some of it.
    pub(super) fn exchange(&mut self, text: &str) -> Message {
        self.say(text);
        self.wait_for_text(20);
        self.stop();
        let reply = self.state().last_reply().cloned().unwrap();
        assert_eq!(reply.state, MessageState::Stopped);
        reply
    }
}
