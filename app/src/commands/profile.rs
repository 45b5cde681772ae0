//! `ingle profile`: where the time of a step goes.

use std::sync::Arc;

use anyhow::Context;
use inglenook::measure::Machine;
use inglenook::measure::operators::Grouping;
use inglenook::measure::profile::{Phase, Profiles, Request, profile};

use super::device::on_device;
use super::load::tell;
use super::measuring::{Watching, give};
use super::subject::Subject;
use crate::cli::ProfileArguments;
use crate::text;

pub(crate) fn run(arguments: &ProfileArguments) -> anyhow::Result<()> {
    let subject = arguments.model.subject()?;
    let request = Request {
        phase: if arguments.prefill { Phase::Prefill } else { Phase::Decode },
        batches: arguments.batch.clone(),
        context: arguments.context,
        repeats: arguments.repeats,
        cache: arguments.model.cache,
        tier: arguments.tier.clone(),
        grouping: if arguments.per_layer { Grouping::PerLayer } else { Grouping::Summed },
    };
    let plan = Arc::new(subject.plan.clone());
    on_device(&arguments.backend, arguments.tier.as_deref(), |device| {
        let names = request.batches.iter().map(|batch| format!("{batch} rows")).collect();
        let watching = Watching::new(names)?;
        let mut watch = |status: &inglenook::measure::Status<'_>| watching.tell(status);
        let found = profile(device, &plan, subject.weights(), &request, &mut watch);
        watching.finish();
        let (profiles, kernels) = found.with_context(|| format!("{} on {}", subject.name, device.info.id))?;
        tell(&kernels);
        let head = head(&subject, arguments, &device.info, &profiles);
        if profiles.steps.iter().any(|step| step.operators.is_empty()) {
            eprintln!("note: {} has no clock for its kernels, so only whole steps are timed", device.info.id);
        }
        let mut tables = profiles.tables();
        tables.push(profiles.products_table());
        tables.extend(profiles.relative_table().filter(|_| !arguments.per_layer));
        if !arguments.output.json {
            text::print(&head)?;
        }
        let markdown = || {
            let tables: Vec<String> = tables.iter().map(|table| table.markdown(3)).collect();
            format!("{}.\n\n{head}\n\n{}", Machine::here().line(), tables.join("\n"))
        };
        give(&arguments.output, &tables, || Ok(serde_json::to_string_pretty(&profiles)?), markdown)
    })
}

/// What was measured, and what its shares are of.
fn head(
    subject: &Subject,
    arguments: &ProfileArguments,
    device: &inglenook::backend::DeviceInfo,
    profiles: &Profiles,
) -> String {
    let peaks = &profiles.peaks;
    let product = peaks.operations_per_second.map_or_else(
        || "its arithmetic could not be measured".to_owned(),
        |rate| {
            let ridge = peaks.ridge().unwrap_or(f64::NAN);
            format!("a large product {:.1} GFLOP/s; the ridge is at {ridge:.1} op/byte", rate / 1e9)
        },
    );
    format!(
        "{} with layers in {}, embedding in {}, cache in {}, {}on {} ({}, {})\n\
         a plain read of its memory reaches {}, {product}",
        subject.name,
        subject.formats.layers,
        subject.formats.embedding,
        arguments.model.cache,
        if arguments.model.no_fusion { "operators apart, " } else { "" },
        device.id,
        device.name,
        profiles.tier,
        text::gigabytes_per_second(peaks.bytes_per_second),
    )
}
