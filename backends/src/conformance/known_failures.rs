//! Failures that are known: data, each with the place where it happens and the reason.
//!
//! An entry says "these cases fail there, because of that". It keeps a run green only as long as it is
//! true: a case that it names and that passes turns the run red, just as a failing one does that nobody
//! knows of. Tolerances are no place to hide a failure in; this is.

use super::target::Target;

/// Cases that fail on some devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFailure {
    /// What `Backend::name` says.
    pub backend: &'static str,
    /// Patterns, in which `*` stands for any text, of the device's name, its driver and its tier.
    pub device: &'static str,
    pub driver: &'static str,
    pub tier: &'static str,
    /// Pattern of the cases' names.
    pub cases: &'static str,
    /// Whose fault it is and where that is reported.
    pub reason: &'static str,
}

/// All that are known.
pub const KNOWN_FAILURES: &[KnownFailure] = &[];

impl KnownFailure {
    pub fn names(&self, target: &Target<'_>, case: &str) -> bool {
        self.backend == target.backend.name()
            && matches(self.device, &target.device.name)
            && matches(self.driver, &target.device.driver)
            && matches(self.tier, &target.tier.name)
            && matches(self.cases, case)
    }
}

/// Whether a text fits a pattern, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces = pieces.collect::<Vec<_>>();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    // Each piece as early as it can be leaves the most for those after it.
    let mut rest = rest;
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("linear/*", "linear/f16"),
            ("*f16*", "linear/f16 5×3"),
            ("a*b*c", "a.b.b.c"),
            ("exact", "exact"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("linear/*", "norm/f16"), ("a*b", "a.b.c"), ("ab*ba", "aba"), ("exact", "exactly")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
