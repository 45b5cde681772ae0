//! What is found, and how it is shown.

use super::*;

/// A store with these messages, each in a conversation of its own.
fn with_messages(messages: &[&str]) -> Store {
    let store = open(None, Arc::new(|| {})).store;
    for message in messages {
        // Titles would be found too, so they are what no test looks for.
        let mut conversation = Conversation::new(None, SamplingSettings::default());
        conversation.rename("~");
        conversation.say(*message).unwrap();
        store.write(conversation.take_changes());
    }
    store
}

/// The texts that are found, with what was looked for in brackets.
fn snippets(store: &Store, wanted: &str) -> Vec<String> {
    let mark = |span: &Span| if span.found { format!("[{}]", span.text) } else { span.text.clone() };
    store.found(wanted).iter().map(|hit| hit.snippet.iter().map(mark).collect()).collect()
}

#[test]
fn one_and_two_chinese_characters_are_found() {
    let store = with_messages(&[
        "壁炉边是人们聊天的地方",
        "用GPU加速大模型推理，速度很快。",
        "量子计算机的计算速度",
        "日本語の検索もできます",
        "한국어도 찾을 수 있습니다",
        "ภาษาไทยก็ค้นหาได้",
        "𠀀𠀁 are rare",
        "no such characters",
    ]);
    let expected = [
        ("炉", "壁[炉]边是人们聊天的地方"),
        ("壁炉", "[壁炉]边是人们聊天的地方"),
        ("聊天的", "壁炉边是人们[聊天的]地方"),
        ("GPU加", "用[GPU加]速大模型推理，速度很快。"),
        ("gpu", "用[GPU]加速大模型推理，速度很快。"),
        ("推理，速", "用GPU加速大模型[推理，速]度很快。"),
        ("検索", "日本語の[検索]もできます"),
        ("の", "日本語[の]検索もできます"),
        ("국어", "한[국어]도 찾을 수 있습니다"),
        ("ไทย", "ภาษา[ไทย]ก็ค้นหาได้"),
        ("𠀁", "𠀀[𠀁] are rare"),
    ];
    for (wanted, snippet) in expected {
        assert_eq!(snippets(&store, wanted), [snippet], "{wanted}");
    }
    // Twice in one message ranks before once.
    assert_eq!(snippets(&store, "计算")[0], "量子[计算]机的[计算]速度");
    assert_eq!(snippets(&store, "速度").len(), 2);
    assert_eq!(snippets(&store, "速 量"), ["[量]子计算机的计算[速]度"]);
    assert!(snippets(&store, "炉壁").is_empty(), "the order counts");
    assert!(snippets(&store, "鱼").is_empty());
}

#[test]
fn words_are_found_as_people_type_them() {
    let store = with_messages(&[
        "The Inglenook is a corner beside the fire.",
        "Café au lait, naïvely",
        "fn main() -> Result<(), Error> { a += 100%; }",
        "snake_case and kebab-case",
        "She said \"hello there\" twice",
        "C++ and C",
    ]);
    let expected = [
        ("ingle", "The [Inglenook] is a corner beside the fire."),
        ("CORNER fire", "The Inglenook is a [corner] beside the [fire]."),
        ("cafe", "[Café] au lait, naïvely"),
        ("naïv", "Café au lait, [naïvely]"),
        ("->", "fn main() [->] Result<(), Error> { a += 100%; }"),
        ("100%", "…esult<(), Error> { a += [100%]; }"),
        ("snake_ca", "[snake_ca]se and kebab-case"),
        ("\"hello there\"", "She said [\"hello] there\" twice"),
        ("c++", "[C++] and C"),
    ];
    for (wanted, snippet) in expected {
        assert_eq!(snippets(&store, wanted), [snippet], "{wanted}");
    }
    for wanted in ["", "  ", "corner lait", "ire", "200%", "snakeXcase"] {
        assert!(snippets(&store, wanted).is_empty(), "{wanted}");
    }
}

#[test]
fn long_messages_are_shown_around_what_was_found() {
    let store = with_messages(&[&format!("{}needle{}", "before ".repeat(200), " after".repeat(200))]);
    for wanted in ["needle", "nee"] {
        let snippet = &snippets(&store, wanted)[0];
        assert!(snippet.len() < 300 && snippet.starts_with('…') && snippet.ends_with('…'), "{snippet}");
        assert!(snippet.contains("before [needle] after"), "{snippet}");
    }
}

#[test]
fn titles_come_first_and_versions_are_found_too() {
    let store = open(None, Arc::new(|| {})).store;
    told(&store, "what about kettles", "kettle kettle kettle");
    let mut conversation = told(&store, "x", "y");
    conversation.rename("The kettle");
    let question = conversation.path()[0];
    conversation.edit(question, "teapot").unwrap();
    store.write(conversation.take_changes());
    let hits = store.found("kettle");
    assert_eq!(hits.len(), 4);
    assert!(hits[0].message.is_none() && hits[1].message.is_none());
    // The version that is not shown any more, too; it can be shown.
    let [hit] = &store.found("x")[..] else { panic!() };
    conversation.show(hit.message.unwrap()).unwrap();
    assert_eq!(conversation.path()[0], question);
    conversation.delete(question).unwrap();
    store.write(conversation.take_changes());
    assert!(store.found("x").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_answered_and_a_message_finds_itself(
        text in "[a-zA-Z0-9 \u{4e00}-\u{4e10}\u{e01}-\u{e10}\"'*:^()+\\-%_\\\\{}.,\u{2}\u{3}\u{200b}]{1,24}",
    ) {
        let store = with_messages(&[&format!("before {text} after")]);
        let hits = store.found(&text);
        let is_said = text.chars().any(|c| !c.is_whitespace() && !['\u{2}', '\u{3}', '\u{200b}'].contains(&c));
        if is_said && !text.contains(['\u{2}', '\u{3}', '\u{200b}']) {
            prop_assert_eq!(hits.len(), 1, "{:?}", text);
        }
    }
}
