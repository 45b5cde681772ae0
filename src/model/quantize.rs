//! Writing a model's folder anew, with its weights in other formats.

use std::collections::BTreeMap;
use std::path::Path;

use ingle_backends::ProgressFn;
use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{Op, Plan};
use ingle_models::WeightFormats;
use ingle_models::checkpoint::{Export, ExportError, Exported, Rescaling, Role, Target};
use thiserror::Error;

use super::weights::check_exceptions;
use super::{LoadError, Model};

/// Why a model could not be written in other formats.
#[derive(Debug, Error)]
pub enum QuantizeError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl Model {
    /// Writes a folder with the weights in these formats. What is loaded from it is, bit by bit, what loading
    /// this model in these formats gives.
    pub fn quantize(
        &self,
        formats: &WeightFormats,
        out: &Path,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Exported, QuantizeError> {
        self.quantize_rescaled(formats, &Rescaling::default(), out, progress)
    }

    /// The same, with channels scaled before their weights are quantised.
    pub fn quantize_rescaled(
        &self,
        formats: &WeightFormats,
        rescaling: &Rescaling,
        out: &Path,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Exported, QuantizeError> {
        let plan = self.unfused(formats)?;
        check_exceptions(&plan, &formats.exceptions)?;
        // What no format changes, such as a router of experts, stays as it is stored.
        let fixed = self.unfused(&WeightFormats::uniform(WeightFormat::F16))?;
        let (scaled, mut targets) = (rescaling.matrices(), BTreeMap::new());
        for (index, (matrix, other)) in plan.matrices.iter().zip(&fixed.matrices).enumerate() {
            for part in &matrix.parts {
                if other.format != WeightFormat::F16 && !scaled.contains(part.tensor.as_str()) {
                    continue;
                }
                let role = role(&plan, index, &part.tensor);
                let (tensor, cols, format) = (part.tensor.clone(), matrix.cols, matrix.format);
                targets.entry(part.tensor.clone()).or_insert(Target { tensor, cols, format, role });
            }
        }
        let targets: Vec<Target> = targets.into_values().collect();
        let vectors: Vec<_> = plan.vectors.iter().flat_map(|vector| vector.parts.clone()).collect();
        let (checkpoint, folder) = (&*self.checkpoint, self.folder.as_path());
        let export = Export {
            checkpoint,
            folder,
            targets: &targets,
            vectors: &vectors,
            rescaling,
            file_bytes: Export::FILE_BYTES,
        };
        Ok(export.write(out, progress)?)
    }
}

/// What a matrix of the plan is for.
fn role(plan: &Plan, matrix: usize, tensor: &str) -> Role {
    let embeds = |op: &Op| matches!(op, Op::Embed(embed) if embed.table.index() == matrix);
    if plan.nodes.iter().any(|node| embeds(&node.op)) {
        Role::Embedding
    } else if tensor.contains(".layers.") {
        Role::Layer
    } else {
        Role::Other
    }
}
