//! A sequence of tokens whose keys and values are in pages.

use ingle_backends::PageCopy;

use super::pool::{OutOfPages, PagePool, Prefix};

/// The tokens that the cache holds for a sequence, and the pages they are in.
///
/// Holds its pages until [`CachedSequence::release`] gives them back to the pool.
#[derive(Debug, Default)]
pub struct CachedSequence {
    /// Tokens whose keys and values are stored.
    tokens: Vec<u32>,
    /// The pages of all positions, and of those reserved beyond.
    pages: Vec<u32>,
    /// The prefix that ends with each full page.
    prefixes: Vec<Prefix>,
}

impl CachedSequence {
    /// The tokens that are stored.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The page table: what a step is given, cut to the positions that it needs.
    pub fn pages_for(&self, pool: &PagePool, positions: usize) -> &[u32] {
        &self.pages[..positions.div_ceil(pool.page_tokens()).min(self.pages.len())]
    }

    /// Makes this the sequence that begins with as many of `wanted`'s tokens as the cache has: those it
    /// holds itself, and after them whole pages that anybody stored. Returns how many these are; always
    /// fewer than wanted, since at least one token must be computed for its logits.
    pub fn resume(&mut self, pool: &mut PagePool, wanted: &[u32]) -> usize {
        let page_tokens = pool.page_tokens();
        let most = wanted.len().saturating_sub(1);
        let common = self.tokens.iter().zip(wanted).take_while(|(a, b)| a == b).count().min(most);
        // Whole pages of others may reach further than what this sequence holds itself.
        let mut known = vec![];
        let mut before = Prefix::EMPTY;
        for chunk in wanted[..most].chunks_exact(page_tokens) {
            let Some((page, prefix)) = pool.recall(before, chunk) else { break };
            known.push((page, prefix));
            before = prefix;
        }
        if known.len() * page_tokens <= common {
            self.truncate(pool, common);
            return common;
        }
        for (page, _) in &known {
            pool.hold(*page);
        }
        self.truncate(pool, 0);
        self.tokens = wanted[..known.len() * page_tokens].to_vec();
        (self.pages, self.prefixes) = known.into_iter().unzip();
        self.tokens.len()
    }

    /// Keeps the first tokens and lets go of the pages behind them.
    pub fn truncate(&mut self, pool: &mut PagePool, tokens: usize) {
        let page_tokens = pool.page_tokens();
        self.tokens.truncate(tokens);
        self.prefixes.truncate(self.tokens.len() / page_tokens);
        let keep = self.tokens.len().div_ceil(page_tokens);
        // The last page first: of a forgotten conversation, its end goes before its beginning.
        for page in self.pages.drain(keep.min(self.pages.len())..).rev() {
            pool.let_go(page);
        }
    }

    /// Makes room for `count` more tokens. The pages in which they will be stored belong to this
    /// sequence alone; the copies that this takes must be made before the step that writes.
    pub fn reserve(&mut self, pool: &mut PagePool, count: usize) -> Result<Vec<PageCopy>, OutOfPages> {
        let page_tokens = pool.page_tokens();
        let needed = (self.tokens.len() + count).div_ceil(page_tokens);
        let missing = needed.saturating_sub(self.pages.len());
        let open =
            (!self.tokens.len().is_multiple_of(page_tokens)).then_some(self.tokens.len() / page_tokens);
        let shared = open.filter(|entry| count > 0 && !pool.is_held_once(self.pages[*entry]));
        // All or nothing: a sequence that cannot go on keeps what it has.
        if pool.available() < missing + usize::from(shared.is_some()) {
            return Err(OutOfPages { pages: pool.len() });
        }
        let mut copies = vec![];
        if let Some(entry) = shared {
            let (from, to) = (self.pages[entry], pool.take()?);
            self.pages[entry] = to;
            pool.let_go(from);
            copies.push(PageCopy { from, to });
        } else if let Some(entry) = open.filter(|_| count > 0) {
            pool.forget(self.pages[entry]);
        }
        for _ in 0..missing {
            self.pages.push(pool.take()?);
        }
        Ok(copies)
    }

    /// Records that these tokens, for which room was reserved, are stored now.
    pub fn commit(&mut self, pool: &mut PagePool, tokens: &[u32]) {
        let page_tokens = pool.page_tokens();
        self.tokens.extend_from_slice(tokens);
        debug_assert!(self.tokens.len() <= self.pages.len() * page_tokens, "stored without room");
        for entry in self.prefixes.len()..self.tokens.len() / page_tokens {
            let before = self.prefixes.last().copied().unwrap_or(Prefix::EMPTY);
            let content = &self.tokens[entry * page_tokens..(entry + 1) * page_tokens];
            self.prefixes.push(pool.remember(self.pages[entry], before, content));
        }
    }

    /// Another sequence with the same tokens in the same pages. Room that was reserved is not shared.
    #[must_use]
    pub fn branch(&self, pool: &mut PagePool) -> Self {
        let stored = self.tokens.len().div_ceil(pool.page_tokens());
        let pages = self.pages[..stored.min(self.pages.len())].to_vec();
        for page in &pages {
            pool.hold(*page);
        }
        Self { tokens: self.tokens.clone(), pages, prefixes: self.prefixes.clone() }
    }

    /// Gives all pages back.
    pub fn release(mut self, pool: &mut PagePool) {
        self.truncate(pool, 0);
    }

    /// Whether it holds any pages, for tokens stored or to come.
    pub const fn holds_pages(&self) -> bool {
        !self.pages.is_empty()
    }

    /// The pages that it holds.
    #[cfg(test)]
    fn held(&self) -> &[u32] {
        &self.pages
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// What a backend would have in its pages: the token at each place, and the tokens before it.
    struct Shadow {
        pages: Vec<Vec<Option<Vec<u32>>>>,
    }

    impl Shadow {
        fn new(pages: usize, page_tokens: usize) -> Self {
            Self { pages: vec![vec![None; page_tokens]; pages] }
        }

        fn copy(&mut self, copies: &[PageCopy]) {
            for copy in copies {
                self.pages[copy.to as usize] = self.pages[copy.from as usize].clone();
            }
        }

        /// Writes the keys of positions `from..`, each of which depends on everything before it.
        fn write(&mut self, pages: &[u32], history: &[u32], from: usize) {
            let page_tokens = self.pages[0].len();
            for position in from..history.len() {
                let page = pages[position / page_tokens] as usize;
                self.pages[page][position % page_tokens] = Some(history[..=position].to_vec());
            }
        }

        fn read(&self, pages: &[u32], position: usize) -> Option<&Vec<u32>> {
            let page_tokens = self.pages[0].len();
            self.pages[pages[position / page_tokens] as usize][position % page_tokens].as_ref()
        }
    }

    /// Brings a sequence to hold all of `wanted`, as an engine would; false where there is no room.
    fn store(
        sequence: &mut CachedSequence,
        pool: &mut PagePool,
        shadow: &mut Shadow,
        wanted: &[u32],
    ) -> bool {
        let start = sequence.resume(pool, wanted);
        let Ok(copies) = sequence.reserve(pool, wanted.len() - start) else { return false };
        shadow.copy(&copies);
        shadow.write(sequence.pages_for(pool, wanted.len()), wanted, start);
        sequence.commit(pool, &wanted[start..]);
        true
    }

    #[derive(Clone, Debug)]
    enum Act {
        Open,
        Extend(usize, Vec<u32>),
        Edit(usize, usize, Vec<u32>),
        Branch(usize),
        Drop(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        // Few different tokens, so that conversations often agree.
        let tokens = || prop::collection::vec(0u32..2, 1..12);
        let act = prop_oneof![
            Just(Act::Open),
            (0usize..100, tokens()).prop_map(|(s, t)| Act::Extend(s, t)),
            (0usize..100, 0usize..40, tokens()).prop_map(|(s, at, t)| Act::Edit(s, at, t)),
            (0usize..100).prop_map(Act::Branch),
            (0usize..100).prop_map(Act::Drop),
        ];
        prop::collection::vec(act, 1..120)
    }

    proptest! {
        /// Sessions opened, extended, edited, branched and dropped in any order: every position that a
        /// sequence holds has been computed from exactly its tokens, and no page is lost.
        #[test]
        fn no_page_is_lost_and_none_holds_what_it_should_not(acts in acts(), pages in 4usize..40) {
            const PAGE_TOKENS: usize = 4;
            let mut pool = PagePool::new(pages, PAGE_TOKENS);
            let mut shadow = Shadow::new(pages, PAGE_TOKENS);
            let mut sequences: Vec<CachedSequence> = vec![];
            for act in acts {
                let count = sequences.len().max(1);
                match act {
                    Act::Open => sequences.push(CachedSequence::default()),
                    Act::Extend(s, new) => {
                        if let Some(sequence) = sequences.get_mut(s % count) {
                            let wanted = [sequence.tokens(), &new].concat();
                            store(sequence, &mut pool, &mut shadow, &wanted);
                        }
                    }
                    Act::Edit(s, at, new) => {
                        if let Some(sequence) = sequences.get_mut(s % count) {
                            let keep = at.min(sequence.tokens().len());
                            let wanted = [&sequence.tokens()[..keep], &new].concat();
                            store(sequence, &mut pool, &mut shadow, &wanted);
                        }
                    }
                    Act::Branch(s) => {
                        if let Some(sequence) = sequences.get(s % count) {
                            let branch = sequence.branch(&mut pool);
                            sequences.push(branch);
                        }
                    }
                    Act::Drop(s) if !sequences.is_empty() => {
                        sequences.swap_remove(s % count).release(&mut pool);
                    }
                    Act::Drop(_) => {}
                }
                let mut held: HashMap<u32, u32> = HashMap::new();
                for page in sequences.iter().flat_map(CachedSequence::held) {
                    *held.entry(*page).or_default() += 1;
                }
                prop_assert_eq!(pool.audit(&held), Ok(()));
                for sequence in &sequences {
                    for position in 0..sequence.tokens().len() {
                        let stored = shadow.read(sequence.pages_for(&pool, position + 1), position);
                        let history = sequence.tokens()[..=position].to_vec();
                        prop_assert_eq!(stored, Some(&history));
                    }
                }
            }
            for sequence in sequences {
                sequence.release(&mut pool);
            }
            prop_assert_eq!(pool.available(), pages);
        }
    }

    #[test]
    fn a_second_turn_computes_only_its_new_tokens() {
        let mut pool = PagePool::new(200, 16);
        let mut shadow = Shadow::new(200, 16);
        let mut sequence = CachedSequence::default();
        let first: Vec<u32> = (0..2000).collect();
        assert!(store(&mut sequence, &mut pool, &mut shadow, &first));
        let second = [&first[..], &[7, 8, 9]].concat();
        assert_eq!(sequence.resume(&mut pool, &second), 2000);
    }

    #[test]
    fn another_session_with_the_same_prompt_reuses_its_full_pages() {
        let mut pool = PagePool::new(32, 16);
        let mut shadow = Shadow::new(32, 16);
        let prompt: Vec<u32> = (0..100).collect();
        let mut one = CachedSequence::default();
        assert!(store(&mut one, &mut pool, &mut shadow, &prompt));
        one.release(&mut pool);
        let mut two = CachedSequence::default();
        assert_eq!(two.resume(&mut pool, &prompt), 96);
        assert_eq!(pool.available(), 32 - 6);
    }

    #[test]
    fn a_branch_costs_one_page_when_it_differs() {
        let mut pool = PagePool::new(8, 4);
        let mut shadow = Shadow::new(8, 4);
        let mut one = CachedSequence::default();
        assert!(store(&mut one, &mut pool, &mut shadow, &[1, 2, 3, 4, 5, 6]));
        let mut two = one.branch(&mut pool);
        assert_eq!(pool.available(), 6);
        assert!(store(&mut two, &mut pool, &mut shadow, &[1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(pool.available(), 5);
        assert_eq!(one.tokens(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn without_room_nothing_changes() {
        let mut pool = PagePool::new(2, 4);
        let mut shadow = Shadow::new(2, 4);
        let mut one = CachedSequence::default();
        assert!(store(&mut one, &mut pool, &mut shadow, &[1, 2, 3, 4, 5]));
        assert_eq!(one.reserve(&mut pool, 4), Err(OutOfPages { pages: 2 }));
        assert_eq!(one.tokens(), [1, 2, 3, 4, 5]);
        assert_eq!(one.reserve(&mut pool, 3), Ok(vec![]));
    }
}
