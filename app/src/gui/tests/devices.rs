//! Devices: switching in the middle of a reply.

use super::{Window, gpu};
use crate::gui::command::Command;

/// Uses another device, and waits until the reply has grown there; says how it began.
fn move_to(window: &mut Window, device: &str) -> String {
    window.command(Command::UseDevice(device.to_owned()));
    window.wait("it is loaded there", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.to_string().starts_with(device))
    });
    let before = window.state().last_reply().unwrap().text.clone();
    window.wait("it goes on", |state| {
        state.last_reply().is_some_and(|reply| reply.text.len() > before.len() + 20)
    });
    before
}

#[test]
fn a_reply_goes_on_on_another_device_and_comes_back() {
    let Some(gpu) = gpu() else { return };
    let mut window = Window::ready();
    window.say("hello");
    window.wait_for_text(60);
    let reply = window.state().last_reply().unwrap().id;
    let on_cpu = move_to(&mut window, &gpu.id.to_string());
    let on_gpu = move_to(&mut window, "cpu");
    assert!(on_cpu.len() >= 60 && on_gpu.starts_with(&on_cpu));
    window.stop();
    let after = window.state().last_reply().cloned().unwrap();
    assert_eq!(after.id, reply);
    assert!(after.text.starts_with(&on_gpu));
    let statistics = after.statistics.unwrap();
    assert_eq!(statistics.device, "cpu:0");
    // All of it is counted, wherever it was written, and what is kept is what is shown.
    assert!(statistics.tokens > 20 && statistics.prompt_tokens > 0, "{statistics:?}");
    window.exchange("once more");
    assert_eq!(window.shown().len(), 4);
    let (id, shown) = (window.state().chats.current.id(), window.shown());
    let mut window = window.again();
    window.command(Command::OpenChat(id));
    window.wait("it is open", |state| state.chats.current.id() == id);
    assert_eq!(window.shown(), shown);
}

#[test]
fn a_device_that_there_is_not_is_told_and_the_model_stays() {
    let mut window = Window::ready();
    window.exchange("hello");
    window.command(Command::UseDevice("cpu:7".to_owned()));
    window.wait("it is told", |state| state.trouble.is_some());
    assert!(window.state().trouble.as_ref().unwrap().reason.contains("cpu:7"));
    window.wait("what worked before is back", |state| state.model.facts().is_some());
    window.exchange("still here");
}
