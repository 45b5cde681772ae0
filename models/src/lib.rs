//! From model descriptions to plans.
//!
//! [`arch`] turns the sizes of a model into a [`Plan`](ingle_backends::plan::Plan), one file per family,
//! and [`shapes`] knows the sizes of models that people run, so that memory and speed can be told before
//! anything is downloaded; [`checkpoint`] reads the weights once they are. This crate knows nothing of devices.

pub mod arch;
pub mod checkpoint;
pub mod shapes;

pub use arch::{Architecture, WeightFormats};
