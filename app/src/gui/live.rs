//! A reply that is being written: how far it is, and how long the rest of the prompt will take.

use std::time::{Duration, Instant};

/// What is known of a reply before it ends.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) phase: Phase,
    pub(crate) tokens: usize,
    /// When text was first seen, and how many tokens there were by then.
    first_seen: Option<(Instant, usize)>,
    reading_since: Option<(Instant, usize)>,
    /// When thinking began, and how long it took once it is over.
    thinking_since: Option<Instant>,
    pub(crate) thought_for: Option<Duration>,
}

/// What is being done for a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// It waits for a model, or for others.
    Waiting,
    Reading {
        done: usize,
        total: usize,
    },
    Writing,
    /// Its device was lost, for this reason.
    Restoring(String),
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Waiting,
            tokens: 0,
            first_seen: None,
            reading_since: None,
            thinking_since: None,
            thought_for: None,
        }
    }

    /// So many tokens of the prompt are read; `reused` of them cost nothing.
    pub(crate) fn read(&mut self, done: usize, total: usize, reused: usize) {
        let started = (Instant::now(), done.max(reused));
        if self.reading_since.is_none_or(|(_, from)| done < from) {
            self.reading_since = Some(started);
        }
        self.phase = Phase::Reading { done, total };
    }

    /// Text came; `tokens` are written so far.
    pub(crate) fn wrote(&mut self, tokens: usize, answer: bool, thinking: bool) {
        let now = Instant::now();
        self.tokens = tokens;
        if tokens > 0 {
            self.first_seen.get_or_insert((now, tokens));
            self.phase = Phase::Writing;
        }
        if thinking {
            self.thinking_since.get_or_insert(now);
        }
        if answer && let Some(since) = self.thinking_since.take() {
            self.thought_for = Some(now - since);
        }
    }

    /// Tokens per second since text was first seen.
    pub(crate) fn rate(&self) -> Option<f64> {
        let (since, before) = self.first_seen?;
        let time = since.elapsed().as_secs_f64();
        // Too early, it says more of how news travel than of the model.
        (time > 0.25 && self.tokens > before).then(|| (self.tokens - before) as f64 / time)
    }

    /// How long it takes to read the rest of the prompt, at the pace so far.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let Phase::Reading { done, total } = self.phase else { return None };
        let (since, from) = self.reading_since?;
        wait(done.checked_sub(from)?, total.saturating_sub(done), since.elapsed())
    }
}

/// How long `left` take where `done` took this long; nothing is known before anything is done.
fn wait(done: usize, left: usize, took: Duration) -> Option<Duration> {
    if done == 0 {
        return None;
    }
    Some(took.mul_f64(left as f64 / done as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_from_the_pace() {
        assert_eq!(wait(100, 300, Duration::from_secs(2)), Some(Duration::from_secs(6)));
        assert_eq!(wait(0, 300, Duration::from_secs(2)), None);
        assert_eq!(wait(5, 0, Duration::from_secs(2)), Some(Duration::ZERO));
    }

    #[test]
    fn a_reply_goes_from_waiting_to_writing() {
        let mut live = Live::new();
        assert!(live.wait().is_none() && live.rate().is_none());
        live.read(128, 512, 0);
        live.read(256, 512, 0);
        assert!(live.wait().is_some());
        live.wrote(1, false, true);
        live.wrote(2, true, false);
        assert_eq!(live.phase, Phase::Writing);
        assert!(live.thought_for.is_some());
    }
}
