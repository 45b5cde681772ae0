//! Conformance: every backend, on every device, in every tier, held to the oracle.
//!
//! A case is a tiny plan with weights and a few batches, made from numbers that its name determines. It is
//! run on the oracle ([`cpu::reference`](crate::cpu::reference)) and on each target, and everything that a
//! step hands out is compared: taps, logits, tokens. Adding a backend adds no test code.
//!
//! - [`cases`](catalogue) declare what is tried, one file per operator, and whole tiny models;
//! - tolerances come from what a device says of its arithmetic and from the oracle alone;
//! - discrete results must be equal, unless the oracle itself could not tell;
//! - bad input must give typed errors and leave the runner as it was;
//! - known failures are declared, and must go on failing.
//!
//! The same code serves the workspace's tests and a user's check of his own machine, and the handful of cases ([`checks`]) by which
//! kernels are checked before a device uses them for the first time ([`verdict`](crate::verdict)).

mod case;
mod cases;
mod compare;
mod draw;
mod expectation;
#[cfg(test)]
pub(crate) mod faulty;
mod known_failures;
mod misuse;
#[cfg(test)]
mod properties;
mod quick;
mod random;
mod record;
mod report;
mod run;
mod target;
mod tolerance;

pub use case::{BuildCase, Case, CaseError, CaseSpec, Group, Step};
pub use cases::catalogue;
pub use known_failures::{KNOWN_FAILURES, KnownFailure};
pub use quick::{Check, CheckError, checks};
pub use random::Random;
pub use report::{Failure, GroupReport, Report, TargetReport};
pub use run::Conformance;
pub use target::{EXPECT_DEVICES, ExpectedTarget, Target};
