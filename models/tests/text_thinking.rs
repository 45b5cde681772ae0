//! Telling thinking from the answer.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use ingle_models::text::{ReplyPiece, ThinkingMarks, ThinkingSplitter, split_thinking};
use proptest::prelude::*;

fn split(reply: &str, open: bool) -> (String, String) {
    split_thinking(reply, &ThinkingMarks::default(), open)
}

#[test]
fn thinking_is_told_from_the_answer() {
    let cases = [
        ("<think>\nSix sevens.\n</think>\n\n42", false, "Six sevens.", "42"),
        ("\n <think>a</think>b", false, "a", "b"),
        ("Six sevens.\n</think>\n\n42\n", true, "Six sevens.", "42\n"),
        ("42", false, "", "42"),
        ("  42 <think>no</think>", false, "", "  42 <think>no</think>"),
        ("a</think>b</think>c<think>", true, "a", "b</think>c<think>"),
        ("still thinking </thi", true, "still thinking </thi", ""),
        ("<think>\n\n</think>\n\nAnswer", false, "", "Answer"),
        ("<thin", false, "", "<thin"),
        ("", true, "", ""),
        ("<think>é < </ </t </think >x</think>ü", false, "é < </ </t </think >x", "ü"),
    ];
    for (reply, open, thinking, answer) in cases {
        assert_eq!(split(reply, open), (thinking.to_owned(), answer.to_owned()), "{reply:?}");
    }
}

#[test]
fn pieces_come_as_soon_as_they_are_certain() {
    let mut splitter = ThinkingSplitter::new(ThinkingMarks::default(), false);
    assert!(splitter.push("<thi").is_empty());
    assert!(splitter.push("nk>").is_empty() && splitter.is_thinking());
    assert_eq!(splitter.push("\nHm, "), [ReplyPiece::Thinking("Hm,".into())]);
    assert_eq!(splitter.push("so <"), [ReplyPiece::Thinking(" so".into())]);
    assert_eq!(splitter.push("b"), [ReplyPiece::Thinking(" <b".into())]);
    assert!(splitter.push("\n</think>\n").is_empty() && !splitter.is_thinking());
    assert_eq!(splitter.push("\nYes "), [ReplyPiece::Answer("Yes ".into())]);
    assert!(splitter.finish().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_cut_of_a_reply_into_pieces_changes_nothing(
        parts in proptest::collection::vec(
            prop_oneof![Just("<think>"), Just("</think>"), Just("<"), Just("/think"), Just(">"), Just(" "), Just("\n"), Just("é🦙"), Just("a")],
            0..12,
        ),
        cuts in proptest::collection::vec(1usize..4, 0..60),
        open in any::<bool>(),
    ) {
        let reply = parts.concat();
        let mut splitter = ThinkingSplitter::new(ThinkingMarks::default(), open);
        let mut characters = reply.chars().peekable();
        let mut pieces = Vec::new();
        for size in cuts {
            let piece: String = characters.by_ref().take(size).collect();
            pieces.extend(splitter.push(&piece));
        }
        let rest: String = characters.collect();
        pieces.extend(splitter.push(&rest));
        pieces.extend(splitter.finish());
        let (mut thinking, mut answer) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                ReplyPiece::Thinking(text) => {
                    prop_assert!(answer.is_empty() && !text.is_empty());
                    thinking.push_str(&text);
                }
                ReplyPiece::Answer(text) => {
                    prop_assert!(!text.is_empty());
                    answer.push_str(&text);
                }
            }
        }
        prop_assert_eq!((thinking, answer), split(&reply, open));
    }
}
