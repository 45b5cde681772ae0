//! Conversations from files and into files.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

use super::write::{Write, apply};
use super::{ExportFormat, rows};
use crate::conversation::exchange;
use crate::conversation::{ConversationId, Head};

/// Writes conversations into a file; says how many.
pub(super) fn export(
    database: &Connection,
    ids: &[ConversationId],
    format: ExportFormat,
    path: &Path,
) -> anyhow::Result<usize> {
    let mut conversations = vec![];
    for id in ids {
        conversations.extend(rows::conversation(database, *id)?);
    }
    anyhow::ensure!(!conversations.is_empty(), "there is no such conversation");
    let text = match format {
        ExportFormat::Json => exchange::to_json(&conversations)?,
        ExportFormat::Markdown => {
            conversations.iter().map(exchange::to_markdown).collect::<Vec<_>>().join("\n---\n\n")
        }
    };
    crate::files::write_atomically(path, |file| Ok(file.write_all(text.as_bytes())?))?;
    Ok(conversations.len())
}

/// Takes in the conversations of a file, all or none.
pub(super) fn import(database: &Connection, path: &Path) -> anyhow::Result<Vec<Head>> {
    let text = std::fs::read_to_string(path).context("it cannot be read as text")?;
    let conversations = exchange::from_text(&text)?;
    let step = database.unchecked_transaction()?;
    for conversation in &conversations {
        for change in conversation.all_changes() {
            apply(&step, &Write::Change(change))?;
        }
    }
    step.commit()?;
    Ok(conversations.iter().map(|conversation| conversation.head().clone()).collect())
}
