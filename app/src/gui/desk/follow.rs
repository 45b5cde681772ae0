//! Following a reply: its events become news, and what is needed to go on with it elsewhere is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use inglenook::chat::{Ending, ReplyEvent, TextReply};
use inglenook::engine::{EngineError, Request, Timings};

use super::mailbox::Mailbox;
use super::news::{News, Step, Totals};
use super::order::Order;
use super::{Shared, work};
use crate::commands::device::is_of_device;
use crate::conversation::{ConversationId, MessageId};

/// A reply as far as it is written: all that another engine needs to go on with it.
pub(super) struct Written {
    pub(super) conversation: ConversationId,
    pub(super) reply: MessageId,
    /// What was asked of the first engine.
    pub(super) request: Request,
    pub(super) stops: Vec<String>,
    pub(super) tokens: Vec<u32>,
    /// Whether it is thinking now.
    pub(super) thinking: bool,
    pub(super) asked: Instant,
    pub(super) first_token: Option<Duration>,
    /// What it took of the engines before this one.
    pub(super) before: Timings,
    /// The device that it is written on.
    pub(super) device: String,
    /// The model that it is written with.
    pub(super) folder: PathBuf,
}

impl Written {
    fn totals(&self, now: &Timings) -> Totals {
        let before = &self.before;
        // The first engine read the prompt; what others read again is no part of it.
        let reading = if before.prompt_tokens > 0 { before } else { now };
        let tokens = self.tokens.len();
        let writing = before.writing + now.writing;
        let rate =
            if writing.is_zero() { 0.0 } else { tokens.saturating_sub(1) as f64 / writing.as_secs_f64() };
        Totals {
            prompt_tokens: reading.prompt_tokens,
            reused_tokens: reading.reused_tokens,
            tokens,
            first_token: self.first_token,
            prompt_rate: reading.prefill_rate(),
            rate,
        }
    }

    fn remember(&mut self, now: &Timings) {
        if self.before.prompt_tokens == 0 {
            self.before = *now;
        } else {
            self.before.writing += now.writing;
        }
    }
}

/// What follows a reply on a thread of its own.
pub(super) struct Follower {
    pub(super) written: Written,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: Sender<Order>,
    /// The engine goes away, and the reply is to go on with the next.
    pub(super) moving: Arc<AtomicBool>,
    /// The user has stopped it, which no move changes.
    pub(super) stopped: Arc<AtomicBool>,
}

impl Follower {
    /// Follows the reply to its end.
    pub(super) fn run(mut self, reply: TextReply) {
        for event in reply {
            let (conversation, id) = (self.written.conversation, self.written.reply);
            let step = match event {
                ReplyEvent::Reading { done, total, reused } => Step::Reading { done, total, reused },
                ReplyEvent::Token(token) => {
                    self.written.tokens.push(token.id);
                    if self.written.first_token.is_none() {
                        self.written.first_token = Some(self.written.asked.elapsed());
                    }
                    self.text(String::new(), false)
                }
                ReplyEvent::Text { text, thinking } => self.text(text, thinking),
                ReplyEvent::DeviceLost(error) => Step::Lost(error.to_string()),
                ReplyEvent::DeviceRestored { loading } => Step::Restored(loading),
                ReplyEvent::Finished { ending, timings } => return self.finished(ending, &timings),
                ReplyEvent::Failed(error) => return self.failed(&error),
            };
            self.mailbox.post(News::Reply { conversation, reply: id, step });
        }
    }

    fn text(&mut self, text: String, thinking: bool) -> Step {
        let tokens = self.written.tokens.len();
        if text.is_empty() {
            return Step::Text { answer: text, thinking: String::new(), tokens };
        }
        self.written.thinking = thinking;
        let (answer, thinking) = if thinking { (String::new(), text) } else { (text, String::new()) };
        Step::Text { answer, thinking, tokens }
    }

    fn moves(&self) -> bool {
        self.moving.load(Ordering::Relaxed) && !self.stopped.load(Ordering::Relaxed)
    }

    fn finished(mut self, ending: Ending, timings: &Timings) {
        if ending == Ending::Cancelled && self.moves() {
            self.written.remember(timings);
            // The desk has ended: so does the program.
            let _ = self.orders.send(Order::GoOn(Box::new(self.written)));
            return;
        }
        let totals = self.written.totals(timings);
        self.end(Step::Ended(ending, totals));
    }

    fn failed(self, error: &EngineError) {
        let of_device = match error {
            EngineError::Backend(error) => is_of_device(error),
            EngineError::LostAgain(_) => true,
            _ => false,
        };
        if self.moves() && (of_device || matches!(error, EngineError::Ended)) {
            let _ = self.orders.send(Order::GoOn(Box::new(self.written)));
        } else if of_device && !self.stopped.load(Ordering::Relaxed) {
            let _ = self.orders.send(Order::Rescue(Box::new(self.written), error.to_string()));
        } else {
            let totals = self.written.totals(&Timings::default());
            self.end(Step::Failed(error.to_string(), totals));
        }
    }

    fn end(self, step: Step) {
        work::end_reply(&self.shared, &self.mailbox, &self.written, step);
    }
}
