//! From model descriptions to plans.
//!
//! [`config`] reads the configuration of a checkpoint, [`arch`] makes an architecture of it and turns that
//! into a [`Plan`](ingle_backends::plan::Plan), one file per family, and [`shapes`] knows the sizes of
//! models that people run, so that memory and speed can be told before anything is downloaded. [`hub`]
//! downloads models and finds those that are on this machine, [`checkpoint`] reads their weights, and
//! [`text`] turns text into token ids and back, and conversations into prompts. This crate knows nothing of
//! devices.

pub mod arch;
pub mod checkpoint;
pub mod config;
pub mod hub;
pub mod shapes;
pub mod text;

pub use arch::{Architecture, PlanOptions, WeightFormats};
pub use config::{Config, ConfigError};
