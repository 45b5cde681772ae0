//! What the programs that measure products share: lists given on the command line, and numbers to multiply.

use std::str::FromStr;

/// Whatever went wrong.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `1,2,4`
pub(crate) fn parse_list<T: FromStr>(text: &str) -> Result<Vec<T>, T::Err> {
    text.split(',').map(str::parse).collect()
}

/// Deterministic numbers between -1 and 1.
pub(crate) fn noise(len: usize) -> Vec<f32> {
    let mut state = len as u64 | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}
