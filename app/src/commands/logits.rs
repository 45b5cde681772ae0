//! `ingle logits`: the logits at every position, as a safetensors file.

use std::path::Path;

use anyhow::{Context, anyhow};
use inglenook::backend::BackendError;
use inglenook::backend::plan::BatchLimits;
use inglenook::score::{logits_of, rows_per_step, width};

use crate::cli::LogitsArguments;
use crate::failure::usage;
use crate::files;

pub(crate) fn run(arguments: &LogitsArguments) -> anyhow::Result<()> {
    let ids = match &arguments.ids_file {
        Some(path) => read_ids(path)?,
        None => arguments.ids.clone(),
    };
    if ids.is_empty() {
        return Err(usage("there are no token ids"));
    }
    let model = arguments.load.open(false)?;
    let plan = model.plan(arguments.load.weights, None, inglenook::backend::plan::FusionSet::none())?.0;
    let vocabulary = width(&plan).context("the model gives no logits")?;
    let rows = rows_per_step(vocabulary, ids.len().min(512));
    let mut loaded = arguments.load.load(&model, |options| {
        options.limits = BatchLimits { rows, selected: rows, sequences: 1 };
        options.context = options.context.or(Some(ids.len()));
    })?;
    if ids.len() > loaded.context() {
        let (count, context) = (ids.len(), loaded.context());
        return Err(usage(format!("there are {count} tokens; the context holds {context} (--context)")));
    }
    let cache = loaded.options().cache;
    files::write_atomically(&arguments.out, |file| {
        file.write_all(&header(ids.len(), vocabulary))?;
        logits_of(loaded.runner.as_mut(), cache, rows, &ids, |_, logits| {
            let bytes: Vec<u8> = logits.iter().flat_map(|l| l.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(Failure::File)
        })
        .map_err(Failure::into_error)
    })?;
    eprintln!("{}: logits of {} positions × {vocabulary}", arguments.out.display(), ids.len());
    Ok(())
}

/// What can go wrong between a step and the file.
enum Failure {
    Backend(BackendError),
    File(std::io::Error),
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl Failure {
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Backend(error) => error.into(),
            Self::File(error) => error.into(),
        }
    }
}

/// The beginning of a safetensors file that holds nothing but the logits.
fn header(rows: usize, width: usize) -> Vec<u8> {
    let end = rows as u64 * width as u64 * size_of::<f32>() as u64;
    let mut table =
        format!(r#"{{"logits":{{"dtype":"F32","shape":[{rows},{width}],"data_offsets":[0,{end}]}}}}"#);
    // The data must be aligned, and white space is allowed at the end.
    while !table.len().is_multiple_of(8) {
        table.push(' ');
    }
    [&(table.len() as u64).to_le_bytes(), table.as_bytes()].concat()
}

fn read_ids(path: &Path) -> anyhow::Result<Vec<u32>> {
    let text = files::read_text(path)?;
    let words = text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let shown: String = word.chars().take(20).collect();
            word.parse().map_err(|_| usage(format!("{}: {shown:?} is no token id", path.display())))
        })
        .collect::<anyhow::Result<_>>()
        .map_err(|error| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_a_safetensors_file() {
        let mut file = header(3, 5);
        assert!(file.len().is_multiple_of(8));
        file.resize(file.len() + 3 * 5 * 4, 0);
        let header = inglenook::models::checkpoint::Header::read(&file).unwrap();
        assert_eq!(header.tensors["logits"].shape, [3, 5]);
    }
}
