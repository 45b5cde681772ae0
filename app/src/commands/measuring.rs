//! What the commands that measure share: who takes part, how far it is, and in which form results are given.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use inglenook::measure::compare::Contestant;
use inglenook::measure::{MeasureError, Stage, Status, Table};
use inglenook::{Device, find_device, usual_devices};

use crate::cli::{ContestantArguments, OutputArguments};
use crate::interrupt::{self, Stoppable};
use crate::{files, text};

impl ContestantArguments {
    /// Every device with every format.
    pub(crate) fn contestants(&self) -> anyhow::Result<Vec<Contestant>> {
        let devices: Vec<(Device, Option<String>)> = if self.on.is_empty() {
            usual_devices().into_iter().map(|device| (device, None)).collect()
        } else {
            let named = |name: &String| {
                let (name, tier) = name.split_once('@').map_or((name.as_str(), None), |(n, t)| (n, Some(t)));
                Ok((find_device(name)?, tier.map(str::to_owned)))
            };
            self.on.iter().map(named).collect::<anyhow::Result<_>>()?
        };
        let mut contestants = vec![];
        for (device, tier) in &devices {
            for weights in &self.weights {
                for cache in &self.cache {
                    contestants.push(Contestant {
                        tier: tier.clone(),
                        embedding: self.embedding,
                        cache: *cache,
                        fusion: !self.no_fusion,
                        ..Contestant::new(device.clone(), *weights)
                    });
                }
            }
        }
        Ok(contestants)
    }
}

/// Shows how far a measurement is, and lets Ctrl-C stop it.
pub(crate) struct Watching {
    bar: ProgressBar,
    stopped: Arc<AtomicBool>,
    names: Vec<String>,
    _stoppable: Stoppable,
}

impl Watching {
    /// `names` are those of what is measured, in its order.
    pub(crate) fn new(names: Vec<String>) -> anyhow::Result<Self> {
        interrupt::install()?;
        let style = ProgressStyle::with_template("{msg:60!} {bar:30} {pos}/{len}")?;
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let stoppable = Stoppable::new(move || stop.store(true, Ordering::Relaxed));
        Ok(Self { bar: ProgressBar::new(0).with_style(style), stopped, names, _stoppable: stoppable })
    }

    /// To be given to what measures.
    pub(crate) fn tell(&self, status: &Status<'_>) -> ControlFlow<()> {
        let name = self.names.get(status.subject).map_or("", String::as_str);
        let doing = match status.stage {
            Stage::Loading => "loading".to_owned(),
            Stage::Peaks => "measuring the device".to_owned(),
            Stage::WarmingUp => "warming up".to_owned(),
            Stage::Run(run) => format!("run {run}"),
            Stage::Profiling => "timing operators".to_owned(),
            Stage::Agreement => "reading the reference".to_owned(),
            Stage::Scoring => "scoring".to_owned(),
        };
        self.bar.set_length(status.total);
        self.bar.set_position(status.done);
        self.bar.set_message(text::printable(&format!("{name}: {doing}")).into_owned());
        if self.stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        let line = text::printable(line).into_owned();
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// A table with its title, as the terminal shows it.
pub(crate) fn shown(table: &Table) -> String {
    let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
    let title = if table.title.is_empty() { String::new() } else { format!("{}\n", table.title) };
    text::printable(&format!("{title}{}", text::table(&header, &table.rows))).into_owned()
}

/// Gives results in the form that is asked for.
pub(crate) fn give(
    output: &OutputArguments,
    tables: &[Table],
    json: impl FnOnce() -> anyhow::Result<String>,
    markdown: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if let Some(path) = &output.markdown {
        files::write_atomically(path, |file| Ok(file.write_all(markdown().as_bytes())?))?;
        eprintln!("{} is written", path.display());
    }
    if output.json {
        return text::print(&json()?);
    }
    text::print(&tables.iter().map(shown).collect::<Vec<_>>().join("\n"))
}

/// An error for what was stopped, once what was found is shown.
pub(crate) fn unless_stopped(stopped: bool) -> anyhow::Result<()> {
    if stopped { Err(MeasureError::Cancelled.into()) } else { Ok(()) }
}
