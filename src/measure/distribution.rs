//! Probabilities of the next token, and how far two opinions of it are apart.

use serde::{Deserialize, Serialize};

/// The logarithms of the probabilities of all tokens, in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    pub log_probabilities: Vec<f64>,
}

/// A token and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    pub token: u32,
    pub log_probability: f64,
}

impl Distribution {
    /// The softmax of logits.
    pub fn of(logits: &[f32]) -> Self {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
        let log_sum = max + sum.ln();
        Self { log_probabilities: logits.iter().map(|logit| f64::from(*logit) - log_sum).collect() }
    }

    /// `ln p(token)`; −∞ for a token that is not there.
    pub fn log_probability(&self, token: u32) -> f64 {
        self.log_probabilities.get(token as usize).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// The most likely token, the lowest among equals.
    pub fn best(&self) -> u32 {
        let better =
            |best: (usize, f64), (token, p): (usize, f64)| if p > best.1 { (token, p) } else { best };
        let all = self.log_probabilities.iter().copied().enumerate();
        all.fold((0, f64::NEG_INFINITY), better).0 as u32
    }

    /// The most likely tokens, best first.
    pub fn top(&self, count: usize) -> Vec<Ranked> {
        let mut tokens: Vec<u32> = (0..self.log_probabilities.len() as u32).collect();
        let order =
            |a: &u32, b: &u32| self.log_probability(*b).total_cmp(&self.log_probability(*a)).then(a.cmp(b));
        if count < tokens.len() {
            tokens.select_nth_unstable_by(count, order);
            tokens.truncate(count);
        }
        tokens.sort_unstable_by(order);
        tokens
            .into_iter()
            .map(|token| Ranked { token, log_probability: self.log_probability(token) })
            .collect()
    }

    /// `Σ p ln(p/q)` in nats, where this is p: what it costs to take q for it.
    pub fn divergence_to(&self, other: &Self) -> f64 {
        let pairs = self.log_probabilities.iter().zip(&other.log_probabilities);
        // A token of probability 0 costs nothing, whatever the other says of it.
        let terms = pairs.filter(|(p, _)| p.is_finite()).map(|(p, q)| p.exp() * (p - q));
        // Rounding may leave a little less than nothing.
        terms.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(probabilities: &[f64]) -> Distribution {
        let logits: Vec<f32> = probabilities.iter().map(|p| p.ln() as f32).collect();
        Distribution::of(&logits)
    }

    #[test]
    fn divergences_are_those_of_known_distributions() {
        // Logits are f32, so each logarithm may be off by 2⁻²³ times its size, here below 4.
        let tolerance = 4.0 * 1.2e-7;
        let (p, q) = (of(&[0.5, 0.25, 0.25]), of(&[0.25, 0.25, 0.5]));
        let expected = 0.5 * 2f64.ln() + 0.25 * 0.5f64.ln();
        assert!((p.divergence_to(&q) - expected).abs() < tolerance);
        assert!(p.divergence_to(&p) < 1e-15);
        let (certain, fair) = (of(&[1.0, 0.0]), of(&[0.5, 0.5]));
        assert!((certain.divergence_to(&fair) - 2f64.ln()).abs() < tolerance);
        assert!(fair.divergence_to(&certain).is_infinite());
    }

    #[test]
    fn probabilities_sum_to_one_whatever_is_added_to_all_logits() {
        for offset in [0.0, 1e4, -1e4] {
            let found = Distribution::of(&[offset, offset + 1.0, offset - 2.0]);
            let sum: f64 = found.log_probabilities.iter().map(|p| p.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
            assert_eq!(found.best(), 1);
        }
    }

    #[test]
    fn the_top_is_ordered_and_equals_go_by_token() {
        let found = of(&[0.1, 0.3, 0.3, 0.2, 0.1]);
        let tokens = |count| found.top(count).iter().map(|ranked| ranked.token).collect::<Vec<_>>();
        assert_eq!(tokens(3), [1, 2, 3]);
        assert_eq!(tokens(9), [1, 2, 3, 0, 4]);
        assert_eq!((found.best(), tokens(0).len()), (1, 0));
        assert!((found.top(1)[0].log_probability - 0.3f64.ln()).abs() < 1e-6);
        assert!(found.log_probability(99).is_infinite());
    }
}
