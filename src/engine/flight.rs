//! Steps on their way: what was submitted and is not collected yet.
//!
//! Where a runner queues, the next step is submitted before the tokens of the last are read, so that the
//! device never waits for this thread. A reply's next token is then asked for by the place of the one before
//! it, which nobody knows yet. What it cannot know in advance is that this very token ends the reply: then
//! one step too many is on its way, whose token is dropped and whose page is given back. The device does
//! everything in the order in which it was submitted, so a page that is given back may be handed out at once.

use ingle_backends::Ticket;

/// A step on its way.
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) parts: Vec<Part>,
}

/// One reply's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The number of the reply.
    pub(super) reply: u64,
    /// Tokens of its conversation that are stored before.
    pub(super) start: usize,
    pub(super) rows: usize,
    /// Whether a token is drawn for it.
    pub(super) draws: bool,
    /// Where its token is the one drawn in the step before: its place there.
    pub(super) after: Option<u32>,
}

/// What a step on its way does for a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Tokens that it stores.
    pub(super) rows: usize,
    /// The place of the token that it draws.
    pub(super) drawn: Option<u32>,
}

impl Flight {
    /// What this step does for a reply.
    pub(super) fn ahead(&self, reply: u64) -> Ahead {
        let found = self.parts.iter().enumerate().find(|(_, part)| part.reply == reply);
        found.map_or_else(Ahead::default, |(place, part)| Ahead {
            rows: part.rows,
            drawn: part.draws.then_some(place as u32),
        })
    }
}
