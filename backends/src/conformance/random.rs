//! Numbers for cases: seeded by the case's name, so that a failure can be run again by name alone.

/// `SplitMix64`: small, and every state is a good one, so a hash of a name may start it.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Started by a name.
    pub fn named(name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self::new(hash)
    }

    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to but without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `-bound` to `bound`.
    pub fn symmetric(&mut self, bound: f64) -> f64 {
        (self.unit() * 2.0 - 1.0) * bound
    }

    /// From 0 up to but without `count`, which is not 0.
    pub const fn below(&mut self, count: usize) -> usize {
        // The bias of the remainder is 2^-32 at the sizes of cases: nobody will see it.
        (self.bits() % if count == 0 { 1 } else { count as u64 }) as usize
    }

    /// Normally distributed, mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// `count` normally distributed numbers.
    pub fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (self.normal() * deviation) as f32).collect()
    }

    /// Numbers like the activations of a model: normal, one in a hundred many times as large.
    pub fn activations(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let outlier = if self.below(100) == 0 { 12.0 } else { 1.0 };
                (self.normal() * outlier) as f32
            })
            .collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_repeatable_and_spread() {
        assert_eq!(Random::named("a").bits(), Random::named("a").bits());
        assert_ne!(Random::named("a").bits(), Random::named("b").bits());
        let mut random = Random::new(7);
        let numbers = (0..20_000).map(|_| random.normal()).collect::<Vec<_>>();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| x * x).sum::<f64>() / numbers.len() as f64;
        assert!(mean.abs() < 0.04 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut order = (0..50).collect::<Vec<_>>();
        random.shuffle(&mut order);
        assert!(order.iter().enumerate().any(|(i, x)| i != *x));
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, x)| i == *x));
    }
}
