//! What continuous batching is worth: replies asked for all at once beside the same asked for one by one.

use std::time::Instant;

use super::Series;
use crate::engine::{Engine, EngineError, Event, Reply, Request};

/// Replies that are to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replies {
    pub count: usize,
    /// Tokens of each prompt; no two prompts have anything in common.
    pub prompt: usize,
    /// Tokens of each reply.
    pub generate: usize,
    /// Measured runs; one more goes before them to warm up.
    pub repeats: usize,
    /// Tokens that prompts are made of.
    pub vocabulary: usize,
}

/// Seconds until all replies were there.
#[derive(Clone, Debug, PartialEq)]
pub struct Parallel {
    pub one_by_one: Series,
    pub together: Series,
}

impl Parallel {
    /// How many times sooner they are there when asked for at once.
    pub fn gain(&self) -> f64 {
        self.one_by_one.median() / self.together.median()
    }
}

/// Measures both, taking turns, so that whatever else the machine does disturbs both alike.
pub fn parallel(engine: &Engine, replies: &Replies) -> Result<Parallel, EngineError> {
    let (mut one_by_one, mut together) = (vec![], vec![]);
    let mut prompts = Prompts { seed: 1, vocabulary: replies.vocabulary.max(1) as u64 };
    for run in 0..=replies.repeats {
        let start = Instant::now();
        for _ in 0..replies.count {
            finish(engine.session().generate(prompts.request(replies)))?;
        }
        let alone = start.elapsed().as_secs_f64();
        let requests: Vec<_> = (0..replies.count).map(|_| prompts.request(replies)).collect();
        let start = Instant::now();
        let sessions: Vec<_> = requests.iter().map(|_| engine.session()).collect();
        let asked: Vec<_> = sessions.iter().zip(requests).map(|(s, request)| s.generate(request)).collect();
        asked.into_iter().try_for_each(finish)?;
        let at_once = start.elapsed().as_secs_f64();
        if run > 0 {
            one_by_one.push(alone);
            together.push(at_once);
        }
    }
    Ok(Parallel { one_by_one: Series { samples: one_by_one }, together: Series { samples: together } })
}

fn finish(reply: Reply) -> Result<(), EngineError> {
    match reply.last() {
        Some(Event::Finished(_)) => Ok(()),
        Some(Event::Failed(error)) => Err(error),
        _ => Err(EngineError::Ended),
    }
}

/// Prompts of random tokens.
struct Prompts {
    seed: u64,
    vocabulary: u64,
}

impl Prompts {
    fn request(&mut self, replies: &Replies) -> Request {
        let mut token = || {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.seed >> 33) % self.vocabulary) as u32
        };
        let tokens = (0..replies.prompt.max(1)).map(|_| token()).collect();
        Request { max_tokens: replies.generate, ..Request::new(tokens) }
    }
}
