//! The store as a window uses it.

mod failures;
mod kills;
mod searching;
mod speed;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::worker::Job;
use super::*;
use crate::conversation::tests::{Played, any_step};
use crate::conversation::{MessageId, MessageState, SamplingSettings, Statistics};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a folder that must be writable.
fn open_at(folder: &Path) -> Opened {
    let opened = open_any(folder);
    assert!(matches!(opened.access, Access::Kept(_)), "{:?}", opened.notices);
    opened
}

fn open_any(folder: &Path) -> Opened {
    open(Some(folder), Arc::new(|| {}))
}

impl Store {
    /// The next event that is wanted, others being passed over.
    fn wait<T>(&self, wanted: impl Fn(StoreEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.poll() {
                Some(event) => {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("the event does not come")
    }

    fn loaded(&self, id: ConversationId) -> Option<Conversation> {
        self.load(id);
        self.wait(|event| match event {
            StoreEvent::Loaded(conversation) => Some(Some(*conversation)),
            StoreEvent::Missing(missing) => {
                assert_eq!(missing, id);
                Some(None)
            }
            _ => None,
        })
    }

    fn next_notice(&self) -> Notice {
        self.wait(|event| if let StoreEvent::Notice(notice) = event { Some(notice) } else { None })
    }

    fn found(&self, wanted: &str) -> Vec<Hit> {
        self.search(wanted);
        self.wait(|event| match event {
            StoreEvent::Found { query, hits } if query == wanted => Some(hits),
            _ => None,
        })
    }

    /// Does something to the database behind the store's back.
    pub(crate) fn meddle(&self, meddle: impl FnOnce(&Connection) + Send + 'static) {
        self.send(Job::Meddle(Box::new(meddle)));
    }
}

/// A question and its answer, told to a store.
fn told(store: &Store, question: &str, answer: &str) -> Conversation {
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    conversation.say(question).unwrap();
    let reply = conversation.begin_reply(Statistics::default()).unwrap();
    conversation.grow(reply, answer, "").unwrap();
    conversation.end(reply, MessageState::Finished, Statistics::default()).unwrap();
    store.write(conversation.take_changes());
    conversation
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_is_loaded(
        steps in prop::collection::vec((any_step(), any::<bool>()), 1..60),
    ) {
        let opened = open(None, Arc::new(|| {}));
        let mut played = Played::new();
        for (step, tell) in &steps {
            played.play(step);
            if *tell {
                opened.store.write(played.conversation.take_changes());
            }
        }
        opened.store.write(played.conversation.take_changes());
        let loaded = opened.store.loaded(played.conversation.id());
        match loaded {
            Some(loaded) => prop_assert!(loaded == played.conversation, "{loaded:#?}\n{:#?}", played.conversation),
            // Nothing has ever been said of it.
            None => prop_assert!(played.conversation.is_empty()),
        }
    }
}

#[test]
fn all_is_there_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let opened = open_at(&folder.path().join("made/on/the/way"));
    let place = folder.path().join("made/on/the/way");
    assert!(opened.conversations.is_empty() && opened.notices.is_empty());
    let store = opened.store;
    let first = told(&store, "first", "a");
    std::thread::sleep(Duration::from_millis(3));
    let second = told(&store, "second", "b");
    std::thread::sleep(Duration::from_millis(3));
    let mut pinned = told(&store, "third", "c");
    pinned.set_pinned(true);
    pinned.set_system(Some("Be kind.".to_owned()));
    store.write(pinned.take_changes());
    store.set("theme", &"dark").unwrap();
    store.set("zoom", &1.25).unwrap();
    store.set("theme", &"light").unwrap();
    let preset = |name: &str, system: &str| Preset {
        name: name.to_owned(),
        system: Some(system.to_owned()),
        ..Preset::default()
    };
    store.save_preset(preset("terse", "Be brief."));
    store.save_preset(preset("terse", "Be briefer."));
    store.save_preset(preset("gone", ""));
    store.delete_preset("gone");
    let kept = store.save_comparison("cpu and gpu", json!({ "runs": [1, 2.5, null] }));
    store.rename_comparison(kept.id, "cpu, gpu");
    let gone = store.save_comparison("gone", json!(null));
    store.delete_comparison(gone.id);
    drop(store);

    let opened = open_at(&place);
    let ids: Vec<_> = opened.conversations.iter().map(|head| head.id).collect();
    assert_eq!(ids, [pinned.id(), second.id(), first.id()]);
    assert_eq!(opened.conversations[0], *pinned.head());
    assert!(opened.store.loaded(pinned.id()).unwrap() == pinned);
    assert_eq!(opened.settings.get::<String>("theme").as_deref(), Some("light"));
    assert_eq!(opened.settings.get::<f32>("zoom"), Some(1.25));
    assert_eq!(opened.settings.get::<f32>("theme"), None);
    assert_eq!(opened.presets, [preset("terse", "Be briefer.")]);
    assert_eq!(opened.comparisons.len(), 1);
    assert_eq!(opened.comparisons[0].name, "cpu, gpu");
    opened.store.load_comparison(kept.id);
    let result = opened
        .store
        .wait(|event| if let StoreEvent::Comparison { result, .. } = event { Some(result) } else { None });
    assert_eq!(result, Some(json!({ "runs": [1, 2.5, null] })));
}

#[test]
fn what_is_deleted_can_be_restored_until_the_next_start() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let (kept, gone) = (told(&store, "stays", "a"), told(&store, "goes", "b"));
    store.delete(kept.id());
    store.delete(gone.id());
    assert!(store.loaded(kept.id()).is_none());
    assert!(store.found("stays").is_empty());
    store.restore(kept.id());
    assert!(store.loaded(kept.id()).unwrap() == kept);
    assert_eq!(store.found("stays").len(), 2, "its title and its message");
    drop(store);
    let opened = open_at(folder.path());
    assert_eq!(opened.conversations.len(), 1);
    opened.store.restore(gone.id());
    assert!(opened.store.loaded(gone.id()).is_none());
    opened.store.meddle(|database| {
        let left = |table: &str| {
            database
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0))
                .unwrap()
        };
        assert_eq!((left("conversations"), left("messages"), left("search")), (1, 2, 3));
    });
    assert!(opened.store.flush(PATIENCE), "the thread has not panicked");
}

#[test]
fn replies_are_stored_as_they_grow() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    conversation.say("write").unwrap();
    let reply = conversation.begin_reply(Statistics::default()).unwrap();
    conversation.grow(reply, "It grows", "and thinks").unwrap();
    store.write(conversation.take_changes());
    // What another program sees.
    let reader = super::open::readable(&folder.path().join("conversations.db")).unwrap();
    let start = Instant::now();
    let stored = || rows::conversation(&reader, conversation.id()).unwrap();
    while stored().is_none_or(|stored| stored != conversation) {
        assert!(start.elapsed() < Duration::from_secs(1), "it must be stored within a second");
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..20 {
        conversation.grow(reply, " and grows", "").unwrap();
        store.write(conversation.take_changes());
    }
    conversation.end(reply, MessageState::Stopped, Statistics::default()).unwrap();
    store.write(conversation.take_changes());
    assert!(store.loaded(conversation.id()).unwrap() == conversation);
    let pieces: u32 = reader.query_row("SELECT count(*) FROM pieces", [], |row| row.get(0)).unwrap();
    assert_eq!(pieces, 0, "an ended reply is one text");
}

#[test]
fn conversations_go_through_files() {
    let folder = TempDir::new().unwrap();
    let store = open(None, Arc::new(|| {})).store;
    let mut conversation = told(&store, "A question", "An answer");
    let reply = conversation.path()[1];
    let second = conversation.regenerate(reply, Statistics::default()).unwrap();
    conversation.grow(second, "Another", "").unwrap();
    conversation.end(second, MessageState::CutOff, Statistics::default()).unwrap();
    store.write(conversation.take_changes());
    let other = told(&store, "Something else", "Yes");
    let imported = |path: &Path| {
        store.import(path.to_owned());
        store.wait(|event| match event {
            StoreEvent::Imported(heads) => Some(Ok(heads)),
            StoreEvent::Notice(notice) => Some(Err(notice)),
            _ => None,
        })
    };
    for (format, name, ids) in [
        (ExportFormat::Json, "all.json", vec![conversation.id(), other.id()]),
        (ExportFormat::Markdown, "one.md", vec![conversation.id()]),
    ] {
        let path = folder.path().join(name);
        store.export(ids.clone(), format, path.clone());
        let count = store
            .wait(|event| if let StoreEvent::Exported { count, .. } = event { Some(count) } else { None });
        assert_eq!(count, ids.len());
        let heads = imported(&path).unwrap();
        assert_eq!(heads.len(), ids.len());
        let copy = store.loaded(heads[0].id).unwrap();
        assert_eq!(copy.head().title, "A question");
        assert_eq!(copy.shown().last().unwrap().text, "Another");
        let messages = if format == ExportFormat::Json { 3 } else { 2 };
        assert_eq!(copy.messages().count(), messages);
    }
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "{\"format\":\"else\"}").unwrap();
    for path in [bad, folder.path().join("missing"), folder.path().to_owned()] {
        let Err(Notice::NotImported { path: named, .. }) = imported(&path) else { panic!("{path:?}") };
        assert_eq!(named, path);
    }
    store.export(vec![other.id()], ExportFormat::Json, folder.path().join("no/such/folder/x.json"));
    assert!(matches!(store.next_notice(), Notice::NotExported { .. }));
    store.export(vec![ConversationId(1)], ExportFormat::Json, folder.path().join("x.json"));
    assert!(store.next_notice().to_string().contains("no such conversation"));
}

#[test]
fn a_database_of_the_first_version_is_brought_up() {
    let folder = TempDir::new().unwrap();
    let mut old = Connection::open(folder.path().join("conversations.db")).unwrap();
    schema::migrate_to(&mut old, 1).unwrap();
    old.execute_batch(
        r#"INSERT INTO conversations VALUES (10, 'Of hearths', 0, 1, 1700000000000, 1700000000001, NULL, '{"temperature":0.5}', NULL);
        INSERT INTO messages VALUES (11, 10, NULL, '"user"', '什么是壁炉', '', '"finished"', 1, 1700000000000, NULL);
        INSERT INTO messages VALUES (12, 10, 11, '"assistant"', 'An inglenook', 'hm', '{"failed":"lost"}', 1, 1700000000001, '{"model":"m"}');
        INSERT INTO messages VALUES (13, 10, 11, '"assistant"', 'half a', '', '"writing"', 0, 1700000000002, '{}');
        INSERT INTO pieces (message, text, thinking) VALUES (13, ' reply', '');
        INSERT INTO settings VALUES ('theme', '"dark"');"#,
    )
    .unwrap();
    drop(old);
    let opened = open_at(folder.path());
    assert_eq!(opened.settings.get::<String>("theme").as_deref(), Some("dark"));
    assert_eq!(opened.conversations[0].sampling.temperature, Some(0.5));
    assert_eq!(opened.conversations[0].sampling.penalty_window, 64);
    let conversation = opened.store.loaded(ConversationId(10)).unwrap();
    assert_eq!(conversation.path(), [MessageId(11), MessageId(12)]);
    assert_eq!(conversation.message(MessageId(12)).unwrap().state, MessageState::Failed("lost".to_owned()));
    let half = conversation.message(MessageId(13)).unwrap();
    assert_eq!((half.text.as_str(), &half.state), ("half a reply", &MessageState::Interrupted));
    for wanted in ["hearths", "壁", "inglenook", "half a reply"] {
        assert_eq!(opened.store.found(wanted).len(), 1, "{wanted}");
    }
    opened.store.meddle(|database| assert_eq!(schema::version(database).unwrap(), schema::NEWEST));
    assert!(opened.store.flush(PATIENCE));
}
