//! A model folder as it was downloaded, opened and made ready to run on a device.
//!
//! [`Model::open`] reads what a folder says of a model; nothing is computed and the weights are only mapped.
//! [`Model::preflight`] decides, by arithmetic alone, in which formats and with what context the model will
//! run on a device, or says what would fit where this does not. [`Model::prepare`] then loads it.

pub mod builtin;
mod error;
mod preflight;
mod quantize;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, Footprint, FusionSet, Plan};
use ingle_backends::{DeviceId, PrepareOptions, ProgressFn, Runner};
use ingle_models::arch::FormatException;
use ingle_models::checkpoint::{Checkpoint, ConvertedCache, Notice};
use ingle_models::text::{ChatTemplate, PromptGuard, TemplateError, Tokenizer};
use ingle_models::{Architecture, Config, WeightFormats};

pub use error::{LoadError, ModelError};
pub use preflight::{Alternative, ContextReason, Preflight, Shortage};
pub use quantize::QuantizeError;
pub use weights::{WeightChoice, WeightReason};

use crate::Device;
use crate::engine::{Engine, EngineError, PrepareAgain};
use crate::verdict::Choice;

/// A model folder, opened.
#[derive(Debug)]
pub struct Model {
    pub folder: PathBuf,
    pub config: Config,
    pub architecture: Box<dyn Architecture>,
    /// Shared with what was loaded from it, which may have to be loaded again.
    pub checkpoint: Arc<Checkpoint>,
    text: Option<ModelText>,
}

/// What turns a model's tokens into text and conversations into tokens.
#[derive(Debug)]
pub struct ModelText {
    pub tokenizer: Tokenizer,
    pub template: ChatTemplate,
    pub guard: PromptGuard,
    /// What is wrong with the model's own template, where the fallback stands in for a broken one.
    pub template_fault: Option<TemplateError>,
    /// Tokens that end a reply, by every file that names some.
    pub end_tokens: Vec<u32>,
}

impl Model {
    /// Opens a folder for conversations.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let mut model = Self::open_without_text(folder)?;
        model.text = Some(ModelText::open(folder, &model.config)?);
        Ok(model)
    }

    /// Opens a folder for work on token ids, which needs no tokenizer.
    pub fn open_without_text(folder: &Path) -> Result<Self, ModelError> {
        // First, since it says best what is wrong with a folder that is none.
        let checkpoint = Arc::new(Checkpoint::open(folder)?);
        let failed = |source| ModelError::config(folder, source);
        let config = Config::open(folder).map_err(failed)?;
        let architecture = ingle_models::arch::from_config(&config).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), config, architecture, checkpoint, text: None })
    }

    /// Keeps converted weights in a folder, so that the next start is fast. This is decided before the model is loaded.
    pub fn keep_converted(self, folder: &Path) -> Result<Self, ModelError> {
        let cache = ConvertedCache::open(folder)?;
        let checkpoint = Arc::into_inner(self.checkpoint);
        let checkpoint = checkpoint.ok_or_else(|| ModelError::InUse(self.folder.clone()))?;
        Ok(Self { checkpoint: Arc::new(checkpoint.with_cache(cache)), ..self })
    }

    /// The folder's own name.
    pub fn name(&self) -> String {
        let path = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        path.file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// What speaks the model's language.
    pub fn text(&self) -> Result<&ModelText, ModelError> {
        self.text.as_ref().ok_or_else(|| ModelError::OpenedWithoutText(self.folder.clone()))
    }

    /// Takes `ChatML` for conversations, whatever the model's own template is.
    pub fn use_chatml(&mut self) -> Result<(), ModelError> {
        if let Some(text) = &mut self.text {
            let failed = |source| ModelError::Template { folder: self.folder.clone(), source };
            text.template = ChatTemplate::chatml().map_err(failed)?;
            text.template_fault = None;
            text.guard = PromptGuard::new(&text.tokenizer, &text.template);
        }
        Ok(())
    }

    /// Loads the model. What was decided can be seen beforehand with [`Model::preflight`].
    pub fn prepare(
        &self,
        device: &Device,
        options: &LoadOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<LoadedModel, LoadError> {
        let preflight = self.preflight(device, options)?;
        self.load(device, preflight, progress)
    }

    /// Loads the model as a preflight decided, with kernels that compute rightly on the device.
    pub fn load(
        &self,
        device: &Device,
        mut preflight: Preflight,
        progress: &mut ProgressFn<'_>,
    ) -> Result<LoadedModel, LoadError> {
        let start = Instant::now();
        let (device, checkpoint) = (device.clone(), Arc::clone(&self.checkpoint));
        let (id, plan) = (device.info.id.clone(), Arc::clone(&preflight.plan));
        // Once: after a loss the kernels are what they were.
        let kernels = device.choose(&plan, &mut preflight.prepare, progress)?;
        let options = preflight.prepare.clone();
        let prepare = move |progress: &mut ProgressFn<'_>| {
            let Device { backend, info } = &device;
            backend.prepare(&info.id, Arc::clone(&plan), &*checkpoint, &options, progress)
        };
        let runner = prepare(progress)?;
        Ok(LoadedModel {
            footprint: runner.memory(),
            runner,
            again: PrepareAgain::new(prepare),
            kernels,
            device: id,
            preflight,
            loading: start.elapsed(),
            notices: self.checkpoint.take_notices(),
        })
    }
}

impl ModelText {
    fn open(folder: &Path, config: &Config) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::from_folder(folder)?;
        let failed = |source| ModelError::Template { folder: folder.to_owned(), source };
        let (template, template_fault) = match ChatTemplate::from_folder(folder) {
            Ok(template) => (template, None),
            Err(fault) => (ChatTemplate::chatml().map_err(failed)?, Some(fault)),
        };
        let guard = PromptGuard::new(&tokenizer, &template);
        let mut end_tokens = tokenizer.eos().to_vec();
        end_tokens.extend(&config.generation.end_tokens);
        end_tokens.sort_unstable();
        end_tokens.dedup();
        Ok(Self { tokenizer, template, guard, template_fault, end_tokens })
    }
}

/// How a model is to be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    pub weights: WeightChoice,
    /// The format of the embedding and the head, where it is not to follow from that of the weights.
    pub embedding: Option<WeightFormat>,
    /// Tensors that are kept otherwise; the first that fits decides.
    pub exceptions: Vec<FormatException>,
    pub cache: CacheFormat,
    /// Tokens that the cache holds; by default what the model was made for and fits, 8192 at most.
    pub context: Option<usize>,
    pub tier: Option<String>,
    pub fusion: FusionSet,
    /// The largest step.
    pub limits: BatchLimits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            weights: WeightChoice::Auto,
            embedding: None,
            exceptions: vec![],
            cache: CacheFormat::F16,
            context: None,
            tier: None,
            fusion: FusionSet::all(),
            limits: BatchLimits { rows: 512, selected: 4, sequences: 4 },
        }
    }
}

/// A model on a device.
#[derive(Debug)]
pub struct LoadedModel {
    pub runner: Box<dyn Runner>,
    /// Loads it again where the device was lost.
    pub again: PrepareAgain,
    pub device: DeviceId,
    /// Which kernels it runs with, and what there is to say about that.
    pub kernels: Choice,
    pub preflight: Preflight,
    /// What it holds on the device.
    pub footprint: Footprint,
    pub loading: Duration,
    /// What came up while the weights were read.
    pub notices: Vec<Notice>,
}

impl LoadedModel {
    pub fn plan(&self) -> &Arc<Plan> {
        &self.preflight.plan
    }

    pub fn formats(&self) -> &WeightFormats {
        &self.preflight.formats
    }

    pub fn options(&self) -> &PrepareOptions {
        &self.preflight.prepare
    }

    /// The most tokens of a conversation.
    pub fn context(&self) -> usize {
        self.preflight.context
    }

    /// Starts an engine with it, which loads it again should its device be lost.
    pub fn into_engine(self) -> Result<Engine, EngineError> {
        Engine::start_lasting(self.runner, &self.preflight.prepare, self.again)
    }
}
