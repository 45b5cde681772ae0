//! Where conversations, settings, presets and comparisons are kept: an `SQLite` database, written by a thread of its own.
//!
//! A window never waits. [`open()`] reads what is needed to begin with; from then on a [`Store`] is told what has changed
//! and asked for things, and answers with events ([`Store::poll`]).
//!
//! **What is lost when the program is killed**: of a reply that is being written, what came in the last fifth of a second
//! ([`worker`]); of all else nothing that [`Store::write`] was told, once the thread had it.
//!
//! **What goes wrong** is told as a [`Notice`] and ends nothing. Where nothing can be kept (another window has the
//! database, it is read-only, it is of a newer program), all of this works on a copy in memory, and [`Opened::access`] says
//! that it is one. Where writing fails for now, such as on a full disk, what is to be written waits and is tried again.
//! A damaged database is put aside, and what can be read of it is taken over into a new one.

mod files;
mod lock;
mod notice;
mod open;
mod rescue;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;
mod worker;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::conversation::{Change, Conversation, ConversationId, Head, Moment, Preset};

pub(crate) use notice::{Notice, WhyNotKept, WhyNotSaved};
pub(crate) use open::{Opened, open};
pub(crate) use search::{Hit, Span};
use worker::Job;
use write::Write;

/// Called when there is an event, from another thread: a window asks to be drawn again.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// Where what is told goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Into this database.
    Kept(PathBuf),
    /// Nowhere: all works, and is gone when the program ends.
    InMemory(WhyNotKept),
}

/// What the store has to say.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    Loaded(Box<Conversation>),
    /// There is no such conversation.
    Missing(ConversationId),
    /// What was found for the query, best first.
    Found {
        query: String,
        hits: Vec<Hit>,
    },
    Comparison {
        id: i64,
        result: Option<Value>,
    },
    /// These were taken in from a file.
    Imported(Vec<Head>),
    Exported {
        path: PathBuf,
        count: usize,
    },
    /// The database was damaged and is another one now, with these conversations. What a window has open is to be told
    /// anew ([`Conversation::all_changes`]).
    Replaced(Vec<Head>),
    Notice(Notice),
}

/// A kept comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ComparisonEntry {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created: Moment,
}

/// In which form conversations are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    /// All there is.
    Json,
    /// What is shown.
    Markdown,
}

/// Settings by name, each a value of JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(BTreeMap<String, Value>);

impl Settings {
    /// A setting; none where there is none, or it is not of this kind.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.0.get(name)?).ok()
    }
}

/// The handle of whoever keeps things. Dropping it waits until all is written that can be.
#[derive(Debug)]
pub(crate) struct Store {
    jobs: Sender<Job>,
    events: Receiver<StoreEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// The next event, if there is one.
    pub(crate) fn poll(&self) -> Option<StoreEvent> {
        self.events.try_recv().ok()
    }

    /// Keeps changes of conversations, in order.
    pub(crate) fn write(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.send(Job::Write(changes.into_iter().map(Write::Change).collect()));
        }
    }

    /// Asks for a conversation. One of which a reply is being written is not to be asked for: who writes it has it.
    pub(crate) fn load(&self, id: ConversationId) {
        self.send(Job::Load(id));
    }

    /// Deletes a conversation; until the next start it can be restored.
    pub(crate) fn delete(&self, id: ConversationId) {
        self.tell(Write::Delete(id));
    }

    /// Brings back a conversation that was deleted since the start.
    pub(crate) fn restore(&self, id: ConversationId) {
        self.tell(Write::Restore(id));
    }

    /// Searches titles and messages; an answer to a newer query may come instead.
    pub(crate) fn search(&self, query: impl Into<String>) {
        self.send(Job::Search(query.into()));
    }

    /// Keeps a setting.
    pub(crate) fn set(&self, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.tell(Write::Setting { name: name.to_owned(), value: serde_json::to_value(value)? });
        Ok(())
    }

    /// Keeps a preset, in the place of one of the same name.
    pub(crate) fn save_preset(&self, preset: Preset) {
        self.tell(Write::Preset(preset));
    }

    pub(crate) fn delete_preset(&self, name: impl Into<String>) {
        self.tell(Write::DeletePreset(name.into()));
    }

    /// Keeps the result of a comparison, and says under which number.
    pub(crate) fn save_comparison(&self, name: impl Into<String>, result: Value) -> ComparisonEntry {
        let entry =
            ComparisonEntry { id: ConversationId::fresh().0, name: name.into(), created: Moment::now() };
        self.restore_comparison(entry.clone(), result);
        entry
    }

    /// Keeps one again that was deleted.
    pub(crate) fn restore_comparison(&self, entry: ComparisonEntry, result: Value) {
        self.tell(Write::Comparison { entry, result });
    }

    pub(crate) fn rename_comparison(&self, id: i64, name: impl Into<String>) {
        self.tell(Write::RenameComparison { id, name: name.into() });
    }

    pub(crate) fn delete_comparison(&self, id: i64) {
        self.tell(Write::DeleteComparison(id));
    }

    pub(crate) fn load_comparison(&self, id: i64) {
        self.send(Job::Comparison(id));
    }

    /// Writes conversations into a file.
    pub(crate) fn export(&self, conversations: Vec<ConversationId>, format: ExportFormat, path: PathBuf) {
        self.send(Job::Export { conversations, format, path });
    }

    /// Takes in what was exported, beside what is there.
    pub(crate) fn import(&self, path: PathBuf) {
        self.send(Job::Import(path));
    }

    /// Waits until all is written, which dropping does otherwise. Says whether it is: on a full disk it cannot be.
    #[cfg(test)]
    pub(crate) fn flush(&self, patience: std::time::Duration) -> bool {
        let (done, wait) = std::sync::mpsc::channel();
        self.send(Job::Flush(done));
        wait.recv_timeout(patience).unwrap_or(false)
    }

    fn tell(&self, write: Write) {
        self.send(Job::Write(vec![write]));
    }

    fn send(&self, job: Job) {
        // The thread ends only when this handle is dropped.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.send(Job::Quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
