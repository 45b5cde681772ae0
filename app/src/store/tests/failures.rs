//! What disks, other programs and other versions do.

use std::fs;
use std::io::{Seek, SeekFrom, Write as _};

use super::*;

const FILE: &str = "conversations.db";

fn next_replaced(store: &Store) -> Vec<Head> {
    store.wait(|event| if let StoreEvent::Replaced(heads) = event { Some(heads) } else { None })
}

/// A folder with so many conversations, closed.
fn filled(conversations: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    store.set("theme", &"dark").unwrap();
    for number in 0..conversations {
        told(&store, &format!("question {number}"), &"a long answer ".repeat(400));
    }
    drop(store);
    folder
}

/// Files beside the database, in the order of their names.
fn put_aside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains("damaged") && !name.contains(".db-")).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_is_no_database_is_put_aside() {
    let folder = filled(2);
    let file = folder.path().join(FILE);
    let nonsense = b"this was a database once ".repeat(1000);
    fs::write(&file, &nonsense).unwrap();
    let opened = open_at(folder.path());
    let [Notice::Damaged { kept_as, rescued: 0, lost: 0, .. }] = &opened.notices[..] else {
        panic!("{:?}", opened.notices)
    };
    assert_eq!(fs::read(kept_as).unwrap(), nonsense);
    let today = chrono::Local::now().format("%Y-").to_string();
    assert!(kept_as.to_string_lossy().contains(&format!("conversations-damaged-{today}")));
    let conversation = told(&opened.store, "begun anew", "yes");
    drop(opened);
    // A second one gets a name of its own, even within the same second.
    fs::write(&file, &nonsense).unwrap();
    let opened = open_at(folder.path());
    assert!(opened.conversations.is_empty() && opened.store.loaded(conversation.id()).is_none());
    assert_eq!(put_aside(folder.path()).len(), 2);
}

#[test]
fn of_a_damaged_database_what_can_be_read_is_taken_over() {
    let folder = filled(20);
    let file = folder.path().join(FILE);
    let pages = fs::metadata(&file).unwrap().len() / 4096;
    assert!(pages > 30);
    // A few pages in the second half, where texts lie.
    let mut database = fs::File::options().write(true).open(&file).unwrap();
    for page in pages / 2..pages / 2 + 3 {
        database.seek(SeekFrom::Start(page * 4096)).unwrap();
        database.write_all(&[0xa5; 4096]).unwrap();
    }
    drop(database);
    let opened = open_at(folder.path());
    let [Notice::Damaged { rescued, lost, .. }] = opened.notices[..] else { panic!("{:?}", opened.notices) };
    assert_eq!(rescued + lost, 20);
    assert!(lost < 10, "{lost} of 20 were lost");
    assert_eq!(opened.conversations.len(), rescued);
    assert_eq!(opened.settings.get::<String>("theme").as_deref(), Some("dark"));
    for head in &opened.conversations {
        let conversation = opened.store.loaded(head.id).unwrap();
        assert_eq!(conversation.shown().last().unwrap().text, "a long answer ".repeat(400));
    }
    assert_eq!(put_aside(folder.path()).len(), 1);
}

#[test]
fn a_database_that_was_cut_short_is_put_aside() {
    for share in [1, 2, 5, 9] {
        let folder = filled(5);
        let file = folder.path().join(FILE);
        let length = fs::metadata(&file).unwrap().len() * share / 10;
        fs::File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
        let opened = open_at(folder.path());
        assert!(matches!(opened.notices[..], [Notice::Damaged { .. }]), "{share}: {:?}", opened.notices);
        let conversation = told(&opened.store, "still", "works");
        assert!(opened.store.loaded(conversation.id()).is_some());
    }
}

#[test]
fn a_database_that_lacks_tables_is_put_aside() {
    let folder = filled(1);
    let database = Connection::open(folder.path().join(FILE)).unwrap();
    database.execute_batch("DROP TABLE pieces; DROP TABLE messages; DROP TABLE conversations").unwrap();
    drop(database);
    let opened = open_at(folder.path());
    assert!(matches!(opened.notices[..], [Notice::Damaged { .. }]), "{:?}", opened.notices);
}

#[test]
fn damage_while_the_program_runs_costs_no_text_that_is_shown() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let mut open = told(&store, "open in the window", &"text ".repeat(20_000));
    let file = folder.path().join(FILE);
    assert!(store.flush(PATIENCE));
    store.meddle(move |database| {
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut damaged = fs::File::options().write(true).open(&file).unwrap();
        let length = damaged.metadata().unwrap().len();
        damaged.seek(SeekFrom::Start(4096)).unwrap();
        damaged.write_all(&vec![0xa5; length as usize - 4096]).unwrap();
        database.execute_batch("PRAGMA shrink_memory").unwrap();
    });
    open.say("and on").unwrap();
    store.write(open.take_changes());
    assert!(matches!(store.next_notice(), Notice::Damaged { .. }));
    assert!(next_replaced(&store).is_empty());
    store.write(open.all_changes());
    assert!(store.loaded(open.id()).unwrap() == open);
    drop(store);
    let opened = open_at(folder.path());
    assert_eq!(opened.notices, []);
    assert!(opened.store.loaded(open.id()).unwrap() == open);
}

#[test]
fn what_finds_no_room_waits_until_there_is_some() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let kept = told(&store, "before", "it was full");
    assert!(store.flush(PATIENCE));
    store.meddle(|database| {
        let pages: u32 = database.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        database.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    });
    let mut conversation = told(&store, "question", &"long answer ".repeat(10_000));
    let Notice::NotSaved { why: WhyNotSaved::DiskFull, file } = store.next_notice() else { panic!() };
    assert_eq!(file, folder.path().join(FILE));
    // A reply goes on meanwhile; nothing is said twice.
    conversation.say("more").unwrap();
    let reply = conversation.begin_reply(Statistics::default()).unwrap();
    for _ in 0..50 {
        conversation.grow(reply, "word ", "").unwrap();
        store.write(conversation.take_changes());
    }
    assert!(!store.flush(PATIENCE));
    assert!(store.loaded(kept.id()).unwrap() == kept, "what is there can be read");
    store.meddle(|database| {
        database.query_row("PRAGMA max_page_count = 1073741823", [], |_| Ok(())).unwrap();
    });
    assert_eq!(store.next_notice(), Notice::SavedAgain);
    assert!(store.loaded(conversation.id()).unwrap() == conversation);
}

#[test]
fn a_database_that_becomes_read_only_is_written_when_it_no_longer_is() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    assert!(store.flush(PATIENCE));
    store.meddle(|database| database.pragma_update(None, "query_only", true).unwrap());
    let conversation = told(&store, "question", "answer");
    assert!(matches!(store.next_notice(), Notice::NotSaved { why: WhyNotSaved::ReadOnly, .. }));
    store.meddle(|database| database.pragma_update(None, "query_only", false).unwrap());
    assert_eq!(store.next_notice(), Notice::SavedAgain);
    drop(store);
    assert!(open_at(folder.path()).store.loaded(conversation.id()).unwrap() == conversation);
}

#[cfg(unix)]
#[test]
fn a_read_only_database_is_shown_and_left_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = filled(3);
    let file = folder.path().join(FILE);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&file, 0o444);
    set(folder.path(), 0o555);
    if fs::File::create(folder.path().join("probe")).is_ok() {
        eprintln!("not run: this user may write everywhere");
        return;
    }
    let before = fs::read(&file).unwrap();
    let opened = open_any(folder.path());
    assert!(matches!(opened.access, Access::InMemory(WhyNotKept::ReadOnly { .. })), "{:?}", opened.notices);
    works_in_memory(&opened, 3);
    drop(opened);
    assert_eq!(fs::read(&file).unwrap(), before);
    set(folder.path(), 0o755);
}

/// What was there is shown, and everything works.
fn works_in_memory(opened: &Opened, conversations: usize) {
    assert_eq!(opened.conversations.len(), conversations);
    assert!(opened.notices.iter().any(|notice| matches!(notice, Notice::NotKept { .. })));
    for head in &opened.conversations {
        assert!(opened.store.loaded(head.id).is_some());
    }
    let conversation = told(&opened.store, "something", "new");
    assert!(opened.store.loaded(conversation.id()).unwrap() == conversation);
    assert_eq!(opened.store.found("something").len(), 2);
}

#[test]
fn a_second_program_works_on_a_copy() {
    let folder = TempDir::new().unwrap();
    let first = open_at(folder.path());
    let conversation = told(&first.store, "of the first", "yes");
    assert!(first.store.flush(PATIENCE));
    let second = open_any(folder.path());
    assert!(matches!(second.access, Access::InMemory(WhyNotKept::InUse { .. })));
    works_in_memory(&second, 1);
    assert!(second.store.loaded(conversation.id()).unwrap() == conversation);
    // Neither disturbs the other.
    told(&first.store, "another", "of the first");
    drop(second);
    drop(first);
    assert_eq!(open_at(folder.path()).conversations.len(), 2);
}

#[test]
fn a_database_of_a_newer_program_is_not_touched() {
    let folder = filled(1);
    let file = folder.path().join(FILE);
    let database = Connection::open(&file).unwrap();
    database.pragma_update(None, "user_version", schema::NEWEST + 1).unwrap();
    drop(database);
    let before = fs::read(&file).unwrap();
    let opened = open_any(folder.path());
    let Access::InMemory(why @ WhyNotKept::Newer { .. }) = &opened.access else {
        panic!("{:?}", opened.access)
    };
    assert!(why.to_string().contains("update"), "{why}");
    works_in_memory(&opened, 0);
    drop(opened);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn where_there_is_no_folder_all_works_in_memory() {
    let opened = open(None, Arc::new(|| {}));
    assert_eq!(opened.access, Access::InMemory(WhyNotKept::NoFolder));
    works_in_memory(&opened, 0);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let opened = open_any(&file.join("data"));
    let Access::InMemory(WhyNotKept::Folder { folder, .. }) = &opened.access else { panic!() };
    assert_eq!(*folder, file.join("data"));
    works_in_memory(&opened, 0);
}

#[test]
fn what_can_never_be_written_holds_up_nothing_else() {
    let store = open(None, Arc::new(|| {})).store;
    let mut lost = Conversation::new(None, SamplingSettings::default());
    lost.say("of a conversation that nobody told of").unwrap();
    let mut changes = lost.take_changes();
    changes.retain(|change| !matches!(change, Change::Head(_)));
    let mut kept = Conversation::new(None, SamplingSettings::default());
    kept.say("this one is well").unwrap();
    changes.extend(kept.take_changes());
    store.write(changes);
    assert!(matches!(store.next_notice(), Notice::Refused { .. }));
    assert!(store.loaded(kept.id()).unwrap() == kept);
}
