//! The tables, and how a database of an older program gets them.

use rusqlite::{Connection, Result};

use super::search;

/// What each version added to the one before. What stands here has been used: it is not changed, only added to.
const STEPS: [fn(&Connection) -> Result<()>; 3] = [
    |database| database.execute_batch(include_str!("schema/1.sql")),
    |database| {
        database.execute_batch(include_str!("schema/2.sql"))?;
        search::index_all(database)
    },
    |database| database.execute_batch(include_str!("schema/3.sql")),
];

/// The version of this program.
pub(super) const NEWEST: u32 = STEPS.len() as u32;

/// The version of a database; 0 has no tables yet.
pub(super) fn version(database: &Connection) -> Result<u32> {
    database.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a database to the newest version, each step wholly or not at all.
pub(super) fn migrate(database: &mut Connection) -> Result<()> {
    migrate_to(database, NEWEST)
}

/// Brings a database to a version.
pub(super) fn migrate_to(database: &mut Connection, wanted: u32) -> Result<()> {
    for version in version(database)?..wanted {
        let step = database.transaction()?;
        STEPS[version as usize](&step)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
    }
    Ok(())
}
