//! A program that is killed while a reply grows.
//!
//! The test starts itself once more as the program that will be killed ([`writes_until_it_is_killed`]), which says after each
//! word that it has told the store of it. What it had said a second before its end must be in the database.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::*;

const FOLDER: &str = "INGLE_TEST_KILLED_IN";
/// Words of one reply; then another conversation begins.
const WORDS: usize = 100;

/// The program that is killed.
#[test]
#[ignore = "started by another test, which kills it"]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let opened = open_at(&PathBuf::from(folder));
    let mut word = opened.conversations.len() * WORDS;
    loop {
        let mut conversation = Conversation::new(None, SamplingSettings::default());
        conversation.say("count").unwrap();
        let reply = conversation.begin_reply(Statistics::default()).unwrap();
        for _ in 0..WORDS {
            conversation.grow(reply, &format!("{word} "), "").unwrap();
            opened.store.write(conversation.take_changes());
            println!("word {word}");
            std::io::stdout().flush().unwrap();
            word += 1;
            thread::sleep(Duration::from_millis(2));
        }
        conversation.end(reply, MessageState::Finished, Statistics::default()).unwrap();
        opened.store.write(conversation.take_changes());
    }
}

/// Lets the program write for a while and kills it; returns each word with the moment at which it was told, and the end.
fn killed_after(folder: &Path, time: Duration) -> (Vec<(usize, Instant)>, Instant) {
    // The path of a test begins behind the crate's name.
    let module = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::writes_until_it_is_killed"), "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (began, begins) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut words = vec![];
        for line in out.lines().map_while(Result::ok) {
            if let Some(word) = line.split_once("word ").and_then(|(_, word)| word.parse().ok()) {
                words.push((word, Instant::now()));
                let _ = began.send(());
            }
        }
        words
    });
    begins.recv_timeout(PATIENCE).unwrap();
    thread::sleep(time);
    // On Unix this is signal 9: nothing of the program runs after it.
    child.kill().unwrap();
    let end = Instant::now();
    child.wait().unwrap();
    (reader.join().unwrap(), end)
}

#[test]
fn nothing_older_than_a_second_is_lost() {
    let kills: usize = std::env::var("INGLE_TEST_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let mut losses = vec![];
    let mut ended = 0;
    let mut expected = 0;
    for kill in 0..kills {
        // Any moment, from amid the opening of a reply to amid a later one.
        let time = Duration::from_micros(MessageId::fresh().0 as u64 * 7919 % 1_500_000);
        let (words, end) = killed_after(folder.path(), time);
        let opened = open_at(folder.path());
        assert_eq!(opened.notices, [], "the database is whole");
        opened.store.meddle(|database| {
            let verdict = database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
            assert_eq!(verdict.unwrap(), "ok");
        });
        let mut stored = 0;
        for (number, head) in opened.conversations.iter().rev().enumerate() {
            let conversation = opened.store.loaded(head.id).unwrap();
            let messages: Vec<_> = conversation.shown().collect();
            assert_eq!(messages[0].text, "count");
            // One that was killed before its first words has none.
            let Some(reply) = messages.get(1) else { continue };
            let words: Vec<usize> = reply.text.split_whitespace().map(|word| word.parse().unwrap()).collect();
            assert!(words.is_sorted_by(|a, b| a + 1 == *b), "{number}: {}", reply.text);
            let interrupted = reply.state == MessageState::Interrupted;
            assert!(interrupted || (reply.state == MessageState::Finished && words.len() == WORDS));
            ended += usize::from(reply.state == MessageState::Finished && number >= expected);
            stored = words.last().map_or(stored, |last| stored.max(last + 1));
        }
        assert!(opened.conversations.len() > expected, "kill {kill}");
        expected = opened.conversations.len();
        // The oldest word that is lost.
        let lost = words
            .iter()
            .find(|(word, _)| *word >= stored)
            .map(|(_, told)| end.saturating_duration_since(*told));
        let lost = lost.unwrap_or_default();
        assert!(lost < Duration::from_secs(1), "kill {kill}: {lost:?} are lost");
        losses.push(lost);
        assert!(opened.store.flush(PATIENCE), "the thread has not panicked");
        // Words go on where no reply has been yet, so that numbers never repeat.
        let last = words.last().unwrap().0;
        assert!(last < (expected + 1) * WORDS);
    }
    losses.sort();
    let (median, most) = (losses[losses.len() / 2], losses[losses.len() - 1]);
    eprintln!(
        "{kills} kills, {expected} conversations, {ended} replies ended before: lost {median:.0?} (median), {most:.0?} at most"
    );
}
