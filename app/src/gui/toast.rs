//! Short messages at the edge of the window: what was done and can be undone, what went wrong, what is good to know.

use std::time::{Duration, Instant};

use super::command::Command;

/// How long something that was done can be undone with the button.
const UNDO: Duration = Duration::from_secs(10);
const NOTE: Duration = Duration::from_secs(8);

/// The kind of a message, which decides on its colour and how long it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Done,
    Note,
    /// Stays until it is closed.
    Problem,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Toast {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) words: String,
    /// A button, and what it does.
    pub(crate) button: Option<(String, Command)>,
    until: Option<Instant>,
}

/// All messages that are shown, newest last.
#[derive(Debug, Default)]
pub(crate) struct Toasts {
    list: Vec<Toast>,
    next: u64,
}

/// More would cover what one works on.
const MOST: usize = 5;

impl Toasts {
    pub(crate) fn note(&mut self, words: impl Into<String>) {
        self.add(Kind::Note, words.into(), None, Some(NOTE));
    }

    pub(crate) fn problem(&mut self, words: impl Into<String>) {
        self.add(Kind::Problem, words.into(), None, None);
    }

    /// Something that was done; the button undoes it.
    pub(crate) fn done(&mut self, words: impl Into<String>, button: Option<(String, Command)>) {
        let time = if button.is_some() { UNDO } else { NOTE };
        self.add(Kind::Done, words.into(), button, Some(time));
    }

    fn add(&mut self, kind: Kind, words: String, button: Option<(String, Command)>, stays: Option<Duration>) {
        // The same again is no news.
        self.list.retain(|toast| toast.words != words);
        self.next += 1;
        let until = stays.map(|time| Instant::now() + time);
        self.list.push(Toast { id: self.next, kind, words, button, until });
        if self.list.len() > MOST {
            self.list.remove(0);
        }
    }

    pub(crate) fn close(&mut self, id: u64) {
        self.list.retain(|toast| toast.id != id);
    }

    /// Those that are shown now, and when the next of them goes.
    pub(crate) fn shown(&mut self) -> (&[Toast], Option<Duration>) {
        let now = Instant::now();
        self.list.retain(|toast| toast.until.is_none_or(|until| until > now));
        let next = self.list.iter().filter_map(|toast| toast.until).min();
        (&self.list, next.map(|until| until - now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stay_and_nothing_is_said_twice() {
        let mut toasts = Toasts::default();
        toasts.problem("broken");
        toasts.note("a");
        toasts.note("a");
        let (shown, next) = toasts.shown();
        assert_eq!(shown.len(), 2);
        assert!(next.is_some_and(|next| next <= NOTE));
        let id = shown[0].id;
        toasts.close(id);
        assert_eq!(toasts.shown().0[0].words, "a");
        for number in 0..10 {
            toasts.note(number.to_string());
        }
        assert_eq!(toasts.shown().0.len(), MOST);
    }
}
