//! The pool of pages.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

/// Everybody holds something: no page is free and none can be forgotten.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("all {pages} cache pages are in use")]
pub struct OutOfPages {
    pub pages: usize,
}

/// Stands for all tokens up to the end of a remembered page. Numbers are never used twice, so a prefix
/// that was forgotten is not mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix(u64);

impl Prefix {
    /// No tokens.
    pub(super) const EMPTY: Self = Self(0);
}

/// What a full page holds: the tokens before it, and its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    before: Prefix,
    tokens: Box<[u32]>,
}

/// What is known of a page.
#[derive(Clone, Debug, Default)]
struct Page {
    holders: u32,
    content: Option<(Content, Prefix)>,
    /// When its last holder let go of it.
    idle_since: u64,
}

/// Pages, who holds them, and what the full ones contain.
///
/// A page is *free* (nobody holds it and it holds nothing), *held*, or *idle*: remembered for its content
/// and given away, longest idle first, when no page is free.
#[derive(Clone, Debug)]
pub struct PagePool {
    page_tokens: usize,
    pages: Vec<Page>,
    free: Vec<u32>,
    idle: BTreeMap<u64, u32>,
    by_content: HashMap<Content, u32>,
    clock: u64,
    next_prefix: u64,
}

impl PagePool {
    /// A pool of `pages` pages of `page_tokens` tokens, all free.
    pub fn new(pages: usize, page_tokens: usize) -> Self {
        Self {
            page_tokens: page_tokens.max(1),
            pages: vec![Page::default(); pages],
            free: (0..pages as u32).rev().collect(),
            idle: BTreeMap::new(),
            by_content: HashMap::new(),
            clock: 0,
            next_prefix: 1,
        }
    }

    /// Tokens per page.
    pub const fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    /// Pages that a new holder could get: free and idle ones.
    pub fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// All pages.
    pub const fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there are no pages at all.
    pub const fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// A page to write to, held once.
    pub(super) fn take(&mut self) -> Result<u32, OutOfPages> {
        let page = if let Some(page) = self.free.pop() {
            page
        } else {
            let (_, page) = self.idle.pop_first().ok_or(OutOfPages { pages: self.pages.len() })?;
            self.forget(page);
            page
        };
        self.pages[page as usize].holders = 1;
        Ok(page)
    }

    /// One holder more.
    pub(super) fn hold(&mut self, page: u32) {
        let entry = &mut self.pages[page as usize];
        if entry.holders == 0 {
            self.idle.remove(&entry.idle_since);
        }
        entry.holders += 1;
    }

    /// One holder less.
    pub(super) fn let_go(&mut self, page: u32) {
        let entry = &mut self.pages[page as usize];
        debug_assert!(entry.holders > 0, "page {page} is let go of by nobody");
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders > 0 {
            return;
        }
        if entry.content.is_none() {
            self.free.push(page);
            return;
        }
        self.clock += 1;
        entry.idle_since = self.clock;
        self.idle.insert(self.clock, page);
    }

    /// Whether nobody else holds a page.
    pub(super) fn is_held_once(&self, page: u32) -> bool {
        self.pages[page as usize].holders == 1
    }

    /// Forgets what a page contains, because it is about to be written.
    pub(super) fn forget(&mut self, page: u32) {
        if let Some((content, _)) = self.pages[page as usize].content.take() {
            self.by_content.remove(&content);
        }
    }

    /// Remembers what a held page contains now that it is full, and gives the prefix that ends with it.
    /// Where another page has the same content, that one stays the remembered one.
    pub(super) fn remember(&mut self, page: u32, before: Prefix, tokens: &[u32]) -> Prefix {
        debug_assert_eq!(tokens.len(), self.page_tokens, "only full pages are remembered");
        let content = Content { before, tokens: tokens.into() };
        if let Some(twin) = self.by_content.get(&content)
            && let Some((_, prefix)) = &self.pages[*twin as usize].content
        {
            return *prefix;
        }
        let prefix = Prefix(self.next_prefix);
        self.next_prefix += 1;
        self.by_content.insert(content.clone(), page);
        self.pages[page as usize].content = Some((content, prefix));
        prefix
    }

    /// The page that holds these tokens after that prefix, if one is remembered.
    pub(super) fn recall(&self, before: Prefix, tokens: &[u32]) -> Option<(u32, Prefix)> {
        let page = *self.by_content.get(&Content { before, tokens: tokens.into() })?;
        let (_, prefix) = self.pages[page as usize].content.as_ref()?;
        Some((page, *prefix))
    }

    /// What is wrong with the books, if anything: each page is in exactly one place.
    #[cfg(test)]
    pub(super) fn audit(&self, held: &HashMap<u32, u32>) -> Result<(), String> {
        for (page, entry) in self.pages.iter().enumerate() {
            let page = page as u32;
            let expected = held.get(&page).copied().unwrap_or(0);
            if entry.holders != expected {
                return Err(format!("page {page} has {} holders, {expected} exist", entry.holders));
            }
            let free = self.free.iter().filter(|p| **p == page).count();
            let idle = self.idle.values().filter(|p| **p == page).count();
            let places = free + idle + usize::from(entry.holders > 0);
            if places != 1 || (free == 1 && entry.content.is_some()) || (idle == 1 && entry.content.is_none())
            {
                return Err(format!("page {page} is in {places} places: {entry:?}"));
            }
            if let Some((content, _)) = &entry.content
                && self.by_content.get(content) != Some(&page)
            {
                return Err(format!("page {page} is not found by its content"));
            }
        }
        if self.by_content.len() != self.pages.iter().filter(|p| p.content.is_some()).count() {
            return Err("a content leads to a page that does not have it".to_owned());
        }
        Ok(())
    }
}
