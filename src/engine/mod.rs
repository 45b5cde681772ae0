//! The engine: a thread of its own that writes replies for any number of sessions at once.
//!
//! A [`Session`] is a handle to a conversation. [`Session::generate`] asks for a reply and returns a
//! [`Reply`], a stream of [`Event`]s; dropping it, or [`Reply::cancel`], stops the work before the next
//! step. Nothing here blocks the caller: requests and events are messages.
//!
//! One step of the engine is a few readable lines (`Worker::run`): take in messages, choose the
//! rows (`schedule`), copy shared pages, submit the step, hand out tokens, retire what is finished. Where
//! the runner queues, a step is submitted before the one before it is collected (`flight`).
//!
//! Replies are served first come, first served: every reply that is being written gets its next token in
//! every step, and what room is left is filled with prompts, a chunk at a time. When cache pages run out,
//! idle conversations are forgotten first, the least recently used one before others (they are computed
//! again when they go on), then the youngest reply waits until there is room.
//!
//! When its device is lost, an engine that knows how prepares another runner and goes on with every reply from its tokens
//! (`worker/recovery`).

mod flight;
mod request;
mod schedule;
mod stop;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ingle_backends::Runner;

pub use request::{Candidate, EngineError, Event, FinishReason, Finished, GeneratedToken, Request, Timings};
pub use stop::{Pieces, StopScanner};
pub use worker::PrepareAgain;

use ingle_backends::PrepareOptions;
use worker::{Machine, Message, Worker};

/// A running engine. Dropping the last handle (engine or session) ends its thread.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    messages: Sender<Message>,
    next_session: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
    context: usize,
}

impl Engine {
    /// Starts the thread that steps a prepared runner. `options` are those it was prepared with. If its device is lost, all
    /// replies fail.
    pub fn start(runner: Box<dyn Runner>, options: &PrepareOptions) -> Result<Self, EngineError> {
        Self::with(Machine::new(runner, None), options)
    }

    /// The same, but a lost device is made up for: `again` prepares another runner, and replies go on.
    pub fn start_lasting(
        runner: Box<dyn Runner>,
        options: &PrepareOptions,
        again: PrepareAgain,
    ) -> Result<Self, EngineError> {
        Self::with(Machine::new(runner, Some(again)), options)
    }

    fn with(machine: Machine, options: &PrepareOptions) -> Result<Self, EngineError> {
        let (messages, inbox) = channel();
        let mut worker = Worker::new(machine, options, inbox);
        let context = worker.context();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| EngineError::Thread(error.to_string()))?;
        let shared =
            Shared { messages, next_session: AtomicU64::new(0), thread: Mutex::new(Some(thread)), context };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A new conversation.
    pub fn session(&self) -> Session {
        let id = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        Session { id, shared: Arc::clone(&self.shared) }
    }

    /// The most tokens that a conversation can have: what the cache holds.
    pub fn context(&self) -> usize {
        self.shared.context
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The thread may be gone already, which is what is wanted.
        let _ = self.messages.send(Message::Quit);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// A handle to a conversation, whose tokens the cache remembers between turns.
#[derive(Debug)]
pub struct Session {
    id: u64,
    shared: Arc<Shared>,
}

impl Session {
    /// Asks for a reply to `request.tokens`, the whole conversation so far. What it has in common with
    /// the last turn, or with any other conversation, is not computed again.
    pub fn generate(&self, request: Request) -> Reply {
        let (events, inbox) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let job = worker::Job { session: self.id, request, events, cancelled: Arc::clone(&cancelled) };
        // If the thread is gone the channel of events closes, which the reply reports.
        let _ = self.shared.messages.send(Message::Generate(Box::new(job)));
        Reply { events: inbox, cancelled, ended: false }
    }

    /// A conversation with the same beginning, which costs nothing until it differs.
    #[must_use]
    pub fn branch(&self) -> Self {
        let id = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        let _ = self.shared.messages.send(Message::Branch { from: self.id, to: id });
        Self { id, shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shared.messages.send(Message::Close(self.id));
    }
}

/// A reply on its way: an iterator of events, which ends after [`Event::Finished`] or [`Event::Failed`].
#[derive(Debug)]
pub struct Reply {
    events: Receiver<Event>,
    cancelled: Arc<AtomicBool>,
    ended: bool,
}

impl Reply {
    /// Stops the reply before the next step. Its last event says so.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// A handle that can cancel from elsewhere, such as a signal handler.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let cancelled = Arc::clone(&self.cancelled);
        move || cancelled.store(true, Ordering::Relaxed)
    }

    /// The next event if there is one now; for windows, which must not wait.
    pub fn poll(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        match self.events.try_recv() {
            Ok(event) => Some(self.note(event)),
            Err(std::sync::mpsc::TryRecvError::Empty) => None,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                Some(self.note(Event::Failed(EngineError::Ended)))
            }
        }
    }

    fn note(&mut self, event: Event) -> Event {
        self.ended = matches!(event, Event::Finished(_) | Event::Failed(_));
        event
    }
}

impl Iterator for Reply {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().unwrap_or(Event::Failed(EngineError::Ended));
        Some(self.note(event))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.cancel();
    }
}
