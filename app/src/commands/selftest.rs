//! `ingle selftest`.

use crate::cli::SelftestArguments;

pub fn run(_: &SelftestArguments) -> anyhow::Result<()> {
    Ok(())
}
