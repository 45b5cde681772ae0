//! The list of conversations: finding, naming, pinning, deleting, and finding all again after a restart.

use egui_kittest::kittest::Queryable;

use super::Window;
use crate::conversation::MessageState;
use crate::gui::command::Command;

#[test]
fn conversations_are_found_named_pinned_and_deleted() {
    let mut window = Window::ready();
    window.exchange("about badgers");
    let badgers = window.state().chats.current.id();
    window.click("New conversation");
    window.exchange("about 狐狸");
    assert_eq!(window.state().chats.heads.len(), 2);

    window.type_into("Search conversations", "badgers");
    window.wait("it is found", |state| state.chats.hits.as_ref().is_some_and(|hits| !hits.is_empty()));
    assert!(window.state().chats.hits.as_ref().unwrap().iter().all(|hit| hit.conversation == badgers));
    window.harness.state_mut().state.chats.search = "狐".to_owned();
    window.command(Command::Find);
    window.wait("one character is enough", |state| {
        state.chats.hits.as_ref().is_some_and(|hits| hits.iter().any(|hit| hit.conversation != badgers))
    });
    window.harness.state_mut().state.chats.search.clear();
    window.command(Command::Find);

    window.command(Command::OpenChat(badgers));
    window.wait("it is open", |state| state.chats.current.id() == badgers);
    window.command(Command::Rename(None));
    window.frames(2);
    window.type_into("Title", "!");
    window.harness.key_press(egui::Key::Enter);
    window.frames(2);
    assert_eq!(window.state().chats.current.head().title, "about badgers!");

    window.command(Command::Pin(None));
    assert_eq!(window.state().chats.heads[0].id, badgers);
    assert!(window.state().chats.heads[0].pinned);

    window.command(Command::DeleteChat(None));
    assert_eq!(window.state().chats.heads.len(), 1);
    assert_ne!(window.state().chats.current.id(), badgers);
    window.click("Undo");
    window.wait("it is back", |state| state.chats.current.id() == badgers);
    assert_eq!(window.shown().len(), 2);
}

#[test]
fn all_is_there_after_a_restart() {
    let mut window = Window::ready();
    let reply = window.exchange("remember this");
    window.command(Command::SetTheme(crate::gui::theme::ThemeChoice::Dark));
    window.command(Command::Pin(None));
    let id = window.state().chats.current.id();
    let mut window = window.again();
    assert_eq!(window.state().settings.theme, crate::gui::theme::ThemeChoice::Dark);
    assert!(window.state().chats.heads[0].pinned);
    window.wait("the model of the last time is open", |state| state.model.facts().is_some());
    window.command(Command::OpenChat(id));
    window.wait("it is open", |state| state.chats.current.id() == id);
    assert_eq!(window.shown()[1], reply);
    assert_eq!(window.shown()[1].state, MessageState::Stopped);
}

#[test]
fn a_model_that_is_gone_is_told_in_place() {
    let mut window = Window::empty();
    window.command(Command::OpenModel("/there/is/no/such/model".into()));
    window.wait("it is told", |state| state.trouble.is_some());
    assert!(window.harness.query_by_label_contains("could not be opened").is_some());
    assert!(window.state().trouble.as_ref().unwrap().reason.contains("/there/is/no/such/model"));
    // The window goes on, and the same can be tried again.
    window.click("Try again");
    window.wait("it is told again", |state| state.trouble.is_some());
}
