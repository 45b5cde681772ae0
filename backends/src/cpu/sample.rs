//! Drawing tokens as [`sampling`](crate::sampling) defines it, without sorting the vocabulary: only as many
//! of the largest logits are put in order as the draw turns out to need.

use std::cmp::Ordering;

use super::simd::{Isa, Kernel, LANES, Simd, SimdSlices};
use super::values::{grow, make_room};
use crate::format::FormatError;
use crate::sampling::{Sampling, uniform};

/// How far below the largest logit candidates are sought, in temperatures, until there are enough: e⁻⁶ is a
/// quarter of a per cent of the best one's probability.
const DEPTHS: [f32; 4] = [6.0, 12.0, 24.0, f32::INFINITY];
/// Logits that are looked at together for whether any is a candidate.
const SCAN: usize = 64;

/// Draws tokens, and keeps its memory from one to the next.
#[derive(Default)]
pub(super) struct Sampler {
    logits: Vec<f32>,
    /// How often each token has occurred; zeros between draws.
    counts: Vec<u32>,
    candidates: Vec<Candidate>,
    weights: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    logit: f32,
    token: u32,
}

impl Candidate {
    /// Larger logits first, then lower tokens.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "what sorting asks for")]
    fn order(a: &Self, b: &Self) -> Ordering {
        // No candidate is NaN.
        let by_logit = b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal);
        by_logit.then(a.token.cmp(&b.token))
    }
}

impl Sampler {
    /// Lets it draw from so many tokens.
    pub(super) fn reserve(&mut self, vocabulary: usize) -> Result<(), FormatError> {
        make_room(&mut self.logits, vocabulary)?;
        grow(&mut self.counts, vocabulary)?;
        make_room(&mut self.candidates, vocabulary)?;
        make_room(&mut self.weights, vocabulary)
    }

    /// The bytes of that.
    pub(super) fn bytes(vocabulary: usize) -> u64 {
        let token = size_of::<f32>() + size_of::<u32>() + size_of::<Candidate>() + size_of::<f64>();
        (vocabulary as u64).saturating_mul(token as u64)
    }

    /// Draws a token for `position`; `None` where the largest logit, after bias and penalties, is not a
    /// finite number (NaN counts as the largest).
    ///
    /// `sampled` is a token that belongs to the history and that its maker could not know yet.
    pub(super) fn draw(
        &mut self,
        isa: Isa,
        logits: &[f32],
        options: &Sampling,
        sampled: Option<u32>,
        position: u32,
    ) -> Option<u32> {
        let adjusted = !options.bias.is_empty() || options.penalizes();
        if adjusted {
            self.logits.clear();
            self.logits.extend_from_slice(logits);
            self.add_bias(&options.bias);
            self.penalize(options, sampled);
        }
        let Self { logits: copy, candidates, weights, .. } = self;
        let logits = if adjusted { copy.as_slice() } else { logits };
        let largest = isa.run_float(Largest(logits)).filter(|largest| largest.is_finite())?;
        if options.temperature == 0.0 {
            return first_equal(logits, largest);
        }
        let mut draw = Draw { isa, logits, largest, options, candidates, weights };
        let u = f64::from(uniform(options.seed, position));
        match options.top_k as usize {
            top_k if top_k > 0 && top_k < logits.len() => draw.of_best(top_k, u),
            _ => draw.of_all(u),
        }
    }

    /// `l[t] += bias`.
    fn add_bias(&mut self, bias: &[(u32, f32)]) {
        for (token, bias) in bias {
            if let Some(logit) = self.logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
    }

    /// Makes tokens that have occurred less likely.
    fn penalize(&mut self, options: &Sampling, sampled: Option<u32>) {
        if !options.penalizes() {
            return;
        }
        let Self { logits, counts, .. } = self;
        counts.resize(logits.len(), 0);
        let history = || options.history.iter().copied().chain(sampled).map(|token| token as usize);
        for token in history() {
            if let Some(count) = counts.get_mut(token) {
                *count += 1;
            }
        }
        for token in history() {
            // A token that occurs again has been dealt with.
            let count = counts.get_mut(token).map_or(0, std::mem::take);
            if count > 0 {
                let repetition = f64::from(options.repetition_penalty);
                let l = f64::from(logits[token]);
                let l = if l > 0.0 { l / repetition } else { l * repetition };
                let l = l - f64::from(options.presence_penalty);
                logits[token] = (l - f64::from(count) * f64::from(options.frequency_penalty)) as f32;
            }
        }
    }
}

/// One draw with a temperature.
struct Draw<'a> {
    isa: Isa,
    logits: &'a [f32],
    largest: f32,
    options: &'a Sampling,
    candidates: &'a mut Vec<Candidate>,
    weights: &'a mut Vec<f64>,
}

impl Draw<'_> {
    /// From the best `top_k`.
    fn of_best(&mut self, top_k: usize, u: f64) -> Option<u32> {
        self.gather_best(top_k);
        self.order_and_weigh();
        let total = self.weights.iter().sum();
        self.pick_within(total, true, u)
    }

    /// From all tokens.
    fn of_all(&mut self, u: f64) -> Option<u32> {
        let temperature = self.options.temperature;
        let sum = SumOfWeights { logits: self.logits, largest: self.largest, temperature };
        let total = self.isa.run_float(sum);
        for depth in DEPTHS {
            let all = depth == f32::INFINITY;
            // Where this is −∞ everything that has a chance is above it.
            self.gather_above(self.largest - depth * temperature);
            self.order_and_weigh();
            let total = if all { self.weights.iter().sum() } else { total };
            if let Some(token) = self.pick_within(total, all, u) {
                return Some(token);
            }
        }
        None
    }

    /// The draw, if the candidates that were gathered settle it; if these are `all` they do.
    fn pick_within(&self, total: f64, all: bool, u: f64) -> Option<u32> {
        let Sampling { top_p, min_p, .. } = *self.options;
        let weights = self.weights.as_slice();
        let by_share = if top_p < 1.0 { prefix_reaching(weights, f64::from(top_p) * total) } else { None };
        let least = f64::from(min_p) * weights.first()?;
        let by_weight = weights.iter().take_while(|weight| **weight >= least).count();
        // What was not gathered has smaller weights than what was, so either limit is settled once it cuts.
        let kept = match by_share {
            Some(kept) => Some(kept.min(by_weight)),
            None if all || by_weight < weights.len() => Some(by_weight),
            None => None,
        };
        let sum = match kept {
            Some(kept) => weights[..kept].iter().sum(),
            // Nothing is cut off at all: the token may be among those gathered all the same.
            None if top_p >= 1.0 && min_p == 0.0 => total,
            None => return None,
        };
        let bar = u * sum;
        let mut running = 0.0;
        let index = weights[..kept.unwrap_or(weights.len())].iter().position(|weight| {
            running += weight;
            running > bar
        })?;
        Some(self.candidates[index].token)
    }

    /// Gathers the tokens whose logits are at least `least`, but for those that are −∞.
    fn gather_above(&mut self, least: f32) {
        self.candidates.clear();
        for (block, logits) in self.logits.chunks(SCAN).enumerate() {
            if any(logits, |logit| logit >= least) {
                let candidates = (block * SCAN..).zip(logits);
                let candidates = candidates.filter(|(_, l)| **l >= least && **l > f32::NEG_INFINITY);
                self.candidates.extend(candidates.map(|(i, l)| Candidate { logit: *l, token: i as u32 }));
            }
        }
    }

    /// Gathers the `top_k` best, in any order.
    fn gather_best(&mut self, top_k: usize) {
        self.candidates.clear();
        // Once there are enough, a token needs a larger logit than the last of the best so far: an equal one
        // comes later and loses.
        let mut bar = f32::NEG_INFINITY;
        let room = 4 * top_k + SCAN;
        for (block, logits) in self.logits.chunks(SCAN).enumerate() {
            if any(logits, |logit| logit > bar) {
                let candidates = (block * SCAN..).zip(logits).filter(|(_, logit)| **logit > bar);
                self.candidates.extend(candidates.map(|(i, l)| Candidate { logit: *l, token: i as u32 }));
                if self.candidates.len() >= room {
                    bar = self.keep_best(top_k);
                }
            }
        }
        if self.candidates.len() > top_k {
            self.keep_best(top_k);
        }
    }

    /// Drops all but the best of more than `top_k` candidates; returns the least logit of these.
    fn keep_best(&mut self, top_k: usize) -> f32 {
        let (_, last, _) = self.candidates.select_nth_unstable_by(top_k - 1, Candidate::order);
        let bar = last.logit;
        self.candidates.truncate(top_k);
        bar
    }

    fn order_and_weigh(&mut self) {
        self.candidates.sort_unstable_by(Candidate::order);
        let (largest, temperature) = (f64::from(self.largest), f64::from(self.options.temperature));
        self.weights.clear();
        let weight = |candidate: &Candidate| ((f64::from(candidate.logit) - largest) / temperature).exp();
        self.weights.extend(self.candidates.iter().map(weight));
    }
}

/// Whether a test holds for any of some logits, all of which are looked at: that the compiler can do
/// several at a time.
fn any(logits: &[f32], test: impl Fn(f32) -> bool) -> bool {
    logits.iter().map(|logit| u32::from(test(*logit))).sum::<u32>() > 0
}

/// The length of the shortest prefix whose sum reaches `enough`, if there is one.
fn prefix_reaching(weights: &[f64], enough: f64) -> Option<usize> {
    let mut sum = 0.0;
    let last = weights.iter().position(|weight| {
        sum += weight;
        sum >= enough
    });
    last.map(|last| last + 1)
}

/// The first of the logits that equals the largest.
#[allow(clippy::float_cmp, reason = "the largest is one of them")]
fn first_equal(logits: &[f32], largest: f32) -> Option<u32> {
    let block = logits.chunks(SCAN).position(|block| any(block, |logit| logit == largest))?;
    let within = logits[block * SCAN..].iter().position(|l| *l == largest)?;
    Some((block * SCAN + within) as u32)
}

/// The largest logit; `None` where there is a NaN.
struct Largest<'a>(&'a [f32]);

impl Kernel for Largest<'_> {
    type Output = Option<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<f32> {
        (!s.max_magnitude_of(self.0).is_nan()).then(|| s.max_of(self.0))
    }
}

/// `Σ exp((l − largest) / temperature)`
struct SumOfWeights<'a> {
    logits: &'a [f32],
    largest: f32,
    temperature: f32,
}

impl Kernel for SumOfWeights<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let (largest, temperature) = (s.splat(self.largest), s.splat(self.temperature));
        let mut total = 0.0;
        // Blocks whose sums are added in f64, or the many small weights would be lost in rounding.
        for block in self.logits.chunks(256 * LANES) {
            let (vectors, tail) = block.as_chunks::<LANES>();
            let mut sum = s.zero();
            for vector in vectors {
                sum = s.add(sum, s.exp(s.div(s.sub(s.load(vector), largest), temperature)));
            }
            total += f64::from(s.reduce_sum(sum));
            for logit in tail {
                total += f64::from((logit - self.largest) / self.temperature).exp();
            }
        }
        total
    }
}
