//! Running a comparison.

use std::collections::HashMap;
use std::time::Instant;

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, FusionSet, StepShape};
use ingle_backends::sampling::Sampling;
use ingle_models::text::SpecialText;

use super::agree::{agreement, first_difference, logits_along};
use super::types::{Comparison, Entry, Measured, Outcome, Settings, VERSION};
use crate::Device;
use crate::chat::{Conversation, Overflow};
use crate::measure::operators::{Grouping, OperatorTime, operators};
use crate::measure::peaks::Peaks;
use crate::measure::power::{Power, PowerMeter, Spent};
use crate::measure::sequences::profiled;
use crate::measure::watch::Watcher;
use crate::measure::{Machine, MeasureError, Sequences, Series, Stage, Watch, Workload};
use crate::model::{LoadOptions, LoadedModel, Model, ModelText, WeightChoice};

/// A device, and the formats that the model is in there.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub device: Device,
    pub tier: Option<String>,
    pub weights: WeightChoice,
    pub embedding: Option<WeightFormat>,
    pub cache: CacheFormat,
    pub fusion: bool,
}

impl Contestant {
    /// As a device and a format are by default.
    pub const fn new(device: Device, weights: WeightChoice) -> Self {
        Self { device, tier: None, weights, embedding: None, cache: CacheFormat::F16, fusion: true }
    }

    /// What it is called: its device and whatever is not as usual.
    pub fn label(&self) -> String {
        match self.weights {
            WeightChoice::Auto => self.label_as("auto"),
            WeightChoice::Stored => self.label_as("stored"),
            WeightChoice::Format(format) => self.label_as(&format.to_string()),
        }
    }

    /// The same with another name for its weights.
    pub fn label_as(&self, weights: &str) -> String {
        let mut label = format!("{} {weights}", self.device.info.id);
        if self.cache != CacheFormat::F16 {
            label += &format!(", {} cache", self.cache);
        }
        if let Some(embedding) = self.embedding {
            label += &format!(", {embedding} embedding");
        }
        if let Some(tier) = &self.tier {
            label += &format!(", {tier}");
        }
        if !self.fusion {
            label += ", unfused";
        }
        label
    }
}

/// What all contestants do.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// As it was typed.
    pub prompt: String,
    pub tokens: Vec<u32>,
    /// Tokens written in each run.
    pub generate: usize,
    /// Runs that count.
    pub repeats: usize,
    /// Token rows of one step of the prompt.
    pub chunk: usize,
    /// How tokens are drawn; penalties are not for here.
    pub sampling: Sampling,
}

impl Options {
    /// A message that the model replies to, with everything else as usual.
    pub fn chat(model: &Model, message: &str) -> Result<Self, MeasureError> {
        let mut conversation = Conversation::new(None);
        conversation.say(message);
        // Whether it fits is for the devices to say.
        let prompt = conversation.prompt(model.text()?, usize::MAX, 1, Overflow::Stop)?;
        Ok(Self::of(message, prompt.tokens))
    }

    /// A text that the model continues as it is.
    pub fn raw(model: &Model, text: &str) -> Result<Self, MeasureError> {
        let tokens = model.text()?.tokenizer.encode_text(text, true)?;
        Ok(Self::of(text, tokens))
    }

    fn of(prompt: &str, tokens: Vec<u32>) -> Self {
        let prompt = prompt.to_owned();
        Self { prompt, tokens, generate: 64, repeats: 3, chunk: 512, sampling: Sampling::greedy() }
    }

    fn check(&self, contestants: &[Contestant]) -> Result<(), MeasureError> {
        let fault = if contestants.is_empty() {
            "there is nothing to compare: name a device and a format at least"
        } else if self.tokens.is_empty() {
            "the prompt is empty, and the model has no token that begins a text"
        } else if self.generate < 2 || self.repeats == 0 || self.chunk == 0 {
            "each run writes two tokens at least, in one run at least, and a step has one row at least"
        } else if self.sampling.penalizes() {
            "a comparison draws without penalties"
        } else {
            return Ok(());
        };
        Err(MeasureError::Settings(fault.to_owned()))
    }

    fn workload(&self) -> Workload {
        Workload {
            prompt: self.tokens.len(),
            generate: self.generate,
            depth: 0,
            batch: 1,
            repeats: self.repeats,
            chunk: self.chunk,
        }
    }
}

/// What the first contestant wrote and thought of it.
struct Reference {
    place: usize,
    /// Its tokens and the one that ended them.
    text: Vec<u32>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

/// Compares; `finished` is told of every contestant as soon as its turn is over.
///
/// A contestant that fails is an outcome like others, and does not end the comparison. Being stopped by the watch ends it, with what was
/// found so far.
pub fn compare(
    model: &Model,
    contestants: &[Contestant],
    options: &Options,
    watch: &mut Watch<'_>,
    finished: &mut dyn FnMut(usize, &Entry),
) -> Result<Comparison, MeasureError> {
    options.check(contestants)?;
    let text = model.text()?;
    let mut comparison = Comparison {
        version: VERSION,
        machine: Machine::here(),
        model: model.name(),
        prompt: options.prompt.clone(),
        prompt_tokens: options.tokens.len(),
        settings: Settings {
            generate: options.generate,
            repeats: options.repeats,
            chunk: options.chunk,
            temperature: options.sampling.temperature,
            seed: options.sampling.seed,
        },
        reference: None,
        entries: entries(contestants),
        cancelled: false,
    };
    let mut race = Race { model, text, options, reference: None, peaks: HashMap::new() };
    let mut watcher = Watcher::new(watch, contestants.len());
    for (place, contestant) in contestants.iter().enumerate() {
        watcher.subject(place);
        let entry = &mut comparison.entries[place];
        entry.outcome = match race.run(place, contestant, entry, &mut watcher) {
            Ok(measured) => Outcome::Done(Box::new(measured)),
            Err(MeasureError::Cancelled) => {
                comparison.cancelled = true;
                break;
            }
            Err(error) => Outcome::Failed { reason: error.to_string() },
        };
        finished(place, entry);
    }
    comparison.reference = race.reference.map(|reference| reference.place);
    Ok(comparison)
}

/// The contestants before anything has happened, each with a name of its own.
fn entries(contestants: &[Contestant]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = vec![];
    for contestant in contestants {
        let wanted = contestant.label();
        let taken = |label: &str| entries.iter().any(|entry| entry.label == label);
        let numbered = (2..).map(|number| format!("{wanted} ({number})"));
        let label = std::iter::once(wanted.clone()).chain(numbered).find(|label| !taken(label));
        let info = &contestant.device.info;
        entries.push(Entry {
            label: label.unwrap_or(wanted),
            device: info.id.to_string(),
            device_name: info.name.clone(),
            driver: info.driver.clone(),
            tier: String::new(),
            weights: String::new(),
            embedding: String::new(),
            cache: contestant.cache.to_string(),
            fusion: contestant.fusion,
            outcome: Outcome::NotRun,
        });
    }
    entries
}

/// A comparison under way.
struct Race<'a> {
    model: &'a Model,
    text: &'a ModelText,
    options: &'a Options,
    reference: Option<Reference>,
    /// By device, tier and format.
    peaks: HashMap<(String, String, &'static str), Peaks>,
}

impl Race<'_> {
    fn run(
        &mut self,
        place: usize,
        contestant: &Contestant,
        entry: &mut Entry,
        watcher: &mut Watcher<'_, '_>,
    ) -> Result<Measured, MeasureError> {
        // Those before it have let go of what they held.
        let device = &contestant.device.now()?;
        let mut loaded = watcher
            .loading(|progress| self.model.prepare(device, &self.load_options(contestant), progress))?;
        let formats = loaded.formats();
        entry.tier.clone_from(&loaded.kernels.tier);
        (entry.weights, entry.embedding) = (formats.layers.to_string(), formats.embedding.to_string());
        let format = formats.layers;

        watcher.stage(Stage::Peaks, 1)?;
        let peaks = self.peaks(device, &entry.tier, format)?;
        let times = self.times(&mut loaded, &PowerMeter::of(device), watcher)?;
        let [decode_operators, prefill_operators] = self.profiles(&mut loaded, &peaks, watcher)?;
        let peaks = peaks.at_least(device.backend.measure_bandwidth(&device.info.id)?);

        let (tokens, end) = self.until_the_end(&times.written);
        let pieces = self.pieces(&tokens);
        let (first_difference, agreement) = self.agreement(place, &mut loaded, (&tokens, end), watcher)?;
        let workload = self.options.workload();
        let middle = workload.prompt + workload.generate / 2;
        let step = StepShape::decode(1, middle, loaded.options().cache);
        Ok(Measured {
            loading_seconds: loaded.loading.as_secs_f64(),
            memory: loaded.footprint.into(),
            first_token_seconds: times.first_token,
            prefill: times.prefill,
            decode: times.decode,
            bytes_per_token: loaded.plan().total_cost(&step).bytes(),
            peaks,
            text: pieces.concat(),
            pieces,
            tokens,
            ended: end.is_some(),
            repeatable: times.repeatable,
            first_difference,
            agreement,
            decode_operators,
            prefill_operators,
            power: times.power,
        })
    }

    fn load_options(&self, contestant: &Contestant) -> LoadOptions {
        LoadOptions {
            weights: contestant.weights,
            embedding: contestant.embedding,
            cache: contestant.cache,
            context: Some(self.options.tokens.len() + self.options.generate),
            tier: contestant.tier.clone(),
            fusion: if contestant.fusion { FusionSet::all() } else { FusionSet::none() },
            limits: BatchLimits { rows: self.options.chunk, selected: 1, sequences: 1 },
            ..LoadOptions::default()
        }
    }

    fn peaks(&mut self, device: &Device, tier: &str, format: WeightFormat) -> Result<Peaks, MeasureError> {
        let key = (device.info.id.to_string(), tier.to_owned(), format.name());
        if let Some(known) = self.peaks.get(&key) {
            return Ok(*known);
        }
        let peaks = Peaks::measure(device, format, tier, &mut ingle_backends::no_progress)?;
        self.peaks.insert(key, peaks);
        Ok(peaks)
    }

    fn sequences(&self, loaded: &LoadedModel) -> Sequences {
        let page_tokens = loaded.options().cache.page_tokens;
        Sequences::new(loaded.plan(), &self.options.workload(), page_tokens)
            .with_prompt(&self.options.tokens, self.options.sampling.clone())
    }

    /// The run that warms up and those that count.
    fn times(
        &self,
        loaded: &mut LoadedModel,
        meter: &PowerMeter,
        watcher: &mut Watcher<'_, '_>,
    ) -> Result<Times, MeasureError> {
        let Options { tokens, generate, repeats, chunk, .. } = self.options;
        let mut times = Times { repeatable: true, ..Times::default() };
        let mut spent = Spent::default();
        let steps = tokens.len().div_ceil(*chunk) + generate - 1;
        for run in 0..=*repeats {
            watcher.stage(if run == 0 { Stage::WarmingUp } else { Stage::Run(run) }, steps)?;
            let mut sequences = self.sequences(loaded);
            let runner = loaded.runner.as_mut();
            let start = Instant::now();
            sequences.read(runner, tokens.len(), *chunk, &mut || watcher.advance(1))?;
            let read = start.elapsed().as_secs_f64();
            let energy = meter.start();
            let start = Instant::now();
            // The first token was drawn from the prompt.
            sequences.write_many(runner, generate - 1, &mut || watcher.advance(1))?;
            let written = start.elapsed().as_secs_f64();
            let energy = energy.stop();
            if run == 0 {
                times.written = sequences.written().to_vec();
                continue;
            }
            times.repeatable &= times.written == sequences.written();
            times.first_token.samples.push(read);
            times.prefill.samples.push(tokens.len() as f64 / read);
            times.decode.samples.push((generate - 1) as f64 / written);
            spent.add(energy);
        }
        times.power = spent.power(repeats * (generate - 1));
        Ok(times)
    }

    /// Times of operators, in a run of its own so that looking does not disturb what is measured: of a step in the middle of the text,
    /// and of the last step of the prompt.
    fn profiles(
        &self,
        loaded: &mut LoadedModel,
        peaks: &Peaks,
        watcher: &mut Watcher<'_, '_>,
    ) -> Result<[Vec<OperatorTime>; 2], MeasureError> {
        let Options { tokens, generate, chunk, .. } = self.options;
        let (prompt, before) = (tokens.len(), generate / 2);
        watcher.stage(Stage::Profiling, 2 * prompt.div_ceil(*chunk) + before)?;
        let (plan, cache) = (loaded.plan().clone(), loaded.options().cache);
        let mut sequences = self.sequences(loaded);
        let mut again = self.sequences(loaded);
        let runner = loaded.runner.as_mut();
        sequences.read(runner, prompt, *chunk, &mut || watcher.advance(1))?;
        sequences.write_many(runner, before - 1, &mut || watcher.advance(1))?;
        let decode = profiled(runner, |runner| sequences.write(runner))?;
        let prefill = again.read_profiled(runner, prompt, *chunk, &mut || watcher.advance(1))?;
        let last = (prompt - 1) / chunk * chunk;
        let decode_step = StepShape::decode(1, prompt + before - 1, cache);
        let prefill_step = StepShape { sequences: vec![(prompt - last, last)], selected: 1, cache };
        let of = |profile: Option<ingle_backends::Profile>, step: &StepShape| {
            profile.map_or_else(Vec::new, |profile| {
                operators(&plan, &profile, step, Some(peaks), Grouping::Summed)
            })
        };
        Ok([of(decode, &decode_step), of(prefill, &prefill_step)])
    }

    /// What was written before the model ended it, and the token that did.
    fn until_the_end(&self, written: &[u32]) -> (Vec<u32>, Option<u32>) {
        let end = written.iter().position(|token| self.text.end_tokens.contains(token));
        (written[..end.unwrap_or(written.len())].to_vec(), end.map(|place| written[place]))
    }

    /// The text of each token; one that only begins a character has none, and the one that ends it has all of it.
    fn pieces(&self, tokens: &[u32]) -> Vec<String> {
        let mut decoder = self.text.tokenizer.stream_decoder(SpecialText::Skip);
        let mut pieces: Vec<String> = tokens.iter().map(|token| decoder.push(*token)).collect();
        let rest = decoder.finish();
        if let Some(last) = pieces.last_mut() {
            last.push_str(&rest);
        }
        pieces
    }

    /// Sets the contestant beside the reference, which is itself if there is none yet.
    fn agreement(
        &mut self,
        place: usize,
        loaded: &mut LoadedModel,
        (tokens, end): (&[u32], Option<u32>),
        watcher: &mut Watcher<'_, '_>,
    ) -> Result<(Option<usize>, super::Agreement), MeasureError> {
        let own: Vec<u32> = tokens.iter().copied().chain(end).collect();
        let text = self.reference.as_ref().map_or(&own, |reference| &reference.text);
        let Options { tokens: prompt, chunk, .. } = self.options;
        watcher.stage(Stage::Agreement, prompt.len().div_ceil(*chunk) + text.len() - 1)?;
        let cache = loaded.options().cache;
        let logits =
            logits_along(loaded.runner.as_mut(), cache, (prompt, *chunk), text, &mut || watcher.advance(1))?;
        let tokenizer = &self.text.tokenizer;
        if let Some(reference) = &self.reference {
            let difference = first_difference(tokens, &reference.tokens);
            return Ok((difference, agreement(&reference.logits, &logits, &reference.text, tokenizer)));
        }
        let itself = agreement(&logits, &logits, &own, tokenizer);
        self.reference = Some(Reference { place, text: own, tokens: tokens.to_vec(), logits });
        Ok((None, itself))
    }
}

/// What the clock said.
#[derive(Default)]
struct Times {
    first_token: Series,
    prefill: Series,
    decode: Series,
    written: Vec<u32>,
    repeatable: bool,
    power: Power,
}
