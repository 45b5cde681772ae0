//! What the desk and the store have to say.

use inglenook::chat::Ending;

use super::super::app::App;
use super::super::desk::{News, Step, Totals};
use super::super::live::Phase;
use super::super::state::{ModelState, Trouble};
use super::chat::{begun, end};
use super::list::enter;
use crate::conversation::{ConversationId, MessageId, MessageState, Statistics};
use crate::store::{Access, Notice, StoreEvent};

/// Takes in what happened at the desk.
pub(in super::super) fn take_news(app: &mut App) {
    for news in app.desk.take_news() {
        let state = &mut app.state;
        match news {
            News::Devices(devices, missing) => (state.devices, state.missing) = (devices, missing),
            News::Loading(loading) => state.model = ModelState::Loading(loading),
            News::Opened(facts) => {
                state.settings.model = Some(facts.order.folder.clone());
                state.model = ModelState::Open(facts);
            }
            News::NotOpened { folder, device, reason } => {
                state.model = ModelState::None;
                state.trouble = Some(Trouble { folder, device, reason });
            }
            News::Closed => state.model = ModelState::None,
            News::Told(words) => state.toasts.note(words),
            News::GivenUp { device, reason } => {
                let t = state.settings.language();
                state.toasts.note(t.goes_on_on_cpu(&device, &reason));
            }
            News::Reply { conversation, reply, step } => take_step(app, conversation, reply, step),
        }
    }
}

fn take_step(app: &mut App, chat: ConversationId, reply: MessageId, step: Step) {
    let t = app.state.settings.language();
    let now = begun(&app.state);
    let state = &mut app.state;
    let live = state.live.get_mut(&reply);
    match step {
        Step::Prompt { tokens, seed, forgotten } => {
            state.chats.forgotten.insert(chat, forgotten);
            state.chats.tokens.insert(chat, tokens);
            let statistics = Statistics { seed, prompt_tokens: tokens, ..now };
            if let Some(conversation) = state.chats.get_mut(chat) {
                // One that was deleted meanwhile needs none.
                let _ = conversation.set_statistics(reply, statistics);
            }
        }
        Step::Reading { done, total, reused } => {
            if let Some(live) = live {
                live.read(done, total, reused);
            }
        }
        Step::Text { answer, thinking, tokens } => {
            if let Some(live) = live {
                let before = live.tokens;
                live.wrote(tokens, !answer.is_empty(), !thinking.is_empty());
                *state.chats.tokens.entry(chat).or_default() += tokens.saturating_sub(before);
            }
            if let Some(conversation) = state.chats.get_mut(chat) {
                let _ = conversation.grow(reply, &answer, &thinking);
            }
        }
        Step::Lost(reason) => {
            if let Some(live) = live {
                live.phase = Phase::Restoring(reason.clone());
            }
            state.toasts.note(t.device_lost(&reason));
        }
        Step::Restored(took) => {
            if let Some(live) = live {
                live.phase = Phase::Waiting;
            }
            state.toasts.note(t.device_restored(took.as_secs_f64()));
        }
        Step::Moved => {
            if let Some(live) = live {
                live.phase = Phase::Waiting;
            }
            if let Some(conversation) = state.chats.get_mut(chat) {
                let before = conversation.message(reply).and_then(|message| message.statistics.clone());
                let seed = before.map_or(0, |before| before.seed);
                let _ = conversation.set_statistics(reply, Statistics { seed, ..now });
            }
        }
        Step::Ended(ending, totals) => {
            let ended = match ending {
                Ending::StopToken(_) | Ending::StopText => MessageState::Finished,
                Ending::MaxTokens | Ending::ContextFull => MessageState::CutOff,
                Ending::Cancelled => MessageState::Stopped,
            };
            end(app, chat, reply, ended, |statistics| fill(statistics, &totals));
        }
        Step::Failed(reason, totals) => {
            end(app, chat, reply, MessageState::Failed(reason), |statistics| fill(statistics, &totals));
        }
    }
}

fn fill(statistics: &mut Statistics, totals: &Totals) {
    if totals.prompt_tokens > 0 {
        statistics.prompt_tokens = totals.prompt_tokens;
        statistics.reused_tokens = totals.reused_tokens;
        statistics.prompt_tokens_per_second = totals.prompt_rate as f32;
    }
    statistics.tokens = totals.tokens;
    statistics.tokens_per_second = totals.rate as f32;
    if let Some(time) = totals.first_token {
        statistics.milliseconds_to_first_token = time.as_secs_f32() * 1e3;
    }
}

/// Takes in what the store has to say.
pub(in super::super) fn take_events(app: &mut App) {
    while let Some(event) = app.store.poll() {
        let t = app.state.settings.language();
        let state = &mut app.state;
        match event {
            StoreEvent::Loaded(conversation) => {
                // Another one may have been asked for since.
                if state.chats.coming == Some(conversation.id()) {
                    enter(state, *conversation);
                }
            }
            StoreEvent::Missing(id) => {
                state.chats.heads.retain(|head| head.id != id);
                state.chats.coming = None;
            }
            StoreEvent::Found { query, hits } => {
                if query == state.chats.search.trim() {
                    state.chats.hits = Some(hits);
                }
            }
            StoreEvent::Imported(heads) => {
                state.toasts.done(t.imported(heads.len()), None);
                for head in &heads {
                    state.chats.note(head);
                }
            }
            StoreEvent::Exported { path, count } => {
                state.toasts.done(t.exported(count, &path.display().to_string()), None);
            }
            StoreEvent::Replaced(heads) => {
                state.chats.heads = heads;
                state.chats.sort();
                let chats = &state.chats;
                let open = std::iter::once(&chats.current).chain(chats.others.values());
                for conversation in open.filter(|conversation| !conversation.is_empty()) {
                    app.store.write(conversation.all_changes());
                }
                let heads: Vec<_> = std::iter::once(&chats.current)
                    .chain(chats.others.values())
                    .filter(|conversation| !conversation.is_empty())
                    .map(|conversation| conversation.head().clone())
                    .collect();
                for head in &heads {
                    app.state.chats.note(head);
                }
            }
            StoreEvent::Notice(Notice::SavedAgain) => state.toasts.done(Notice::SavedAgain.to_string(), None),
            StoreEvent::Notice(notice) => {
                if let Notice::NotKept { why } = &notice {
                    state.access = Some(Access::InMemory(why.clone()));
                }
                state.toasts.problem(notice.to_string());
            }
            StoreEvent::Comparison { id, result } => super::compare::opened(app, id, result),
        }
    }
}
