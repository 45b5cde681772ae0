//! The fair comparison: the same model and the same prompt on several devices and in several formats, one after another.
//!
//! Each contestant is loaded, runs once to warm up, and then as often as asked, with the same seed; then its operators are timed,
//! and last it reads the *reference*, what the first contestant wrote, token by token with the very kernels that write replies, so
//! that the opinions of all of them about the same tokens can be set side by side. Nothing runs beside it. What came out is a
//! [`Comparison`], plain data that can be kept, shown ([`Comparison::tables`]) and written ([`Comparison::markdown`]).

mod agree;
mod export;
mod run;
#[cfg(test)]
mod tests;
mod types;

pub use agree::{first_difference, summary};
pub use run::{Contestant, Options, compare};
pub use types::{
    Agreement, Comparison, Entry, Measured, Memory, Outcome, RankedToken, Settings, TokenAgreement,
};
