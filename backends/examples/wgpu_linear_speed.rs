//! Measures products with weight matrices on a GPU: format × rows of activations × tier, as bytes of weights per second beside a
//! plain read of the same memory, and as operations per second; and checks results against sums in f64.
//!
//! `cargo run --release -p ingle-backends --example wgpu_linear_speed -- [--device 0] [--tiers coop,subgroup]
//! [--shape 4096x4096] [--formats f16,int8,nf4] [--rows 1,2,4,8,64,512,2048] [--mib 1024] [--times 10]`
//!
//! `--shape` is rows × columns of the matrix. A step multiplies as many matrices as `--mib` hold, one after another, so that no
//! cache holds them. *node* is the best time of one product by the device's own clock, *step* the wall time of the whole step per
//! product, submission included. `INGLE_WGPU_MATVEC=<n>` forces the n-th shape of the streaming kernel.

mod support;

use std::sync::Arc;
use std::time::Instant;

use ingle_backends::cpu::reference::quantize_rows;
use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{BatchLimits, Plan, PlanBuilder, PlanError};
use ingle_backends::wgpu::WgpuBackend;
use ingle_backends::{
    Backend, Batch, CacheOptions, DeviceInfo, InputRows, LogitRows, MatrixRequest, PrepareOptions, Runner,
    SequenceStep, SyntheticWeights, Tokens, WeightSource, no_progress,
};
use support::{Failure, noise, parse_list};

/// Results of a row that are checked.
const CHECKED: usize = 61;

struct Options {
    device: usize,
    tiers: Vec<String>,
    shape: (usize, usize),
    formats: Vec<WeightFormat>,
    rows: Vec<usize>,
    mib: usize,
    times: usize,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self {
            device: 0,
            tiers: vec![],
            shape: (4096, 4096),
            formats: parse_list("f16,int8,nf4,int4,w8a8")?,
            rows: vec![1, 2, 4, 8, 64, 512, 2048],
            mib: 1024,
            times: 10,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--device" => options.device = value.parse()?,
                "--tiers" => options.tiers = parse_list(&value)?,
                "--shape" => {
                    let (rows, cols) = value.split_once('x').ok_or("a shape is ROWSxCOLUMNS")?;
                    options.shape = (rows.parse()?, cols.parse()?);
                }
                "--formats" => options.formats = parse_list(&value)?,
                "--rows" => options.rows = parse_list(&value)?,
                "--mib" => options.mib = value.parse()?,
                "--times" => options.times = value.parse()?,
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        Ok(options)
    }
}

/// Products of one input with several matrices.
fn plan(options: &Options, format: WeightFormat, matrices: usize, tapped: bool) -> Result<Plan, PlanError> {
    let (rows, cols) = options.shape;
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", cols);
    for index in 0..matrices {
        let matrix = plan.matrix(format!("w{index}"), rows, cols, format);
        let y = plan.linear(x, matrix);
        if tapped {
            plan.tap(y);
        }
    }
    plan.finish()
}

fn batch(plan: &Plan, rows: usize, cols: usize) -> Result<Batch, Failure> {
    let input = plan.nodes.iter().find_map(|node| node.op.outputs().first().copied());
    let sequence = SequenceStep {
        tokens: Tokens::Ids(vec![0; rows]),
        start: 0,
        pages: vec![],
        logits: LogitRows::None,
        sample: None,
    };
    let inputs = vec![InputRows { value: input.ok_or("the plan has no input")?, data: noise(rows * cols) }];
    Ok(Batch { sequences: vec![sequence], inputs })
}

fn prepare(
    backend: &WgpuBackend,
    device: &DeviceInfo,
    tier: &str,
    plan: &Arc<Plan>,
    rows: usize,
) -> Result<Box<dyn Runner>, Failure> {
    let options = PrepareOptions {
        cache: CacheOptions::default(),
        limits: BatchLimits { rows, selected: 1, sequences: 1 },
        tier: Some(tier.to_owned()),
    };
    let weights = SyntheticWeights::default();
    Ok(backend.prepare(&device.id, Arc::clone(plan), &weights, &options, &mut no_progress)?)
}

/// The largest difference between some results and sums in f64, as a share of the length of the row of products.
fn check(
    backend: &WgpuBackend,
    device: &DeviceInfo,
    tier: &str,
    format: WeightFormat,
    rows: usize,
    options: &Options,
) -> Result<f64, Failure> {
    let (features, cols) = options.shape;
    let plan = Arc::new(plan(options, format, 1, true)?);
    let batch = batch(&plan, rows, cols)?;
    let output = prepare(backend, device, tier, &plan, rows)?.step(&batch)?;
    let got = &output.taps.first().ok_or("no result")?.data;
    let x = batch.inputs[0].data.chunks_exact(cols);
    let x = x.map(|row| row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    let x = match format {
        WeightFormat::W8a8(scale) => x.map(|row| quantize_rows(&row, cols, scale)).collect::<Vec<_>>(),
        _ => x.collect(),
    };
    let mut largest = 0.0_f64;
    for index in 0..CHECKED {
        let feature = index * (features - 1) / (CHECKED - 1);
        let request = MatrixRequest { tensor: "w0", rows: feature..feature + 1, cols, format };
        let weights = SyntheticWeights::default().matrix(&request)?;
        for (row, x) in x.iter().enumerate() {
            let terms = x.iter().enumerate().map(|(col, x)| x * weights.view().weight(0, col));
            let (sum, squares) = terms.fold((0.0, 0.0), |(sum, squares), t| (sum + t, squares + t * t));
            let error =
                (f64::from(got[row * features + feature]) - sum).abs() / f64::sqrt(squares).max(1e-30);
            largest = if error.is_finite() { largest.max(error) } else { f64::INFINITY };
        }
    }
    Ok(largest)
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let backend = WgpuBackend::default();
    let devices = backend.devices();
    let device = devices.get(options.device).ok_or("there is no such device")?;
    let (features, cols) = options.shape;
    let plain = backend.measure_bandwidth(&device.id)?;
    println!("{}, {}; {features} x {cols}", device.name, device.driver);
    println!("plain read {:.1} GB/s", plain / 1e9);
    if let Ok(shape) = std::env::var("INGLE_WGPU_MATVEC") {
        println!("the streaming kernel has shape {shape}");
    }
    let tiers = match options.tiers.as_slice() {
        [] => device.tiers.iter().map(|tier| tier.name.clone()).collect(),
        tiers => tiers.to_vec(),
    };
    println!(
        "tier     format      rows  node µs     GB/s  of plain  TFLOP/s   step µs     GB/s  TFLOP/s  largest error"
    );
    for tier in &tiers {
        for format in &options.formats {
            let bytes = format.bytes(features, cols);
            let matrices = ((options.mib << 20) / bytes).max(1);
            let plan = Arc::new(plan(&options, *format, matrices, false)?);
            let most = options.rows.iter().copied().max().unwrap_or(1);
            let mut runner = prepare(&backend, device, tier, &plan, most)?;
            for rows in &options.rows {
                let batch = batch(&plan, *rows, cols)?;
                let (node, step) = measure(&mut *runner, &batch, matrices, options.times)?;
                let rates = |seconds: f64| {
                    (bytes as f64 / seconds / 1e9, (2 * rows * features * cols) as f64 / seconds / 1e12)
                };
                let ((node_gb, node_tera), (step_gb, step_tera)) = (rates(node), rates(step));
                // Enough rows for every regime, few enough for sums in f64.
                let error = check(&backend, device, tier, *format, (*rows).min(200), &options)?;
                println!(
                    "{tier:8} {:10} {rows:5} {:8.2} {node_gb:8.1} {:7.1} % {node_tera:8.2} {:9.2} {step_gb:8.1} {step_tera:8.2} {error:14.2e}",
                    format.to_string(),
                    node * 1e6,
                    node_gb * 1e11 / plain,
                    step * 1e6,
                );
            }
        }
    }
    Ok(())
}

/// Seconds of a product: of the median of all nodes' best times, and of the best whole step over the number of products.
fn measure(
    runner: &mut dyn Runner,
    batch: &Batch,
    matrices: usize,
    times: usize,
) -> Result<(f64, f64), Failure> {
    runner.set_profiling(true);
    let mut nodes = vec![f64::INFINITY; matrices + 1];
    for _ in 0..times.max(1) {
        runner.step(batch)?;
        let profile = runner.profile().ok_or("the device takes no times")?;
        for (best, seconds) in nodes.iter_mut().zip(profile.seconds) {
            *best = best.min(seconds);
        }
    }
    runner.set_profiling(false);
    let mut best = f64::INFINITY;
    for _ in 0..times.max(1) {
        let start = Instant::now();
        runner.step(batch)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    // The first node is the input.
    let mut products = nodes.split_off(1);
    products.sort_by(f64::total_cmp);
    Ok((products[products.len() / 2], best / matrices as f64))
}
