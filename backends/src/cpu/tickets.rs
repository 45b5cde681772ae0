//! The order of submitted and collected steps, and what the last one drew: shared by the CPU runners.
//!
//! A CPU runner does its work in `submit`, so a finished step only waits here to be collected.

use std::collections::VecDeque;

use crate::{BackendError, Batch, BatchError, Profile, STEPS_UNDER_WAY, StepOutput, Ticket, Tokens};

/// Finished steps in the order of their tickets.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    next: u64,
    waiting: VecDeque<(u64, StepOutput, Option<Profile>)>,
    drawn: Vec<Option<u32>>,
    profile: Option<Profile>,
}

impl Tickets {
    /// Fails where a step must be collected before another is submitted.
    pub(crate) fn check_room(&self) -> Result<(), BackendError> {
        if self.waiting.len() < STEPS_UNDER_WAY { Ok(()) } else { Err(BackendError::TooFarAhead) }
    }

    /// For each sequence of the step submitted last, whether it drew a token: what
    /// [`Batch::check`] wants to know.
    pub(crate) fn draws(&self) -> Vec<bool> {
        self.drawn.iter().map(Option::is_some).collect()
    }

    /// The token of each row of a batch that was checked, draws of the step before put in.
    ///
    /// A model may give logits to more tokens than it has embeddings; a token drawn from those cannot
    /// go on.
    pub(crate) fn token_ids(&self, batch: &Batch, vocabulary: usize) -> Result<Vec<u32>, BatchError> {
        let mut ids = Vec::new();
        for (sequence, step) in batch.sequences.iter().enumerate() {
            match &step.tokens {
                Tokens::Ids(tokens) => ids.extend(tokens),
                Tokens::Sampled(draw) => {
                    let token = self.drawn(*draw).ok_or(BatchError::NoSuchDraw { sequence, draw: *draw })?;
                    if token as usize >= vocabulary {
                        return Err(BatchError::TokenOutOfRange { sequence, token, vocabulary });
                    }
                    ids.push(token);
                }
            }
        }
        Ok(ids)
    }

    /// The token drawn for a sequence of the step submitted last.
    pub(crate) fn drawn(&self, draw: u32) -> Option<u32> {
        self.drawn.get(draw as usize).copied().flatten()
    }

    /// Takes in a step that succeeded. One that failed is not told of: what was drawn before it stays,
    /// so that it may be submitted again.
    pub(crate) fn finish(&mut self, output: StepOutput, profile: Option<Profile>) -> Ticket {
        let number = self.next;
        self.next += 1;
        self.drawn.clone_from(&output.tokens);
        self.waiting.push_back((number, output, profile));
        Ticket::new(number)
    }

    /// Hands out the oldest step, if the ticket is its.
    pub(crate) fn collect(&mut self, ticket: &Ticket) -> Result<StepOutput, BackendError> {
        let is_next = self.waiting.front().is_some_and(|(number, ..)| *number == ticket.number());
        let first = is_next.then(|| self.waiting.pop_front()).flatten();
        let (_, output, profile) = first.ok_or(BackendError::WrongTicket(ticket.number()))?;
        self.profile = profile;
        Ok(output)
    }

    /// The times of the step collected last, where they were taken.
    pub(crate) fn profile(&self) -> Option<Profile> {
        self.profile.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clocks, SequenceStep};

    fn output(tokens: &[Option<u32>]) -> StepOutput {
        StepOutput { tokens: tokens.to_vec(), ..StepOutput::default() }
    }

    fn batch(tokens: Vec<Tokens>) -> Batch {
        let step = |tokens| SequenceStep {
            tokens,
            start: 0,
            pages: vec![],
            logits: crate::LogitRows::None,
            sample: None,
        };
        Batch { sequences: tokens.into_iter().map(step).collect(), inputs: vec![] }
    }

    #[test]
    fn two_steps_wait_and_are_collected_in_order() {
        let mut tickets = Tickets::default();
        let first = tickets
            .finish(output(&[Some(1)]), Some(Profile { seconds: vec![0.5], clocks: Clocks::BetweenNodes }));
        assert!(tickets.check_room().is_ok());
        let second = tickets.finish(output(&[Some(2)]), None);
        assert!(matches!(tickets.check_room(), Err(BackendError::TooFarAhead)));
        assert!(matches!(tickets.collect(&second), Err(BackendError::WrongTicket(1))));
        assert_eq!(tickets.profile(), None);
        assert_eq!(tickets.collect(&first).unwrap().tokens, [Some(1)]);
        assert_eq!(tickets.profile(), Some(Profile { seconds: vec![0.5], clocks: Clocks::BetweenNodes }));
        assert!(matches!(tickets.collect(&first), Err(BackendError::WrongTicket(0))));
        assert_eq!(tickets.collect(&second).unwrap().tokens, [Some(2)]);
        assert_eq!(tickets.profile(), None);
        assert!(matches!(tickets.collect(&second), Err(BackendError::WrongTicket(1))));
    }

    #[test]
    fn draws_are_those_of_the_step_submitted_last() {
        let mut tickets = Tickets::default();
        assert!(tickets.draws().is_empty());
        tickets.finish(output(&[Some(5), None]), None);
        let ticket = tickets.finish(output(&[None, Some(9), Some(3)]), None);
        assert_eq!(tickets.draws(), [false, true, true]);
        let ids = |tokens| tickets.token_ids(&batch(tokens), 9);
        assert_eq!(ids(vec![Tokens::Sampled(2), Tokens::Ids(vec![7, 8])]), Ok(vec![3, 7, 8]));
        let refused = BatchError::TokenOutOfRange { sequence: 0, token: 9, vocabulary: 9 };
        assert_eq!(ids(vec![Tokens::Sampled(1)]), Err(refused));
        assert_eq!(ids(vec![Tokens::Sampled(0)]), Err(BatchError::NoSuchDraw { sequence: 0, draw: 0 }));
        // Collecting forgets nothing.
        assert!(tickets.collect(&ticket).is_err());
        assert_eq!(tickets.draws(), [false, true, true]);
    }
}
