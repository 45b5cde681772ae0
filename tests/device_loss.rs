//! Devices that are lost in the middle of replies: what was being written is written on, and is the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod queue;
mod tiny;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use inglenook::backend::plan::Footprint;
use inglenook::backend::sampling::Sampling;
use inglenook::backend::wgpu::WgpuBackend;
use inglenook::backend::{
    Backend, BackendError, Batch, Numerics, PageCopy, Profile, Progress, Runner, StepOutput,
    SyntheticWeights, Ticket, no_progress,
};
use inglenook::engine::{Engine, EngineError, Event, FinishReason, PrepareAgain, Reply, Request};

use queue::Queue;
use tiny::{by_hand, options, plan, prompt, request, runner};

/// In what a device is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Submit,
    Collect,
    Copy,
}

/// A runner that loses its device when it is asked for something the n-th time, counted from 0.
struct Fragile {
    inner: Box<dyn Runner>,
    loss: Option<(Call, usize)>,
    /// How often each was asked for.
    calls: [usize; 3],
    lost: bool,
}

impl Fragile {
    fn new(inner: Box<dyn Runner>, loss: Option<(Call, usize)>) -> Self {
        Self { inner, loss, calls: [0; 3], lost: false }
    }

    fn call(&mut self, call: Call) -> Result<(), BackendError> {
        let count = &mut self.calls[call as usize];
        self.lost |= self.loss == Some((call, *count));
        *count += 1;
        if self.lost {
            let (device, reason) = ("glass:0".to_owned(), "it broke".to_owned());
            return Err(BackendError::DeviceLost { device, reason });
        }
        Ok(())
    }
}

impl Runner for Fragile {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        self.call(Call::Submit)?;
        self.inner.submit(batch)
    }

    fn queues(&self) -> bool {
        self.inner.queues()
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        self.call(Call::Collect)?;
        self.inner.collect(ticket)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        self.call(Call::Copy)?;
        self.inner.copy_pages(copies)
    }

    fn set_profiling(&mut self, on: bool) {
        self.inner.set_profiling(on);
    }

    fn profile(&self) -> Option<Profile> {
        self.inner.profile()
    }

    fn memory(&self) -> Footprint {
        self.inner.memory()
    }

    fn numerics(&self) -> Numerics {
        self.inner.numerics()
    }
}

/// An engine each of whose runners loses its device as this list says, one entry for each, and never after it.
fn fragile(pages: usize, queues: bool, losses: &[(Call, usize)]) -> (Engine, Arc<AtomicUsize>) {
    let (plan, options) = (plan(), options(pages));
    let (prepared, losses) = (Arc::new(AtomicUsize::new(0)), Mutex::new(VecDeque::from(losses.to_vec())));
    let (count, limits) = (Arc::clone(&prepared), options.clone());
    let prepare = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let inner = runner(&plan, &limits);
        let inner: Box<dyn Runner> = if queues { Box::new(Queue::new(inner).0) } else { inner };
        Box::new(Fragile::new(inner, losses.lock().unwrap().pop_front()))
    };
    let first = prepare();
    let again = PrepareAgain::new(move |_| Ok(prepare()));
    (Engine::start_lasting(first, &options, again).unwrap(), prepared)
}

/// What a reply told.
#[derive(Debug, Default)]
struct Told {
    tokens: Vec<u32>,
    losses: usize,
    restored: usize,
    end: Option<Event>,
}

impl Told {
    fn by(reply: Reply) -> Self {
        let mut told = Self::default();
        for event in reply {
            match event {
                Event::Reading { .. } => {}
                Event::Token(token) => told.tokens.push(token.id),
                Event::DeviceLost(error) => {
                    assert!(error.to_string().contains("glass:0 was lost: it broke"), "{error}");
                    assert_eq!(told.losses, told.restored, "a loss within a loss");
                    told.losses += 1;
                }
                Event::DeviceRestored { .. } => told.restored += 1,
                end => told.end = Some(end),
            }
        }
        told
    }

    fn finished(&self) -> bool {
        matches!(&self.end, Some(Event::Finished(finished)) if finished.reason == FinishReason::MaxTokens)
    }

    fn failure(&self) -> String {
        match &self.end {
            Some(Event::Failed(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// Greedy, and drawn with a seed.
fn ways() -> [Sampling; 2] {
    [Sampling::greedy(), Sampling { temperature: 0.9, top_k: 50, seed: 11, ..Sampling::greedy() }]
}

#[test]
fn a_reply_is_the_same_wherever_the_device_is_lost() {
    // Three chunks of a prompt and eleven tokens more.
    let prompt = prompt(1, 60);
    for sampling in ways() {
        let expected = by_hand(&prompt, 12, &sampling);
        let wanted = Request { sampling, ..request(prompt.clone(), 12) };
        for queues in [false, true] {
            for call in [Call::Submit, Call::Collect] {
                for at in 0..14 {
                    let (engine, prepared) = fragile(64, queues, &[(call, at)]);
                    let told = Told::by(engine.session().generate(wanted.clone()));
                    assert_eq!(told.tokens, expected, "{call:?} {at}, queues: {queues}");
                    assert!(told.finished(), "{call:?} {at}: {told:?}");
                    assert_eq!((told.losses, told.restored), (1, 1), "{call:?} {at}");
                    assert_eq!(prepared.load(Ordering::Relaxed), 2);
                }
            }
        }
    }
}

#[test]
fn penalties_count_what_was_written_before_the_loss() {
    let sampling = Sampling {
        temperature: 0.8,
        repetition_penalty: 1.3,
        presence_penalty: 0.5,
        frequency_penalty: 0.2,
        seed: 3,
        ..Sampling::greedy()
    };
    let wanted = Request { sampling, ..request(prompt(5, 30), 30) };
    let written = |losses: &[(Call, usize)]| {
        let (engine, _) = fragile(64, true, losses);
        let told = Told::by(engine.session().generate(wanted.clone()));
        assert!(told.finished() && told.losses == losses.len(), "{told:?}");
        told.tokens
    };
    assert_eq!(written(&[]), written(&[(Call::Collect, 9), (Call::Submit, 12)]));
}

#[test]
fn a_device_may_be_lost_again_after_every_token() {
    let expected = by_hand(&prompt(2, 20), 8, &Sampling::greedy());
    for queues in [false, true] {
        // Each runner reads what there is, draws one token of it, and is lost in the next step.
        let (engine, prepared) = fragile(64, queues, &[(Call::Collect, 1); 5]);
        let told = Told::by(engine.session().generate(request(prompt(2, 20), 8)));
        assert_eq!((&told.tokens, told.losses, told.restored), (&expected, 5, 5), "{told:?}");
        assert!(told.finished() && prepared.load(Ordering::Relaxed) == 6);
    }
}

#[test]
fn no_reply_and_no_conversation_is_lost() {
    for queues in [false, true] {
        for call in [Call::Submit, Call::Collect] {
            for at in [3, 6, 9, 17] {
                let (engine, _) = fragile(90, queues, &[(call, at)]);
                // One that is idle when the device is lost.
                let idle = engine.session();
                let first = Told::by(idle.generate(request(prompt(9, 30), 3)));
                let prompts: Vec<_> = (0..4).map(|i| prompt(i, 10 + 9 * i as usize)).collect();
                let sessions: Vec<_> = prompts.iter().map(|_| engine.session()).collect();
                let replies: Vec<_> =
                    sessions.iter().zip(&prompts).map(|(s, p)| s.generate(request(p.clone(), 14))).collect();
                let mut losses = first.losses;
                for (reply, prompt) in replies.into_iter().zip(&prompts) {
                    let told = Told::by(reply);
                    assert_eq!(told.tokens, by_hand(prompt, 14, &Sampling::greedy()), "{call:?} {at}");
                    assert!(told.finished(), "{told:?}");
                    losses = losses.max(told.losses);
                }
                assert_eq!(losses, 1, "{call:?} {at}");
                let second = [prompt(9, 30), first.tokens, prompt(4, 7)].concat();
                let told = Told::by(idle.branch().generate(request(second.clone(), 5)));
                assert_eq!(told.tokens, by_hand(&second, 5, &Sampling::greedy()));
            }
        }
    }
}

#[test]
fn a_device_may_be_lost_while_pages_are_copied() {
    for queues in [false, true] {
        let (engine, prepared) = fragile(64, queues, &[(Call::Copy, 0)]);
        let session = engine.session();
        let first = prompt(9, 41);
        Told::by(session.generate(request(first.clone(), 1)));
        let branch = session.branch();
        let (left, right) = ([&first[..], &[1, 2]].concat(), [&first[..], &[3, 4]].concat());
        let replies =
            [session.generate(request(left.clone(), 6)), branch.generate(request(right.clone(), 6))];
        for (reply, prompt) in replies.into_iter().zip([left, right]) {
            let told = Told::by(reply);
            assert_eq!(told.tokens, by_hand(&prompt, 6, &Sampling::greedy()));
            assert!(told.finished(), "{told:?}");
        }
        assert_eq!(prepared.load(Ordering::Relaxed), 2, "pages are copied once");
    }
}

#[test]
fn a_second_loss_without_a_token_gives_the_reply_up_and_not_the_conversation() {
    for queues in [false, true] {
        // Reading the prompt takes three steps, in each of which the device is lost once.
        let (engine, prepared) = fragile(64, queues, &[(Call::Collect, 1), (Call::Submit, 2)]);
        let session = engine.session();
        let told = Told::by(session.generate(request(prompt(1, 60), 12)));
        assert_eq!((told.tokens.len(), told.losses, told.restored), (0, 1, 1), "{told:?}");
        assert!(matches!(told.end, Some(Event::Failed(EngineError::LostAgain(_)))), "{told:?}");
        let failure = told.failure();
        assert!(failure.contains("glass:0") && failure.contains("second time"), "{failure}");
        // Nothing is prepared while nobody asks.
        assert_eq!(prepared.load(Ordering::Relaxed), 2);
        let told = Told::by(session.generate(request(prompt(1, 60), 12)));
        assert_eq!(told.tokens, by_hand(&prompt(1, 60), 12, &Sampling::greedy()));
        assert!(told.finished() && told.losses == 0 && prepared.load(Ordering::Relaxed) == 3);
    }
}

#[test]
fn where_nothing_can_be_prepared_again_every_reply_says_why() {
    let (plan, options) = (plan(), options(64));
    let broken = || Box::new(Fragile::new(runner(&plan, &options), Some((Call::Collect, 2))));
    // Nobody knows how.
    let engine = Engine::start(broken(), &options).unwrap();
    let session = engine.session();
    for _ in 0..2 {
        let told = Told::by(session.generate(request(prompt(1, 10), 12)));
        assert!(told.failure().contains("glass:0 was lost: it broke"), "{told:?}");
    }
    // It does not work the first time.
    let (mut tries, again, limits) = (0, Arc::clone(&plan), options.clone());
    let prepare = PrepareAgain::new(move |_| {
        tries += 1;
        match tries {
            1 => Err(BackendError::DeviceLost { device: "glass:0".into(), reason: "no trace of it".into() }),
            _ => Ok(runner(&again, &limits)),
        }
    });
    let engine = Engine::start_lasting(broken(), &options, prepare).unwrap();
    let (session, other) = (engine.session(), engine.session());
    let replies = [session.generate(request(prompt(1, 10), 12)), other.generate(request(prompt(2, 10), 12))];
    let told = replies.map(Told::by);
    assert!(told[0].failure().contains("no trace of it"), "{told:?}");
    let told = Told::by(session.generate(request(prompt(1, 10), 12)));
    assert_eq!(told.tokens, by_hand(&prompt(1, 10), 12, &Sampling::greedy()));
}

#[test]
fn nobody_waits_for_a_device_whose_replies_were_cancelled() {
    let (plan, options) = (plan(), options(64));
    let broken = Fragile::new(runner(&plan, &options), Some((Call::Collect, 2)));
    let (again, limits) = (Arc::clone(&plan), options.clone());
    let (begun, mut tries) = (Arc::new(AtomicBool::new(false)), 0);
    let begins = Arc::clone(&begun);
    let prepare = PrepareAgain::new(move |progress| {
        tries += 1;
        let doing = Progress { doing: "loading", done_bytes: 0, total_bytes: 1 };
        if tries == 1 {
            begins.store(true, Ordering::Relaxed);
            // It would take for ever.
            while progress(&doing) == ControlFlow::Continue(()) {
                std::thread::yield_now();
            }
            return Err(BackendError::Cancelled);
        }
        Ok(runner(&again, &limits))
    });
    let engine = Engine::start_lasting(Box::new(broken), &options, prepare).unwrap();
    let session = engine.session();
    let mut reply = session.generate(request(prompt(1, 10), 12));
    assert!(reply.by_ref().any(|event| matches!(event, Event::DeviceLost(_))));
    // A reply that is cancelled earlier than that needs no device, and the next one would wait for ever.
    while !begun.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    reply.cancel();
    let last = reply.last();
    assert!(matches!(&last, Some(Event::Finished(f)) if f.reason == FinishReason::Cancelled), "{last:?}");
    let told = Told::by(session.generate(request(prompt(1, 10), 12)));
    assert_eq!(told.tokens, by_hand(&prompt(1, 10), 12, &Sampling::greedy()));
}

/// Every GPU there is, lost in the middle of a reply by way of its own driver.
#[test]
fn gpus_that_are_lost_are_opened_again() {
    let backend = Arc::new(WgpuBackend::default());
    if backend.devices().is_empty() {
        println!("not run: no GPU, not even a software one");
    }
    for device in backend.devices() {
        let (plan, options) = (plan(), options(64));
        let (id, driver, limits) = (device.id.clone(), Arc::clone(&backend), options.clone());
        let prepare = move || {
            driver.prepare(&id, Arc::clone(&plan), &SyntheticWeights { seed: 5 }, &limits, &mut no_progress)
        };
        let first = prepare().unwrap();
        let again = PrepareAgain::new(move |_| prepare());
        let engine = Engine::start_lasting(first, &options, again).unwrap();
        for sampling in ways() {
            let wanted = Request { sampling, ..request(prompt(1, 60), 40) };
            let undisturbed = Told::by(engine.session().generate(wanted.clone()));
            assert!(undisturbed.finished() && undisturbed.losses == 0, "{undisturbed:?}");
            let (mut tokens, mut losses, mut restored, mut finished) = (vec![], 0, 0, false);
            for event in engine.session().generate(wanted) {
                match event {
                    Event::Reading { .. } => {}
                    Event::Token(token) => {
                        tokens.push(token.id);
                        if tokens.len() == 7 || tokens.len() == 19 {
                            backend.lose_device(&device.id);
                        }
                    }
                    Event::DeviceLost(error) => {
                        assert!(error.to_string().contains(&device.id.to_string()), "{error}");
                        losses += 1;
                    }
                    Event::DeviceRestored { .. } => restored += 1,
                    Event::Finished(end) => finished = end.reason == FinishReason::MaxTokens,
                    Event::Failed(error) => panic!("{}: {error}", device.name),
                }
            }
            assert_eq!(tokens, undisturbed.tokens, "{}", device.name);
            assert!(finished && losses > 0 && losses == restored, "{}: {losses}, {restored}", device.name);
            println!("{}: lost {losses} times, {} tokens", device.name, tokens.len());
        }
    }
}
