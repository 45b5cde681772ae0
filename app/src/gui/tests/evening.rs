//! A first evening with the program: all that people do in a conversation, with the model that comes with it.

use egui::Key;
use egui_kittest::kittest::Queryable;
use inglenook::model::builtin;

use super::{Window, gpu};
use crate::conversation::{Direction, Message, MessageState, SamplingSettings};
use crate::gui::command::Command;
use crate::gui::views::View;

const STORY: &str = "Tell me a story about a fox.";

/// A first start on the CPU, where each reply draws the same tokens each time that the tests run.
fn first() -> Window {
    let mut window = Window::first();
    assert_eq!(window.state().model.facts().unwrap().name, builtin::NAME);
    window.command(Command::UseDevice("cpu".to_owned()));
    window.wait("it is on the CPU", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.backend == "cpu")
    });
    window.command(Command::SetSampling(SamplingSettings { seed: Some(5), ..SamplingSettings::default() }));
    window
}

/// Whether a reply that was stopped early is what the first is.
fn is_written(reply: &Message) -> bool {
    let statistics = reply.statistics.as_ref().unwrap();
    !reply.text.is_empty() && statistics.tokens > 0 && statistics.model == builtin::NAME
}

#[test]
fn a_first_evening() {
    let mut window = first();
    window.frames(3);
    // What is suggested is put into the field, and sent when it is wanted.
    window.click(STORY);
    assert!(window.state().chats.drafts.values().any(|draft| draft == STORY));
    window.harness.key_press(Key::Enter);
    window.frames(2);
    let story = window.wait_for_end();
    assert_eq!(story.state, MessageState::Finished, "{}", story.text);
    assert!(is_written(&story) && story.text.len() > 200 && story.text.contains("fox"), "{}", story.text);
    let statistics = story.statistics.clone().unwrap();
    assert!(statistics.tokens_per_second > 0.0 && statistics.milliseconds_to_first_token > 0.0);
    let chat = window.state().chats.current.id();
    assert!(!window.state().chats.heads.iter().find(|head| head.id == chat).unwrap().title.is_empty());

    // Another one, which is stopped, and written again beside it.
    window.say("Tell me a story about a lamp.");
    window.wait_for_text(60);
    window.stop();
    let stopped = window.state().last_reply().cloned().unwrap();
    assert!(stopped.state == MessageState::Stopped && is_written(&stopped), "{stopped:?}");
    window.command(Command::Regenerate(None));
    let again = window.wait_for_end();
    assert!(again.id != stopped.id && again.state == MessageState::Finished && is_written(&again));
    assert!(window.harness.query_by_label("2 / 2").is_some());
    window.click("Previous version");
    assert_eq!(window.shown()[3], stopped);
    window.click("Next version");
    assert_eq!(window.shown()[3], again);

    // The first question, asked otherwise, is a branch; the arrows lead back.
    let question = window.shown()[0].id;
    window.command(Command::OpenMessage(chat, question));
    window.frames(3);
    window.command(Command::Edit(Some(question)));
    window.frames(2);
    window.type_into("Edit message", " It is about a crow, too.");
    window.click("Send as another version");
    let other = window.wait_for_end();
    assert_eq!(window.shown().len(), 2);
    assert!(is_written(&other) && other.id != story.id);
    let asked = window.shown()[0].id;
    window.command(Command::Version(asked, Direction::Left));
    assert_eq!(window.shown().iter().map(|message| message.id).next(), Some(question));
    assert_eq!((&window.shown()[1], &window.shown()[3]), (&story, &again));

    // It is found from another conversation, in whichever branch it is.
    window.click("New conversation");
    window.say("What is int8?");
    window.wait_for_end();
    window.type_into("Search conversations", "crow");
    window.wait("it is found", |state| state.chats.hits.as_ref().is_some_and(|hits| !hits.is_empty()));
    let hits = window.state().chats.hits.clone().unwrap();
    assert!(hits.iter().all(|hit| hit.conversation == chat), "{hits:?}");
    let hit = hits.iter().find_map(|hit| hit.message).unwrap();
    window.command(Command::OpenMessage(chat, hit));
    window.wait("it is open", |state| state.chats.current.id() == chat);
    assert_eq!(window.shown().len(), 2, "the branch with the crow is shown");

    // And all of it is there the next time.
    let shown = window.shown();
    let mut window = window.again();
    assert_eq!(window.state().chats.heads.len(), 2);
    window.command(Command::OpenChat(chat));
    window.wait("it is open", |state| state.chats.current.id() == chat);
    assert_eq!(window.shown(), shown);
}

#[test]
fn a_story_is_begun_on_one_device_and_ended_on_another() {
    let Some(gpu) = gpu() else { return };
    let mut window = first();
    window.say(STORY);
    window.wait_for_text(100);
    window.command(Command::UseDevice(gpu.id.to_string()));
    let before = window.state().last_reply().cloned().unwrap();
    let after = window.wait_for_end();
    assert_eq!((after.id, &after.state), (before.id, &MessageState::Finished), "{}", after.text);
    assert!(after.text.starts_with(&before.text) && after.text.len() > before.text.len() + 100);
    let statistics = after.statistics.unwrap();
    assert_eq!(statistics.device, gpu.id.to_string());
    // Back on the CPU the conversation goes on.
    window.command(Command::UseDevice("cpu".to_owned()));
    window.say("Tell me a story about a lamp.");
    let next = window.wait_for_end();
    assert_eq!(next.state, MessageState::Finished);
    assert_eq!(next.statistics.unwrap().device, "cpu:0");
    assert_eq!(window.shown().len(), 4);
}

#[test]
fn every_input_has_a_name_with_the_model_loaded() {
    let mut window = first();
    window.harness.set_size(egui::vec2(1180.0, 1600.0));
    window.say("What is int8?");
    window.wait_for_end();
    window.command(Command::ToggleSampling);
    for view in View::ALL {
        window.command(Command::Show(view));
        window.frames(10);
        window.harness.check_accessibility();
    }
    // With all that can be unfolded.
    window.command(Command::Show(View::Models));
    window.wait("models were looked for", |state| state.library.built_in.is_some());
    let folder = window.state().library.built_in.clone();
    window.harness.state_mut().state.library.chosen = folder;
    window.frames(10);
    window.harness.check_accessibility();
    window.command(Command::Show(View::Chat));
    window.click(&format!("Model and device: {}", builtin::NAME));
    window.frames(3);
    window.harness.check_accessibility();
    window.harness.key_press(Key::Escape);
    window.frames(3);
    window.type_into("Search conversations", "int8");
    window.wait("it is found", |state| state.chats.hits.is_some());
    window.command(Command::Rename(None));
    window.frames(3);
    window.harness.check_accessibility();
}
