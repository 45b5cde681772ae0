//! How fast this machine reads memory: the floor under every step that has to read the weights.

use std::time::Instant;

use memmap2::MmapMut;
use rayon::prelude::*;

use super::simd::{Isa, Kernel, LANES, Simd};

/// Bytes that one task sums: enough that handing it out costs nothing beside it, few enough that the
/// threads finish together.
const CHUNK: usize = 1 << 20;

/// What a bandwidth measurement found, in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadBandwidth {
    /// The fastest pass.
    pub best: f64,
    /// The median of all passes.
    pub median: f64,
}

/// Measures how fast the threads of the current rayon pool together read memory.
///
/// The buffer, of `bytes` rounded up to whole megabytes, must be well beyond the last-level cache to say
/// something about memory. `None` if the system does not grant it.
pub fn read_bandwidth(isa: Isa, bytes: usize, passes: usize) -> Option<ReadBandwidth> {
    let bytes = bytes.max(1).checked_next_multiple_of(CHUNK)?;
    // The same kind of memory that weights lie in, huge pages where there are some.
    let mut map = MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    let buffer: &mut [f32] = bytemuck::try_cast_slice_mut(&mut map).ok()?;
    // Written, as the pages do not exist before, and in parallel, as they then lie near the threads.
    buffer.par_chunks_mut(CHUNK / size_of::<f32>()).for_each(|chunk| chunk.fill(1.0));
    let mut rates: Vec<f64> = (0..passes.max(1))
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(read_all(isa, buffer));
            bytes as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    Some(ReadBandwidth { best: *rates.last()?, median: rates[rates.len() / 2] })
}

/// Reads a buffer of whole blocks of 64 numbers once, in parallel, and returns their sum.
pub fn read_all(isa: Isa, buffer: &[f32]) -> f32 {
    buffer.par_chunks(CHUNK / size_of::<f32>()).map(|chunk| isa.run_float(Read(chunk))).sum()
}

/// Sums a chunk, with as little work per byte as reading it allows.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (blocks, _) = self.0.as_chunks::<LANES>().0.as_chunks::<4>();
        let mut sums = [s.zero(); 4];
        for block in blocks {
            for (sum, vector) in sums.iter_mut().zip(block) {
                s.prefetch(vector, 2048);
                *sum = s.add(*sum, s.load(vector));
            }
        }
        s.reduce_sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "a whole number below 2²⁴ is exact")]
    fn everything_is_read_once() {
        let buffer = vec![1.0; 3 * CHUNK / size_of::<f32>()];
        for isa in Isa::available() {
            assert_eq!(read_all(isa, &buffer), buffer.len() as f32);
        }
    }

    #[test]
    fn the_rates_are_in_order() {
        let found = read_bandwidth(Isa::detect(), 1, 3).unwrap();
        assert!(found.median > 0.0 && found.best >= found.median);
    }
}
