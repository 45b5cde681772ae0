//! What errors of the database mean, and what becomes of a damaged one.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::write::{Write, apply};
use super::{Notice, WhyNotKept, open, rows};
use crate::conversation::Conversation;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged,
    ReadOnly,
    DiskFull,
    Busy,
    CannotOpen,
    /// The disk fails, or memory; it may pass.
    Passing,
    /// This statement, now and always.
    Ours,
}

/// What an error means.
pub(super) fn fault(error: &rusqlite::Error) -> Fault {
    // The file that all who use a database share could not be made as large as it has to be.
    let extended = error.sqlite_error().map(|error| error.extended_code);
    if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) {
        return Fault::DiskFull;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::Damaged,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Fault::ReadOnly,
        Some(ErrorCode::DiskFull) => Fault::DiskFull,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Busy,
        Some(ErrorCode::CannotOpen) => Fault::CannotOpen,
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => Fault::Passing,
        _ => Fault::Ours,
    }
}

/// Puts a damaged database aside under a name with the date, makes a new one, and takes over what can be read.
pub(super) fn replace(file: &Path, what: &str) -> Result<(Connection, Notice), WhyNotKept> {
    let cannot = |why: String| WhyNotKept::Cannot { file: file.to_owned(), why };
    let kept_as = put_aside(file)
        .map_err(|error| cannot(format!("it is damaged ({what}) and cannot be put aside: {error}")))?;
    let new = open::writable(file).map_err(|error| cannot(error.to_string()))?;
    let (rescued, lost) = take_over(&kept_as, &new).unwrap_or_default();
    let notice = Notice::Damaged { kept_as, what: what.to_owned(), rescued, lost };
    Ok((new, notice))
}

/// Renames a database and the files beside it.
fn put_aside(file: &Path) -> std::io::Result<PathBuf> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let date = chrono::Local::now().format("%Y-%m-%d-%H%M%S");
    let names = (1..).map(|number| match number {
        1 => format!("{stem}-damaged-{date}.db"),
        number => format!("{stem}-damaged-{date}-{number}.db"),
    });
    let free = names.map(|name| file.with_file_name(name)).find(|path| !path.exists());
    let free = free.ok_or_else(|| std::io::Error::other("there is no free name"))?;
    fs::rename(file, &free)?;
    for ending in ["-wal", "-shm"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        match fs::rename(beside(file), beside(&free)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(free)
}

/// Takes over all conversations that can be read; says how many were and how many were not.
fn take_over(from: &Path, to: &Connection) -> rusqlite::Result<(usize, usize)> {
    let from = open::readable(from)?;
    let (mut rescued, mut lost) = (0, 0);
    for id in rows::ids(&from)? {
        let taken = rows::conversation(&from, id).and_then(|conversation| {
            let step = to.unchecked_transaction()?;
            for change in conversation.iter().flat_map(Conversation::all_changes) {
                apply(&step, &Write::Change(change))?;
            }
            step.commit()
        });
        if taken.is_ok() { rescued += 1 } else { lost += 1 }
    }
    for (name, value) in rows::settings(&from).unwrap_or_default().0 {
        apply(to, &Write::Setting { name, value })?;
    }
    for preset in rows::presets(&from).unwrap_or_default() {
        apply(to, &Write::Preset(preset))?;
    }
    for entry in rows::comparisons(&from).unwrap_or_default() {
        if let Ok(Some(result)) = rows::comparison(&from, entry.id) {
            apply(to, &Write::Comparison { entry, result })?;
        }
    }
    Ok((rescued, lost))
}
