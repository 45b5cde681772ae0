//! The list of conversations: opening, naming, pinning, deleting and bringing back.

use std::mem;

use super::super::app::App;
use super::super::command::Command;
use super::super::state::{Field, Renaming, State, Undo};
use super::super::views::View;
use crate::conversation::{Conversation, ConversationId, Direction};

/// More deletions than these are not remembered.
const UNDOS: usize = 50;

pub(super) fn apply(app: &mut App, command: Command) {
    match command {
        Command::NewChat => {
            let fresh = fresh(&app.state);
            enter(&mut app.state, fresh);
        }
        Command::OpenChat(id) => open(app, id),
        Command::OpenMessage(id, message) => {
            app.state.chats.goal = Some(message);
            open(app, id);
            if app.state.chats.current.id() == id {
                go_to_goal(&mut app.state);
            }
        }
        Command::Find => {
            let query = app.state.chats.search.trim();
            if query.is_empty() {
                app.state.chats.hits = None;
            } else {
                app.store.search(query);
            }
        }
        Command::StepChat(direction) => step(app, direction),
        Command::Rename(chat) => {
            let chat = chat.unwrap_or(app.state.chats.current.id());
            if let Some(head) = app.state.chats.heads.iter().find(|head| head.id == chat) {
                app.state.settings.sidebar = true;
                app.state.renaming = Some(Renaming { chat, title: head.title.clone() });
            }
        }
        Command::SetTitle(chat, title) => {
            app.state.renaming = None;
            change(app, chat, move |conversation| conversation.rename(&title));
        }
        Command::Pin(chat) => {
            let chat = chat.unwrap_or(app.state.chats.current.id());
            change(app, chat, |conversation| conversation.set_pinned(!conversation.head().pinned));
        }
        Command::DeleteChat(chat) => delete(app, chat.unwrap_or(app.state.chats.current.id())),
        Command::Undo => undo(app),
        _ => {}
    }
}

pub(super) fn fresh(state: &State) -> Conversation {
    Conversation::new(state.settings.system.clone(), state.settings.sampling.clone())
}

/// Shows a conversation. The one before goes on in the background if it is being written.
pub(super) fn enter(state: &mut State, conversation: Conversation) {
    let before = mem::replace(&mut state.chats.current, conversation);
    // Its last changes are taken from there as well.
    state.chats.others.insert(before.id(), before);
    state.chats.coming = None;
    state.editing = None;
    state.view = View::Chat;
    state.focus = Some(Field::Composer);
    state.chat_view.begin(state.chats.current.id());
    go_to_goal(state);
}

/// Shows the message that was looked for, in whichever version it is.
fn go_to_goal(state: &mut State) {
    if let Some(message) = state.chats.goal.take()
        && state.chats.current.show(message).is_ok()
    {
        state.chat_view.go_to(message);
    }
}

fn open(app: &mut App, id: ConversationId) {
    app.state.view = View::Chat;
    if app.state.chats.current.id() == id {
        app.state.focus = Some(Field::Composer);
    } else if let Some(conversation) = app.state.chats.others.remove(&id) {
        enter(&mut app.state, conversation);
    } else {
        app.state.chats.coming = Some(id);
        app.store.load(id);
    }
}

fn step(app: &mut App, direction: Direction) {
    let chats = &app.state.chats;
    let at = chats.heads.iter().position(|head| head.id == chats.current.id());
    let next = match (at, direction) {
        (None, _) => Some(0),
        (Some(at), Direction::Left) => at.checked_sub(1),
        (Some(at), Direction::Right) => Some(at + 1),
    };
    if let Some(id) = next.and_then(|at| chats.heads.get(at)).map(|head| head.id) {
        open(app, id);
    }
}

/// Changes a conversation that may be any of those in the list. One that is not open is written to by its head alone.
fn change(app: &mut App, id: ConversationId, act: impl FnOnce(&mut Conversation)) {
    if let Some(conversation) = app.state.chats.get_mut(id) {
        act(conversation);
        return;
    }
    let Some(head) = app.state.chats.heads.iter().find(|head| head.id == id).cloned() else { return };
    // Without messages a title that was not given would be lost.
    let given = head.title_given;
    let title = head.title.clone();
    let Some(mut conversation) = Conversation::from_parts(head, vec![], []) else { return };
    act(&mut conversation);
    let mut head = conversation.head().clone();
    if !given && head.title.is_empty() {
        head.title = title;
    }
    app.state.chats.note(&head);
    app.store.write(vec![crate::conversation::Change::Head(head)]);
}

fn delete(app: &mut App, id: ConversationId) {
    let t = app.state.settings.language();
    let state = &mut app.state;
    let Some(at) = state.chats.heads.iter().position(|head| head.id == id) else { return };
    if let Some(writing) = state.chats.get_mut(id).and_then(|conversation| conversation.writing()) {
        // A reply that still grows would bring it back.
        app.desk.stop(writing);
        state.live.remove(&writing);
        if let Some(conversation) = state.chats.get_mut(id)
            && let Some(statistics) = conversation.message(writing).and_then(|m| m.statistics.clone())
        {
            // It is being written, so that it can be ended.
            let _ = conversation.end(writing, crate::conversation::MessageState::Stopped, statistics);
        }
    }
    // What is not stored yet must be before it goes.
    if let Some(changes) = state.chats.get_mut(id).map(Conversation::take_changes) {
        app.store.write(changes);
    }
    app.store.delete(id);
    let head = state.chats.heads.remove(at);
    if let Some(hits) = &mut state.chats.hits {
        hits.retain(|hit| hit.conversation != id);
    }
    if state.chats.current.id() == id {
        let fresh = fresh(state);
        enter(state, fresh);
    }
    state.chats.others.remove(&id);
    state.toasts.done(t.chat_deleted(&head.title), Some((t.undo().to_owned(), Command::Undo)));
    remember(state, Undo::Chat(Box::new(head)));
}

pub(super) fn remember(state: &mut State, undo: Undo) {
    state.undo.push(undo);
    if state.undo.len() > UNDOS {
        state.undo.remove(0);
    }
}

fn undo(app: &mut App) {
    let t = app.state.settings.language();
    match app.state.undo.pop() {
        Some(Undo::Chat(head)) => {
            app.store.restore(head.id);
            let id = head.id;
            app.state.chats.note(&head);
            open(app, id);
        }
        Some(Undo::Messages(chat, removed)) => {
            let back = match app.state.chats.get_mut(chat) {
                Some(conversation) => conversation.restore(removed),
                None => false,
            };
            if !back {
                app.state.toasts.problem(t.cannot_undo());
            }
        }
        Some(Undo::Comparison(entry, result)) => super::compare::bring_back(app, entry, *result),
        None => {}
    }
}
