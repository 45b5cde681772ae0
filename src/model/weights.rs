//! In which format a model's weights are to be kept.

use std::collections::BTreeMap;
use std::fmt;

use ingle_backends::format::{Int8Group, WeightFormat};
use ingle_backends::plan::{FusionSet, Op, Plan};
use ingle_models::arch::FormatException;
use ingle_models::{Architecture, WeightFormats};

use super::{LoadError, Model};

/// Beyond this an unquantised model is slow to read on most devices, and int8 costs next to nothing.
const LARGE: u64 = 2 << 30;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WeightChoice {
    /// As the checkpoint has them, but int8 where that is large or does not fit.
    #[default]
    Auto,
    /// As the checkpoint has them.
    Stored,
    Format(WeightFormat),
}

/// Why the weights are in the format that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightReason {
    Asked,
    /// The checkpoint has them so.
    AsStored,
    /// As stored they would take this many bytes, which is a lot.
    Large(u64),
    /// As stored they would take this many bytes, which do not fit.
    NoRoom(u64),
}

impl fmt::Display for WeightReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = |bytes: &u64| *bytes as f64 / 1e9;
        match self {
            Self::Asked => f.write_str("as asked"),
            Self::AsStored => f.write_str("as the files have them"),
            Self::Large(bytes) => write!(f, "the files' own format would take {:.1} GB", gigabytes(bytes)),
            Self::NoRoom(bytes) => {
                write!(f, "the files' own format would take {:.1} GB, which do not fit", gigabytes(bytes))
            }
        }
    }
}

/// Formats that were chosen, and why.
pub(super) struct Chosen {
    pub formats: WeightFormats,
    pub reason: WeightReason,
}

impl Model {
    /// The formats in which the checkpoint has the matrices.
    pub fn stored_formats(&self) -> Result<WeightFormats, LoadError> {
        // Any format gives a plan with all the tensors; f32 has no condition that could fail.
        let plan = self.unfused(&WeightFormats::uniform(WeightFormat::F32))?;
        let table = plan.nodes.iter().find_map(|node| match &node.op {
            Op::Embed(embed) => Some(embed.table.index()),
            _ => None,
        });
        let mut embedding = None;
        let mut layers: Vec<(&str, WeightFormat, usize)> = vec![];
        for (index, matrix) in plan.matrices.iter().enumerate() {
            for part in &matrix.parts {
                let format = self.checkpoint.stored_format(&part.tensor);
                let format =
                    format.map_err(|source| LoadError::Weights { folder: self.folder.clone(), source })?;
                if Some(index) == table {
                    embedding = Some(format);
                } else {
                    layers.push((&part.tensor, format, part.rows * matrix.cols));
                }
            }
        }
        let mut shares: BTreeMap<String, (WeightFormat, usize)> = BTreeMap::new();
        for (_, format, weights) in &layers {
            shares.entry(format.to_string()).or_insert((*format, 0)).1 += weights;
        }
        let most = shares.into_values().max_by_key(|(_, weights)| *weights).map(|(format, _)| format);
        let usual = most.or(embedding).unwrap_or(WeightFormat::F32);
        let mut formats =
            WeightFormats { embedding: embedding.unwrap_or(usual), ..WeightFormats::uniform(usual) };
        for (tensor, format, _) in layers {
            // A head of its own goes by the embedding's format unless it is excepted.
            let is_head = !tensor.contains(".layers.");
            if format != usual || (is_head && format != formats.embedding) {
                formats = formats.except(tensor, format);
            }
        }
        Ok(formats)
    }

    /// The model's plan in the formats that a choice means where memory is no question.
    pub fn plan(
        &self,
        choice: WeightChoice,
        embedding: Option<WeightFormat>,
        fusion: FusionSet,
    ) -> Result<(Plan, WeightFormats), LoadError> {
        let formats = self.choose_formats(choice, embedding, &[], |_| true)?.formats;
        let plan = self.unfused(&formats)?.fused(fusion).map_err(|source| self.plan_error(source))?;
        Ok((plan, formats))
    }

    /// Chooses the formats; `fits` tells whether a plan in some formats would.
    pub(super) fn choose_formats(
        &self,
        choice: WeightChoice,
        embedding: Option<WeightFormat>,
        exceptions: &[FormatException],
        fits: impl Fn(&Plan) -> bool,
    ) -> Result<Chosen, LoadError> {
        let chosen = |formats, reason| Chosen { formats, reason };
        let mut chosen = match choice {
            WeightChoice::Format(format) => {
                // What is missing is told at once, before a plan of any length is worked on.
                self.stored_formats()?;
                chosen(WeightFormats::usual(format), WeightReason::Asked)
            }
            WeightChoice::Stored => chosen(self.stored_formats()?, WeightReason::Asked),
            WeightChoice::Auto => {
                let stored = self.stored_formats()?;
                let plan = self.unfused(&stored)?;
                let bytes = plan.matrices.iter().fold(0u64, |sum, m| sum.saturating_add(m.bytes()));
                let dense =
                    matches!(stored.layers, WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16);
                let int8 = WeightFormats::usual(WeightFormat::Int8(Int8Group::G64));
                if !dense {
                    chosen(stored, WeightReason::AsStored)
                } else if !fits(&plan) {
                    chosen(int8, WeightReason::NoRoom(bytes))
                } else if bytes > LARGE {
                    chosen(int8, WeightReason::Large(bytes))
                } else {
                    chosen(stored, WeightReason::AsStored)
                }
            }
        };
        if let Some(embedding) = embedding {
            chosen.formats.embedding = embedding;
        }
        // Before what the files themselves except.
        chosen.formats.exceptions.splice(0..0, exceptions.iter().cloned());
        Ok(chosen)
    }

    /// The model's plan as its family writes it.
    pub(crate) fn unfused(&self, formats: &WeightFormats) -> Result<Plan, LoadError> {
        plan_of(self.architecture.as_ref(), formats, None).map_err(|source| self.plan_error(source))
    }

    pub(super) fn plan_error(&self, source: ingle_backends::plan::PlanError) -> LoadError {
        LoadError::Plan { folder: self.folder.clone(), source }
    }
}

pub(super) fn plan_of(
    architecture: &dyn Architecture,
    formats: &WeightFormats,
    context: Option<usize>,
) -> Result<Plan, ingle_backends::plan::PlanError> {
    architecture.plan(&ingle_models::PlanOptions { formats: formats.clone(), context })
}

/// Fails if an exception is about no tensor: whoever made it meant one.
pub(super) fn check_exceptions(plan: &Plan, exceptions: &[FormatException]) -> Result<(), LoadError> {
    let tensors = || plan.matrices.iter().flat_map(|matrix| &matrix.parts).map(|part| &part.tensor);
    let idle = exceptions.iter().find(|exception| !tensors().any(|tensor| exception.fits(tensor)));
    idle.map_or(Ok(()), |exception| {
        let example = tensors().next_back().cloned().unwrap_or_default();
        Err(LoadError::NoSuchTensor { pattern: exception.pattern.clone(), example })
    })
}
