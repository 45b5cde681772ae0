//! The thread that reads and writes the database.
//!
//! What is to be written is written at once, in one transaction; what a reply has grown by waits a fifth of a second for
//! more of its kind. Whatever is read is read after what waits was written, so that nobody sees an older state than
//! they have told. What cannot be written for now stays in a list, and is tried again.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::lock::Lock;
use super::rescue::{self, Fault, fault};
use super::write::{Write, apply};
use super::{Access, ExportFormat, Notice, StoreEvent, Wake, WhyNotSaved, files, open, rows, search};
use crate::conversation::{Change, ConversationId};

/// How long growth waits for more of it.
const GATHER: Duration = Duration::from_millis(200);

/// The time between two attempts at what failed.
const RETRY: Duration = Duration::from_secs(2);

/// What the thread is asked for.
pub(super) enum Job {
    Write(Vec<Write>),
    Load(ConversationId),
    Search(String),
    Comparison(i64),
    Export {
        conversations: Vec<ConversationId>,
        format: ExportFormat,
        path: PathBuf,
    },
    Import(PathBuf),
    #[cfg(test)]
    Flush(Sender<bool>),
    /// Tests do to the database what disks and other programs do.
    #[cfg(test)]
    Meddle(Box<dyn FnOnce(&Connection) + Send>),
    Quit,
}

pub(super) struct Worker {
    database: Connection,
    /// None in memory.
    file: Option<PathBuf>,
    _lock: Option<Lock>,
    jobs: Receiver<Job>,
    events: Sender<StoreEvent>,
    wake: Wake,
    /// What is to be written, in order.
    waiting: Vec<Write>,
    /// When it is.
    due: Option<Instant>,
    /// Why it could not be the last time.
    failing: Option<WhyNotSaved>,
    /// A search that waits until nothing else does.
    search: Option<String>,
}

impl Worker {
    pub(super) fn new(
        database: Connection,
        access: &Access,
        lock: Option<Lock>,
        jobs: Receiver<Job>,
        events: Sender<StoreEvent>,
        wake: Wake,
    ) -> Self {
        let file = match access {
            Access::Kept(file) => Some(file.clone()),
            Access::InMemory(_) => None,
        };
        let (waiting, due) = (vec![Write::TidyUp], Some(Instant::now()));
        Self { database, file, _lock: lock, jobs, events, wake, waiting, due, failing: None, search: None }
    }

    /// Works until the handle is gone.
    pub(super) fn run(mut self) {
        loop {
            let is_due = self.due.is_some_and(|due| due <= Instant::now());
            if is_due {
                self.write_waiting();
            }
            match self.next_job() {
                Ok(Some(Job::Quit)) | Err(()) => break,
                Ok(Some(job)) => self.work(job),
                Ok(None) => {}
            }
        }
        self.write_waiting();
    }

    /// The next job; none where it is time to write, or a search was done instead.
    fn next_job(&mut self) -> Result<Option<Job>, ()> {
        if let Some(query) = self.search.take() {
            match self.jobs.try_recv() {
                Ok(job) => {
                    self.search = Some(query);
                    return Ok(Some(job));
                }
                Err(TryRecvError::Empty) => {
                    self.find(query);
                    return Ok(None);
                }
                Err(TryRecvError::Disconnected) => return Err(()),
            }
        }
        let Some(due) = self.due else { return self.jobs.recv().map(Some).map_err(drop) };
        match self.jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(job) => Ok(Some(job)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Write(writes) => self.take(writes),
            // The last one counts: somebody is typing.
            Job::Search(query) => self.search = Some(query),
            Job::Load(id) => {
                self.write_waiting();
                if let Some(found) = self.read(|database| rows::conversation(database, id)) {
                    self.say(
                        found.map_or(StoreEvent::Missing(id), |found| StoreEvent::Loaded(Box::new(found))),
                    );
                }
            }
            Job::Comparison(id) => {
                self.write_waiting();
                if let Some(result) = self.read(|database| rows::comparison(database, id)) {
                    self.say(StoreEvent::Comparison { id, result });
                }
            }
            Job::Export { conversations, format, path } => {
                self.write_waiting();
                match files::export(&self.database, &conversations, format, &path) {
                    Ok(count) => self.say(StoreEvent::Exported { path, count }),
                    Err(error) => self.notice(Notice::NotExported { path, why: format!("{error:#}") }),
                }
            }
            Job::Import(path) => {
                self.write_waiting();
                match files::import(&self.database, &path) {
                    Ok(heads) => self.say(StoreEvent::Imported(heads)),
                    Err(error) => self.notice(Notice::NotImported { path, why: format!("{error:#}") }),
                }
            }
            #[cfg(test)]
            Job::Flush(done) => {
                self.write_waiting();
                // Whoever asked may have given up.
                let _ = done.send(self.waiting.is_empty());
            }
            #[cfg(test)]
            Job::Meddle(meddle) => meddle(&self.database),
            Job::Quit => {}
        }
    }

    fn say(&self, event: StoreEvent) {
        // Nobody listens to what comes when the program ends.
        if self.events.send(event).is_ok() {
            (self.wake)();
        }
    }

    fn notice(&self, notice: Notice) {
        self.say(StoreEvent::Notice(notice));
    }

    /// Takes in what is to be written, and decides when.
    fn take(&mut self, writes: Vec<Write>) {
        let now = Instant::now();
        for write in writes {
            // What failed is tried at its own time.
            if self.failing.is_none() {
                let due = if write.can_wait() { now + GATHER } else { now };
                self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
            }
            if let Write::Change(Change::Grown { message, text, thinking, .. }) = &write
                && let Some(Write::Change(Change::Grown {
                    message: last, text: all, thinking: thought, ..
                })) = self.waiting.last_mut()
                && last == message
            {
                *all += text;
                *thought += thinking;
            } else {
                self.waiting.push(write);
            }
        }
    }

    /// Writes all that waits, or says why it cannot be.
    fn write_waiting(&mut self) {
        self.due = None;
        if self.waiting.is_empty() {
            return;
        }
        match write_all(&self.database, &self.waiting) {
            Ok(()) => self.written(),
            Err(error) if fault(&error) == Fault::Damaged && self.file.is_some() => {
                self.replace(&error);
                self.write_one_by_one();
            }
            Err(error) => match why_not(&error) {
                Some(why) => self.fail(why),
                None => self.write_one_by_one(),
            },
        }
    }

    fn written(&mut self) {
        self.waiting.clear();
        if self.failing.take().is_some() {
            self.notice(Notice::SavedAgain);
        }
    }

    fn fail(&mut self, why: WhyNotSaved) {
        self.due = Some(Instant::now() + RETRY);
        if self.failing.as_ref() != Some(&why) {
            let file = self.file.clone().unwrap_or_default();
            self.notice(Notice::NotSaved { file, why: why.clone() });
        }
        self.failing = Some(why);
    }

    /// Leaves out what can never be written, so that it holds up nothing else.
    fn write_one_by_one(&mut self) {
        for write in std::mem::take(&mut self.waiting) {
            // In order: behind the first that waits, all do.
            if !self.waiting.is_empty() {
                self.waiting.push(write);
                continue;
            }
            if let Err(error) = write_all(&self.database, std::slice::from_ref(&write)) {
                match why_not(&error) {
                    Some(why) => {
                        self.waiting.push(write);
                        self.fail(why);
                    }
                    None => self.notice(Notice::Refused { what: error.to_string() }),
                }
            }
        }
        if self.waiting.is_empty() {
            self.written();
        }
    }

    /// Reads something; what cannot be read is said.
    fn read<T>(&mut self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        match read(&self.database) {
            Ok(found) => Some(found),
            Err(error) => {
                self.notice(Notice::NotRead { what: error.to_string() });
                if fault(&error) == Fault::Damaged && self.file.is_some() {
                    self.replace(&error);
                }
                None
            }
        }
    }

    fn find(&mut self, query: String) {
        if let Some(hits) = self.read(|database| search::find(database, &query)) {
            self.say(StoreEvent::Found { query, hits });
        }
    }

    /// Goes on with a new database in the place of a damaged one; in memory where that is not possible.
    fn replace(&mut self, error: &rusqlite::Error) {
        let (Some(file), Ok(memory)) = (self.file.clone(), open::empty()) else { return };
        // Some systems let nobody rename a file that is open.
        drop(std::mem::replace(&mut self.database, memory));
        match rescue::replace(&file, &error.to_string()) {
            Ok((database, notice)) => {
                self.database = database;
                self.notice(notice);
            }
            Err(why) => {
                self.file = None;
                self.notice(Notice::NotKept { why });
            }
        }
        let heads = rows::heads(&self.database).unwrap_or_default();
        self.say(StoreEvent::Replaced(heads));
    }
}

/// Writes all or nothing.
fn write_all(database: &Connection, writes: &[Write]) -> rusqlite::Result<()> {
    let step = database.unchecked_transaction()?;
    for write in writes {
        apply(&step, write)?;
    }
    step.commit()
}

/// Why something cannot be written for now; none where it never can.
fn why_not(error: &rusqlite::Error) -> Option<WhyNotSaved> {
    match fault(error) {
        Fault::DiskFull => Some(WhyNotSaved::DiskFull),
        Fault::ReadOnly => Some(WhyNotSaved::ReadOnly),
        Fault::Busy | Fault::CannotOpen | Fault::Passing => Some(WhyNotSaved::Other(error.to_string())),
        Fault::Damaged | Fault::Ours => None,
    }
}
