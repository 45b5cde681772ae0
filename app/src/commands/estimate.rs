//! `ingle estimate`: what a model takes and how fast it can be, by arithmetic.

use std::path::Path;

use anyhow::Context;
use inglenook::backend::format::WeightFormat;
use inglenook::backend::no_progress;
use inglenook::estimate::{
    DeviceSpec, DeviceTable, Efficiency, Question, cache_table, feed_forward, published, table, weight_table,
};
use inglenook::measure::Table;
use inglenook::measure::peaks::Peaks;
use inglenook::models::shapes::find;
use inglenook::models::{Architecture, Config, WeightFormats, arch};
use inglenook::usual_devices;

use super::measuring::give;
use crate::cli::EstimateArguments;
use crate::failure::{bad_model, usage};

/// What stands for the devices of this machine.
const THIS: &str = "this";

pub(crate) fn run(arguments: &EstimateArguments) -> anyhow::Result<()> {
    let tables = if arguments.published {
        vec![
            published::table_7b()?,
            published::table_176b()?,
            cache_table(&published::seven_billion()?, arguments.cache),
        ]
    } else {
        estimate(arguments)?
    };
    let json = || Ok(serde_json::to_string_pretty(&tables)?);
    let markdown = || tables.iter().map(|table| table.markdown(2)).collect::<Vec<_>>().join("\n");
    give(&arguments.output, &tables, json, markdown)
}

fn estimate(arguments: &EstimateArguments) -> anyhow::Result<Vec<Table>> {
    if arguments.count == 0 || arguments.context == 0 || arguments.batch == Some(0) {
        return Err(usage("devices, context and batch are 1 at least"));
    }
    if !(arguments.efficiency > 0.0 && arguments.efficiency <= 1.0) {
        return Err(usage("the efficiency is above 0 and at most 1"));
    }
    let (name, architecture) = architecture(arguments)?;
    let mut formats = WeightFormats::usual(arguments.weights);
    formats.embedding = arguments.embedding.unwrap_or(formats.embedding);
    let plan = architecture.plan(&formats.into()).with_context(|| format!("{name} makes no plan"))?;
    let devices = devices(arguments)?;
    let answer = |(device, efficiency): &(DeviceSpec, Efficiency)| {
        Question {
            plan: &plan,
            weights: arguments.weights,
            cache: arguments.cache,
            device,
            devices: arguments.count,
            context: arguments.context,
            batch: arguments.batch,
            efficiency: *efficiency,
        }
        .answer()
    };
    let answers: Vec<_> = devices.iter().map(answer).collect();
    let title = format!(
        "{name} with weights in {} and {} tokens of {} cache per sequence",
        arguments.weights, arguments.context, arguments.cache
    );
    let known = ["f16", "int8", "nf4", "int4", "w8a8"];
    let known =
        known.iter().map(|format| Ok(format.parse()?)).collect::<anyhow::Result<Vec<WeightFormat>>>()?;
    let mut tables = vec![
        table(&title, &answers),
        weight_table(architecture.as_ref(), &known)?,
        cache_table(&plan, arguments.cache),
    ];
    if let Some(batches) = &arguments.ffn {
        let devices: Vec<DeviceSpec> = devices.into_iter().map(|(device, _)| device).collect();
        tables.push(feed_forward::table(&plan, arguments.weights, &devices, batches));
    }
    Ok(tables)
}

/// The model or the shape asked for, and what it is called.
fn architecture(arguments: &EstimateArguments) -> anyhow::Result<(String, Box<dyn Architecture>)> {
    let Some(path) = &arguments.model else {
        let shape = find(&arguments.shape).ok_or_else(|| {
            usage(format!("there is no shape `{}`; `ingle shapes` lists those there are", arguments.shape))
        })?;
        return Ok((arguments.shape.clone(), shape.architecture));
    };
    // A configuration stands for its folder, of which nothing else is needed.
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new(".")) } else { path };
    let failed = |error: inglenook::models::ConfigError| bad_model(format!("{}: {error}", path.display()));
    let config = Config::open(folder).map_err(failed)?;
    Ok((path.display().to_string(), arch::from_config(&config).map_err(failed)?))
}

/// The devices asked for, each with what is taken to be reached of its peaks.
fn devices(arguments: &EstimateArguments) -> anyhow::Result<Vec<(DeviceSpec, Efficiency)>> {
    let mut known = DeviceTable::built_in();
    if let Some(path) = &arguments.devices {
        known.extend(path)?;
    }
    let share = arguments.efficiency;
    let stated = Efficiency { memory: share, compute: share, link: share };
    if arguments.on.is_empty() {
        return Ok(known.devices.into_iter().map(|device| (device, stated)).collect());
    }
    let mut devices = vec![];
    for name in &arguments.on {
        if name == THIS {
            devices.extend(
                measured(arguments.weights)?.into_iter().map(|device| (device, Efficiency::MEASURED)),
            );
            continue;
        }
        let device = known.find(name).ok_or_else(|| {
            let names: Vec<&str> = known.devices.iter().map(|device| device.name.as_str()).collect();
            usage(format!(
                "there is no device `{name}` in the table; it has {}, and {THIS}",
                names.join(", ")
            ))
        })?;
        devices.push((device.clone(), stated));
    }
    Ok(devices)
}

/// The devices of this machine as they are.
fn measured(weights: WeightFormat) -> anyhow::Result<Vec<DeviceSpec>> {
    let mut found = vec![];
    for device in usual_devices() {
        let id = &device.info.id;
        let Some(tier) = device.info.tiers.first() else { continue };
        eprintln!("measuring {id} ({})", device.info.name);
        let peaks = Peaks::measure(&device, weights, &tier.name, &mut no_progress)?;
        match DeviceSpec::measured(&device, &peaks, Some(&peaks)) {
            Some(spec) => found.push(spec),
            None => eprintln!("note: {id} tells too little of itself to be in the table"),
        }
    }
    Ok(found)
}
