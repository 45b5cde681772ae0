//! Bad input: typed errors, no panic, and a runner that computes as before.

use super::target::Target;

/// A check of one target: what is wrong, if anything.
pub(crate) type Check = Box<dyn Fn(&Target<'_>) -> Result<(), String>>;

/// All checks, by name.
pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    vec![]
}
