//! What a tensor may be called in a checkpoint.
//!
//! Plans name tensors as a text-only model does (`model.layers.0.…`, `lm_head.weight`). The same tensors
//! are called `language_model.model.layers.0.…` or `model.language_model.layers.0.…` where images come
//! with the text, and `layers.0.…` where a model was saved without its head.

/// What may stand before the part of a name that all forms share, longest first, so that each is
/// recognised as a whole.
const PREFIXES: [&str; 5] =
    ["language_model.model.", "model.language_model.", "language_model.", "model.", ""];

/// The order in which they are tried once the name itself is not found.
const ORDER: [&str; 5] = ["model.", "language_model.model.", "model.language_model.", "language_model.", ""];

/// The names to look up for a tensor, the given one first.
pub(super) fn candidates(tensor: &str) -> impl Iterator<Item = String> {
    let core = PREFIXES.iter().find_map(|prefix| tensor.strip_prefix(prefix)).unwrap_or(tensor);
    let variants = ORDER.iter().map(move |prefix| format!("{prefix}{core}"));
    std::iter::once(tensor.to_owned()).chain(variants.filter(move |name| name != tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_comes_first_and_each_form_finds_the_others() {
        let names: Vec<_> = candidates("model.norm.weight").collect();
        let expected = [
            "model.norm.weight",
            "language_model.model.norm.weight",
            "model.language_model.norm.weight",
            "language_model.norm.weight",
            "norm.weight",
        ];
        assert_eq!(names, expected);
        for other in expected {
            let names: Vec<_> = candidates(other).collect();
            assert_eq!(names[0], other);
            assert!(expected.iter().all(|name| names.iter().any(|n| n == name)), "{other}: {names:?}");
            assert_eq!(names.len(), 5);
        }
        assert!(candidates("lm_head.weight").any(|name| name == "language_model.lm_head.weight"));
    }
}
