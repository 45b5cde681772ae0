//! From what has changed to rows of the database.

use rusqlite::{Connection, Result, params};
use serde_json::Value;

use super::rows::to_json;
use super::{ComparisonEntry, search};
use crate::conversation::{
    Change, ConversationId, Head, Message, MessageId, MessageState, Moment, Preset, Statistics,
};

/// Something that is to be written.
#[derive(Debug)]
pub(super) enum Write {
    Change(Change),
    Delete(ConversationId),
    Restore(ConversationId),
    Setting {
        name: String,
        value: Value,
    },
    Preset(Preset),
    DeletePreset(String),
    Comparison {
        entry: ComparisonEntry,
        result: Value,
    },
    #[allow(dead_code, reason = "the page that compares is being added to")]
    RenameComparison {
        id: i64,
        name: String,
    },
    DeleteComparison(i64),
    /// What the program before this one has left: deleted conversations go, replies that were being written end.
    TidyUp,
}

impl Write {
    /// Whether it may wait for more of its kind.
    pub(super) const fn can_wait(&self) -> bool {
        matches!(self, Self::Change(change) if change.can_wait())
    }
}

/// Writes it.
pub(super) fn apply(database: &Connection, write: &Write) -> Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<()> {
        database.prepare_cached(sql)?.execute(values).map(drop)
    };
    match write {
        Write::Change(change) => apply_change(database, change),
        Write::Delete(id) => {
            run("UPDATE conversations SET deleted = ? WHERE id = ?", params![Moment::now().0, id.0])
        }
        Write::Restore(id) => run("UPDATE conversations SET deleted = NULL WHERE id = ?", params![id.0]),
        Write::Setting { name, value } => {
            run("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", params![name, to_json(value)])
        }
        Write::Preset(preset) => run(
            "INSERT OR REPLACE INTO presets (name, preset) VALUES (?, ?)",
            params![preset.name, to_json(preset)],
        ),
        Write::DeletePreset(name) => run("DELETE FROM presets WHERE name = ?", params![name]),
        Write::Comparison { entry, result } => run(
            "INSERT INTO comparisons (id, name, created, result) VALUES (?, ?, ?, ?)",
            params![entry.id, entry.name, entry.created.0, to_json(result)],
        ),
        Write::RenameComparison { id, name } => {
            run("UPDATE comparisons SET name = ? WHERE id = ?", params![name, id])
        }
        Write::DeleteComparison(id) => run("DELETE FROM comparisons WHERE id = ?", params![id]),
        Write::TidyUp => tidy_up(database),
    }
}

fn apply_change(database: &Connection, change: &Change) -> Result<()> {
    match change {
        Change::Head(head) => write_head(database, head),
        Change::Message { conversation, message } => write_message(database, *conversation, message),
        Change::Grown { message, text, thinking, .. } => database
            .prepare_cached("INSERT INTO pieces (message, text, thinking) VALUES (?, ?, ?)")?
            .execute(params![message.0, text, thinking])
            .map(drop),
        Change::Ended { message, state, statistics, .. } => end(database, *message, state, Some(statistics)),
        Change::Chosen { conversation, child } => database
            .prepare_cached(
                "UPDATE messages SET chosen = (id = ?2) WHERE conversation = ?1
                 AND parent IS (SELECT parent FROM messages WHERE id = ?2)",
            )?
            .execute(params![conversation.0, child.0])
            .map(drop),
        Change::Removed { messages, .. } => {
            let mut delete = database.prepare_cached("DELETE FROM messages WHERE id = ?")?;
            messages.iter().try_for_each(|id| delete.execute([id.0]).map(drop))
        }
    }
}

fn write_head(database: &Connection, head: &Head) -> Result<()> {
    // Not replaced: that would delete the messages first.
    database
        .prepare_cached(
            "INSERT INTO conversations (id, title, title_given, pinned, created, changed, system, sampling)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET title = excluded.title, title_given = excluded.title_given,
                 pinned = excluded.pinned, changed = excluded.changed, system = excluded.system,
                 sampling = excluded.sampling",
        )?
        .execute(params![
            head.id.0,
            head.title,
            head.title_given,
            head.pinned,
            head.created.0,
            head.changed.0,
            head.system,
            to_json(&head.sampling),
        ])?;
    search::index(database, head.id.0, &head.title)
}

fn write_message(database: &Connection, conversation: ConversationId, message: &Message) -> Result<()> {
    database
        .prepare_cached(
            "INSERT INTO messages (id, conversation, parent, role, text, thinking, state, created, statistics)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            message.id.0,
            conversation.0,
            message.parent.map(|parent| parent.0),
            to_json(&message.role),
            message.text,
            message.thinking,
            to_json(&message.state),
            message.created.0,
            message.statistics.as_ref().map(to_json),
        ])?;
    // What grows is found when it has ended.
    if message.state == MessageState::Writing {
        return Ok(());
    }
    search::index(database, message.id.0, &message.text)
}

/// Ends a reply: its pieces become one text, which can be found.
fn end(
    database: &Connection,
    message: MessageId,
    state: &MessageState,
    statistics: Option<&Statistics>,
) -> Result<()> {
    let (mut text, mut thinking) = (String::new(), String::new());
    {
        let mut pieces =
            database.prepare_cached("SELECT text, thinking FROM pieces WHERE message = ? ORDER BY number")?;
        let mut pieces = pieces.query([message.0])?;
        while let Some(row) = pieces.next()? {
            text += row.get_ref(0)?.as_str()?;
            thinking += row.get_ref(1)?.as_str()?;
        }
    }
    let whole: Option<String> = {
        let mut update = database.prepare_cached(
            "UPDATE messages SET text = text || ?2, thinking = thinking || ?3, state = ?4,
             statistics = coalesce(?5, statistics) WHERE id = ?1 RETURNING text",
        )?;
        let values = params![message.0, text, thinking, to_json(state), statistics.map(to_json)];
        let mut rows = update.query(values)?;
        rows.next()?.map(|row| row.get(0)).transpose()?
    };
    database.prepare_cached("DELETE FROM pieces WHERE message = ?")?.execute([message.0])?;
    whole.map_or(Ok(()), |text| search::index(database, message.0, &text))
}

fn tidy_up(database: &Connection) -> Result<()> {
    database.execute("DELETE FROM conversations WHERE deleted IS NOT NULL", [])?;
    for message in super::rows::being_written(database)? {
        end(database, message, &MessageState::Interrupted, None)?;
    }
    Ok(())
}
