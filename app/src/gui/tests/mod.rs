//! The window, driven without a display: a tiny model, a database in a folder of its own, and what people do with both.
//!
//! The harness looks at every frame that settles: an input without an accessible name fails the test.

mod chat;
mod checks;
mod compare;
mod devices;
mod library;
mod list;
mod looks;
mod speed;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use tempfile::TempDir;

use super::app::{App, Start};
use super::command::Command;
use super::state::State;
use crate::conversation::{Message, MessageState};

/// Longer than anything here takes, even where other things run beside it.
const PATIENCE: Duration = Duration::from_mins(1);

const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }} </s>\
                        {% endfor %}{% if add_generation_prompt %}assistant {% endif %}";

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
        Self::with(tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), None)
    }

    /// A window in which the tiny model is open on the CPU, with room for long replies.
    pub(super) fn ready() -> Self {
        let mut window = Self::empty();
        window.model = model();
        window.open_model();
        window
    }

    fn with(data: TempDir, model: TempDir, open: Option<PathBuf>) -> Self {
        let start = Start { data: Some(data.path().to_owned()), model: open, built_in: false };
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
        Self::with(data, model, None)
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
