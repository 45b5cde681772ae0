//! The desk's thread: one order after another.
//!
//! A model that is opened takes the place of the one before. What is being written then is stopped there and goes on here, from
//! its tokens; the same way a reply goes on whose device has failed, with the model loaded on the CPU.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use inglenook::backend::{BackendError, DeviceKind};
use inglenook::chat::{ChatError, Conversation, Ending, Overflow, Prompt, ReplyOptions, TextReply};
use inglenook::engine::{Request, Session, Timings};
use inglenook::model::{LoadError, ModelText};
use inglenook::models::text::Message;
use inglenook::verdict::remembered;
use inglenook::{backends, devices};

use super::follow::{Follower, Written};
use super::mailbox::Mailbox;
use super::news::{DeviceCard, News, Step, Totals};
use super::open::{Opened, open};
use super::order::{Order, Turn};
use super::{OpenOrder, ReplyOrder, Shared};
use crate::cli::SamplingArguments;
use crate::conversation::{ConversationId, MessageId, Role};
use crate::failure;

/// Conversations whose cached tokens are remembered by name; more would hold on to pages that nobody comes back to.
const SESSIONS: usize = 16;

/// Flags of a reply that is being written.
struct Flags {
    moving: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

/// What the desk's thread owns.
pub(super) struct Worker {
    orders: Sender<Order>,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    opened: Option<Opened>,
    /// Those that spoke last come last.
    sessions: Vec<(ConversationId, Session)>,
    flags: HashMap<MessageId, Flags>,
    /// Devices that were given up, and why.
    troubles: Vec<(String, String)>,
    /// The last wish that was seen to.
    seen: u64,
    /// Replies that go on once the model that is wished for is there.
    waiting: Vec<Written>,
}

impl Worker {
    pub(super) fn new(orders: Sender<Order>, mailbox: Arc<Mailbox>, shared: Arc<Shared>) -> Self {
        Self {
            orders,
            mailbox,
            shared,
            opened: None,
            sessions: vec![],
            flags: HashMap::new(),
            troubles: vec![],
            seen: 0,
            waiting: vec![],
        }
    }

    /// Does what is asked until it is told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        self.tell_devices();
        while let Ok(order) = inbox.recv() {
            match order {
                Order::Devices => self.tell_devices(),
                Order::Open(order, wish) => self.open(&order, wish),
                Order::Close(wish) => {
                    self.let_go();
                    self.seen = wish;
                    self.mailbox.post(News::Closed);
                }
                Order::Reply(order) => self.reply(&order),
                Order::GoOn(written) => self.go_on(*written),
                Order::Rescue(written, reason) => self.rescue(*written, reason),
                Order::Stop(reply) => self.stop(reply),
                Order::Quit => break,
            }
            if self.shared.is_wanted(self.seen) {
                for written in std::mem::take(&mut self.waiting) {
                    self.go_on(written);
                }
            }
        }
    }

    fn tell_devices(&self) {
        let card = |device: inglenook::Device| {
            let verdicts = remembered().known(device.backend.as_ref(), &device.info);
            let name = device.info.id.to_string();
            let trouble = self.troubles.iter().find(|(of, _)| *of == name).map(|(_, why)| why.clone());
            DeviceCard { device, verdicts, trouble }
        };
        let missing = backends().iter().flat_map(|backend| backend.unavailable()).collect();
        self.mailbox.post(News::Devices(devices().into_iter().map(card).collect(), missing));
    }

    /// A reply may have begun after it was stopped, or wait for a model.
    fn stop(&self, reply: MessageId) {
        if let Some(flags) = self.flags.get(&reply) {
            flags.stopped.store(true, Ordering::Relaxed);
        }
        if let Some(cancel) = self.shared.writing().get(&reply) {
            cancel();
        }
    }

    /// Lets go of the model. What is being written stops here, and waits for the next.
    fn let_go(&mut self) {
        for flags in self.flags.values() {
            flags.moving.store(true, Ordering::Relaxed);
        }
        for cancel in self.shared.writing().values() {
            cancel();
        }
        self.sessions.clear();
        self.opened = None;
    }

    fn open(&mut self, order: &OpenOrder, wish: u64) {
        self.seen = wish;
        if !self.shared.is_wanted(wish) {
            return;
        }
        let before = self.opened.as_ref().map(|opened| opened.facts.order.clone());
        // First, for its memory is what the next one needs.
        self.let_go();
        let Err(error) = self.load(order, wish) else { return };
        if is_cancelled(&error) || !self.shared.is_wanted(wish) {
            self.mailbox.post(News::Closed);
            return;
        }
        let (folder, device) = (order.folder.clone(), order.device.clone());
        self.mailbox.post(News::NotOpened { folder, device, reason: failure::message(&error) });
        self.tell_devices();
        // What worked before is better than nothing.
        if let Some(before) = before.filter(|before| before != order)
            && let Err(error) = self.load(&before, wish)
            && !is_cancelled(&error)
        {
            let (folder, device) = (before.folder, before.device);
            self.mailbox.post(News::NotOpened { folder, device, reason: failure::message(&error) });
        }
    }

    fn load(&mut self, order: &OpenOrder, wish: u64) -> anyhow::Result<()> {
        let opened = open(order, wish, &self.shared, &self.mailbox, &mut self.troubles)?;
        self.mailbox.post(News::Opened(Arc::clone(&opened.facts)));
        self.opened = Some(opened);
        self.tell_devices();
        Ok(())
    }

    /// Begins a reply.
    fn reply(&mut self, order: &ReplyOrder) {
        let (conversation, reply) = (order.conversation, order.reply);
        if let Err(error) = self.begin(order) {
            self.shared.writing().remove(&reply);
            let step = Step::Failed(failure::message(&error), Totals::default());
            self.mailbox.post(News::Reply { conversation, reply, step });
        }
    }

    fn begin(&mut self, order: &ReplyOrder) -> anyhow::Result<()> {
        let Some(opened) = &self.opened else { anyhow::bail!("no model is open; choose one first") };
        let text = opened.model.text()?;
        let arguments = SamplingArguments::from(&order.sampling);
        let sampling = arguments.sampling(&opened.model);
        let context = opened.facts.context;
        let reserve = arguments.max_tokens.unwrap_or(usize::MAX).min(context / 8);
        let (prompt, forgotten) = prompt(order, text, context, reserve)?;
        let step = Step::Prompt { tokens: prompt.tokens.len(), seed: sampling.seed, forgotten };
        let (conversation, reply) = (order.conversation, order.reply);
        self.mailbox.post(News::Reply { conversation, reply, step });
        let written = Written {
            conversation,
            reply,
            request: arguments.request(prompt.tokens, sampling, &text.end_tokens),
            stops: arguments.stop,
            tokens: vec![],
            thinking: prompt.thinking_open,
            asked: Instant::now(),
            first_token: None,
            before: Timings::default(),
            device: opened.facts.device.id.to_string(),
            folder: opened.facts.order.folder.clone(),
        };
        self.write(written, true)
    }

    /// Lets the engine write a reply, from its start or from where it is.
    fn write(&mut self, written: Written, fresh: bool) -> anyhow::Result<()> {
        let Some(opened) = &self.opened else { anyhow::bail!("no model is open; choose one first") };
        let text = opened.model.text()?;
        let so_far = written.tokens.len();
        let request = Request {
            tokens: [written.request.tokens.as_slice(), &written.tokens].concat(),
            max_tokens: written.request.max_tokens.saturating_sub(so_far),
            ..written.request.clone()
        };
        let options = ReplyOptions {
            continues: written.tokens.clone(),
            stops: written.stops.clone(),
            split_thinking: true,
            thinking_open: written.thinking,
        };
        let session = match self.sessions.iter().position(|(of, _)| *of == written.conversation) {
            Some(at) => self.sessions.remove(at).1,
            None => opened.engine.session(),
        };
        let reply = TextReply::new(session.generate(request), text, options);
        self.sessions.push((written.conversation, session));
        if self.sessions.len() > SESSIONS {
            self.sessions.remove(0);
        }
        let id = written.reply;
        let canceller = reply.canceller();
        let (moving, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        if fresh {
            self.shared.writing().insert(id, Box::new(canceller));
        } else if let Some(cancel) = self.shared.writing().get_mut(&id) {
            *cancel = Box::new(canceller);
        } else {
            // It was stopped while it moved.
            reply.cancel();
        }
        self.flags.insert(id, Flags { moving: Arc::clone(&moving), stopped: Arc::clone(&stopped) });
        let follower = Follower {
            written,
            mailbox: Arc::clone(&self.mailbox),
            shared: Arc::clone(&self.shared),
            orders: self.orders.clone(),
            moving,
            stopped,
        };
        std::thread::Builder::new().name("reply".to_owned()).spawn(move || follower.run(reply))?;
        self.flags.retain(|id, _| self.shared.writing().contains_key(id));
        Ok(())
    }

    /// Goes on with a reply that was stopped for another engine.
    fn go_on(&mut self, mut written: Written) {
        let stopped = self.flags.get(&written.reply).is_some_and(|f| f.stopped.load(Ordering::Relaxed));
        let totals = Totals { tokens: written.tokens.len(), ..Totals::default() };
        let end = |step| end_reply(&self.shared, &self.mailbox, &written, step);
        if stopped {
            return end(Step::Ended(Ending::Cancelled, totals));
        }
        let Some(opened) = &self.opened else {
            if self.shared.is_wanted(self.seen) {
                return end(Step::Failed("the model was closed while this was written".to_owned(), totals));
            }
            return self.waiting.push(written);
        };
        // Another model has other tokens.
        if written.folder != opened.facts.order.folder {
            return end(Step::Ended(Ending::Cancelled, totals));
        }
        if written.request.tokens.len() + written.tokens.len() >= opened.facts.context {
            return end(Step::Ended(Ending::ContextFull, totals));
        }
        written.device = opened.facts.device.id.to_string();
        let (conversation, reply) = (written.conversation, written.reply);
        self.mailbox.post(News::Reply { conversation, reply, step: Step::Moved });
        if let Err(error) = self.write(written, false) {
            self.shared.writing().remove(&reply);
            let step = Step::Failed(failure::message(&error), totals);
            self.mailbox.post(News::Reply { conversation, reply, step });
        }
    }

    /// Goes on with a reply whose device failed: on the CPU, unless the model has moved already or is there.
    fn rescue(&mut self, written: Written, reason: String) {
        let Some(opened) = &self.opened else { return self.go_on(written) };
        let here = opened.facts.device.id.to_string();
        if here == written.device {
            if opened.facts.device.kind == DeviceKind::Cpu {
                let totals = Totals { tokens: written.tokens.len(), ..Totals::default() };
                return end_reply(&self.shared, &self.mailbox, &written, Step::Failed(reason, totals));
            }
            let order = OpenOrder { device: "cpu".to_owned(), ..opened.facts.order.clone() };
            self.troubles.retain(|(name, _)| *name != here);
            self.troubles.push((here.clone(), reason.clone()));
            self.mailbox.post(News::GivenUp { device: here, reason: reason.clone() });
            let wish = self.shared.wish.load(Ordering::Relaxed);
            self.let_go();
            if let Err(error) = self.load(&order, wish) {
                let reason = format!("{reason}; on the CPU: {}", failure::message(&error));
                let totals = Totals { tokens: written.tokens.len(), ..Totals::default() };
                end_reply(&self.shared, &self.mailbox, &written, Step::Failed(reason, totals));
                self.mailbox.post(News::Closed);
                return;
            }
        }
        self.go_on(written);
    }
}

/// Takes a reply off the list of those that are being written, and tells how it ended.
pub(super) fn end_reply(shared: &Shared, mailbox: &Mailbox, written: &Written, step: Step) {
    shared.writing().remove(&written.reply);
    let (conversation, reply) = (written.conversation, written.reply);
    mailbox.post(News::Reply { conversation, reply, step });
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(BackendError::Cancelled))
            || matches!(cause.downcast_ref(), Some(LoadError::Backend(BackendError::Cancelled)))
    };
    error.chain().any(is)
}

/// The tokens of the turns that fit, and the first of these turns.
fn prompt(
    order: &ReplyOrder,
    text: &ModelText,
    context: usize,
    reserve: usize,
) -> Result<(Prompt, usize), ChatError> {
    let from = |forgotten: usize| {
        let (messages, starts) = messages(&order.turns, forgotten);
        let hidden = starts.iter().position(|start| *start >= forgotten).unwrap_or(messages.len());
        let mut conversation = Conversation::from_messages(order.system.clone(), messages, hidden);
        let prompt = conversation.prompt(text, context, reserve, Overflow::Slide)?;
        Ok((prompt, starts.get(conversation.forgotten()).copied().unwrap_or_default()))
    };
    let last = order.turns.iter().rposition(|turn| turn.role == Role::User).unwrap_or_default();
    match from(order.forgotten) {
        // What was said before without a reply is part of the last message, and may be what is too long.
        Err(ChatError::LastTooLong { .. }) if last > order.forgotten => from(last),
        found => found,
    }
}

/// Turns as templates take them: what the user said twice in a row is one message, and replies without text are none. Also the turn
/// that each message begins with. No message reaches over the first turn that is not forgotten.
fn messages(turns: &[Turn], forgotten: usize) -> (Vec<Message>, Vec<usize>) {
    let (mut messages, mut starts): (Vec<Message>, Vec<usize>) = (vec![], vec![]);
    for (at, turn) in turns.iter().enumerate() {
        let message = match (turn.role, messages.last_mut()) {
            (Role::User, Some(last)) if last.role == "user" && at != forgotten => {
                last.content = format!("{}\n\n{}", last.content, turn.text);
                continue;
            }
            (Role::User, _) => Message::user(turn.text.as_str()),
            (Role::Assistant, _) if turn.text.is_empty() => continue,
            (Role::Assistant, _) if turn.thinking.is_empty() => Message::assistant(turn.text.as_str()),
            (Role::Assistant, _) => {
                Message::assistant(turn.text.as_str()).with_reasoning(turn.thinking.as_str())
            }
        };
        messages.push(message);
        starts.push(at);
    }
    (messages, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(role: Role, text: &str) -> Turn {
        Turn { role, text: text.to_owned(), thinking: String::new() }
    }

    #[test]
    fn templates_get_turns_that_alternate() {
        let turns = [
            turn(Role::User, "a"),
            turn(Role::Assistant, ""),
            turn(Role::User, "b"),
            turn(Role::Assistant, "c"),
            turn(Role::User, "d"),
        ];
        let (list, starts) = messages(&turns, 0);
        let texts: Vec<_> = list.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(texts, [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]);
        assert_eq!(starts, [0, 3, 4]);
        assert_eq!(messages(&turns, 2).1, [0, 2, 3, 4]);
    }
}
