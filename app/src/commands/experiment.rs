//! `ingle experiment`: is a design worth here what it is expected to be?

use anyhow::bail;
use inglenook::backend::WeightSource;
use inglenook::backend::format::{CacheFormat, Int8Group, WeightFormat};
use inglenook::backend::plan::{FusionSet, Plan};
use inglenook::find_device;
use inglenook::measure::MeasureError;
use inglenook::measure::experiment::{Experiment, Part, Request, Subject, run as experiment};
use inglenook::model::WeightChoice;

use super::measuring::{Watching, give, unless_stopped};
use super::subject::Source;
use crate::cli::{ExperimentArguments, Named};
use crate::failure::usage;
use crate::{files, text};

pub(crate) fn run(arguments: &ExperimentArguments) -> anyhow::Result<()> {
    let Named::One(name) = arguments.name else {
        let list = Experiment::list();
        let json = || Ok(serde_json::to_string_pretty(&list)?);
        return give(&arguments.output, std::slice::from_ref(&list), json, || list.markdown(2));
    };
    check(name, arguments)?;
    let source = arguments.model.source()?;
    let request = request(name, arguments)?;
    let devices =
        arguments.backend.iter().map(|name| Ok(find_device(name)?)).collect::<anyhow::Result<Vec<_>>>()?;
    let watching = Watching::new(devices.iter().map(|device| device.info.id.to_string()).collect())?;
    let mut finished = |part: &Part| {
        if let Some(reason) = &part.failure {
            watching.say(&format!("{}: {reason}", part.device));
        }
    };
    let report = experiment(&devices, &source, &request, &mut |status| watching.tell(status), &mut finished)?;
    watching.finish();
    if !arguments.output.json {
        text::print(&text::printable(&format!("{}\n", report.head())))?;
    }
    give(&arguments.output, &report.tables(), || Ok(report.json()?), || report.markdown())?;
    if !arguments.output.json {
        text::print(&text::printable(&format!("\n{}", report.verdicts())))?;
    }
    // Last, so that a path that cannot be written loses nothing but the plot.
    if let Some(path) = &arguments.plot {
        let svg = report.plot().svg();
        files::write_atomically(path, |file| Ok(file.write_all(svg.as_bytes())?))?;
        eprintln!("{} is written", path.display());
    }
    unless_stopped(report.cancelled)?;
    if report.parts.iter().all(|part| part.failure.is_some())
        && let Some(Part { failure: Some(reason), device, .. }) = report.parts.first()
    {
        bail!("{device}: {reason}");
    }
    Ok(())
}

/// Options that an experiment sets by itself are not to be set from outside.
fn check(name: Experiment, arguments: &ExperimentArguments) -> anyhow::Result<()> {
    let model = &arguments.model;
    let fault = if name.varies_weights() && model.weights != WeightChoice::Auto {
        "sets the format of the weights by itself; leave --weights out"
    } else if name != Experiment::WeightOnly && !arguments.formats.is_empty() {
        "compares no formats of weights against f16; leave --formats out"
    } else if name == Experiment::Cache && model.cache != CacheFormat::F16 {
        "sets the format of the cache by itself; leave --cache out"
    } else if model.no_fusion {
        "has operators fused, or sets that by itself; leave --no-fusion out"
    } else {
        return Ok(());
    };
    Err(usage(format!("{name} {fault}")))
}

fn request(name: Experiment, arguments: &ExperimentArguments) -> anyhow::Result<Request> {
    let weights = match arguments.model.weights {
        WeightChoice::Format(format) => format,
        WeightChoice::Auto => WeightFormat::Int8(Int8Group::G64),
        WeightChoice::Stored => {
            return Err(usage("an experiment names the format of its weights, such as f16"));
        }
    };
    let usual = Request::new(name, weights);
    let or_usual = |given: &Vec<usize>| if given.is_empty() { usual.sizes.clone() } else { given.clone() };
    Ok(Request {
        sizes: or_usual(&arguments.sizes),
        formats: if arguments.formats.is_empty() { usual.formats.clone() } else { arguments.formats.clone() },
        context: arguments.context,
        batch: arguments.batch,
        repeats: arguments.repeats,
        cache: arguments.model.cache,
        tier: arguments.tier.clone(),
        ..usual
    })
}

impl Subject for Source {
    fn name(&self) -> String {
        self.name()
    }

    fn plan(&self, weights: WeightFormat, fusion: FusionSet) -> Result<Plan, MeasureError> {
        Ok(self.plan(WeightChoice::Format(weights), fusion)?.0)
    }

    fn weights(&self) -> &dyn WeightSource {
        self.weights()
    }
}
