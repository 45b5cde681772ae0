//! How checkpoints spell the names of tensors.
//!
//! Plans name tensors as the language model by itself does: `model.layers.0.…`, `lm_head.weight`. Where
//! it is part of something larger, or was saved without its head, there is a prefix more or less.

/// The names under which a checkpoint may hold a tensor, the usual one first.
pub fn spellings(tensor: &str) -> Vec<String> {
    let mut names = vec![tensor.to_owned(), format!("language_model.{tensor}")];
    if let Some(inner) = tensor.strip_prefix("model.") {
        names.push(format!("model.language_model.{inner}"));
        names.push(inner.to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::spellings;

    #[test]
    fn tensors_are_found_in_larger_models_and_without_a_head() {
        let names = spellings("model.norm.weight");
        assert_eq!(names[0], "model.norm.weight");
        for name in ["language_model.model.norm.weight", "model.language_model.norm.weight", "norm.weight"] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
        assert_eq!(spellings("lm_head.weight"), ["lm_head.weight", "language_model.lm_head.weight"]);
    }
}
