//! `ingle quality`: what formats cost.

use anyhow::Context;
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::find_device;
use inglenook::measure::compare::Contestant;
use inglenook::measure::quality::{
    Base, Codebooks, Entry, Passage, Subject, base_of, on_normal_weights, on_weights_of, quality,
};
use inglenook::model::{Model, WeightChoice};
use inglenook::score::Windows;

use super::load::model_folder;
use super::measuring::{Watching, give, unless_stopped};
use crate::cli::QualityArguments;
use crate::failure::usage;
use crate::files;

/// The window where nobody asks for one: long enough for most of what a model can know, short enough to be quick.
pub(crate) const USUAL_WINDOW: usize = 512;

pub(crate) fn run(arguments: &QualityArguments) -> anyhow::Result<()> {
    if arguments.codebooks {
        return codebooks(arguments);
    }
    let model = Model::open(&model_folder(&arguments.model)?)?;
    let beside = arguments.beside.iter().map(|folder| Ok(Model::open_without_text(folder)?));
    let beside = beside.collect::<anyhow::Result<Vec<_>>>()?;
    let mut contestants = arguments.contestants.contestants()?;
    let usual = places(&contestants);
    if arguments.groups {
        contestants.extend(groups(&contestants)?);
    }
    let mut subjects: Vec<Subject<'_>> =
        contestants.into_iter().map(|contestant| Subject::of(&model, contestant)).collect();
    for model in &beside {
        subjects.extend(usual.iter().map(|place| Subject::stored(model, place.clone())));
    }
    let mut base = match &arguments.base {
        Some(path) => Base::open(path)?,
        None => compute_base(arguments, &model)?,
    };
    if base.model() != model.name() {
        let (of, name) = (base.model(), model.name());
        return Err(usage(format!("the base is of {of}, and the model is {name}")));
    }
    let watching = Watching::new(subjects.iter().map(|subject| subject.label.clone()).collect())?;
    let mut finished = |_: usize, entry: &Entry| {
        let told = match (&entry.quality, &entry.failure) {
            (Some(quality), _) => format!("perplexity {:.4}", quality.perplexity),
            (None, failure) => failure.clone().unwrap_or_default(),
        };
        watching.say(&format!("{}: {told}", entry.label));
    };
    let report = quality(&mut base, &subjects, &mut |status| watching.tell(status), &mut finished)?;
    watching.finish();
    let json = || Ok(serde_json::to_string_pretty(&report)?);
    give(&arguments.output, &[report.table()], json, || report.markdown())?;
    unless_stopped(report.cancelled)
}

/// Every device with every format of the cache, once.
fn places(contestants: &[Contestant]) -> Vec<Contestant> {
    let mut places: Vec<Contestant> = vec![];
    for one in contestants {
        // Without their weights they are called the same.
        if places.iter().all(|known| known.label_as("") != one.label_as("")) {
            places.push(one.clone());
        }
    }
    places
}

/// int8 with each size of groups, on every device that takes part.
fn groups(contestants: &[Contestant]) -> anyhow::Result<Vec<Contestant>> {
    let mut more: Vec<Contestant> = vec![];
    for contestant in contestants {
        for format in ["int8-g32", "int8-g64", "int8-g128"] {
            let format: WeightFormat = format.parse()?;
            let one = Contestant {
                weights: WeightChoice::Format(format),
                cache: CacheFormat::F16,
                ..contestant.clone()
            };
            let label = one.label();
            if contestants.iter().chain(&more).all(|known| known.label() != label) {
                more.push(one);
            }
        }
    }
    Ok(more)
}

/// Reads the text with the base.
fn compute_base(arguments: &QualityArguments, model: &Model) -> anyhow::Result<Base> {
    let path = arguments.text.as_ref().context("a text is needed")?;
    let mut words = files::read_text(path)?;
    if let Some((end, _)) = arguments.characters.and_then(|count| words.char_indices().nth(count)) {
        words.truncate(end);
    }
    let tokenizer = &model.text()?.tokenizer;
    let tokens = tokenizer.encode_text(&words, false)?;
    let made_for = model.architecture.context();
    let len = arguments.window.unwrap_or(made_for.min(USUAL_WINDOW));
    if len > made_for {
        eprintln!(
            "note: windows of {len} tokens go beyond the {made_for} that the model was made for, where it says little"
        );
    }
    let passage = Passage { tokens, windows: Windows { begin: tokenizer.bos(), len } };
    let contestant = Contestant {
        embedding: Some(arguments.base_weights),
        ..Contestant::new(find_device(&arguments.base_on)?, WeightChoice::Format(arguments.base_weights))
    };
    let watching = Watching::new(vec!["the base".to_owned()])?;
    let save = arguments.save_base.as_deref();
    let base = base_of(model, &contestant, &passage, save, &mut |status| watching.tell(status))?;
    watching.finish();
    Ok(base)
}

/// How near the levels of formats come to weights.
fn codebooks(arguments: &QualityArguments) -> anyhow::Result<()> {
    let formats = ["nf4", "int4-g32", "int4-g64", "int4-g128", "int8-g32", "int8-g64", "int8-g128"];
    let formats = formats.iter().map(|format| Ok(format.parse()?)).collect::<anyhow::Result<Vec<_>>>()?;
    let model = Model::open_without_text(&model_folder(&arguments.model)?)?;
    let found = [on_normal_weights(&formats)?, on_weights_of(&model, &formats)?];
    let tables = found.each_ref().map(Codebooks::table);
    let json = || Ok(serde_json::to_string_pretty(&found)?);
    give(&arguments.output, &tables, json, || {
        tables.iter().map(|table| table.markdown(2)).collect::<Vec<_>>().join("\n")
    })
}
