//! From errors to exit codes, so that scripts can tell what went wrong.

use std::fmt;

use inglenook::backend::{BackendError, BatchError};
use inglenook::calibrate::CalibrateError;
use inglenook::chat::ChatError;
use inglenook::engine::EngineError;
use inglenook::estimate::DeviceTableError;
use inglenook::measure::MeasureError;
use inglenook::model::builtin::BuiltinError;
use inglenook::model::{LoadError, ModelError, QuantizeError};
use inglenook::models::checkpoint::{CheckpointError, ExportError};
use inglenook::models::text::{FileError, TokenizerError};
use inglenook::verdict::VerdictError;

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const MODEL: u8 = 3;
const DOES_NOT_FIT: u8 = 4;
const DEVICE: u8 = 5;
const FILE: u8 = 6;
/// What shells expect of a program that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Options that make no sense together, or with this model.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::error::Error for Usage {}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error of usage.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// A model whose files are no good for what is asked.
#[derive(Debug)]
pub(crate) struct BadModel(String);

impl std::error::Error for BadModel {}

impl fmt::Display for BadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error of the model's files.
pub(crate) fn bad_model(message: impl Into<String>) -> anyhow::Error {
    BadModel(message.into()).into()
}

/// What to tell of an error: each cause after what it caused, unless that has just said the same.
pub(crate) fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        told if told.ends_with(&cause) => told.to_owned(),
        told => format!("{told}: {cause}"),
    })
}

/// The exit code for an error; `cli` documents them.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(FAILURE)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if cause.is::<Usage>() {
        return Some(USAGE);
    }
    if cause.is::<BadModel>() {
        return Some(MODEL);
    }
    if let Some(error) = cause.downcast_ref::<LoadError>() {
        return Some(match error {
            LoadError::DoesNotFit(_) => DOES_NOT_FIT,
            LoadError::Context { .. } | LoadError::NoSuchTensor { .. } => USAGE,
            LoadError::Weights { .. } | LoadError::Plan { .. } => MODEL,
            LoadError::Backend(error) => of_backend(error),
            LoadError::Kernels(error) => of_verdict(error),
        });
    }
    if let Some(error) = cause.downcast_ref::<QuantizeError>() {
        return Some(match error {
            QuantizeError::Load(error) => return of_cause(error),
            QuantizeError::Export(error) => of_export(error),
        });
    }
    if let Some(error) = cause.downcast_ref::<MeasureError>() {
        return of_measure(error);
    }
    if let Some(error) = cause.downcast_ref::<CalibrateError>() {
        return of_calibrate(error);
    }
    if let Some(error) = cause.downcast_ref::<DeviceTableError>() {
        return Some(if matches!(error, DeviceTableError::Read { .. }) { FILE } else { USAGE });
    }
    if let Some(error) = cause.downcast_ref::<BackendError>() {
        return Some(of_backend(error));
    }
    if let Some(error) = cause.downcast_ref::<VerdictError>() {
        return Some(of_verdict(error));
    }
    if let Some(EngineError::Backend(error) | EngineError::LostAgain(error)) =
        cause.downcast_ref::<EngineError>()
    {
        return Some(of_backend(error));
    }
    if let Some(error) = cause.downcast_ref::<ModelError>() {
        return Some(match error {
            ModelError::ConvertedCache(_) | ModelError::Checkpoint(CheckpointError::Read { .. }) => FILE,
            ModelError::Tokenizer(TokenizerError::File(error)) => of_file(error),
            _ => MODEL,
        });
    }
    if cause.is::<BuiltinError>() {
        return Some(FILE);
    }
    if let Some(error) = cause.downcast_ref::<ChatError>() {
        return Some(match error {
            ChatError::Empty | ChatError::TooLong { .. } | ChatError::LastTooLong { .. } => USAGE,
            ChatError::Template(_) | ChatError::Tokenizer(_) => MODEL,
        });
    }
    if let Some(error) = cause.downcast_ref::<FileError>() {
        return Some(of_file(error));
    }
    cause.is::<std::io::Error>().then_some(FILE)
}

fn of_measure(error: &MeasureError) -> Option<u8> {
    Some(match error {
        MeasureError::Cancelled => INTERRUPTED,
        MeasureError::Settings(_) => USAGE,
        MeasureError::Backend(error) => of_backend(error),
        MeasureError::Kernels(error) => of_verdict(error),
        MeasureError::Load(error) => return of_cause(error),
        MeasureError::Model(error) => return of_cause(error),
        MeasureError::Prompt(error) => return of_cause(error),
        MeasureError::Plan(_) | MeasureError::Tokenizer(_) => MODEL,
        MeasureError::File { .. } | MeasureError::Base { .. } => FILE,
    })
}

fn of_calibrate(error: &CalibrateError) -> Option<u8> {
    Some(match error {
        CalibrateError::NotW8a8(_) | CalibrateError::ScaleGiven(_) | CalibrateError::TooShort { .. } => USAGE,
        CalibrateError::Quantized { .. } | CalibrateError::NotFinite(_) => MODEL,
        CalibrateError::Measure(error) => return of_measure(error),
    })
}

fn of_verdict(error: &VerdictError) -> u8 {
    match error {
        VerdictError::Backend(error) => of_backend(error),
        VerdictError::NoTier { .. } => DEVICE,
        VerdictError::Case(_) => FAILURE,
    }
}

fn of_file(error: &FileError) -> u8 {
    if matches!(error, FileError::Unreadable { .. }) { FILE } else { MODEL }
}

fn of_export(error: &ExportError) -> u8 {
    match error {
        ExportError::Exists(_) | ExportError::NoName(_) => USAGE,
        ExportError::Read { .. } | ExportError::Write { .. } => FILE,
        ExportError::Config { .. } | ExportError::Weights { .. } | ExportError::Quantized { .. } => MODEL,
        ExportError::Cancelled => INTERRUPTED,
    }
}

fn of_backend(error: &BackendError) -> u8 {
    match error {
        BackendError::OutOfMemory { .. } | BackendError::TooLarge { .. } => DOES_NOT_FIT,
        BackendError::UnknownDevice(_)
        | BackendError::UnknownTier { .. }
        | BackendError::Setting { .. }
        | BackendError::CacheOptions(_)
        | BackendError::Batch(BatchError::Sampling { .. } | BatchError::TokenOutOfRange { .. }) => USAGE,
        BackendError::Weights(_) | BackendError::Plan(_) | BackendError::Format(_) => MODEL,
        _ => DEVICE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn nothing_is_told_twice() {
        let inner = || std::io::Error::other("the disk is full");
        let told = |error: anyhow::Error| message(&error);
        assert_eq!(
            told(anyhow::Error::from(inner()).context("x cannot be written")),
            "x cannot be written: the disk is full"
        );
        let whole =
            anyhow::Error::from(inner()).context("x cannot be written: the disk is full").context("saving");
        assert_eq!(told(whole), "saving: x cannot be written: the disk is full");
    }

    #[test]
    fn codes_are_found_behind_context_and_within_other_errors() {
        let code_of = |error: anyhow::Error| code(&error);
        let unknown = || BackendError::UnknownDevice("gpu".to_owned());
        assert_eq!(code_of(unknown().into()), USAGE);
        assert_eq!(code_of(LoadError::Backend(unknown()).into()), USAGE);
        let lost = BackendError::DeviceLost { device: "x".to_owned(), reason: String::new() };
        let engine = EngineError::Backend(std::sync::Arc::new(lost));
        assert_eq!(code_of(anyhow::Error::from(engine).context("while writing")), DEVICE);
        let io = std::fs::read("/there/is/no/such/file").context("reading");
        assert_eq!(code_of(io.unwrap_err()), FILE);
        assert_eq!(code_of(usage("no")), USAGE);
        assert_eq!(code_of(anyhow::anyhow!("else")), FAILURE);
    }
}
