//! The engine's thread.

mod active;
mod machine;
mod recovery;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Instant;

use ingle_backends::plan::BatchLimits;
use ingle_backends::{
    BackendError, Batch, LogitRows, PageCopy, PrepareOptions, SequenceStep, StepOutput, Tokens,
};

pub(super) use self::machine::Machine;
pub use self::machine::PrepareAgain;

use self::active::Active;
use super::flight::{Ahead, Flight, Part};
use super::request::{EngineError, Event, FinishReason, Finished, Request, Timings};
use super::schedule::{Demand, share};
use crate::cache::{CachedSequence, PagePool};

/// What handles tell the thread.
pub(super) enum Message {
    Generate(Box<Job>),
    Branch { from: u64, to: u64 },
    Close(u64),
    Quit,
}

/// A reply that is wanted, and where its events go.
pub(super) struct Job {
    pub session: u64,
    pub request: Request,
    pub events: Sender<Event>,
    pub cancelled: Arc<AtomicBool>,
}

/// A conversation between replies.
#[derive(Default)]
struct Conversation {
    cached: CachedSequence,
    /// When it was last replied to, counted in replies.
    used: u64,
    replying: bool,
    closed: bool,
}

pub(super) struct Worker {
    machine: Machine,
    pool: PagePool,
    limits: BatchLimits,
    conversations: HashMap<u64, Conversation>,
    active: Vec<Active>,
    /// The step that is on its way.
    flight: Option<Flight>,
    inbox: Receiver<Message>,
    /// Replies that were begun.
    begun: u64,
    /// Replies that ended.
    replies: u64,
    quit: bool,
}

impl Worker {
    pub(super) fn new(machine: Machine, options: &PrepareOptions, inbox: Receiver<Message>) -> Self {
        Self {
            machine,
            pool: PagePool::new(options.cache.pages, options.cache.page_tokens),
            limits: options.limits,
            conversations: HashMap::new(),
            active: vec![],
            flight: None,
            inbox,
            begun: 0,
            replies: 0,
            quit: false,
        }
    }

    /// The most tokens that one conversation can have.
    pub(super) fn context(&self) -> usize {
        self.pool.len() * self.pool.page_tokens()
    }

    /// Steps until it is told to quit.
    pub(super) fn run(&mut self) {
        while !self.quit {
            self.take_messages();
            self.drop_cancelled();
            if !self.restore() {
                continue;
            }
            let (parts, copies) = self.choose();
            let due = match self.submit(parts, &copies) {
                Some(step) if self.machine.queues() => self.flight.replace(step),
                Some(step) => Some(step),
                None => self.flight.take(),
            };
            if let Some(Flight { ticket, parts }) = due {
                match self.machine.collect(ticket) {
                    Ok(output) => self.hand_out(&parts, output),
                    Err(error) => self.fail(&parts, &error),
                }
            }
        }
    }

    /// Takes in what came; waits where there is nothing else to do.
    fn take_messages(&mut self) {
        loop {
            let message = if self.active.is_empty() && self.flight.is_none() && !self.quit {
                self.inbox.recv().unwrap_or(Message::Quit)
            } else {
                match self.inbox.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => Message::Quit,
                }
            };
            match message {
                Message::Generate(job) => self.begin(*job),
                Message::Branch { from, to } => {
                    let Some(from) = self.conversations.get(&from) else { continue };
                    let cached = from.cached.branch(&mut self.pool);
                    self.conversations.insert(to, Conversation { cached, ..Conversation::default() });
                }
                Message::Close(session) => self.close(session),
                Message::Quit => {
                    self.quit = true;
                    return;
                }
            }
        }
    }

    /// Lines a reply up.
    fn begin(&mut self, job: Job) {
        let context = self.context();
        let conversation = self.conversations.entry(job.session).or_default();
        let tokens = &job.request.tokens;
        let refused = if conversation.replying {
            Some(EngineError::Busy)
        } else if tokens.is_empty() {
            Some(EngineError::Empty)
        } else if tokens.len() > context {
            Some(EngineError::TooLong { tokens: tokens.len(), context })
        } else {
            None
        };
        if refused.is_none() && job.request.max_tokens == 0 {
            let timings = Timings { prompt_tokens: tokens.len(), ..Timings::default() };
            let _ = job.events.send(Event::Finished(Finished { reason: FinishReason::MaxTokens, timings }));
            return;
        }
        if let Some(error) = refused {
            let _ = job.events.send(Event::Failed(error));
            return;
        }
        conversation.replying = true;
        self.begun += 1;
        self.active.push(Active::new(self.begun, job));
    }

    fn close(&mut self, session: u64) {
        let Some(conversation) = self.conversations.get_mut(&session) else { return };
        if conversation.replying {
            conversation.closed = true;
        } else if let Some(conversation) = self.conversations.remove(&session) {
            conversation.cached.release(&mut self.pool);
        }
    }

    fn drop_cancelled(&mut self) {
        let mut index = 0;
        while index < self.active.len() {
            if self.active[index].job.cancelled.load(Ordering::Relaxed) {
                self.finish(index, FinishReason::Cancelled);
            } else {
                index += 1;
            }
        }
    }

    /// Chooses the rows of the next step and reserves their pages.
    fn choose(&mut self) -> (Vec<Part>, Vec<PageCopy>) {
        let mut index = 0;
        while index < self.active.len() {
            if self.active[index].tokens.len() > self.context() {
                self.finish(index, FinishReason::ContextFull);
                continue;
            }
            if !self.active[index].resumed && self.admits(index) {
                self.resume(index);
            }
            index += 1;
        }
        let demands: Vec<Demand> =
            self.active.iter().map(|active| Demand { pending: self.pending(active) }).collect();
        let rows = share(&demands, self.limits.rows, self.limits.sequences.min(self.limits.selected));
        let mut parts = vec![];
        let mut copies = vec![];
        for (index, rows) in rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            if let Some(more) = self.reserve(index, rows) {
                copies.extend(more);
                parts.push(self.part(&self.active[index], rows));
            }
        }
        if parts.is_empty() && !self.active.is_empty() && self.flight.is_none() {
            // Every page is held by replies that all need more: the youngest starts over later.
            self.set_back_youngest();
        }
        (parts, copies)
    }

    /// What the step on its way does for a reply.
    fn ahead(&self, active: &Active) -> Ahead {
        self.flight.as_ref().map(|flight| flight.ahead(active.number)).unwrap_or_default()
    }

    /// Tokens of a reply that wait to be computed once the step on its way is done.
    fn pending(&self, active: &Active) -> usize {
        let Ahead { rows, drawn } = self.ahead(active);
        let known = active.tokens.len() + usize::from(drawn.is_some());
        // A token that certainly ends the reply need not be gone on from.
        let ends = drawn.is_some()
            && (active.timings.generated_tokens + 1 >= active.job.request.max_tokens
                || known > self.context());
        if active.resumed && !ends { known - self.stored(active) - rows } else { 0 }
    }

    /// A reply's part of the next step.
    fn part(&self, active: &Active, rows: usize) -> Part {
        let ahead = self.ahead(active);
        let start = self.stored(active) + ahead.rows;
        let known = active.tokens.len() + usize::from(ahead.drawn.is_some());
        Part { reply: active.number, start, rows, draws: start + rows == known, after: ahead.drawn }
    }

    /// Whether there is room for a reply beside those that came before it. The first always goes on;
    /// another must find room for all its tokens, and leave a page for each before it: else it would
    /// take what it must soon give back.
    fn admits(&mut self, index: usize) -> bool {
        let tokens = self.active[index].tokens.len();
        let needed = tokens.div_ceil(self.pool.page_tokens()) + index;
        while self.pool.available() < needed {
            if !self.forget_oldest_idle() {
                return index == 0;
            }
        }
        true
    }

    /// Finds what the cache has of a reply's conversation.
    fn resume(&mut self, index: usize) {
        let active = &mut self.active[index];
        active.resumed = true;
        let Some(conversation) = self.conversations.get_mut(&active.job.session) else { return };
        let reused = conversation.cached.resume(&mut self.pool, &active.tokens);
        active.timings.reused_tokens = reused.min(active.prompt);
    }

    /// Tokens of a reply that the cache holds.
    fn stored(&self, active: &Active) -> usize {
        self.conversations.get(&active.job.session).map_or(0, |c| c.cached.tokens().len())
    }

    /// Makes room for a reply's rows, at the cost of idle conversations if need be.
    fn reserve(&mut self, index: usize, rows: usize) -> Option<Vec<PageCopy>> {
        let rows = self.ahead(&self.active[index]).rows + rows;
        let session = self.active[index].job.session;
        loop {
            let conversation = self.conversations.get_mut(&session)?;
            if let Ok(copies) = conversation.cached.reserve(&mut self.pool, rows) {
                return Some(copies);
            }
            if !self.forget_oldest_idle() {
                return None;
            }
        }
    }

    /// Takes the pages of the idle conversation that was not used for longest, if there is one.
    fn forget_oldest_idle(&mut self) -> bool {
        let idle = self.conversations.values_mut().filter(|c| !c.replying && c.cached.holds_pages());
        let Some(oldest) = idle.min_by_key(|c| c.used) else { return false };
        oldest.cached.truncate(&mut self.pool, 0);
        true
    }

    /// Takes the pages of the youngest reply that has any; it goes on from its tokens when there is room.
    fn set_back_youngest(&mut self) {
        for index in (1..self.active.len()).rev() {
            let active = &mut self.active[index];
            let Some(conversation) = self.conversations.get_mut(&active.job.session) else { continue };
            if conversation.cached.holds_pages() {
                conversation.cached.truncate(&mut self.pool, 0);
                active.resumed = false;
                return;
            }
        }
        // Nobody else has pages: the first reply has filled the cache.
        self.finish(0, FinishReason::ContextFull);
    }

    /// The step that computes these rows.
    fn batch(&mut self, parts: &[Part]) -> Batch {
        let mut sequences = vec![];
        for part in parts {
            let Some(active) = self.active.iter_mut().find(|active| active.number == part.reply) else {
                continue;
            };
            active.begun.get_or_insert_with(Instant::now);
            let Some(conversation) = self.conversations.get(&active.job.session) else { continue };
            let end = part.start + part.rows;
            let wants_logits = part.draws && active.job.request.top_candidates > 0;
            sequences.push(SequenceStep {
                tokens: match part.after {
                    Some(place) => Tokens::Sampled(place),
                    None => Tokens::Ids(active.tokens[part.start..end].to_vec()),
                },
                start: part.start as u32,
                pages: conversation.cached.pages_for(&self.pool, end).to_vec(),
                logits: if wants_logits { LogitRows::Last } else { LogitRows::None },
                sample: part.draws.then(|| active.sampling(part.after.is_some())),
            });
        }
        Batch { sequences, inputs: vec![] }
    }

    /// Sends a step on its way; one that is refused fails the replies that it was for.
    fn submit(&mut self, parts: Vec<Part>, copies: &[PageCopy]) -> Option<Flight> {
        if parts.is_empty() {
            return None;
        }
        let batch = self.batch(&parts);
        let copied = if copies.is_empty() { Ok(()) } else { self.machine.copy_pages(copies) };
        match copied.and_then(|()| self.machine.submit(&batch)) {
            Ok(ticket) => Some(Flight { ticket, parts }),
            Err(error) => {
                self.fail(&parts, &error);
                None
            }
        }
    }

    /// The place of a reply in the list, while it is not over.
    fn place(&self, part: &Part) -> Option<usize> {
        self.active.iter().position(|active| active.number == part.reply)
    }

    /// Stores what was computed, and gives each reply its token.
    fn hand_out(&mut self, parts: &[Part], mut output: StepOutput) {
        let mut finished = vec![];
        for (place, part) in parts.iter().enumerate() {
            // One that ended meanwhile wants nothing of it.
            let Some(index) = self.place(part) else { continue };
            let active = &mut self.active[index];
            let Some(conversation) = self.conversations.get_mut(&active.job.session) else { continue };
            let end = part.start + part.rows;
            conversation.cached.commit(&mut self.pool, &active.tokens[part.start..end]);
            let done = end.min(active.prompt);
            if active.timings.generated_tokens == 0 {
                let reused = active.timings.reused_tokens;
                let _ = active.job.events.send(Event::Reading { done, total: active.prompt, reused });
            }
            let Some(token) = output.tokens.get(place).copied().flatten() else { continue };
            let logits = output.logits.get_mut(place).map(std::mem::take).unwrap_or_default();
            if let Some(reason) = active.take_token(token, &logits) {
                finished.push((index, reason));
            }
        }
        // From the back, so that places in the list stay true.
        finished.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
        for (index, reason) in finished {
            self.finish(index, reason);
        }
    }

    /// A step failed: so do the replies that took part in it, unless they can be gone on with on a new runner. What the cache held
    /// before is still good where the device is.
    fn fail(&mut self, parts: &[Part], error: &Arc<BackendError>) {
        if matches!(**error, BackendError::DeviceLost { .. }) {
            self.lose(parts, error);
            return;
        }
        for part in parts {
            if let Some(index) = self.place(part) {
                self.refuse(index, EngineError::Backend(Arc::clone(error)));
            }
        }
    }

    /// Ends a reply with an error.
    fn refuse(&mut self, index: usize, error: EngineError) {
        let active = self.active.remove(index);
        let _ = active.job.events.send(Event::Failed(error));
        self.put_away(active.job.session);
    }

    fn finish(&mut self, index: usize, reason: FinishReason) {
        let active = self.active.remove(index);
        let finished = Finished { reason, timings: active.timings() };
        let _ = active.job.events.send(Event::Finished(finished));
        self.put_away(active.job.session);
    }

    /// A conversation is idle again.
    fn put_away(&mut self, session: u64) {
        self.replies += 1;
        let Some(conversation) = self.conversations.get_mut(&session) else { return };
        conversation.replying = false;
        conversation.used = self.replies;
        // Room that was reserved for tokens which never came.
        let stored = conversation.cached.tokens().len();
        conversation.cached.truncate(&mut self.pool, stored);
        if conversation.closed {
            self.close(session);
        }
    }
}
