//! From rows of the database to what they stand for.

use std::collections::BTreeMap;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ComparisonEntry, Settings};
use crate::conversation::{
    Conversation, ConversationId, Head, Message, MessageId, MessageState, Moment, Preset,
};

const HEAD: &str = "id, title, title_given, pinned, created, changed, system, sampling";

/// A value as JSON. What is kept here always has one; else what is read later would say what is wrong.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A column of JSON.
fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn head(row: &Row<'_>) -> Result<Head> {
    Ok(Head {
        id: ConversationId(row.get(0)?),
        title: row.get(1)?,
        title_given: row.get(2)?,
        pinned: row.get(3)?,
        created: Moment(row.get(4)?),
        changed: Moment(row.get(5)?),
        system: row.get(6)?,
        sampling: from_json(row, 7)?,
    })
}

/// All conversations that are not deleted: those that are pinned, then the others, what was changed last first.
pub(super) fn heads(database: &Connection) -> Result<Vec<Head>> {
    let order = "ORDER BY pinned DESC, changed DESC, id DESC";
    let sql = format!("SELECT {HEAD} FROM conversations WHERE deleted IS NULL {order}");
    database.prepare(&sql)?.query_map([], head)?.collect()
}

/// Numbers of all conversations, deleted ones too.
pub(super) fn ids(database: &Connection) -> Result<Vec<ConversationId>> {
    let mut ids = database.prepare("SELECT id FROM conversations WHERE deleted IS NULL ORDER BY id")?;
    ids.query_map([], |row| Ok(ConversationId(row.get(0)?)))?.collect()
}

/// A conversation with all its messages; one that is being written holds all that is stored of it.
pub(super) fn conversation(database: &Connection, id: ConversationId) -> Result<Option<Conversation>> {
    let sql = format!("SELECT {HEAD} FROM conversations WHERE id = ? AND deleted IS NULL");
    let Some(head) = database.prepare_cached(&sql)?.query_row([id.0], head).optional()? else {
        return Ok(None);
    };
    let mut chosen = vec![];
    let mut messages: BTreeMap<MessageId, Message> = BTreeMap::new();
    let mut rows = database.prepare_cached(
        "SELECT id, parent, role, text, thinking, state, created, statistics, chosen
         FROM messages WHERE conversation = ? ORDER BY id",
    )?;
    let mut rows = rows.query([id.0])?;
    while let Some(row) = rows.next()? {
        let message = message(row)?;
        if row.get(8)? {
            chosen.push(message.id);
        }
        messages.insert(message.id, message);
    }
    let mut pieces = database.prepare_cached(
        "SELECT message, pieces.text, pieces.thinking FROM pieces JOIN messages ON messages.id = message
         WHERE conversation = ? ORDER BY number",
    )?;
    let mut pieces = pieces.query([id.0])?;
    while let Some(row) = pieces.next()? {
        if let Some(message) = messages.get_mut(&MessageId(row.get(0)?)) {
            message.text += row.get_ref(1)?.as_str()?;
            message.thinking += row.get_ref(2)?.as_str()?;
        }
    }
    let conversation = Conversation::from_parts(head, messages.into_values().collect(), chosen);
    let no_tree = || rusqlite::Error::from(FromSqlError::Other("its messages make no tree".into()));
    conversation.map(Some).ok_or_else(no_tree)
}

fn message(row: &Row<'_>) -> Result<Message> {
    let parent: Option<i64> = row.get(1)?;
    let statistics: Option<String> = row.get(7)?;
    Ok(Message {
        id: MessageId(row.get(0)?),
        parent: parent.map(MessageId),
        role: from_json(row, 2)?,
        text: row.get(3)?,
        thinking: row.get(4)?,
        state: from_json(row, 5)?,
        statistics: if statistics.is_some() { Some(from_json(row, 7)?) } else { None },
        created: Moment(row.get(6)?),
    })
}

/// Replies that are marked as being written.
pub(super) fn being_written(database: &Connection) -> Result<Vec<MessageId>> {
    let mut ids = database.prepare("SELECT id FROM messages WHERE state = ?")?;
    ids.query_map([to_json(&MessageState::Writing)], |row| Ok(MessageId(row.get(0)?)))?.collect()
}

/// The largest number that anything has.
pub(super) fn largest_id(database: &Connection) -> Result<i64> {
    database.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(id) FROM conversations), 0),
                    coalesce((SELECT max(id) FROM comparisons), 0))",
        [],
        |row| row.get(0),
    )
}

pub(super) fn settings(database: &Connection) -> Result<Settings> {
    let mut rows = database.prepare("SELECT name, value FROM settings")?;
    let setting = |row: &Row<'_>| Ok((row.get(0)?, from_json(row, 1)?));
    Ok(Settings(rows.query_map([], setting)?.collect::<Result<_>>()?))
}

pub(super) fn presets(database: &Connection) -> Result<Vec<Preset>> {
    let mut rows = database.prepare("SELECT preset FROM presets ORDER BY name")?;
    rows.query_map([], |row| from_json(row, 0))?.collect()
}

pub(super) fn comparisons(database: &Connection) -> Result<Vec<ComparisonEntry>> {
    let mut rows = database.prepare("SELECT id, name, created FROM comparisons ORDER BY id DESC")?;
    let entry = |row: &Row<'_>| {
        Ok(ComparisonEntry { id: row.get(0)?, name: row.get(1)?, created: Moment(row.get(2)?) })
    };
    rows.query_map([], entry)?.collect()
}

pub(super) fn comparison(database: &Connection, id: i64) -> Result<Option<serde_json::Value>> {
    let mut rows = database.prepare("SELECT result FROM comparisons WHERE id = ?")?;
    rows.query_row([id], |row| from_json(row, 0)).optional()
}
