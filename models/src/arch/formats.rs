//! In which formats a model's matrices are kept.

use ingle_backends::format::{Int8Group, WeightFormat};

/// The formats of a model's matrices. Vectors are always f32, and so are the routers of experts, whose
/// rounding would change which experts are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightFormats {
    /// The projections of the layers.
    pub layers: WeightFormat,
    /// The embedding, and the head that makes logits.
    pub embedding: WeightFormat,
    /// Matrices that are kept otherwise; the first pattern that fits decides.
    pub exceptions: Vec<FormatException>,
}

/// A format for the matrices whose tensor has a name like this.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatException {
    /// The whole name of a tensor, `*` standing for any characters: `lm_head.weight`, `*.down_proj.*`.
    pub pattern: String,
    pub format: WeightFormat,
}

impl FormatException {
    /// Whether this is about the tensor of this name.
    pub fn fits(&self, tensor: &str) -> bool {
        fits(&self.pattern, tensor)
    }
}

impl WeightFormats {
    /// The same format everywhere.
    pub const fn uniform(format: WeightFormat) -> Self {
        Self { layers: format, embedding: format, exceptions: vec![] }
    }

    /// What is usual: the embedding and the head stay at int8 where the layers are nf4 or w8a8, because
    /// errors in the logits are not averaged out by anything after them.
    pub const fn usual(layers: WeightFormat) -> Self {
        let embedding = match layers {
            WeightFormat::Nf4 | WeightFormat::Int4(_) | WeightFormat::W8a8(_) => {
                WeightFormat::Int8(Int8Group::G64)
            }
            other => other,
        };
        Self { layers, embedding, exceptions: vec![] }
    }

    /// With another format for the tensors that a pattern fits, unless an earlier pattern does.
    #[must_use]
    pub fn except(mut self, pattern: impl Into<String>, format: WeightFormat) -> Self {
        self.exceptions.push(FormatException { pattern: pattern.into(), format });
        self
    }

    /// The format of a projection of a layer.
    pub(super) fn of_layer(&self, tensor: &str) -> WeightFormat {
        self.exception(tensor).unwrap_or(self.layers)
    }

    /// The format of the embedding or the head.
    pub(super) fn of_embedding(&self, tensor: &str) -> WeightFormat {
        self.exception(tensor).unwrap_or(self.embedding)
    }

    fn exception(&self, tensor: &str) -> Option<WeightFormat> {
        self.exceptions.iter().find(|exception| exception.fits(tensor)).map(|exception| exception.format)
    }
}

/// Whether a name fits a pattern with `*` for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    // Splitting gives one part at least.
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves the most for what follows.
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        let name = "model.layers.12.mlp.down_proj.weight";
        for pattern in [name, "*", "model*", "*weight", "*.down_proj.*", "model.layers.12.*", "m*1*d*t"] {
            assert!(fits(pattern, name), "{pattern}");
        }
        for pattern in ["", "model", "weight", "*.up_proj.*", "model.layers.1.*", "*weigh", "*12*12*"] {
            assert!(!fits(pattern, name), "{pattern}");
        }
        assert!(fits("", "") && fits("**", "") && !fits("aa*a", "aa"));
    }

    #[test]
    fn the_first_exception_that_fits_decides() {
        let formats = WeightFormats::uniform(WeightFormat::Nf4)
            .except("*.0.mlp.*", WeightFormat::F16)
            .except("*.mlp.*", WeightFormat::Int8(Int8Group::G64));
        assert_eq!(formats.of_layer("model.layers.0.mlp.up_proj.weight"), WeightFormat::F16);
        let second = formats.of_layer("model.layers.1.mlp.up_proj.weight");
        assert_eq!(second, WeightFormat::Int8(Int8Group::G64));
        assert_eq!(formats.of_embedding("lm_head.weight"), WeightFormat::Nf4);
    }
}
