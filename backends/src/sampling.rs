//! What drawing a token means, to the last detail, so that every backend draws the same one.
//!
//! From the logits `l` of a sequence's last row, with the options of [`Sampling`]:
//!
//! 1. `l[t] += bias` for each biased token.
//! 2. For each token that occurs `n > 0` times in the history: `l` is divided by the repetition penalty
//!    where positive and multiplied by it where not; then `presence + n · frequency` is subtracted.
//!    The history is [`Sampling::history`] and the tokens of this step's row that are not yet in it: a
//!    token named as [`Tokens::Sampled`](crate::Tokens::Sampled) is added by the backend, which alone knows it.
//! 3. A temperature of 0 takes the largest logit, the lowest token among equals. That is the end.
//! 4. Candidates are ordered by logit, largest first, lower token first among equals. The first `top_k`
//!    stay (all of them where it is 0).
//! 5. `p ∝ exp((l − l_max) / temperature)` over these. The shortest prefix whose sum reaches `top_p`
//!    stays; of it, those with `p ≥ min_p · p_max`. The first candidate always stays.
//! 6. With `u =` [`uniform`]`(seed, position)`, position being that of the drawn token: the first
//!    candidate at which the running sum of `p` exceeds `u` times the sum of all that stayed.
//!
//! There is no state: a reply goes on after a restart as if nothing had happened.

/// How a token is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 is all.
    pub top_k: u32,
    /// 1 is off.
    pub top_p: f32,
    /// 0 is off.
    pub min_p: f32,
    /// 1 is off.
    pub repetition_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    pub seed: u64,
    /// Added to the logits of these tokens; `-∞` forbids one.
    pub bias: Vec<(u32, f32)>,
    /// The tokens that penalties count, with repetition; may stay empty where penalties are off.
    pub history: Vec<u32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self::greedy()
    }
}

impl Sampling {
    /// The most likely token.
    pub const fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
            bias: vec![],
            history: vec![],
        }
    }

    /// Whether the history matters.
    #[allow(clippy::float_cmp, reason = "off is these very numbers, not numbers near them")]
    pub fn penalizes(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }

    /// What is wrong with the options, if anything.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<(), String> {
        let fault = |name: &str, value: f32, range: &str| Err(format!("{name} is {value}, not {range}"));
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fault("the temperature", self.temperature, "a number from 0 up");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fault("top-p", self.top_p, "above 0 and at most 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fault("min-p", self.min_p, "from 0 to 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return fault("the repetition penalty", self.repetition_penalty, "a number above 0");
        }
        for (name, value) in [
            ("the presence penalty", self.presence_penalty),
            ("the frequency penalty", self.frequency_penalty),
        ] {
            if !value.is_finite() {
                return fault(name, value, "a finite number");
            }
        }
        if let Some((token, bias)) = self.bias.iter().find(|(_, b)| b.is_nan() || *b == f32::INFINITY) {
            return fault(&format!("the bias of token {token}"), *bias, "finite or -∞");
        }
        let tokens = self.bias.iter().map(|(token, _)| token).chain(&self.history);
        match tokens.into_iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(format!("token {token} is not in the vocabulary of {vocabulary}")),
            None => Ok(()),
        }
    }
}

/// A number in [0, 1) from a seed and a position: 24 bits of a chained 32-bit hash, the same on any
/// device that multiplies 32-bit integers.
pub fn uniform(seed: u64, position: u32) -> f32 {
    let hash = mix(seed as u32 ^ mix((seed >> 32) as u32 ^ mix(position ^ 0x9e37_79b9)));
    (hash >> 8) as f32 / (1u32 << 24) as f32
}

/// A bijection of 32-bit numbers with little bias from any input bit to any output bit.
const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x21f0_aaad);
    x ^= x >> 15;
    x = x.wrapping_mul(0x735a_2d97);
    x ^ (x >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_fill_their_range_evenly() {
        let mut buckets = [0u32; 16];
        for position in 0..16_000 {
            buckets[(uniform(42, position) * 16.0) as usize] += 1;
        }
        // 1,000 expected, standard deviation 31: five of them either way.
        assert!(buckets.iter().all(|n| (845..1155).contains(n)), "{buckets:?}");
        assert!(uniform(1, 7).to_bits() != uniform(2, 7).to_bits());
        assert!(uniform(1, 7).to_bits() != uniform(1 << 32 | 1, 7).to_bits());
    }

    #[test]
    fn senseless_options_are_named() {
        let greedy = Sampling::greedy();
        assert_eq!(greedy.check(10), Ok(()));
        let bad = [
            Sampling { temperature: f32::NAN, ..greedy.clone() },
            Sampling { temperature: -1.0, ..greedy.clone() },
            Sampling { top_p: 0.0, ..greedy.clone() },
            Sampling { min_p: 1.5, ..greedy.clone() },
            Sampling { repetition_penalty: 0.0, ..greedy.clone() },
            Sampling { presence_penalty: f32::INFINITY, ..greedy.clone() },
            Sampling { bias: vec![(10, 0.0)], ..greedy.clone() },
            Sampling { bias: vec![(1, f32::NAN)], ..greedy.clone() },
            Sampling { history: vec![11], ..greedy.clone() },
        ];
        for options in bad {
            assert!(options.check(10).is_err(), "{options:?}");
        }
    }
}
