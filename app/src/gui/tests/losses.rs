//! Devices that are lost in the middle of a reply, by way of their own driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inglenook::lose_device;

use super::{Gpu, Window, gpu};
use crate::conversation::{MessageId, MessageState};
use crate::gui::command::Command;

/// A window with a reply that is being written on the GPU.
fn writing_on(gpu: &Gpu) -> (Window, MessageId, String) {
    let mut window = Window::ready();
    let name = gpu.id.to_string();
    window.command(Command::UseDevice(name.clone()));
    window.wait("it is loaded there", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.to_string() == name)
    });
    window.say("hello");
    window.wait_for_text(40);
    let reply = window.state().last_reply().cloned().unwrap();
    (window, reply.id, reply.text)
}

/// The same reply grows behind what was there before, and says at its end where it was written.
fn assert_goes_on(window: &mut Window, reply: MessageId, before: &str, device: &str) {
    let so_far = window.state().last_reply().unwrap().text.len();
    window.wait("it goes on", |state| state.last_reply().is_some_and(|reply| reply.text.len() > so_far + 20));
    window.stop();
    let after = window.state().last_reply().cloned().unwrap();
    assert_eq!((after.id, &after.state), (reply, &MessageState::Stopped));
    assert!(after.text.starts_with(before));
    assert_eq!(after.statistics.unwrap().device, device);
}

#[test]
fn a_reply_goes_on_when_its_device_is_lost() {
    let Some(gpu) = gpu() else { return };
    let (mut window, reply, before) = writing_on(&gpu);
    lose_device(&gpu.id);
    let told = window.wait_until_told("The model is being loaded again");
    assert!(told.contains(&gpu.id.to_string()), "{told}");
    window.wait_until_told("the reply goes on");
    assert_goes_on(&mut window, reply, &before, &gpu.id.to_string());
}

#[test]
fn a_device_that_is_lost_again_and_again_is_given_up_for_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let (mut window, reply, before) = writing_on(&gpu);
    // It breaks as soon as it is there.
    let (breaks, id) = (Arc::new(AtomicBool::new(true)), gpu.id.clone());
    let goes_on = Arc::clone(&breaks);
    let breaking = std::thread::spawn(move || {
        while goes_on.load(Ordering::Relaxed) {
            lose_device(&id);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let told = window.wait_until_told("The reply continues on the CPU");
    assert!(told.contains(&gpu.id.to_string()), "{told}");
    window.wait("it is on the CPU", |state| {
        state.model.facts().is_some_and(|facts| facts.device.id.backend == "cpu")
    });
    breaks.store(false, Ordering::Relaxed);
    breaking.join().unwrap();
    assert_goes_on(&mut window, reply, &before, "cpu:0");
    // Why it was given up stays with the device.
    let card = window.state().devices.iter().find(|card| card.device.info.id == gpu.id).unwrap();
    assert!(card.trouble.is_some());
}
