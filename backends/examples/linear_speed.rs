//! Measures the linear operator: format × rows of activations, as bytes of weights per second beside the
//! machine's plain read bandwidth, and as operations per second beside an f32 matrix product of the `gemm`
//! crate on the same shape.
//!
//! `cargo run --release -p ingle-backends --example linear_speed -- [--isa avx2] [--threads 2] [--cols 2048]
//! [--rows 8192] [--formats int8,nf4] [--m 1,4,16,128] [--mib 1024]`
//!
//! The machine should do nothing else meanwhile. Matrices are cycled through, `--mib` of them altogether, which
//! is also what the plain read reads, so that a large cache does not hold them. Each figure is the best pass of several.

#![allow(unsafe_code, reason = "the interface of the gemm crate")]

mod support;

use std::time::{Duration, Instant};

use ingle_backends::cpu::bandwidth::read_bandwidth;
use ingle_backends::cpu::{Activations, Epilogue, Isa, LinearScratch, linear};
use ingle_backends::format::{Bytes, PackedMatrix, WeightFormat};
use support::{Failure, noise, parse_list};

/// How long each figure is measured for, at least.
const TIME: Duration = Duration::from_millis(1200);

struct Options {
    isa: Isa,
    threads: usize,
    rows: usize,
    cols: usize,
    formats: Vec<WeightFormat>,
    ms: Vec<usize>,
    mib: usize,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self {
            isa: Isa::detect(),
            threads: std::thread::available_parallelism()?.get(),
            rows: 8192,
            cols: 2048,
            formats: parse_list("f32,f16,bf16,int8-g32,int8-g64,int8-g128,nf4,w8a8")?,
            ms: vec![1, 4, 16, 128],
            mib: 1024,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--isa" => options.isa = value.parse()?,
                "--threads" => options.threads = value.parse()?,
                "--rows" => options.rows = value.parse()?,
                "--cols" => options.cols = value.parse()?,
                "--formats" => options.formats = parse_list(&value)?,
                "--m" => options.ms = parse_list(&value)?,
                "--mib" => options.mib = value.parse()?,
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        if !options.isa.is_available() {
            return Err(format!("this processor has no {}", options.isa).into());
        }
        Ok(options)
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    pool.install(|| measure(&options))
}

fn measure(options: &Options) -> Result<(), Failure> {
    let Options { isa, threads, rows, cols, mib, .. } = *options;
    let read = || read_bandwidth(isa, mib << 20, 9).ok_or("not enough memory");
    let before = read()?;
    println!("{isa}, {threads} threads, {rows} x {cols}");
    println!("plain read: best {:.2} GB/s, median {:.2} GB/s", before.best / 1e9, before.median / 1e9);

    let values = noise(rows * cols);
    let mut gemm_rates = Vec::new();
    for m in &options.ms {
        let rate = gemm_rate(*m, options, &values);
        println!("gemm f32, {m:3} rows: {:7.1} GFLOP/s", rate / 1e9);
        gemm_rates.push(rate);
    }
    println!("format      rows    GB/s  of plain read   GFLOP/s  of gemm f32");
    let mut scratch = LinearScratch::default();
    for format in &options.formats {
        let one = PackedMatrix::quantize(*format, rows, cols, &values)?;
        let bytes = one.bytes();
        let count = ((mib << 20) / bytes).max(1);
        // A copy by rows, as a clone would share the bytes.
        let matrices: Vec<PackedMatrix> = (0..count).map(|_| copy(&one)).collect::<Result<_, _>>()?;
        for (m, gemm_rate) in options.ms.iter().zip(&gemm_rates) {
            let x = noise(m * cols);
            let mut out = vec![0.0; m * rows];
            let mut next = 0;
            let seconds = best_time(count, || {
                let x = Activations::new(&x, *m, cols);
                let result =
                    linear(isa, x, matrices[next].view(), Epilogue::default(), &mut out, &mut scratch);
                next = (next + 1) % count;
                result
            })?;
            let (rate, flops) = (bytes as f64 / seconds, (2 * m * rows * cols) as f64 / seconds);
            println!(
                "{:10} {m:5} {:7.2} {:12.0} % {:9.1} {:11.2}",
                format.to_string(),
                rate / 1e9,
                100.0 * rate / before.best,
                flops / 1e9,
                flops / gemm_rate,
            );
        }
    }
    let after = read()?;
    println!("plain read: best {:.2} GB/s, median {:.2} GB/s", after.best / 1e9, after.median / 1e9);
    Ok(())
}

fn copy(matrix: &PackedMatrix) -> Result<PackedMatrix, Failure> {
    let (codes, scales) = (Bytes::copy_of(matrix.codes())?, Bytes::copy_of(matrix.scales())?);
    Ok(PackedMatrix::from_parts(matrix.format(), matrix.rows(), matrix.cols(), codes, scales)?)
}

/// The time of one call, from the fastest of several passes over `count` calls.
fn best_time<E>(count: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    let start = Instant::now();
    let mut passes = 0;
    // A pass is long enough for the clock and short enough to fall between disturbances.
    let calls = count.clamp(1, 16);
    while passes < 3 || start.elapsed() < TIME {
        let pass = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        best = best.min(pass.elapsed().as_secs_f64() / calls as f64);
        passes += 1;
    }
    Ok(best)
}

/// Operations per second of the `gemm` crate in f32, with the weights in the same order.
fn gemm_rate(m: usize, options: &Options, weights: &[f32]) -> f64 {
    let Options { threads, rows, cols, .. } = *options;
    let x = noise(m * cols);
    let mut out = vec![0.0_f32; m * rows];
    let seconds = best_time(1, || {
        let (row_stride, x_stride) = (rows as isize, cols as isize);
        // SAFETY: the buffers hold m × rows, m × cols and rows × cols elements, addressed by these strides.
        unsafe {
            gemm::gemm(
                m,
                rows,
                cols,
                out.as_mut_ptr(),
                1,
                row_stride,
                false,
                x.as_ptr(),
                1,
                x_stride,
                weights.as_ptr(),
                x_stride,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(threads),
            );
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match seconds {
        Ok(seconds) => (2 * m * rows * cols) as f64 / seconds,
        Err(never) => match never {},
    }
}
