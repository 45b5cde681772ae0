//! How long things take with much that is kept. Bounds are wide, since machines that test are busy; `--nocapture` shows figures.

use super::*;

fn timed<T>(what: &str, most: Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    let time = start.elapsed();
    eprintln!("{what}: {:.1} ms", time.as_secs_f64() * 1e3);
    assert!(time < most, "{what} took {time:?}");
    done
}

#[test]
fn a_conversation_of_two_thousand_messages_is_loaded_at_once() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    for number in 0..1000 {
        conversation.say(format!("question {number}: {}", "why is it so ".repeat(10))).unwrap();
        let reply = conversation.begin_reply(Statistics::default()).unwrap();
        conversation.grow(reply, &"Because it is. ".repeat(60), "").unwrap();
        conversation.end(reply, MessageState::Finished, Statistics::default()).unwrap();
    }
    store.write(conversation.take_changes());
    assert!(store.flush(PATIENCE));
    drop(store);
    let opened = timed("opening", Duration::from_secs(2), || open_at(folder.path()));
    let loaded =
        timed("loading 2,000 messages", Duration::from_secs(1), || opened.store.loaded(conversation.id()));
    assert!(loaded.unwrap() == conversation);
}

#[test]
fn a_long_reply_costs_no_more_to_store_at_its_end() {
    let folder = TempDir::new().unwrap();
    let store = open_at(folder.path()).store;
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    conversation.say("write a book").unwrap();
    let reply = conversation.begin_reply(Statistics::default()).unwrap();
    let mut times = vec![];
    for _ in 0..500 {
        conversation.grow(reply, &"word ".repeat(200), "").unwrap();
        let start = Instant::now();
        store.write(conversation.take_changes());
        assert!(store.flush(PATIENCE));
        times.push(start.elapsed());
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2]
    };
    let (first, last) = (median(&times[..100]), median(&times[400..]));
    eprintln!("storing 1,000 bytes more of a reply: {first:.0?} at first, {last:.0?} at 500,000 bytes");
    assert!(last < first * 3 + Duration::from_millis(1), "{first:?}, then {last:?}");
    conversation.end(reply, MessageState::Finished, Statistics::default()).unwrap();
    store.write(conversation.take_changes());
    assert!(store.loaded(conversation.id()).unwrap() == conversation);
}

#[test]
fn twenty_thousand_messages_are_searched_while_somebody_types() {
    let store = open(None, Arc::new(|| {})).store;
    let common = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经";
    let characters: Vec<char> = common.chars().collect();
    let mut seed = 1_u64;
    let mut any = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for _ in 0..100 {
        let mut conversation = Conversation::new(None, SamplingSettings::default());
        for _ in 0..200 {
            let words: String = (0..40).map(|_| format!("word{} ", any(5000))).collect();
            let text: String = (0..60).map(|_| characters[any(characters.len())]).collect();
            conversation.say(words + &text).unwrap();
        }
        store.write(conversation.take_changes());
    }
    assert!(store.flush(PATIENCE * 4));
    for wanted in ["的", "我们", "人这中", "word1", "word12 的", "->"] {
        let hits = timed(&format!("searching {wanted}"), Duration::from_secs(2), || store.found(wanted));
        assert_eq!(hits.is_empty(), wanted == "->" || (wanted == "人这中" && hits.is_empty()), "{wanted}");
    }
}
