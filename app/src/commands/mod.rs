//! One file per command, and what several of them share: [`device`], [`load`], [`measuring`], [`reply`] and [`subject`].

mod bare;
mod bench;
mod chat;
mod compare;
pub(crate) mod device;
mod devices;
mod estimate;
mod experiment;
pub(crate) mod load;
mod logits;
mod measuring;
pub(crate) mod models;
mod overview;
mod parallel;
mod perplexity;
mod plan;
mod profile;
mod quality;
mod quantize;
pub(crate) mod reply;
mod run;
mod selftest;
mod shapes;
mod soak;
mod subject;

use crate::cli::{Arguments, Command};

/// Does what the command line asks.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        None => bare::run(),
        Some(Command::Gui(arguments)) => crate::gui::run(arguments.model.clone()),
        Some(Command::Chat(arguments)) => chat::run(arguments),
        Some(Command::Run(arguments)) => run::run(arguments),
        Some(Command::Logits(arguments)) => logits::run(arguments),
        Some(Command::Compare(arguments)) => compare::run(arguments),
        Some(Command::Profile(arguments)) => profile::run(arguments),
        Some(Command::Quality(arguments)) => quality::run(arguments),
        Some(Command::Estimate(arguments)) => estimate::run(arguments),
        Some(Command::Experiment(arguments)) => experiment::run(arguments),
        Some(Command::Perplexity(arguments)) => perplexity::run(arguments),
        Some(Command::Quantize(arguments)) => quantize::run(arguments),
        Some(Command::Devices(arguments)) => devices::run(arguments),
        Some(Command::Plan(arguments)) => plan::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Selftest(arguments)) => selftest::run(arguments),
        Some(Command::Models(command)) => models::run(command),
        Some(Command::Shapes) => shapes::run(),
    }
}
