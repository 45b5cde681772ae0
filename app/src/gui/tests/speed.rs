//! How long a frame takes, with little and with much to show. Other things may run on the machine meanwhile, so it is medians that
//! must hold; the 99th percentile is told.

use std::time::Instant;

use super::Window;
use crate::conversation::{Conversation, Message, MessageState, Role, SamplingSettings, Statistics};

/// What 60 frames per second leave.
const FRAME: f64 = 16.0;

const PARAGRAPHS: &str = "# A heading\n\nSome text with **strong** words, `code` and a [link](https://example.org), long enough to fill \
                          a line or two of the window in which it is shown to whoever reads it.\n\n- one\n- two\n\n```rust\nfn \
                          main() {\n    println!(\"hello\");\n}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n";

/// Median and 99th percentile of milliseconds per frame; before each frame something happens.
fn frames(window: &mut Window, mut before: impl FnMut(&mut Window, usize)) -> (f64, f64) {
    // Fonts and all that is made once.
    window.frames(30);
    let mut times: Vec<f64> = (0..200)
        .map(|frame| {
            before(window, frame);
            let start = Instant::now();
            window.harness.step();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn conversation(messages: usize) -> Conversation {
    let mut conversation = Conversation::new(None, SamplingSettings::default());
    let mut parent = None;
    let mut list = vec![];
    for index in 0..messages {
        let role = if index % 2 == 0 { Role::User } else { Role::Assistant };
        let text =
            if index % 2 == 0 { "A question of some words?".to_owned() } else { PARAGRAPHS.to_owned() };
        let message = Message::new(parent, role, text);
        parent = Some(message.id);
        list.push(message);
    }
    let chosen: Vec<_> = list.iter().map(|message| message.id).collect();
    let head = conversation.head().clone();
    conversation = Conversation::from_parts(head, list, chosen).unwrap();
    conversation
}

fn scroll(window: &mut Window, frame: usize) {
    let delta = egui::vec2(0.0, if frame < 120 { 260.0 } else { -180.0 });
    window.harness.hover_at(egui::pos2(700.0, 400.0));
    let (unit, modifiers) = (egui::MouseWheelUnit::Point, egui::Modifiers::NONE);
    let phase = egui::TouchPhase::Move;
    let source = egui::MouseWheelSource::Unknown;
    window.harness.event(egui::Event::MouseWheel { unit, delta, modifiers, phase, source });
}

fn show(window: &mut Window, conversation: Conversation) {
    window.harness.state_mut().state.chats.current = conversation;
}

#[test]
fn a_frame_takes_no_longer_where_there_is_more() {
    let mut window = Window::empty();
    show(&mut window, conversation(20));
    let (short, short_worst) = frames(&mut window, scroll);
    show(&mut window, conversation(2000));
    let (long, long_worst) = frames(&mut window, scroll);
    eprintln!("20 messages: median {short:.2} ms, p99 {short_worst:.2} ms");
    eprintln!("2,000 messages: median {long:.2} ms, p99 {long_worst:.2} ms");
    assert!(long < FRAME, "{long:.2} ms");
    assert!(long < 2.0 * short + 1.0, "{short:.2} ms, {long:.2} ms");
}

#[test]
fn a_reply_of_500_kilobytes_grows_as_fast_as_a_short_one() {
    let mut window = Window::empty();
    let mut growing = |bytes: usize| {
        let mut conversation = conversation(1);
        let reply = conversation.begin_reply(Statistics::default()).unwrap();
        conversation.grow(reply, &PARAGRAPHS.repeat(bytes.div_ceil(PARAGRAPHS.len())), "").unwrap();
        show(&mut window, conversation);
        let (median, worst) = frames(&mut window, |window, _| {
            let chat = &mut window.harness.state_mut().state.chats.current;
            chat.grow(reply, "some more words of **it**\n", "").unwrap();
        });
        let chat = &mut window.harness.state_mut().state.chats.current;
        chat.end(reply, MessageState::Finished, Statistics::default()).unwrap();
        let scrolled = frames(&mut window, scroll);
        eprintln!(
            "{bytes} bytes: growing median {median:.2} ms, p99 {worst:.2} ms; scrolling median {:.2} ms, p99 {:.2} ms",
            scrolled.0, scrolled.1
        );
        (median, scrolled.0)
    };
    let short = growing(5_000);
    let long = growing(500_000);
    assert!(long.0 < FRAME && long.1 < FRAME, "{long:?}");
    assert!(long.0 < 2.0 * short.0 + 1.0 && long.1 < 2.0 * short.1 + 1.0, "{short:?} {long:?}");
}
