//! Opening: the database where it can be written, else a copy of it in memory, and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::lock::{self, Lock};
use super::rescue::{self, Fault, fault};
use super::worker::Worker;
use super::{Access, ComparisonEntry, Notice, Settings, Store, Wake, WhyNotKept, rows, schema};
use crate::conversation::{self, Head, Preset};

/// The database's name in its folder.
const FILE: &str = "conversations.db";

/// A database up to this size is looked through for damage when it is opened, which takes a fraction of a second.
const CHECKED_BYTES: u64 = 64 << 20;

/// What there is to begin with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) access: Access,
    /// Those that are pinned, then the others, what was changed last first.
    pub(crate) conversations: Vec<Head>,
    pub(crate) settings: Settings,
    pub(crate) presets: Vec<Preset>,
    /// The newest first.
    pub(crate) comparisons: Vec<ComparisonEntry>,
    pub(crate) notices: Vec<Notice>,
}

/// Opens what is kept in a folder, which is made where there is none. It does not fail: where nothing can be kept, a
/// notice says so, and all works in memory.
pub(crate) fn open(folder: Option<&Path>, wake: Wake) -> Opened {
    let mut notices = vec![];
    let found = match folder.ok_or(WhyNotKept::NoFolder).and_then(|folder| find(folder, &mut notices)) {
        Ok(found) => found,
        Err(why) => {
            notices.push(Notice::NotKept { why: why.clone() });
            let copy = file_of(&why).and_then(|file| copy(file).ok());
            // A database in memory needs nothing that could be missing but memory.
            let copy = copy.or_else(|| empty().ok());
            Found { database: copy, contents: Contents::default(), access: Access::InMemory(why), lock: None }
                .with_contents()
        }
    };
    let Found { database, contents, access, lock } = found;
    let (jobs, inbox) = channel();
    let (outbox, events) = channel();
    let thread = database.and_then(|database| {
        let worker = Worker::new(database, &access, lock, inbox, outbox, wake);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || worker.run()).ok()
    });
    let Contents { conversations, settings, presets, comparisons } = contents;
    let store = Store { jobs, events, thread };
    Opened { store, access, conversations, settings, presets, comparisons, notices }
}

struct Found {
    /// None only where there is no memory for one.
    database: Option<Connection>,
    contents: Contents,
    access: Access,
    lock: Option<Lock>,
}

impl Found {
    fn with_contents(mut self) -> Self {
        self.contents = self.database.as_ref().and_then(|database| read(database).ok()).unwrap_or_default();
        self
    }
}

#[derive(Default)]
struct Contents {
    conversations: Vec<Head>,
    settings: Settings,
    presets: Vec<Preset>,
    comparisons: Vec<ComparisonEntry>,
}

/// Opens the database of a folder for writing.
fn find(folder: &Path, notices: &mut Vec<Notice>) -> Result<Found, WhyNotKept> {
    let file = folder.join(FILE);
    fs::create_dir_all(folder)
        .map_err(|error| WhyNotKept::Folder { folder: folder.to_owned(), why: error.to_string() })?;
    let lock = lock::take(folder).ok_or_else(|| WhyNotKept::InUse { file: file.clone() })?;
    let opened = writable(&file).or_else(|error| match fault(&error) {
        Fault::Damaged => {
            let (database, notice) = rescue::replace(&file, &error.to_string())?;
            notices.push(notice);
            Ok(database)
        }
        _ => Err(why(&file, &error)),
    });
    let database = opened?;
    match schema::version(&database) {
        Ok(found) if found > schema::NEWEST => {
            return Err(WhyNotKept::Newer { file, found, known: schema::NEWEST });
        }
        Ok(_) => {}
        Err(error) => return Err(why(&file, &error)),
    }
    let contents = read(&database).map_err(|error| why(&file, &error))?;
    Ok(Found { database: Some(database), contents, access: Access::Kept(file), lock: Some(lock) })
}

/// A database that can be written and is sound; one of a newer program is returned as it is.
pub(super) fn writable(file: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(file, flags)?;
    database.busy_timeout(Duration::from_secs(2))?;
    let found = schema::version(&database)?;
    if found > schema::NEWEST {
        return Ok(database);
    }
    if database.is_readonly("main")? {
        return Err(failure(rusqlite::ffi::SQLITE_READONLY));
    }
    // What is written is in the log, and a reader sees it; it reaches the disk by and by. The end of this process loses
    // nothing of it, and the end of the machine nothing but the last moments.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    if found > 0 && fs::metadata(file).is_ok_and(|about| about.len() <= CHECKED_BYTES) {
        let verdict: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(failure_saying(rusqlite::ffi::SQLITE_CORRUPT, verdict));
        }
    }
    schema::migrate(&mut database)?;
    // Whether anything can be written is better known now than when there is something to lose.
    database.execute_batch("BEGIN IMMEDIATE; UPDATE settings SET value = value; COMMIT")?;
    // A database that lacks what its version promises is no better than a damaged one.
    rows::heads(&database).map_err(|error| match fault(&error) {
        Fault::Ours => failure_saying(rusqlite::ffi::SQLITE_CORRUPT, error.to_string()),
        _ => error,
    })?;
    Ok(database)
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

fn failure_saying(code: i32, what: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(what))
}

/// A new database in memory.
pub(super) fn empty() -> rusqlite::Result<Connection> {
    ready_in_memory(Connection::open_in_memory()?)
}

/// A copy in memory of a database that cannot be written, brought to our version.
fn copy(file: &Path) -> rusqlite::Result<Connection> {
    let mut memory = Connection::open_in_memory()?;
    let source = readable(file)?;
    Backup::new(&source, &mut memory)?.run_to_completion(1024, Duration::from_millis(1), None)?;
    ready_in_memory(memory)
}

fn ready_in_memory(mut memory: Connection) -> rusqlite::Result<Connection> {
    if schema::version(&memory)? > schema::NEWEST {
        return empty();
    }
    schema::migrate(&mut memory)?;
    memory.pragma_update(None, "foreign_keys", true)?;
    Ok(memory)
}

/// Opens a database for reading alone.
pub(super) fn readable(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |name: &Path, flags| -> rusqlite::Result<Connection> {
        let database = Connection::open_with_flags(name, flags)?;
        database.busy_timeout(Duration::from_secs(2))?;
        schema::version(&database)?;
        Ok(database)
    };
    open(file, flags).or_else(|error| {
        // Reading needs a file beside it, which cannot be made on a read-only disk. As long as nothing waits in the log,
        // the database is complete without.
        let log = PathBuf::from(format!("{}-wal", file.display()));
        if fs::metadata(log).is_ok_and(|about| about.len() > 0) {
            return Err(error);
        }
        let name = file.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let name = format!("file:{name}?immutable=1");
        open(Path::new(&name), flags | OpenFlags::SQLITE_OPEN_URI)
    })
}

fn read(database: &Connection) -> rusqlite::Result<Contents> {
    conversation::start_after(rows::largest_id(database)?);
    Ok(Contents {
        conversations: rows::heads(database)?,
        settings: rows::settings(database)?,
        presets: rows::presets(database)?,
        comparisons: rows::comparisons(database)?,
    })
}

/// What it means that a database cannot be opened for writing.
fn why(file: &Path, error: &rusqlite::Error) -> WhyNotKept {
    let file = file.to_owned();
    match fault(error) {
        Fault::ReadOnly => WhyNotKept::ReadOnly { file },
        Fault::Busy => WhyNotKept::InUse { file },
        Fault::DiskFull => WhyNotKept::Cannot { file, why: "the disk is full".to_owned() },
        // There is a database, and the files beside it cannot be made.
        Fault::CannotOpen if file.is_file() => WhyNotKept::ReadOnly { file },
        _ => WhyNotKept::Cannot { file, why: error.to_string() },
    }
}

/// A database that may still be read.
fn file_of(why: &WhyNotKept) -> Option<&Path> {
    match why {
        WhyNotKept::NoFolder | WhyNotKept::Folder { .. } | WhyNotKept::Newer { .. } => None,
        WhyNotKept::ReadOnly { file } | WhyNotKept::InUse { file } | WhyNotKept::Cannot { file, .. } => {
            Some(file)
        }
    }
}
