//! One program at a time writes a database.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Holds until it is dropped, and however the program ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<File>,
}

/// Takes the lock of a folder. `None` where another program has it.
pub(super) fn take(folder: &Path) -> Option<Lock> {
    let file = File::options().create(true).append(true).open(folder.join("in-use.lock"));
    // Where no file can be made none is needed: nothing is written there.
    let Ok(file) = file else { return Some(Lock { _file: None }) };
    match file.try_lock() {
        Ok(()) => Some(Lock { _file: Some(file) }),
        Err(TryLockError::WouldBlock) => None,
        // Some network disks know no locks; the database has its own, which are slower to tell.
        Err(TryLockError::Error(_)) => Some(Lock { _file: None }),
    }
}
