//! Which rows the next step computes.
//!
//! Every reply that is being written adds one row; what is left of the row budget goes to prompts, first
//! come, first served, a chunk of the first before anything of the second. So a long prompt delays
//! nobody's next token by more than a step.

/// What a reply could do in the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Tokens that wait to be computed: 1 while writing, the rest of the prompt while reading.
    pub pending: usize,
}

/// The rows that each reply gets, in the order of `demands`, which is the order of arrival.
pub(super) fn share(demands: &[Demand], rows: usize, sequences: usize) -> Vec<usize> {
    let mut granted = vec![0; demands.len()];
    let mut left = rows;
    let mut places = sequences;
    // Writers first: each needs one row, and there are never more of them than places.
    for pass_is_for_writers in [true, false] {
        for (grant, demand) in granted.iter_mut().zip(demands) {
            let writes = demand.pending == 1;
            if writes != pass_is_for_writers || demand.pending == 0 || left == 0 || places == 0 {
                continue;
            }
            *grant = demand.pending.min(left);
            left -= *grant;
            places -= 1;
        }
    }
    granted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pending: &[usize], rows: usize, sequences: usize) -> Vec<usize> {
        let demands: Vec<Demand> = pending.iter().map(|p| Demand { pending: *p }).collect();
        share(&demands, rows, sequences)
    }

    #[test]
    fn writers_go_before_readers_and_readers_in_order() {
        assert_eq!(shares(&[1, 1, 1], 512, 16), [1, 1, 1]);
        assert_eq!(shares(&[1000, 1, 20], 512, 16), [511, 1, 0]);
        assert_eq!(shares(&[100, 1, 1000], 512, 16), [100, 1, 411]);
        assert_eq!(shares(&[100, 100], 512, 1), [100, 0]);
        assert_eq!(shares(&[0, 5], 512, 4), [0, 5]);
    }
}
