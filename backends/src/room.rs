//! What would fit where a plan does not: worked out for the plan at hand, for the backends to say.

use crate::CacheOptions;
use crate::format::{CacheFormat, Int8Group, WeightFormat};
use crate::plan::{Op, Plan};

/// What to say where a plan with its cache needs more than is available; `needs` says what a plan with a cache takes.
///
/// Each way that is named is one change that suffices by itself. Where none does, weights that leave room for a shorter
/// cache are.
pub(crate) fn what_would_fit(
    plan: &Plan,
    cache: &CacheOptions,
    available: u64,
    needs: impl Fn(&Plan, &CacheOptions) -> u64,
) -> String {
    let fits = |plan: &Plan, cache: &CacheOptions| needs(plan, cache) <= available;
    // The most pages beside the rest, of which each takes as much as the others.
    let most_pages = |plan: &Plan| {
        let without = needs(plan, &CacheOptions { pages: 0, ..*cache });
        let page = needs(plan, &CacheOptions { pages: 1, ..*cache }).saturating_sub(without);
        available.saturating_sub(without).checked_div(page).unwrap_or(0)
    };
    let smaller = WeightFormat::SMALLER.map(|format| (format, in_format(plan, format)));
    let smaller = || smaller.iter().filter_map(|(format, plan)| Some((format, plan.as_ref()?)));

    let mut ways = vec![];
    match most_pages(plan) {
        0 => {}
        pages => ways.push(format!("a cache of {pages} pages of {} tokens", cache.page_tokens)),
    }
    if cache.format == CacheFormat::F16 && fits(plan, &CacheOptions { format: CacheFormat::Int8, ..*cache }) {
        ways.push("an int8 cache".to_owned());
    }
    let formats = smaller().filter(|(_, plan)| fits(plan, cache)).map(|(format, _)| format.to_string());
    match formats.collect::<Vec<_>>().as_slice() {
        [] => {}
        formats => ways.push(format!("weights in {}", one_of(formats))),
    }
    if ways.is_empty() {
        let with_pages = smaller().map(|(format, plan)| (format, most_pages(plan)));
        ways.extend(with_pages.filter(|(_, pages)| *pages > 0).map(|(format, pages)| {
            format!("weights in {format} with a cache of {pages} pages of {} tokens", cache.page_tokens)
        }));
    }
    if ways.is_empty() {
        return "no format makes it fit: close other programs, or choose a smaller model".to_owned();
    }
    format!("it would fit with {}", one_of(&ways))
}

/// The plan with its matrices in a format, where that makes them smaller; `None` where it makes none so.
///
/// Embeddings and the head stay at int8 as a rule, so they count as that at least.
fn in_format(plan: &Plan, format: WeightFormat) -> Option<Plan> {
    let mut other = plan.clone();
    for node in &plan.nodes {
        let Some(matrix) = node.op.matrix() else { continue };
        let is_table = matches!(node.op, Op::Embed(_));
        let is_head = node.op.outputs().iter().any(|output| Some(*output) == plan.logits);
        let least = if is_table || is_head { WeightFormat::Int8(Int8Group::G64) } else { format };
        let least = if format.bits_per_weight() > least.bits_per_weight() { format } else { least };
        // A table that is also the head is met twice, with the same result.
        let matrix = &mut other.matrices[matrix.index()];
        if least.bytes(matrix.rows, matrix.cols) as u64 <= matrix.bytes() {
            matrix.format = least;
        }
    }
    (other.weight_bytes() < plan.weight_bytes()).then_some(other)
}

/// `a`, `a or b`, `a, b or c`.
fn one_of(ways: &[String]) -> String {
    match ways {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} or {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BatchLimits, PlanBuilder};

    const CACHE: CacheOptions = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 64 };
    const LIMITS: BatchLimits = BatchLimits { rows: 1, selected: 1, sequences: 1 };

    /// A table of 2 MiB, a layer of 4 MiB in f32 and 64 KiB per page.
    fn plan() -> Plan {
        let mut plan = PlanBuilder::new();
        let table = plan.matrix("table", 512, 1024, WeightFormat::F32);
        let w = plan.matrix("w", 1024, 1024, WeightFormat::F32);
        let cache = plan.cache(16, 64);
        let x = plan.embed(table);
        let y = plan.linear(x, w);
        let y = plan.attention(y, y, y, cache, 16);
        plan.logits(y, table);
        plan.finish().unwrap()
    }

    fn needs(plan: &Plan, cache: &CacheOptions) -> u64 {
        plan.footprint(cache, &LIMITS).total()
    }

    fn said(available: u64) -> String {
        what_would_fit(&plan(), &CACHE, available, needs)
    }

    #[test]
    fn what_is_named_fits_and_what_is_not_does_not() {
        let total = needs(&plan(), &CACHE);
        for missing in (1..total).step_by(50_000) {
            let available = total - missing;
            let said = said(available);
            let fits = |plan: &Plan, cache: &CacheOptions| needs(plan, cache) <= available;
            let int8_cache = CacheOptions { format: CacheFormat::Int8, ..CACHE };
            assert_eq!(said.contains("an int8 cache"), fits(&plan(), &int8_cache), "{available}: {said}");
            let mut any_whole = fits(&plan(), &int8_cache);
            for format in WeightFormat::SMALLER {
                let smaller = in_format(&plan(), format).unwrap();
                let alone = fits(&smaller, &CACHE);
                any_whole |= alone;
                let named = said.contains(&format.to_string());
                let with_a_page = fits(&smaller, &CacheOptions { pages: 1, ..CACHE });
                assert!(if alone { named } else { !named || with_a_page }, "{available}: {format}: {said}");
            }
            if let Some(pages) = said.strip_prefix("it would fit with a cache of ") {
                let pages = pages.split(' ').next().unwrap().parse::<usize>().unwrap();
                assert!(fits(&plan(), &CacheOptions { pages, ..CACHE }), "{available}: {said}");
                assert!(!fits(&plan(), &CacheOptions { pages: pages + 1, ..CACHE }), "{available}: {said}");
            }
            assert!(!any_whole || !said.contains("smaller model"), "{available}: {said}");
        }
    }

    #[test]
    fn each_way_is_said() {
        let total = needs(&plan(), &CACHE);
        let sizes = |format| needs(&in_format(&plan(), format).unwrap(), &CACHE);
        let (int8, int4) = (WeightFormat::SMALLER[0], WeightFormat::SMALLER[1]);
        assert_eq!(
            said(total - 1),
            "it would fit with a cache of 63 pages of 16 tokens, an int8 cache or weights in int8-g64, int4-g32, int4-g64 or nf4"
        );
        assert!(!said(sizes(int8) - 1).contains("int8-g64"));
        assert!(said(sizes(int8) - 1).contains("int4-g32, int4-g64 or nf4"));
        // Too little for the whole cache in any format.
        let page = 64 << 10;
        let little = sizes(int4) - page * 60;
        assert!(
            said(little).starts_with("it would fit with weights in int4-g32 with a cache of 4 pages"),
            "{}",
            said(little)
        );
        assert!(said(100).contains("smaller model"));
    }
}
