//! Devices: switching in the middle of a reply.

use inglenook::devices;

use super::Window;
use crate::gui::command::Command;

/// A GPU, if only in software. Where tests must have one, none is a failure.
pub(super) fn gpu() -> Option<String> {
    let found = devices().into_iter().find(|device| device.info.id.backend == "wgpu");
    let expected = std::env::var("INGLE_EXPECT_DEVICES").is_ok_and(|list| list.contains("wgpu/"));
    assert!(found.is_some() || !expected, "there is no device of wgpu");
    Some(found?.info.id.to_string())
}

#[test]
fn a_reply_goes_on_on_another_device() {
    let Some(gpu) = gpu() else {
        eprintln!("not run: there is no device of wgpu");
        return;
    };
    let mut window = Window::ready();
    window.say("hello");
    window.wait_for_text(60);
    window.command(Command::UseDevice(gpu.clone()));
    window.wait("it is loaded there", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.to_string() == gpu)
    });
    let (reply, before) = {
        let reply = window.state().last_reply().unwrap();
        (reply.id, reply.text.clone())
    };
    window.wait("it goes on", |state| {
        state.last_reply().is_some_and(|reply| reply.text.len() > before.len() + 20)
    });
    window.stop();
    let after = window.state().last_reply().cloned().unwrap();
    assert_eq!(after.id, reply);
    assert!(after.text.starts_with(&before));
    let statistics = after.statistics.unwrap();
    assert_eq!(statistics.device, gpu);
    assert!(statistics.tokens > 0);
    // And back, between replies: the conversation is what it was.
    window.command(Command::UseDevice("cpu".to_owned()));
    window.wait("it is back", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.backend == "cpu")
    });
    window.exchange("once more");
    assert_eq!(window.shown().len(), 4);
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
