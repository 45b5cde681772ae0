//! What is shown of a conversation as Markdown. Comments that no reader shows say where messages begin, so that what was
//! exported can be taken in again.

use super::ImportError;
use crate::conversation::{Conversation, Message, MessageState, Role, SamplingSettings, Statistics};

const MARK: &str = "<!-- inglenook: ";
const MARK_END: &str = " -->";

/// What is shown of a conversation.
pub(crate) fn to_markdown(conversation: &Conversation) -> String {
    let head = conversation.head();
    let mut page = format!("# {}\n\n{}\n", head.title, head.created.local());
    if let Some(system) = &head.system {
        part(&mut page, "system", Some("System"), system);
    }
    for message in conversation.shown() {
        match message.role {
            Role::User => part(&mut page, "user", Some("You"), &message.text),
            Role::Assistant => reply(&mut page, message),
        }
    }
    page
}

fn reply(page: &mut String, message: &Message) {
    let model = message.statistics.as_ref().map(|statistics| statistics.model.as_str());
    let model = model.filter(|model| !model.is_empty()).unwrap_or("Reply");
    if message.thinking.is_empty() {
        part(page, "assistant", Some(model), &message.text);
    } else {
        part(page, "thinking", Some(model), "<details><summary>Thinking</summary>");
        page.push_str(&format!("\n{}\n\n</details>\n", guarded(&message.thinking)));
        part(page, "answer", None, &message.text);
    }
    if let Some(why) = remark(&message.state) {
        page.push_str(&format!("\n{MARK}{}{MARK_END}\n\n*{why}*\n", word(&message.state)));
    }
}

/// A mark, a heading and a text.
fn part(page: &mut String, kind: &str, heading: Option<&str>, text: &str) {
    page.push_str(&format!("\n{MARK}{kind}{MARK_END}\n"));
    if let Some(heading) = heading {
        page.push_str(&format!("## {heading}\n"));
    }
    page.push_str(&format!("\n{}\n", guarded(text)));
}

/// Text in which no line is taken for a mark of ours.
fn guarded(text: &str) -> String {
    text.replace(MARK, "<!-- inglenook : ")
}

fn remark(state: &MessageState) -> Option<String> {
    match state {
        MessageState::Finished | MessageState::Writing => None,
        MessageState::CutOff => Some("cut off".to_owned()),
        MessageState::Stopped => Some("stopped".to_owned()),
        MessageState::Interrupted => Some("interrupted".to_owned()),
        MessageState::Failed(why) => Some(format!("failed: {}", why.replace('\n', " "))),
    }
}

const fn word(state: &MessageState) -> &'static str {
    match state {
        MessageState::Finished | MessageState::Writing => "finished",
        MessageState::CutOff => "cut-off",
        MessageState::Stopped => "stopped",
        MessageState::Interrupted => "interrupted",
        MessageState::Failed(_) => "failed",
    }
}

/// A conversation from what [`to_markdown`] has made.
pub(crate) fn from_markdown(page: &str) -> Result<Conversation, ImportError> {
    let (start, parts) = parts(page);
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    let mut thinking: Option<(String, String)> = None;
    // Only what is being written can grow and end.
    let mut open = None;
    for (kind, body) in parts {
        let state = match kind {
            "cut-off" => Some(MessageState::CutOff),
            "stopped" => Some(MessageState::Stopped),
            "interrupted" => Some(MessageState::Interrupted),
            "failed" => {
                let why = body.trim().trim_matches('*');
                Some(MessageState::Failed(why.strip_prefix("failed: ").unwrap_or(why).to_owned()))
            }
            _ => None,
        };
        if let Some((id, statistics)) = open.take() {
            let finished = MessageState::Finished;
            // It was begun just now and nothing has ended it.
            let _ = conversation.end(id, state.clone().unwrap_or(finished), statistics);
        }
        if state.is_some() {
            continue;
        }
        let (heading, text) = headed(body);
        let model = heading.filter(|heading| *heading != "Reply").unwrap_or_default().to_owned();
        let (model, thought, text) = match kind {
            "system" => {
                conversation.set_system(Some(text.to_owned()));
                continue;
            }
            "user" => {
                // Nothing is being written, so nothing hinders it.
                let _ = conversation.say(text);
                continue;
            }
            "thinking" => {
                thinking = Some((model, unfolded(text).to_owned()));
                continue;
            }
            "answer" => {
                let (model, thought) = thinking.take().unwrap_or_default();
                (model, thought, body_text(body))
            }
            "assistant" => (model, String::new(), text),
            _ => continue,
        };
        let statistics = Statistics { model, ..Statistics::default() };
        let Ok(id) = conversation.begin_reply(statistics.clone()) else {
            return Err(ImportError::Damaged {
                title: start.to_owned(),
                what: "a reply follows no question",
            });
        };
        let _ = conversation.grow(id, text, &thought);
        open = Some((id, statistics));
    }
    if let Some((id, statistics)) = open {
        let _ = conversation.end(id, MessageState::Finished, statistics);
    }
    if conversation.is_empty() {
        return Err(ImportError::NoMessages);
    }
    // A title that only follows from the first message goes on doing so.
    if conversation.head().title != start {
        conversation.rename(start);
    }
    Ok(conversation)
}

/// The title, and each part with its kind.
fn parts(page: &str) -> (&str, Vec<(&str, &str)>) {
    let mut pieces = page.split(MARK);
    let start = pieces.next().unwrap_or_default();
    let title = start.trim_start_matches('\u{feff}').trim_start().lines().next().unwrap_or_default();
    let parts = pieces.filter_map(|piece| piece.split_once(MARK_END)).collect();
    (title.trim_start_matches('#').trim(), parts)
}

/// The heading of a part, and its text.
fn headed(body: &str) -> (Option<&str>, &str) {
    let body = body.trim_start_matches(['\r', '\n']);
    match body.strip_prefix("## ") {
        Some(rest) => {
            let (heading, text) = rest.split_once('\n').unwrap_or((rest, ""));
            (Some(heading.trim()), body_text(text))
        }
        None => (None, body_text(body)),
    }
}

/// A text without the empty lines around it.
fn body_text(body: &str) -> &str {
    body.trim_start_matches(['\r', '\n']).trim_end()
}

/// What stands inside a fold.
fn unfolded(text: &str) -> &str {
    let text = text.strip_prefix("<details><summary>Thinking</summary>").unwrap_or(text);
    body_text(text.strip_suffix("</details>").unwrap_or(text))
}
