//! Finding titles and messages.
//!
//! The index knows words. Chinese, Japanese, Thai and others do not part words, so each of their characters is made a word
//! of its own by invisible spaces around it, in what is indexed and in what is looked for; a sequence of characters
//! is then a phrase, of any length from one on. The last word that somebody types may go on.

use rusqlite::{Connection, Result, params};

use crate::conversation::{ConversationId, MessageId, Moment};

/// Stands between characters that are words of their own. Nobody sees it.
const SPACE: char = '\u{200b}';
/// Mark what was found in the text around it.
const FOUND: char = '\u{2}';
const FOUND_END: char = '\u{3}';
/// More hits than anybody reads.
const MOST_HITS: usize = 100;

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) conversation: ConversationId,
    pub(crate) title: String,
    /// None where it is the title.
    pub(crate) message: Option<MessageId>,
    pub(crate) created: Moment,
    /// Some words around it.
    pub(crate) snippet: Vec<Span>,
}

/// A piece of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    /// This is what was looked for.
    pub(crate) found: bool,
}

/// Makes a text findable, in the place of what was there.
pub(super) fn index(database: &Connection, id: i64, text: &str) -> Result<()> {
    database.prepare_cached("DELETE FROM search WHERE rowid = ?")?.execute([id])?;
    if text.is_empty() {
        return Ok(());
    }
    let mut insert = database.prepare_cached("INSERT INTO search (rowid, body) VALUES (?, ?)")?;
    insert.execute(params![id, spaced(text)]).map(drop)
}

/// Makes findable what an older program has left.
pub(super) fn index_all(database: &Connection) -> Result<()> {
    let sql = "SELECT id, title FROM conversations UNION ALL SELECT id, text FROM messages";
    let mut texts = database.prepare(sql)?;
    let mut texts = texts.query([])?;
    while let Some(row) = texts.next()? {
        index(database, row.get(0)?, row.get_ref(1)?.as_str()?)?;
    }
    Ok(())
}

/// A text with a space between any two characters of which one is a word by itself.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    let mut before = ' ';
    for c in text.chars() {
        let parted = before.is_whitespace() || c.is_whitespace();
        if !parted && (is_word(before) || is_word(c)) {
            spaced.push(SPACE);
        }
        // What marks a hit must not come from elsewhere.
        spaced.push(if c == FOUND || c == FOUND_END { ' ' } else { c });
        before = c;
    }
    spaced
}

/// Scripts that do not part words, or part them so that one looks for parts of them.
const fn is_word(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff // Thai, Lao
        | 0x1000..=0x109f // Burmese
        | 0x1780..=0x17ff // Khmer
        | 0x2e80..=0x2fdf | 0x3005..=0x3007 | 0x3040..=0x9fff // ideographs, kana
        | 0xa000..=0xa4cf // Yi
        | 0xac00..=0xd7af // Hangul
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// What the index is asked, and texts that hits must hold as well, since the index knows no signs.
fn query(wanted: &str) -> (String, Vec<String>) {
    let mut phrases = vec![];
    let mut literal = vec![];
    for term in wanted.split_whitespace() {
        if term.chars().any(char::is_alphanumeric) {
            let goes_on = !term.ends_with(is_word) && term.ends_with(char::is_alphanumeric);
            let phrase = spaced(term).replace('"', " ");
            phrases.push(format!("\"{phrase}\"{}", if goes_on { " *" } else { "" }));
        }
        if term.contains(|c: char| !c.is_alphanumeric()) {
            let escaped = spaced(term).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            literal.push(format!("%{escaped}%"));
        }
    }
    (phrases.join(" AND "), literal)
}

/// What is found, the best first: titles, then messages. All that was asked for must be in it.
pub(super) fn find(database: &Connection, wanted: &str) -> Result<Vec<Hit>> {
    let (phrases, literal) = query(wanted);
    if phrases.is_empty() && literal.is_empty() {
        return Ok(vec![]);
    }
    let (snippet, matches, order) = if phrases.is_empty() {
        // Signs alone: all texts are looked through.
        ("body", "?1 = ''", "search.rowid DESC")
    } else {
        ("snippet(search, 0, char(2), char(3), '…', 24)", "search MATCH ?1", "rank")
    };
    let holds: String =
        (0..literal.len()).map(|n| format!(" AND body LIKE ?{} ESCAPE '\\'", n + 2)).collect();
    let sql = format!(
        "SELECT search.rowid, {snippet}, messages.id, conversations.id, conversations.title,
                coalesce(messages.created, conversations.changed)
         FROM search
         LEFT JOIN messages ON messages.id = search.rowid
         JOIN conversations ON conversations.id = coalesce(messages.conversation, search.rowid)
         WHERE {matches}{holds} AND conversations.deleted IS NULL
         ORDER BY {order} LIMIT {MOST_HITS}"
    );
    let values = std::iter::once(phrases).chain(literal.iter().cloned());
    let mut statement = database.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut hits = vec![];
    while let Some(row) = rows.next()? {
        let text: String = row.get(1)?;
        let message: Option<i64> = row.get(2)?;
        hits.push(Hit {
            conversation: ConversationId(row.get(3)?),
            title: row.get(4)?,
            message: message.map(MessageId),
            created: Moment(row.get(5)?),
            snippet: if literal.is_empty() { spans(&text) } else { around(&text, wanted) },
        });
    }
    hits.sort_by_key(|hit| hit.message.is_some());
    Ok(hits)
}

/// A snippet of the index in pieces.
fn spans(snippet: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = vec![];
    let mut push = |text: &str, found: bool| {
        let text: String = text.chars().filter(|c| *c != SPACE).collect();
        match spans.last_mut() {
            // Characters that follow each other were found one by one.
            Some(last) if last.found == found => last.text += &text,
            _ if text.is_empty() => {}
            _ => spans.push(Span { text, found }),
        }
    };
    for (number, part) in snippet.split(FOUND).enumerate() {
        match part.split_once(FOUND_END) {
            Some((found, rest)) if number > 0 => {
                push(found, true);
                push(rest, false);
            }
            _ => push(part, false),
        }
    }
    spans
}

/// The text around the first of the words wanted, where the index cannot tell where they are.
fn around(text: &str, wanted: &str) -> Vec<Span> {
    const BEFORE: usize = 24;
    const AFTER: usize = 60;
    // Marks of a snippet that was made already.
    let text: String = text.chars().filter(|c| ![SPACE, FOUND, FOUND_END].contains(c)).collect();
    let lower = text.to_ascii_lowercase();
    let terms = wanted.split_whitespace().filter(|term| term.contains(|c: char| !c.is_alphanumeric()));
    let place = |term: &str| lower.find(&term.to_ascii_lowercase()).map(|at| (at, at + term.len()));
    let Some((start, end)) = terms.filter_map(place).min() else {
        return vec![Span { text: text.chars().take(BEFORE + AFTER).collect(), found: false }];
    };
    let from = text[..start].char_indices().rev().take(BEFORE).last().map_or(start, |(at, _)| at);
    let to = text[end..].char_indices().nth(AFTER).map_or(text.len(), |(at, _)| end + at);
    let dots = |cut: bool| if cut { "…" } else { "" };
    let before = format!("{}{}", dots(from > 0), &text[from..start]);
    let after = format!("{}{}", &text[end..to], dots(to < text.len()));
    [(before, false), (text[start..end].to_owned(), true), (after, false)]
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, found)| Span { text, found })
        .collect()
}
