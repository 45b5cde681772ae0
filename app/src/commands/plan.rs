//! `ingle plan`.

use anyhow::bail;
use inglenook::backend::plan::{BatchLimits, Listing};
use inglenook::fit::cache_for;

use crate::cli::PlanArguments;
use crate::text;

pub(crate) fn run(arguments: &PlanArguments) -> anyhow::Result<()> {
    if arguments.rows == 0 || arguments.context == 0 {
        bail!("a step has at least one row and a cache holds at least one token");
    }
    let plan = arguments.model.subject()?.plan;
    let cache = cache_for(arguments.context, arguments.model.cache);
    let limits = BatchLimits { rows: arguments.rows, selected: 1, sequences: 1 };
    text::print(&Listing { plan: &plan, cache, limits }.to_string())
}
