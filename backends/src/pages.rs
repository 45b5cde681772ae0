//! Checks of cache options and page copies that all backends share.

use crate::plan::Plan;
use crate::{BackendError, CacheOptions, PageCopy};

/// The options under which a plan's cache can be, or why it cannot.
///
/// A plan without caches gets no pages, whatever was asked for, so that checking its batches costs no
/// tables of pages.
pub(crate) fn usable_cache(plan: &Plan, options: &CacheOptions) -> Result<CacheOptions, BackendError> {
    let fault = |text: String| Err(BackendError::CacheOptions(text));
    if options.page_tokens == 0 {
        return fault("pages of 0 tokens hold nothing; 16 is usual".to_owned());
    }
    if plan.caches.is_empty() {
        return Ok(CacheOptions { pages: 0, ..*options });
    }
    if options.pages == 0 {
        return fault("a model with attention needs at least 1 page".to_owned());
    }
    if u32::try_from(options.pages).is_err() {
        return fault(format!("{} pages cannot be numbered; the most is {}", options.pages, u32::MAX));
    }
    // The layout saturates, so a size that overflows shows as the largest number there is.
    let pools = plan.caches.iter().map(|c| c.layout(options).bytes_per_page().checked_mul(options.pages));
    let bytes = pools.reduce(|sum, bytes| sum?.checked_add(bytes?)).flatten();
    match bytes.map(isize::try_from) {
        Some(Ok(_)) => Ok(*options),
        _ => fault(format!(
            "{} pages of {} tokens are more bytes than can be counted",
            options.pages, options.page_tokens
        )),
    }
}

/// Checks that the pages of all copies exist.
pub(crate) fn check_copies(copies: &[PageCopy], options: &CacheOptions) -> Result<(), BackendError> {
    let pages = options.pages;
    let mut named = copies.iter().flat_map(|copy| [copy.from, copy.to]);
    match named.find(|page| *page as usize >= pages) {
        Some(page) => Err(BackendError::NoSuchPage { page, pages }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::CacheFormat;
    use crate::plan::PlanBuilder;

    fn plan(caches: usize) -> Plan {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 8);
        for _ in 0..caches {
            plan.cache(2, 4);
        }
        plan.tap(x);
        plan.finish().unwrap()
    }

    #[test]
    fn senseless_options_are_refused() {
        let good = CacheOptions { format: CacheFormat::Int8, page_tokens: 16, pages: 4 };
        assert_eq!(usable_cache(&plan(1), &good).unwrap(), good);
        for bad in [
            CacheOptions { page_tokens: 0, ..good },
            CacheOptions { pages: 0, ..good },
            CacheOptions { pages: usize::MAX, ..good },
            CacheOptions { page_tokens: usize::MAX, ..good },
            CacheOptions { page_tokens: usize::MAX / 64, ..good },
            CacheOptions { page_tokens: 1 << 56, pages: 2, ..good },
        ] {
            let result = usable_cache(&plan(3), &bad);
            assert!(matches!(result, Err(BackendError::CacheOptions(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_plan_without_caches_has_no_pages() {
        let options = CacheOptions { pages: usize::MAX, ..CacheOptions::default() };
        assert_eq!(usable_cache(&plan(0), &options).unwrap().pages, 0);
        let options = CacheOptions { page_tokens: 0, ..options };
        assert!(usable_cache(&plan(0), &options).is_err());
    }

    #[test]
    fn copies_name_pages_that_exist() {
        let options = CacheOptions { pages: 3, ..CacheOptions::default() };
        let copy = |from, to| PageCopy { from, to };
        assert!(check_copies(&[copy(0, 2), copy(2, 2)], &options).is_ok());
        assert!(check_copies(&[], &options).is_ok());
        for bad in [copy(3, 0), copy(0, 3)] {
            let result = check_copies(&[copy(0, 1), bad], &options);
            assert!(matches!(result, Err(BackendError::NoSuchPage { page: 3, pages: 3 })));
        }
    }
}
