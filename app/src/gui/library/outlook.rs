//! What a model would take and how fast it would be, in each format and on each device: arithmetic, before anything is loaded
//! or downloaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use inglenook::backend::format::{CacheFormat, Int8Group, WeightFormat};
use inglenook::backend::plan::{Footprint, FusionSet, Plan};
use inglenook::backend::{DeviceId, DeviceInfo, DeviceKind, DeviceMemory};
use inglenook::fit::{Fit, Forecast, cache_for, largest_context};
use inglenook::model::{LoadOptions, Model, WeightChoice};
use inglenook::models::hub::Offer;
use inglenook::models::{Config, WeightFormats, arch};

/// The context that is reckoned with where nobody names one; loading without one takes as much.
const USUAL_CONTEXT: usize = 8192;

/// Beyond this, weights that nobody has quantised are loaded in int8 where the choice is left to us.
const LARGE: u64 = 2 << 30;

/// What is asked about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// A model on this machine.
    Folder(PathBuf),
    /// One that could be downloaded.
    Offer(Arc<Offer>),
}

/// Memory that the open model holds, and that comes back when another takes its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) device: DeviceId,
    pub(crate) bytes: u64,
}

/// All that an answer depends on, besides the model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) devices: Vec<DeviceInfo>,
    /// Bytes per second that each device was measured to read, by [`speed_name`].
    pub(crate) speeds: BTreeMap<String, f64>,
    pub(crate) held: Option<Held>,
    pub(crate) cache: CacheFormat,
    pub(crate) context: Option<usize>,
}

impl Default for Terms {
    fn default() -> Self {
        let (devices, speeds) = (vec![], BTreeMap::new());
        Self { devices, speeds, held: None, cache: CacheFormat::F16, context: None }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outlook {
    pub(crate) family: &'static str,
    /// The longest context that the model was made for.
    pub(crate) made_for: usize,
    /// The context that is reckoned with.
    pub(crate) context: usize,
    /// The most exact ones first.
    pub(crate) formats: Vec<FormatOutlook>,
    /// The format that is taken where the choice is left to us and there is room.
    pub(crate) usual: usize,
}

/// A format for the weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FormatOutlook {
    pub(crate) choice: WeightChoice,
    pub(crate) name: String,
    /// Of the weights, on average.
    pub(crate) bits: f64,
    pub(crate) footprint: Footprint,
    /// One for each device.
    pub(crate) cells: Vec<Cell>,
}

/// A format on a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) device: DeviceId,
    pub(crate) fit: Fit,
    /// The longest context that fits.
    pub(crate) longest: usize,
    /// Tokens per second at the start of a conversation and with a full context, where the device was measured.
    pub(crate) rate: Option<(f64, f64)>,
}

impl Outlook {
    /// What automatic loading would come to: the best device that has room, in the usual format or in int8.
    pub(crate) fn automatic(&self) -> Option<(&FormatOutlook, &Cell)> {
        let int8 = self.formats.iter().position(|format| format.choice == INT8);
        let tried: Vec<usize> = std::iter::once(self.usual).chain(int8).collect();
        let devices = self.formats.first().map_or(0, |format| format.cells.len());
        (0..devices).find_map(|device| {
            tried.iter().find_map(|format| {
                let format = self.formats.get(*format)?;
                let cell = format.cells.get(device)?;
                (!matches!(cell.fit, Fit::Short { .. })).then_some((format, cell))
            })
        })
    }
}

const INT8: WeightChoice = WeightChoice::Format(WeightFormat::Int8(Int8Group::G64));

/// The name under which the speed of a device is kept: another driver may be faster.
pub(crate) fn speed_name(device: &DeviceInfo) -> String {
    format!("{}: {}; {}", device.id.backend, device.name, device.driver)
}

/// What is available to a model on a device. Memory that devices share is counted once: what the CPU has left is what they
/// have left, and what the open model holds of it comes back to each of them.
pub(crate) fn memory(device: &DeviceInfo, terms: &Terms) -> DeviceMemory {
    let cpu = terms.devices.iter().find(|other| other.id.backend == "cpu").map(|cpu| cpu.memory);
    let own = device.memory;
    let shared = cpu.filter(|_| own.shared_with_cpu).and_then(|cpu| cpu.available);
    let available = match (own.available, shared) {
        (Some(own), Some(shared)) => Some(own.min(shared)),
        (own, shared) => own.or(shared),
    };
    let returns = |held: &&Held| {
        let holder = terms.devices.iter().find(|other| other.id == held.device);
        held.device == device.id || (own.shared_with_cpu && holder.is_some_and(|h| h.memory.shared_with_cpu))
    };
    let back = terms.held.as_ref().filter(returns).map_or(0, |held| held.bytes);
    let available = available.map(|available| available.saturating_add(back));
    // Not more than there is.
    let available = available.map(|available| own.total.map_or(available, |total| available.min(total)));
    DeviceMemory { available, ..own }
}

/// Reckons with a model.
pub(crate) fn outlook(subject: &Subject, terms: &Terms) -> anyhow::Result<Outlook> {
    match subject {
        Subject::Folder(folder) => {
            let model = Model::open_without_text(folder)?;
            let plan = |choice| -> anyhow::Result<(WeightFormats, Plan)> {
                let (plan, formats) = model.plan(choice, None, FusionSet::all())?;
                Ok((formats, plan))
            };
            reckon(model.architecture.as_ref(), plan, terms)
        }
        Subject::Offer(offer) => {
            let architecture = arch::from_config(&offer.config)?;
            let plan = |choice| -> anyhow::Result<(WeightFormats, Plan)> {
                let formats = match choice {
                    WeightChoice::Format(format) => WeightFormats::usual(format),
                    WeightChoice::Auto | WeightChoice::Stored => stored(&offer.config),
                };
                let plan = architecture.plan(&formats.clone().into())?.fused(FusionSet::all())?;
                Ok((formats, plan))
            };
            reckon(architecture.as_ref(), plan, terms)
        }
    }
}

/// The format of a checkpoint, as far as its configuration tells. Quantised ones have about half a byte per weight, mostly.
fn stored(config: &Config) -> WeightFormats {
    if config.quantization().is_some() {
        return WeightFormats::usual(WeightFormat::Nf4);
    }
    WeightFormats::uniform(match config.dtype() {
        Some("float32") => WeightFormat::F32,
        Some("float16") => WeightFormat::F16,
        _ => WeightFormat::Bf16,
    })
}

fn reckon(
    architecture: &dyn inglenook::models::Architecture,
    plan: impl Fn(WeightChoice) -> anyhow::Result<(WeightFormats, Plan)>,
    terms: &Terms,
) -> anyhow::Result<Outlook> {
    let made_for = architecture.context().max(1);
    let context = terms.context.unwrap_or(USUAL_CONTEXT.min(made_for));
    let mut formats: Vec<FormatOutlook> = vec![];
    let mut stored_is_dense = true;
    let w8a8: WeightFormat = "w8a8".parse()?;
    let smaller = WeightFormat::SMALLER.into_iter().chain([w8a8]);
    let choices = std::iter::once(WeightChoice::Stored).chain(smaller.map(WeightChoice::Format));
    for choice in choices {
        let (weights, plan) = plan(choice)?;
        let layers = weights.layers;
        if choice == WeightChoice::Stored {
            stored_is_dense = matches!(layers, WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16);
        } else if formats.first().is_some_and(|stored| stored.name == layers.to_string()) {
            // The files have it already.
            continue;
        }
        formats.push(format(choice, layers, &plan, context, terms));
    }
    let large = formats.first().is_some_and(|stored| stored.footprint.weights > LARGE);
    let int8 = formats.iter().position(|format| format.choice == INT8);
    let usual = int8.filter(|_| stored_is_dense && large).unwrap_or(0);
    Ok(Outlook { family: architecture.family(), made_for, context, formats, usual })
}

fn format(
    choice: WeightChoice,
    layers: WeightFormat,
    plan: &Plan,
    context: usize,
    terms: &Terms,
) -> FormatOutlook {
    let limits = LoadOptions::default().limits;
    let cache = cache_for(context, terms.cache);
    let footprint = plan.footprint(&cache, &limits);
    let weights: usize = plan.matrices.iter().map(|matrix| matrix.rows * matrix.cols).sum();
    let bytes = plan.matrices.iter().fold(0u64, |sum, matrix| sum.saturating_add(matrix.bytes()));
    let cell = |device: &DeviceInfo| {
        let memory = memory(device, terms);
        let rate = terms.speeds.get(&speed_name(device)).map(|speed| {
            let at = |tokens| Forecast::decode(plan, tokens, cache, *speed).tokens_per_second;
            (at(0), at(context))
        });
        let longest = memory
            .available
            .map_or(usize::MAX, |available| largest_context(plan, terms.cache, &limits, available));
        Cell { device: device.id.clone(), fit: Fit::of(&footprint, &memory), longest, rate }
    };
    FormatOutlook {
        choice,
        name: layers.to_string(),
        bits: bytes as f64 * 8.0 / weights.max(1) as f64,
        footprint,
        cells: terms.devices.iter().map(cell).collect(),
    }
}

/// Whether a device's speed is measured without being asked for: drivers that compute on the CPU only take it from others.
pub(crate) const fn is_usual(device: &DeviceInfo) -> bool {
    !matches!(device.kind, DeviceKind::Software)
}

#[cfg(test)]
mod tests {
    use inglenook::backend::{DeviceLimits, Numerics, Tier};

    use super::*;

    fn device(backend: &'static str, kind: DeviceKind, memory: (u64, Option<u64>)) -> DeviceInfo {
        let (total, available) = memory;
        DeviceInfo {
            id: DeviceId { backend, index: 0 },
            name: backend.to_owned(),
            vendor: String::new(),
            driver: "1".to_owned(),
            kind,
            memory: DeviceMemory {
                total: Some(total),
                available,
                shared_with_cpu: kind != DeviceKind::Discrete,
            },
            tiers: vec![Tier { name: "base".to_owned(), numerics: Numerics::F32 }],
            features: vec![],
            limits: DeviceLimits::default(),
            parallel_units: None,
            bandwidth: None,
        }
    }

    fn offer(config: &str) -> Subject {
        let config = Config::parse(config, None).unwrap();
        let (model, commit) = ("owner/model".to_owned(), "0".to_owned());
        Subject::Offer(Arc::new(Offer { model, commit, config, bytes: None }))
    }

    /// The configuration of a model with eight billion weights.
    const EIGHT_BILLION: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,
        "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,"intermediate_size":14336,
        "vocab_size":128256,"max_position_embeddings":131072,"rms_norm_eps":1e-5,"rope_theta":500000.0,
        "tie_word_embeddings":false,"hidden_act":"silu","torch_dtype":"bfloat16"}"#;

    #[test]
    fn a_model_of_eight_billion_weights_on_three_devices() {
        let devices = vec![
            device("cuda", DeviceKind::Discrete, (24 << 30, Some(12 << 30))),
            device("wgpu", DeviceKind::Integrated, (32 << 30, None)),
            device("cpu", DeviceKind::Cpu, (32 << 30, Some(8 << 30))),
        ];
        let speeds = BTreeMap::from([(speed_name(&devices[0]), 1e12), (speed_name(&devices[2]), 4e10)]);
        let terms = Terms { devices, speeds, ..Terms::default() };
        let found = outlook(&offer(EIGHT_BILLION), &terms).unwrap();
        assert_eq!((found.made_for, found.context), (131_072, 8192));
        let names: Vec<&str> = found.formats.iter().map(|format| format.name.as_str()).collect();
        assert_eq!(names[0], "bf16");
        assert!(names.contains(&"nf4") && names.contains(&"w8a8"), "{names:?}");
        let bf16 = &found.formats[0];
        // 8.03 billion weights of two bytes, and a gibibyte of cache.
        assert!((bf16.footprint.weights as f64 / 16.06e9 - 1.0).abs() < 0.01);
        assert_eq!(bf16.footprint.cache, 1 << 30);
        // Norms are f32: 65 vectors of 4,096 numbers beside 8.03 billion weights are a thousandth of a bit.
        assert!((bf16.bits - 16.0).abs() < 2e-3, "{}", bf16.bits);
        assert!(matches!(bf16.cells[0].fit, Fit::Short { .. }));
        let (format, cell) = found.automatic().unwrap();
        assert!(format.name.starts_with("int8"), "{}", format.name);
        assert_eq!(cell.device.backend, "cuda");
        let (empty, full) = cell.rate.unwrap();
        // A terabyte per second over half as many bytes, less the embedding, of which one row is read.
        assert!((100.0..130.0).contains(&empty) && full < empty, "{empty} {full}");
        // What the GPU has is the CPU's, of which a bit is missing even for the smallest.
        let nf4 = found.formats.iter().find(|format| format.name == "nf4").unwrap();
        assert!(matches!(nf4.cells[1].fit, Fit::Fits { .. }) && nf4.cells[1].rate.is_none());
        assert_eq!(nf4.cells[1].fit, nf4.cells[2].fit, "one memory");
        assert!(nf4.cells[2].longest > 8192 && nf4.footprint.weights < format.footprint.weights);
    }

    #[test]
    fn what_the_open_model_holds_comes_back_once() {
        let devices = vec![
            device("cuda", DeviceKind::Discrete, (8 << 30, Some(1 << 30))),
            device("wgpu", DeviceKind::Integrated, (16 << 30, None)),
            device("cpu", DeviceKind::Cpu, (16 << 30, Some(4 << 30))),
        ];
        let available = |held: Option<(&'static str, u64)>| -> Vec<u64> {
            let held = held.map(|(backend, bytes)| Held { device: DeviceId { backend, index: 0 }, bytes });
            let terms = Terms { devices: devices.clone(), held, ..Terms::default() };
            devices.iter().map(|device| memory(device, &terms).available.unwrap() >> 30).collect()
        };
        assert_eq!(available(None), [1, 4, 4]);
        assert_eq!(available(Some(("cuda", 5 << 30))), [6, 4, 4]);
        assert_eq!(available(Some(("wgpu", 2 << 30))), [1, 6, 6]);
        assert_eq!(available(Some(("cpu", 90 << 30))), [1, 16, 16], "not more than there is");
    }

    #[test]
    fn what_no_family_knows_is_said() {
        let error = outlook(&offer(r#"{"model_type":"unheard"}"#), &Terms::default()).unwrap_err();
        assert!(error.to_string().contains("unheard"), "{error}");
        let missing = Subject::Folder(PathBuf::from("/no/such/folder"));
        assert!(outlook(&missing, &Terms::default()).unwrap_err().to_string().contains("/no/such/folder"));
    }
}
