//! Checking a device's kernels against exact arithmetic, as is done before they are used for the first time.

use std::ops::ControlFlow;
use std::sync::Arc;

use inglenook::Device;
use inglenook::backend::format::WeightFormat;
use inglenook::backend::plan::{FusionSet, Plan};
use inglenook::backend::{CacheOptions, PrepareOptions, Progress};
use inglenook::model::LoadOptions;
use inglenook::models::{WeightFormats, shapes};
use inglenook::verdict::remembered;

use super::job::Job;
use crate::failure;

/// Formats that are checked where no model is open; its own are checked first where one is.
const FORMATS: [&str; 4] = ["f16", "int8", "nf4", "w8a8"];

/// A shape with the operators that most models have. What is checked are kernels, and its size does not matter.
const SHAPE: &str = "llama-3.2-1b";

/// A check on its way, or its result.
pub(crate) struct Checkup {
    /// As `ingle devices` names it.
    pub(crate) device: String,
    /// What is being checked.
    pub(crate) doing: String,
    pub(crate) end: Option<Result<Checked, String>>,
    job: Job<Report>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The kernels that are used for each format.
    pub(crate) tiers: Vec<(String, String)>,
    pub(crate) cases: usize,
    /// What the user should know: better kernels that compute wrongly, for one.
    pub(crate) notes: Vec<String>,
}

enum Report {
    Doing(String),
    End(Result<Checked, String>),
}

impl Checkup {
    /// Begins to check a device, with a plan first that is in use.
    pub(crate) fn start(
        ctx: &egui::Context,
        device: Device,
        in_use: Option<(Arc<Plan>, String)>,
    ) -> std::io::Result<Self> {
        let name = device.info.id.to_string();
        let job = Job::start(ctx, "checkup", move |reporter| {
            let mut watch = |progress: &Progress<'_>| {
                reporter.tell(Report::Doing(progress.doing.to_owned()));
                if reporter.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let end = check(&device, in_use, &mut watch).map_err(|error| failure::message(&error));
            reporter.tell(Report::End(end));
        })?;
        Ok(Self { device: name, doing: String::new(), end: None, job })
    }

    /// Takes what it reports; says whether it has ended just now.
    pub(crate) fn take(&mut self) -> bool {
        let was_on_its_way = self.end.is_none();
        while let Some(report) = self.job.poll() {
            match report {
                Report::Doing(doing) => self.doing = doing,
                Report::End(end) => self.end = Some(end),
            }
        }
        was_on_its_way && self.end.is_some()
    }

    /// Stops it; what was found out is kept.
    pub(crate) fn cancel(&self) {
        self.job.cancel();
    }
}

fn check(
    device: &Device,
    in_use: Option<(Arc<Plan>, String)>,
    watch: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> anyhow::Result<Checked> {
    // For all devices: there is one file for all.
    remembered().forget().map_err(|why| anyhow::anyhow!("what is known cannot be forgotten: {why}"))?;
    let mut checked = Checked::default();
    let mut plans: Vec<(Arc<Plan>, String)> = in_use.into_iter().collect();
    let shape = shapes::find(SHAPE).ok_or_else(|| anyhow::anyhow!("there is no shape {SHAPE}"))?;
    for format in FORMATS {
        let format: WeightFormat = format.parse()?;
        let plan = shape.architecture.plan(&WeightFormats::usual(format).into())?.fused(FusionSet::all())?;
        plans.push((Arc::new(plan), format.to_string()));
    }
    for (plan, format) in plans {
        let limits = LoadOptions::default().limits;
        let options = PrepareOptions { cache: CacheOptions::default(), limits, tier: None };
        let choice = remembered().choose(device.backend.as_ref(), &device.info, &plan, &options, watch)?;
        checked.cases += choice.cases;
        checked.tiers.push((format, choice.tier));
        for note in choice.notes {
            let note = note.to_string();
            if !checked.notes.contains(&note) {
                checked.notes.push(note);
            }
        }
    }
    checked.tiers.dedup();
    Ok(checked)
}
