//! Messages: sending, stopping, writing again, editing, deleting; and how replies are to be written.

use super::super::app::App;
use super::super::command::Command;
use super::super::desk::{ReplyOrder, Turn};
use super::super::live::Live;
use super::super::state::{Editing, Field, ModelState, State, Undo};
use super::super::views::View;
use super::list::remember;
use crate::conversation::{
    ConversationError, ConversationId, MessageId, MessageState, Preset, SamplingSettings, Statistics,
};

pub(super) fn apply(app: &mut App, command: Command, ctx: &egui::Context) {
    let t = app.state.settings.language();
    let result = match command {
        Command::Send => send(app),
        Command::Stop => {
            if let Some(reply) = app.state.chats.current.writing() {
                app.desk.stop(reply);
            }
            Ok(())
        }
        Command::Regenerate(reply) => regenerate(app, reply),
        Command::Edit(message) => {
            let last = app.state.last_question().map(|message| message.id);
            if let (None, Some(last)) = (message, last) {
                // It may be out of sight, where nothing is drawn that could be typed into.
                app.state.chat_view.go_to(last);
            }
            let message = message.or(last);
            let text = message.and_then(|id| app.state.chats.current.message(id)).map(|m| m.text.clone());
            app.state.editing = message.zip(text).map(|(message, text)| Editing { message, text });
            Ok(())
        }
        Command::SendEdit => send_edit(app),
        Command::CancelEdit => {
            app.state.editing = None;
            app.state.focus = Some(Field::Composer);
            Ok(())
        }
        Command::Copy(message) => {
            let message = message.or(app.state.last_reply().map(|message| message.id));
            if let Some(message) = message.and_then(|id| app.state.chats.current.message(id)) {
                ctx.copy_text(message.text.clone());
                app.state.toasts.done(t.copied(), None);
            }
            Ok(())
        }
        Command::DeleteMessage(message) => delete(app, message),
        Command::Version(message, direction) => {
            app.state.chats.current.choose(message, direction).map(|_| ())
        }
        Command::SetSystem(system) => {
            app.state.chats.current.set_system(system.clone());
            app.state.settings.system = system.filter(|system| !system.trim().is_empty());
            Ok(())
        }
        Command::SetSampling(sampling) => {
            app.state.chats.current.set_sampling(sampling.clone());
            // A seed is for one conversation.
            app.state.settings.sampling = SamplingSettings { seed: None, ..sampling };
            Ok(())
        }
        other => {
            presets(app, other);
            Ok(())
        }
    };
    if let Err(error) = result {
        app.state.toasts.problem(error.to_string());
    }
}

fn presets(app: &mut App, command: Command) {
    let t = app.state.settings.language();
    match command {
        Command::ApplyPreset(name) => {
            if let Some(preset) = app.state.presets.iter().find(|preset| preset.name == name) {
                app.state.chats.current.apply(preset);
            }
        }
        Command::SavePreset(name) => {
            let head = app.state.chats.current.head();
            let preset = Preset { name, system: head.system.clone(), sampling: head.sampling.clone() };
            app.store.save_preset(preset.clone());
            app.state.toasts.done(t.preset_saved(&preset.name), None);
            app.state.presets.retain(|known| known.name != preset.name);
            app.state.presets.push(preset);
            app.state.presets.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Command::DeletePreset(name) => {
            app.state.presets.retain(|known| known.name != name);
            app.store.delete_preset(name);
        }
        _ => {}
    }
}

fn send(app: &mut App) -> Result<(), ConversationError> {
    if !app.state.can_send() {
        if app.state.model.is_none() {
            let t = app.state.settings.language();
            app.state.toasts.note(t.no_model_to_send());
        }
        return Ok(());
    }
    let text = app.state.draft().trim().to_owned();
    app.state.chats.current.say(text)?;
    app.state.draft().clear();
    app.state.view = View::Chat;
    let reply = app.state.chats.current.begin_reply(begun(&app.state))?;
    ask(app, reply);
    Ok(())
}

fn regenerate(app: &mut App, reply: Option<MessageId>) -> Result<(), ConversationError> {
    if app.state.model.is_none() {
        let t = app.state.settings.language();
        app.state.toasts.note(t.no_model_to_send());
        return Ok(());
    }
    let Some(reply) = reply.or(app.state.last_reply().map(|message| message.id)) else { return Ok(()) };
    let statistics = begun(&app.state);
    let reply = app.state.chats.current.regenerate(reply, statistics)?;
    ask(app, reply);
    Ok(())
}

fn send_edit(app: &mut App) -> Result<(), ConversationError> {
    let Some(editing) = app.state.editing.take() else { return Ok(()) };
    if app.state.model.is_none() || editing.text.trim().is_empty() {
        let t = app.state.settings.language();
        app.state.toasts.note(t.no_model_to_send());
        app.state.editing = Some(editing);
        return Ok(());
    }
    app.state.chats.current.edit(editing.message, editing.text.trim())?;
    let reply = app.state.chats.current.begin_reply(begun(&app.state))?;
    ask(app, reply);
    app.state.focus = Some(Field::Composer);
    Ok(())
}

/// What is known of a reply when it is asked for.
pub(super) fn begun(state: &State) -> Statistics {
    match &state.model {
        ModelState::Open(facts) => Statistics {
            model: facts.name.clone(),
            device: facts.device.id.to_string(),
            device_name: facts.device.name.clone(),
            weights: facts.weights.clone(),
            cache: facts.cache.clone(),
            ..Statistics::default()
        },
        ModelState::Loading(loading) => Statistics { model: loading.model.clone(), ..Statistics::default() },
        ModelState::None => Statistics::default(),
    }
}

/// Asks the desk for a reply of the open conversation.
fn ask(app: &mut App, reply: MessageId) {
    let conversation = &app.state.chats.current;
    let turns = conversation.before(reply).into_iter().map(|message| Turn {
        role: message.role,
        text: message.text.clone(),
        thinking: message.thinking.clone(),
    });
    let (versions, _) = conversation.versions(reply);
    let mut sampling = conversation.head().sampling.clone();
    // The same seed would write the same reply again.
    sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(versions.len() as u64 - 1));
    let order = ReplyOrder {
        conversation: conversation.id(),
        reply,
        system: conversation.head().system.clone(),
        turns: turns.collect(),
        forgotten: app.state.chats.forgotten.get(&conversation.id()).copied().unwrap_or_default(),
        sampling,
    };
    app.state.live.insert(reply, Live::new());
    app.state.chat_view.follow_end();
    app.desk.reply(order);
}

fn delete(app: &mut App, message: MessageId) -> Result<(), ConversationError> {
    let t = app.state.settings.language();
    let conversation = &mut app.state.chats.current;
    let id = conversation.id();
    let removed = conversation.delete(message)?;
    let words = t.messages_deleted(removed.ids().len());
    app.state.toasts.done(words, Some((t.undo().to_owned(), Command::Undo)));
    remember(&mut app.state, Undo::Messages(id, removed));
    Ok(())
}

/// Ends a reply, wherever its conversation is.
pub(super) fn end(
    app: &mut App,
    chat: ConversationId,
    reply: MessageId,
    ended: MessageState,
    fill: impl FnOnce(&mut Statistics),
) {
    app.state.live.remove(&reply);
    let Some(conversation) = app.state.chats.get_mut(chat) else { return };
    let mut statistics =
        conversation.message(reply).and_then(|message| message.statistics.clone()).unwrap_or_default();
    fill(&mut statistics);
    // One that was deleted meanwhile needs no end.
    let _ = conversation.end(reply, ended, statistics);
}
