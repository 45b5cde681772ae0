//! Messages: sending, stopping, writing again, editing, branching, deleting.

use egui_kittest::kittest::Queryable;

use super::Window;
use crate::conversation::{Direction, MessageState, Role, SamplingSettings};
use crate::gui::command::Command;

#[test]
fn a_message_is_sent_and_its_reply_is_stopped() {
    let mut window = Window::ready();
    window.say("hello there");
    assert_eq!(window.shown()[0].text, "hello there");
    window.wait_for_text(40);
    let before = window.shown()[1].text.clone();
    window.stop();
    let reply = window.shown()[1].clone();
    assert!(reply.text.starts_with(&before));
    assert_eq!((reply.role, &reply.state), (Role::Assistant, &MessageState::Stopped));
    let statistics = reply.statistics.unwrap();
    assert!(statistics.tokens > 0 && statistics.prompt_tokens > 0, "{statistics:?}");
    assert_eq!(statistics.device, "cpu:0");
    // What was typed is gone, and the field can be typed into again.
    assert!(window.state().chats.drafts.values().all(String::is_empty));
    window.harness.run_ok();
}

#[test]
fn a_message_can_be_sent_while_the_model_is_loading() {
    let mut window = Window::empty();
    window.model = super::model();
    let folder = window.model.path().to_owned();
    window.harness.state_mut().state.settings.device = "cpu".to_owned();
    window.command(Command::OpenModel(folder));
    window.say("early");
    window.wait_for_text(5);
    window.wait("it ends", |state| {
        // The usual context of the tiny model is short.
        state.chats.current.writing().is_none()
    });
    assert_eq!(window.shown()[1].state, MessageState::CutOff);
}

#[test]
fn without_a_model_nothing_that_was_typed_is_lost() {
    let mut window = Window::empty();
    window.say("keep me");
    assert!(window.shown().is_empty());
    assert!(window.state().chats.drafts.values().any(|draft| draft == "keep me"));
    assert!(window.harness.query_by_label_contains("Choose a model first").is_some());
}

#[test]
fn a_reply_is_written_again_beside_the_first() {
    let mut window = Window::ready();
    let first = window.exchange("one");
    window.click("Write again");
    window.wait_for_text(20);
    window.stop();
    let second = window.state().last_reply().cloned().unwrap();
    assert_ne!(first.id, second.id);
    assert!(window.harness.query_by_label("2 / 2").is_some());
    window.click("Previous version");
    assert_eq!(window.shown()[1].id, first.id);
    window.click("Next version");
    assert_eq!(window.shown()[1].id, second.id);
}

#[test]
fn an_edited_message_is_a_branch_and_the_first_is_kept() {
    let mut window = Window::ready();
    let first = window.exchange("first question");
    let question = window.shown()[0].id;
    window.command(Command::Edit(None));
    window.frames(2);
    window.type_into("Edit message", " and more");
    window.click("Send as another version");
    window.wait_for_text(20);
    window.stop();
    let shown = window.shown();
    assert_eq!(shown[0].text, "first question and more");
    assert_ne!(shown[1].id, first.id);
    window.command(Command::Version(shown[0].id, Direction::Left));
    let back = window.shown();
    assert_eq!((back[0].id, back[1].id), (question, first.id));
}

#[test]
fn what_is_deleted_can_be_brought_back() {
    let mut window = Window::ready();
    window.exchange("one");
    let second = window.exchange("two");
    let before = window.shown();
    assert_eq!(before.len(), 4);
    let question = before[2].id;
    window.command(Command::DeleteMessage(question));
    assert_eq!(window.shown().len(), 2);
    window.click("Undo");
    assert_eq!(window.shown(), before);
    assert_eq!(window.shown()[3].id, second.id);
}

#[test]
fn a_fixed_seed_writes_the_same_and_length_is_limited() {
    let mut window = Window::ready();
    let sampling = SamplingSettings { seed: Some(7), max_tokens: Some(12), ..SamplingSettings::default() };
    let mut texts = vec![];
    for _ in 0..2 {
        window.command(Command::NewChat);
        window.command(Command::SetSampling(sampling.clone()));
        window.say("hello");
        window.wait("it has ended", |state| {
            state.last_reply().is_some_and(|reply| reply.state != MessageState::Writing)
        });
        let reply = window.shown()[1].clone();
        assert_eq!(reply.state, MessageState::CutOff);
        assert_eq!(reply.statistics.unwrap().tokens, 12);
        texts.push(reply.text);
    }
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn replies_of_two_conversations_are_written_at_once() {
    let mut window = Window::ready();
    window.say("one");
    window.wait_for_text(10);
    let first = window.state().chats.current.id();
    window.command(Command::NewChat);
    window.say("two");
    window.wait_for_text(10);
    let other = |window: &Window| {
        let chat = &window.state().chats.others[&first];
        chat.shown().map(|message| message.text.len()).sum::<usize>()
    };
    let before = other(&window);
    window.wait("the other goes on", |state| {
        state.chats.others[&first].shown().map(|message| message.text.len()).sum::<usize>() > before
    });
    window.stop();
    window.command(Command::OpenChat(first));
    window.stop();
    assert!(window.shown()[1].text.len() > before.saturating_sub(10));
}
