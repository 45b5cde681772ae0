//! Tolerances of attention and of what the cache holds.

use half::f16;

use super::products::lost_below_f16;
use super::{F32_UNIT, FLOOR, Units};
use crate::format::{CacheFormat, CacheLayout, decode_f16, decode_int8, encode_f16, encode_int8};

/// What the cache of one layer holds by the oracle's reckoning, and how far a backend's may be from it.
#[derive(Clone, Debug)]
pub(crate) struct CachePool {
    pub layout: CacheLayout,
    pub values: Vec<f32>,
    pub tolerance: Vec<f32>,
}

impl CachePool {
    pub(crate) fn new(layout: CacheLayout, pages: usize) -> Self {
        let elements = layout.elements_per_page().saturating_mul(pages);
        // What was never written is never to be read: NaN would show it.
        Self { layout, values: vec![f32::NAN; elements], tolerance: vec![0.0; elements] }
    }

    /// Stores one head of one token, given how far each element may be from the exact one.
    pub(crate) fn store(&mut self, page: usize, head: usize, token: usize, x: &[f64], tolerance: &[f64]) {
        let first = self.layout.element_index(page, head, token);
        let range = first..first + self.layout.head_dim;
        let (Some(values), Some(slack)) = (self.values.get_mut(range.clone()), self.tolerance.get_mut(range))
        else {
            return;
        };
        let (stored, moved) = match self.layout.format {
            CacheFormat::F16 => stored_f16(x, tolerance),
            CacheFormat::Int8 => stored_int8(x, tolerance),
        };
        values.copy_from_slice(&stored);
        slack.copy_from_slice(&moved);
    }

    /// One head of one token: its elements and what they may differ by.
    pub(crate) fn vector(&self, page: usize, head: usize, token: usize) -> (&[f32], &[f32]) {
        let first = self.layout.element_index(page, head, token);
        let range = first..first + self.layout.head_dim;
        (self.values.get(range.clone()).unwrap_or(&[]), self.tolerance.get(range).unwrap_or(&[]))
    }

    pub(crate) fn copy_page(&mut self, from: usize, to: usize) {
        let size = self.layout.elements_per_page();
        if (from.max(to) + 1) * size <= self.values.len() {
            self.values.copy_within(from * size..(from + 1) * size, to * size);
            self.tolerance.copy_within(from * size..(from + 1) * size, to * size);
        }
    }
}

/// Rounding to f16 is the same everywhere; an element that is not exact may round to a neighbour.
fn stored_f16(x: &[f64], tolerance: &[f64]) -> (Vec<f32>, Vec<f32>) {
    let round = |x: &[f32]| {
        let (mut codes, mut back) = (vec![f16::ZERO; x.len()], vec![0.0; x.len()]);
        // The lengths are equal by construction, which is all that these could complain of.
        let _ = encode_f16(x, &mut codes).and_then(|()| decode_f16(&codes, &mut back));
        back
    };
    let shifted = |sign: f64| x.iter().zip(tolerance).map(|(x, t)| (x + sign * t) as f32).collect::<Vec<_>>();
    let (low, mid, high) = (round(&shifted(-1.0)), round(&shifted(0.0)), round(&shifted(1.0)));
    let moved = mid.iter().zip(low.iter().zip(&high)).map(|(m, (l, h))| (m - l).max(h - m)).collect();
    (mid, moved)
}

/// The codes of an int8 vector may be either neighbour where `x / scale` is near a border: the quotient is
/// rounded once, or 2.5 units on some devices. Where the largest element is not exact, or max/127 lies
/// that near a border of f16, the scale may be its neighbour too, and then every code may shift.
fn stored_int8(x: &[f64], tolerance: &[f64]) -> (Vec<f32>, Vec<f32>) {
    let exact = x.iter().map(|x| *x as f32).collect::<Vec<_>>();
    let (mut codes, mut back) = (vec![0i8; x.len()], vec![0.0; x.len()]);
    let scale = encode_int8(&exact, &mut codes)
        .and_then(|scale| decode_int8(&codes, scale, &mut back).map(|()| scale))
        .unwrap_or(f16::NAN);
    let largest = x.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let slack = tolerance.iter().copied().fold(0.0, f64::max);
    let reach = 3.0 * F32_UNIT * largest + slack;
    let scale_at = |largest: f64| f64::from(f16::from_f32((largest / 127.0) as f32));
    let step = f64::from(scale);
    let scale_slack = (scale_at(largest + reach) - step).abs().max((step - scale_at(largest - reach)).abs());
    let moved = x.iter().zip(tolerance).zip(&codes).map(|((x, t), code)| {
        if step == 0.0 {
            return scale_slack as f32 * 127.0;
        }
        let value = x / step;
        let reach = (6.0 * F32_UNIT + scale_slack / step) * value.abs() + t / step;
        let round = |v: f64| v.clamp(-127.0, 127.0).round_ties_even();
        let at = f64::from(*code);
        let steps = (round(value + reach) - at).max(at - round(value - reach));
        (steps * (step + scale_slack) + at.abs() * scale_slack) as f32
    });
    let moved = moved.collect();
    (back, moved)
}

/// Key, key tolerance, value and value tolerance of a position.
pub(crate) type Seen<'a> = (&'a [f32], &'a [f32], &'a [f32], &'a [f32]);

/// One query head over the keys and values that it sees.
#[derive(Clone, Debug)]
pub(crate) struct Attended<'a> {
    pub query: &'a [f64],
    /// Every position in sight.
    pub seen: &'a [Seen<'a>],
    pub scale: f64,
    pub softcap: Option<f64>,
    pub sink: Option<f64>,
    /// Rounding of the values that enter the sum; 0 where they enter as the cache has them.
    pub value_unit: f64,
}

/// How far a backend may be from the exact result of one head, element by element.
///
/// First order in all errors, `a` one rounding in a sum, `f` the relative error of exp and tanh:
/// - a score is a product over the head (`6a·√d·(‖q∘k‖₂ + |q·k|)`, operands rounded: `4u·‖q∘k‖₂`), moved by
///   what the key may differ (`Σ|q|·δk`), scaled; a cap has a slope of at most 1 and its own error `f + 4a`;
/// - `exp(s − max)` sees the score's error, the rounding of the difference and of the scaling to base 2
///   (`2a·(|s| + |max|)`), and its own `f`, four times, as a running maximum rescales what was summed before;
/// - `o = Σ p·v / Σ p` moves by `Σ pᵢ εᵢ |vᵢ − o|` for relative errors εᵢ of the terms; the sums themselves
///   add `6a·√n·(‖p∘v‖₂ + |o|)`, the values `Σ p·δv`, the quotient one rounding, doubled;
/// - shares that are rounded as operands have a relative error more, `u`, and if to f16, may lose what lies
///   below its smallest normal number, 2⁻²⁵ of the largest share at most: `Σ 2⁻²⁵·max p·|vᵢ − o|`;
/// - values that are rounded move the sum by `Σ p·(u·|v| + 2⁻²⁵)`. Equal values are rounded alike, so this
///   does not shrink with √n.
pub(crate) fn head_tolerance(head: &Attended<'_>, units: &Units) -> (Vec<f64>, Vec<f64>) {
    let (a, f) = (units.accumulate, units.function);
    let operand = units.operand + units.input;
    let dim = head.query.len();
    let scores = head.seen.iter().map(|(key, key_slack, ..)| {
        let (mut dot, mut squares, mut moved) = (0.0, 0.0, 0.0);
        for ((q, k), slack) in head.query.iter().zip(*key).zip(*key_slack) {
            let term = q * f64::from(*k);
            dot += term;
            squares += term * term;
            moved += q.abs() * f64::from(*slack);
        }
        let norm = squares.sqrt();
        let error = 6.0 * a * (dim as f64).sqrt() * (norm + dot.abs()) + 4.0 * operand * norm + moved;
        let (score, error) =
            (head.scale * dot, head.scale.abs() * error + 3.0 * a * (head.scale * dot).abs());
        head.softcap.map_or((score, error), |cap| {
            let capped = cap * (score / cap).tanh();
            (capped, error + (f + 4.0 * a) * capped.abs())
        })
    });
    let scores = scores.collect::<Vec<_>>();
    let largest = scores.iter().map(|(s, _)| *s).chain(head.sink).fold(f64::NEG_INFINITY, f64::max);
    let weights = scores.iter().map(|(s, _)| (s - largest).exp()).collect::<Vec<_>>();
    let sink = head.sink.map_or(0.0, |s| (s - largest).exp());
    let total = weights.iter().sum::<f64>() + sink;
    let n = (scores.len() as f64).sqrt();
    let relative = |error: f64, score: f64| {
        error + 4.0 * f + 2.0 * a * (score.abs() + largest.abs()) + 4.0 * a + operand
    };
    let largest_share = weights.iter().copied().fold(0.0, f64::max) / total;
    let (lost_share, lost_value) = (lost_below_f16(operand) * largest_share, lost_below_f16(head.value_unit));
    let sink_error = head.sink.map_or(0.0, |s| sink / total * relative(a * s.abs(), s));
    let mut out = (vec![0.0; dim], vec![0.0; dim]);
    for d in 0..dim {
        let o = scores.iter().zip(&weights).zip(head.seen);
        let o = o.map(|((_, w), seen)| w / total * f64::from(seen.2[d])).sum::<f64>();
        let (mut moved, mut squares) = (sink_error * o.abs(), 0.0);
        for (((score, error), w), (_, _, value, value_slack)) in scores.iter().zip(&weights).zip(head.seen) {
            let (p, v) = (w / total, f64::from(value[d]));
            moved += (p * relative(*error, *score) + lost_share) * (v - o).abs();
            moved += p * (f64::from(value_slack[d]) + head.value_unit * v.abs() + lost_value);
            squares += p * v * p * v;
        }
        let sums = 6.0 * a * n * (squares.sqrt() + o.abs()) + 4.0 * operand * squares.sqrt();
        out.0[d] = o;
        out.1[d] = moved + sums + 2.0 * a * o.abs() + units.stored(o) + FLOOR;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numerics;
    use crate::conformance::random::Random;

    #[test]
    fn f32_attention_stays_within_and_a_missed_position_does_not() {
        let mut random = Random::new(11);
        let (dim, n) = (16, 200);
        let query = random.normals(dim, 1.0);
        let keys = (0..n).map(|_| random.normals(dim, 1.0)).collect::<Vec<_>>();
        let values = (0..n).map(|_| random.normals(dim, 1.0)).collect::<Vec<_>>();
        let none = vec![0.0f32; dim];
        let seen = keys.iter().zip(&values).map(|(k, v)| (&k[..], &none[..], &v[..], &none[..]));
        let seen = seen.collect::<Vec<_>>();
        let exact = query.iter().map(|q| f64::from(*q)).collect::<Vec<_>>();
        let head =
            Attended { query: &exact, seen: &seen, scale: 0.25, softcap: None, sink: None, value_unit: 0.0 };
        let (y, tolerance) = head_tolerance(&head, &Units::new(&Numerics::F32));
        let attend = |count: usize| {
            let score = |k: &[f32]| (0.25 * query.iter().zip(k).fold(0.0f32, |s, (q, k)| s + q * k)).exp();
            let weights = keys[..count].iter().map(|k| score(k)).collect::<Vec<_>>();
            let total = weights.iter().sum::<f32>();
            (0..dim)
                .map(|d| weights.iter().zip(&values).map(|(w, v)| w * v[d]).sum::<f32>() / total)
                .collect::<Vec<_>>()
        };
        let share = |got: Vec<f32>| {
            let shares = got.iter().zip(&y).zip(&tolerance).map(|((g, y), t)| (f64::from(*g) - y).abs() / t);
            shares.fold(0.0, f64::max)
        };
        assert!(share(attend(n)) < 0.5);
        assert!(share(attend(n - 1)) > 10.0);
    }

    #[test]
    fn cache_vectors_are_exact_unless_near_a_border() {
        let (values, slack) = stored_int8(&[127.0, 1.0, 0.5, -3.2], &[0.0; 4]);
        assert_eq!(values, [127.0, 1.0, 0.0, -3.0]);
        assert_eq!(slack, [0.0, 0.0, 1.0, 0.0]);
        let (values, slack) = stored_f16(&[1.0, 1.0 + 1.0 / 2048.0], &[1e-9, 1e-6]);
        assert_eq!(values, [1.0, 1.0]);
        assert_eq!(slack, [0.0, 1.0 / 1024.0]);
    }
}
