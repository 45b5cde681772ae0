//! Which kernels of which device compute rightly, as this user's cache folder remembers it.

use std::sync::LazyLock;

pub use ingle_backends::verdict::{Choice, Fault, Note, TierVerdict, VerdictError, Verdicts};

use crate::folders;

/// The verdicts that all of the process shares.
pub fn remembered() -> &'static Verdicts {
    static VERDICTS: LazyLock<Verdicts> = LazyLock::new(|| Verdicts::new(folders::cache_folder().as_deref()));
    &VERDICTS
}
