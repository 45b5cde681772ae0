//! The CPU backends.

pub(crate) mod load;
pub(crate) mod pages;
pub mod reference;
pub(crate) mod tickets;

pub use load::LoadedWeights;
