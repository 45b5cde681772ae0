//! The tiny checkpoints of `tests/fixtures/models`, and running them.

#![allow(dead_code, reason = "not every test that looks at the checkpoints runs them")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use ingle_backends::format::{CacheFormat, PackedMatrix};
use ingle_backends::plan::{BatchLimits, Plan};
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    Backend, Batch, CacheOptions, DeviceId, LogitRows, MatrixRequest, PrepareOptions, Runner, SequenceStep,
    StepOutput, Tier, Tokens, WeightError, WeightSource, no_progress,
};
use ingle_models::arch::spellings;
use ingle_models::config::Config;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Where they are.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models"))
}

/// A checkpoint and what the reference implementation says of it.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) legacy: Config,
    pub(crate) weights: Tensors,
    pub(crate) logits: Tensors,
    pub(crate) short: Prompt,
    pub(crate) long: Prompt,
}

/// A prompt and its greedy continuation.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    pub(crate) greedy: Vec<u32>,
}

impl Prompt {
    fn of(reference: &Value) -> Self {
        let tokens = |key: &str| {
            let list = reference[key].as_array().unwrap();
            list.iter().map(|token| u32::try_from(token.as_u64().unwrap()).unwrap()).collect()
        };
        Self { tokens: tokens("prompt"), greedy: tokens("greedy") }
    }

    /// The positions that the prompt and its continuation take.
    pub(crate) fn context(&self) -> usize {
        self.tokens.len() + self.greedy.len()
    }
}

impl Fixture {
    pub(crate) fn all() -> Vec<Self> {
        let mut folders: Vec<_> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::open(folder)).collect()
    }

    fn open(folder: &Path) -> Self {
        let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let reference: Value = serde_json::from_str(&text("reference.json")).unwrap();
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            config: Config::open(folder).unwrap(),
            legacy: Config::parse(&text("config.legacy.json"), None).unwrap(),
            weights: Tensors::open(&folder.join("model.safetensors")),
            logits: Tensors::open(&folder.join("logits.safetensors")),
            short: Prompt::of(&reference["short"]),
            long: Prompt::of(&reference["long"]),
        }
    }
}

/// The tensors of a file, as f32, with the length of their last dimension.
pub(crate) struct Tensors(HashMap<String, (usize, Vec<f32>)>);

impl Tensors {
    fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, tensor)| {
            let halves = || tensor.data().chunks_exact(2).map(|b| [b[0], b[1]]);
            let values: Vec<f32> = match tensor.dtype() {
                Dtype::F32 => {
                    let words = tensor.data().chunks_exact(4);
                    words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                }
                Dtype::F16 => halves().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
                Dtype::BF16 => halves().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
                other => panic!("{name} is stored as {other:?}"),
            };
            (name, (*tensor.shape().last().unwrap_or(&1), values))
        });
        Self(tensors.collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> &[f32] {
        &self.0[name].1
    }

    fn find(&self, tensor: &str) -> Result<&(usize, Vec<f32>), WeightError> {
        let found = spellings(tensor).into_iter().find_map(|name| self.0.get(&name));
        found.ok_or_else(|| WeightError::Missing(tensor.to_owned()))
    }
}

impl WeightSource for Tensors {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let (cols, values) = self.find(request.tensor)?;
        assert_eq!(*cols, request.cols, "columns of {}", request.tensor);
        let piece = &values[request.rows.start * cols..request.rows.end * cols];
        PackedMatrix::quantize(request.format, request.rows.len(), *cols, piece)
            .map_err(|source| WeightError::Format { tensor: request.tensor.to_owned(), source })
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        let (_, values) = self.find(tensor)?;
        assert_eq!(values.len(), len, "length of {tensor}");
        Ok(values.clone())
    }
}

/// One sequence on a runner of its own.
pub(crate) struct Session {
    runner: Box<dyn Runner>,
    position: usize,
}

const PAGE_TOKENS: usize = 8;
const PAGES: usize = 16;

/// A backend's device and the kernels to use there.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) device: &'a DeviceId,
    pub(crate) tier: &'a Tier,
}

impl Session {
    pub(crate) fn start(target: Target<'_>, plan: Plan, weights: &Tensors) -> Self {
        let options = PrepareOptions {
            cache: CacheOptions { format: CacheFormat::F16, page_tokens: PAGE_TOKENS, pages: PAGES },
            limits: BatchLimits { rows: 128, selected: 16, sequences: 1 },
            tier: Some(target.tier.name.clone()),
        };
        let Target { backend, device, .. } = target;
        let prepared = backend.prepare(device, Arc::new(plan), weights, &options, &mut no_progress);
        Self { runner: prepared.unwrap(), position: 0 }
    }

    /// Adds tokens, hands out the rows of logits that are asked for, and draws the most likely token.
    pub(crate) fn add(&mut self, tokens: &[u32], logits: LogitRows) -> (Vec<f32>, u32) {
        let start = self.position;
        self.position += tokens.len();
        let step = SequenceStep {
            tokens: Tokens::Ids(tokens.to_vec()),
            start: u32::try_from(start).unwrap(),
            // Pages in an order that nobody would guess.
            pages: (0..self.position.div_ceil(PAGE_TOKENS))
                .map(|p| (p * 7 + 3) as u32 % PAGES as u32)
                .collect(),
            logits,
            sample: Some(Sampling::greedy()),
        };
        let output = self.runner.step(&Batch { sequences: vec![step], inputs: vec![] });
        let StepOutput { mut logits, tokens, .. } = output.unwrap();
        (logits.remove(0), tokens[0].unwrap())
    }

    /// Goes on from a drawn token until so many have been drawn.
    pub(crate) fn go_on(&mut self, first: u32, count: usize) -> Vec<u32> {
        let mut drawn = vec![first];
        while drawn.len() < count {
            let (_, token) = self.add(&drawn[drawn.len() - 1..], LogitRows::None);
            drawn.push(token);
        }
        drawn
    }
}
