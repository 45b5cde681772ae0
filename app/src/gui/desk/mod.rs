//! The desk: a thread that owns the model, its engine and its device, and does what the window asks of it.
//!
//! The window sends an [`Order`] and goes on; what happens comes back as [`News`], which it takes once per frame. News wake the
//! window at most forty times a second, however fast tokens come. Each reply is followed by a thread of its own
//! ([`follow`]), so that orders are heard while text is written. The engine has its own device on the GPU, never the window's.
//!
//! No failure here loses text: a reply whose device is given up goes on from its tokens, on the CPU or on whichever device the
//! user has switched to (see [`work`]).

mod follow;
mod mailbox;
mod news;
mod open;
mod order;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub(crate) use news::{DeviceCard, Facts, Loading, News, Step, Totals};
pub(crate) use order::{OpenOrder, ReplyOrder, Turn};

use crate::conversation::MessageId;
use mailbox::Mailbox;
use order::Order;

/// A handle to the desk. Dropping it stops what is being written and waits for the thread.
pub(crate) struct Desk {
    orders: Sender<Order>,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the window and the threads of the desk both look at.
#[derive(Default)]
struct Shared {
    /// How often something was asked to be opened or closed; what is loading for an older wish gives up.
    wish: AtomicU64,
    /// Replies that are being written, and how to stop each.
    writing: Mutex<HashMap<MessageId, Canceller>>,
}

type Canceller = Box<dyn Fn() + Send>;

impl Shared {
    fn is_wanted(&self, wish: u64) -> bool {
        self.wish.load(Ordering::Relaxed) == wish
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, HashMap<MessageId, Canceller>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Starts the thread, which looks for devices first.
    pub(crate) fn start(ctx: &egui::Context) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let mailbox = Arc::new(Mailbox::new(ctx.clone()));
        let shared = Arc::new(Shared::default());
        let desk = work::Worker::new(orders.clone(), Arc::clone(&mailbox), Arc::clone(&shared));
        let run = move || desk.run(&inbox);
        let thread = std::thread::Builder::new().name("desk".to_owned()).spawn(run)?;
        Ok(Self { orders, mailbox, shared, thread: Some(thread) })
    }

    /// Opens a model, in place of the one that is open. What is being written goes on with it if it is the same model.
    pub(crate) fn open(&self, order: OpenOrder) {
        let wish = self.shared.wish.fetch_add(1, Ordering::Relaxed) + 1;
        self.send(Order::Open(order, wish));
    }

    /// Lets go of the model, or of loading one.
    pub(crate) fn close(&self) {
        let wish = self.shared.wish.fetch_add(1, Ordering::Relaxed) + 1;
        self.send(Order::Close(wish));
    }

    /// Asks for a reply.
    pub(crate) fn reply(&self, order: ReplyOrder) {
        self.send(Order::Reply(Box::new(order)));
    }

    /// Stops a reply; it ends with what is written.
    pub(crate) fn stop(&self, reply: MessageId) {
        if let Some(cancel) = self.shared.writing().get(&reply) {
            cancel();
        }
        self.send(Order::Stop(reply));
    }

    /// Looks for devices again, and at what is known of them.
    pub(crate) fn look_for_devices(&self) {
        self.send(Order::Devices);
    }

    /// What has happened since this was asked last.
    pub(crate) fn take_news(&self) -> Vec<News> {
        self.mailbox.take()
    }

    fn send(&self, order: Order) {
        // The thread ends only when the desk is dropped, or with the process.
        let _ = self.orders.send(order);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shared.wish.fetch_add(1, Ordering::Relaxed);
        for cancel in self.shared.writing().values() {
            cancel();
        }
        self.send(Order::Quit);
        if let Some(thread) = self.thread.take() {
            // What it died of has been printed already.
            let _ = thread.join();
        }
    }
}
