//! Conversations under any sequence of operations.

use proptest::prelude::*;

use super::exchange::{from_json, from_markdown, from_text, to_json, to_markdown};
use super::*;

/// One thing that a user or an engine does; numbers pick among the messages that there are.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Say(String),
    Begin,
    Grow(String, String),
    End(MessageState),
    Regenerate(usize),
    Edit(usize, String),
    Choose(usize, Direction),
    Delete(usize),
    Undo,
    Rename(String),
    Pin(bool),
    System(Option<String>),
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let text = || "[a-z \u{4e00}-\u{4e20}\n#<>*-]{0,40}";
    let states = prop::sample::select(vec![
        MessageState::Finished,
        MessageState::CutOff,
        MessageState::Stopped,
        MessageState::Interrupted,
        MessageState::Failed("the device was lost".to_owned()),
    ]);
    let direction = prop::sample::select(vec![Direction::Left, Direction::Right]);
    prop_oneof![
        4 => text().prop_map(Step::Say),
        4 => Just(Step::Begin),
        4 => (text(), "[a-z]{0,9}").prop_map(|(text, thinking)| Step::Grow(text, thinking)),
        4 => states.prop_map(Step::End),
        2 => any::<usize>().prop_map(Step::Regenerate),
        2 => (any::<usize>(), text()).prop_map(|(at, text)| Step::Edit(at, text)),
        2 => (any::<usize>(), direction).prop_map(|(at, direction)| Step::Choose(at, direction)),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => Just(Step::Undo),
        1 => text().prop_map(Step::Rename),
        1 => any::<bool>().prop_map(Step::Pin),
        1 => prop::option::of(text()).prop_map(Step::System),
    ]
}

/// A conversation that things are done to.
pub(crate) struct Played {
    pub(crate) conversation: Conversation,
    removed: Vec<Removed>,
}

impl Played {
    pub(crate) fn new() -> Self {
        let sampling = SamplingSettings { temperature: Some(0.7), ..SamplingSettings::default() };
        Self { conversation: Conversation::new(None, sampling), removed: vec![] }
    }

    /// Does one step; what is not possible must change nothing.
    pub(crate) fn play(&mut self, step: &Step) {
        let before = self.conversation.clone();
        let conversation = &mut self.conversation;
        let ids: Vec<MessageId> = conversation.messages().map(|message| message.id).collect();
        let pick = |at: usize| if ids.is_empty() { MessageId(0) } else { ids[at % ids.len()] };
        let statistics = || Statistics { model: "m".to_owned(), seed: u64::MAX, ..Statistics::default() };
        let writing = conversation.writing().unwrap_or(MessageId(0));
        let done = match step.clone() {
            Step::Say(text) => conversation.say(text).map(drop),
            Step::Begin => conversation.begin_reply(statistics()).map(drop),
            Step::Grow(text, thinking) => conversation.grow(writing, &text, &thinking),
            Step::End(state) => {
                let ended = Statistics { tokens: 7, tokens_per_second: 1.25, ..statistics() };
                conversation.end(writing, state, ended)
            }
            Step::Regenerate(at) => conversation.regenerate(pick(at), statistics()).map(drop),
            Step::Edit(at, text) => conversation.edit(pick(at), text).map(drop),
            Step::Choose(at, direction) => conversation.choose(pick(at), direction).map(drop),
            Step::Delete(at) => conversation.delete(pick(at)).map(|removed| self.removed.push(removed)),
            Step::Undo => {
                if let Some(removed) = self.removed.pop() {
                    conversation.restore(removed);
                }
                Ok(())
            }
            Step::Rename(title) => {
                conversation.rename(&title);
                Ok(())
            }
            Step::Pin(pinned) => {
                conversation.set_pinned(pinned);
                Ok(())
            }
            Step::System(system) => {
                conversation.set_system(system);
                Ok(())
            }
        };
        if done.is_err() {
            assert!(*conversation == before, "{step:?} failed and changed something");
        }
    }
}

/// Holds after everything that is done.
fn check(conversation: &Conversation) {
    let shown: Vec<_> = conversation.shown().collect();
    assert_eq!(shown.len(), conversation.path().len());
    let mut parent = None;
    for message in &shown {
        assert_eq!(message.parent, parent, "the path is connected");
        parent = Some(message.id);
    }
    assert!(
        conversation.messages().all(|message| message.parent != parent || shown.is_empty()),
        "the path goes to an end"
    );
    for message in conversation.messages() {
        let (versions, at) = conversation.versions(message.id);
        assert_eq!(versions[at], message.id);
        assert!(versions.is_sorted());
        assert_eq!(message.role == Role::Assistant, message.statistics.is_some());
        let chosen = conversation.chosen().filter(|chosen| versions.contains(chosen)).count();
        assert_eq!(chosen, 1, "one version of each is chosen");
        assert!(conversation.before(message.id).iter().all(|earlier| earlier.id < message.id));
    }
    let writing = conversation.messages().filter(|message| message.state == MessageState::Writing);
    assert_eq!(writing.map(|message| message.id).collect::<Vec<_>>(), Vec::from_iter(conversation.writing()));
    if !conversation.head().title_given {
        assert_eq!(
            conversation.head().title,
            shown.first().map_or(String::new(), |first| title::of(&first.text))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_keep_the_tree_sound(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut played = Played::new();
        for step in &steps {
            played.play(step);
            check(&played.conversation);
        }
    }

    #[test]
    fn what_is_deleted_comes_back_as_it_was(steps in prop::collection::vec(any_step(), 1..40), at in any::<usize>()) {
        let mut played = Played::new();
        steps.iter().for_each(|step| played.play(step));
        let mut conversation = played.conversation;
        let ids: Vec<MessageId> = conversation.messages().map(|message| message.id).collect();
        if !ids.is_empty() {
            let before = (conversation.tree.clone(), conversation.head.title.clone());
            if let Ok(removed) = conversation.delete(ids[at % ids.len()]) {
                prop_assert!(conversation.restore(removed.clone()));
                prop_assert!(before == (conversation.tree.clone(), conversation.head.title.clone()));
                prop_assert!(!conversation.restore(removed), "it is there already");
            }
        }
    }

    #[test]
    fn json_holds_all_there_is(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut played = Played::new();
        steps.iter().for_each(|step| played.play(step));
        if let Some(writing) = played.conversation.writing() {
            played.conversation.end(writing, MessageState::Stopped, Statistics::default()).unwrap();
        }
        let text = to_json([&played.conversation]).unwrap();
        let read = from_text(&text).unwrap().remove(0);
        check(&read);
        prop_assert_eq!(to_json([&read]).unwrap(), text);
        let shown = |conversation: &Conversation| -> Vec<_> {
            conversation.shown().map(|m| (m.text.clone(), m.thinking.clone(), m.state.clone())).collect()
        };
        prop_assert_eq!(shown(&read), shown(&played.conversation));
        prop_assert_ne!(read.id(), played.conversation.id());
    }

    #[test]
    fn nothing_that_is_taken_in_can_do_harm(text in "\\PC{0,80}", at in any::<prop::sample::Index>()) {
        let _ = from_text(&text);
        let mut whole = to_markdown(&asked_twice());
        whole.insert_str(at.index(whole.len()).min(2), &text);
        let _ = from_text(&whole);
    }
}

/// A question with two replies, the first of them with thoughts; the second is shown.
fn asked_twice() -> Conversation {
    let mut conversation = Conversation::new(Some("Be brief.".to_owned()), SamplingSettings::default());
    conversation.say("# What is a hearth?\n\n<!-- inglenook: user -->").unwrap();
    let statistics = Statistics { model: "smol".to_owned(), ..Statistics::default() };
    let first = conversation.begin_reply(statistics.clone()).unwrap();
    conversation.grow(first, "A fire", "Hm.").unwrap();
    conversation.grow(first, "place.", "\n\nYes.").unwrap();
    conversation.end(first, MessageState::Finished, statistics.clone()).unwrap();
    let second = conversation.regenerate(first, statistics.clone()).unwrap();
    conversation.grow(second, "## Warm\n\n```\ncode\n```", "").unwrap();
    conversation.end(second, MessageState::Failed("no\nmore".to_owned()), statistics).unwrap();
    conversation
}

#[test]
fn markdown_is_read_as_it_was_shown() {
    let mut conversation = asked_twice();
    for _ in 0..2 {
        let page = to_markdown(&conversation);
        let read = from_markdown(&page).unwrap();
        check(&read);
        assert_eq!(to_markdown(&read).lines().nth(4), page.lines().nth(4));
        assert_eq!(read.head().title, conversation.head().title);
        assert_eq!(read.head().system, conversation.head().system);
        let (read, shown): (Vec<_>, Vec<_>) = (read.shown().collect(), conversation.shown().collect());
        assert_eq!(read.len(), shown.len());
        assert_eq!(read[1].text, shown[1].text);
        assert_eq!(read[1].thinking, shown[1].thinking);
        assert_eq!(read[1].statistics.as_ref().unwrap().model, "smol");
        // Reasons are told in one line.
        let one_line = |state: &MessageState| match state {
            MessageState::Failed(why) => MessageState::Failed(why.replace('\n', " ")),
            other => other.clone(),
        };
        assert_eq!(read[1].state, one_line(&shown[1].state));
        let reply = conversation.path()[1];
        conversation.choose(reply, Direction::Left).unwrap();
    }
}

#[test]
fn growing_is_noted_once_until_it_is_taken() {
    let mut conversation = asked_twice();
    conversation.take_changes();
    conversation.say("more").unwrap();
    let reply = conversation.begin_reply(Statistics::default()).unwrap();
    conversation.take_changes();
    for piece in ["a", "b", "c"] {
        conversation.grow(reply, piece, "").unwrap();
    }
    let [Change::Grown { text, .. }] = &conversation.take_changes()[..] else { panic!("one note") };
    assert_eq!(text, "abc");
    assert!(conversation.take_changes().is_empty());
    conversation.set_pinned(true);
    conversation.grow(reply, "d", "").unwrap();
    assert_eq!(conversation.take_changes().len(), 2);
    assert_eq!(conversation.delete(conversation.path()[0]), Err(ConversationError::StillWriting));
    assert_eq!(conversation.say("and?"), Err(ConversationError::StillWriting));
}

#[test]
fn files_of_others_are_refused_by_name() {
    let told = |text: &str| from_text(text).unwrap_err().to_string();
    assert!(told("{").contains("no JSON"));
    assert!(told("[]").contains("not conversations"));
    assert!(told(r#"{"format":"other","version":1}"#).contains("`other`"));
    assert!(told(r#"{"format":"inglenook-conversations","version":99}"#).contains("newer"));
    assert!(told("# A page\n\nof text").contains("no message"));
    let text = to_json([&asked_twice()]).unwrap();
    assert!(told(&text.replace("\"parent\": 0", "\"parent\": 9")).contains("not before it"));
    assert!(from_json(&text[..text.len() / 2]).is_err());
}
