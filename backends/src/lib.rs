//! placeholder
pub mod cpu;
pub mod format;
