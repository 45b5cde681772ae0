//! `ingle selftest`.

use anyhow::{Context, bail};
use inglenook::backend::conformance::{Conformance, Group};

use crate::cli::SelftestArguments;
use crate::text;

pub(crate) fn run(arguments: &SelftestArguments) -> anyhow::Result<()> {
    if let Some(steps) = arguments.steps {
        return super::soak::run(steps, arguments.backend.as_deref());
    }
    let mut backends = inglenook::backends().to_vec();
    if let Some(name) = &arguments.backend {
        backends.retain(|backend| backend.name() == name);
        if backends.is_empty() {
            bail!("there is no backend `{name}`; `ingle devices` lists what there is");
        }
    }
    let mut conformance = Conformance::new(backends.iter().map(AsRef::as_ref).collect());
    conformance.only.clone_from(&arguments.only);
    let report = conformance.run(&Group::ALL).context("the tests themselves could not be made")?;
    text::print(&report.to_string())?;
    let problems = report.problems();
    if problems.is_empty() {
        return text::print("Everything agrees with exact arithmetic, within what rounding explains.");
    }
    bail!(
        "{} problems; please report them together with the table above:\n{}",
        problems.len(),
        problems.join("\n")
    )
}
