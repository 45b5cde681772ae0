//! The cached keys and values of one sequence and head, as runs of neighbouring tokens.

use std::ops::Range;

use half::f16;

use crate::cpu::cache::{LayerCache, Pool};
use crate::cpu::simd::{Element, LANES, Simd};
use crate::format::CacheLayout;

/// What a cache is made of.
pub(super) trait CacheElement: Element + Send + Sync {
    /// Whether each head vector has a scale.
    const SCALED: bool;

    fn codes(pool: &Pool) -> &[Self];
}

impl CacheElement for f16 {
    const SCALED: bool = false;

    fn codes(pool: &Pool) -> &[Self] {
        pool.halves()
    }
}

impl CacheElement for i8 {
    const SCALED: bool = true;

    fn codes(pool: &Pool) -> &[Self] {
        pool.bytes()
    }
}

/// Head vectors of neighbouring tokens, which lie one after another.
#[derive(Clone, Copy)]
pub(super) struct Run<'a, E> {
    /// Of whole vectors.
    codes: &'a [E],
    /// One per vector, or none.
    scales: &'a [f16],
    head_dim: usize,
}

impl<'a, E: CacheElement> Run<'a, E> {
    pub(super) fn tokens(&self) -> usize {
        self.codes.len() / self.head_dim
    }

    #[inline(always)]
    pub(super) fn vector(&self, token: usize) -> &'a [E] {
        &self.codes[token * self.head_dim..][..self.head_dim]
    }

    pub(super) fn scales(&self) -> &'a [f16] {
        self.scales
    }
}

/// The head's keys, or its values, of one sequence.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a, E> {
    codes: &'a [E],
    scales: &'a [f16],
    layout: &'a CacheLayout,
    table: &'a [u32],
    head: usize,
}

impl<'a, E: CacheElement> Pages<'a, E> {
    /// The keys and the values.
    pub(super) fn of(cache: &'a LayerCache, table: &'a [u32], head: usize) -> (Self, Self) {
        let pages = |pool: &'a Pool| Self {
            codes: E::codes(pool),
            scales: pool.scales(),
            layout: &cache.layout,
            table,
            head,
        };
        (pages(&cache.keys), pages(&cache.values))
    }

    /// The runs that make up a range of positions.
    pub(super) fn runs(self, positions: Range<usize>) -> Runs<'a, E> {
        Runs { pages: self, positions }
    }

    /// The memory of a range of positions, to be asked for while other work is done.
    pub(super) fn ahead(self, positions: Range<usize>) -> Ahead<'a, E> {
        Ahead { runs: self.runs(positions), codes: &[] }
    }
}

/// The runs of a range of positions.
pub(super) struct Runs<'a, E> {
    pages: Pages<'a, E>,
    positions: Range<usize>,
}

impl<'a, E: CacheElement> Iterator for Runs<'a, E> {
    type Item = Run<'a, E>;

    #[inline(always)]
    fn next(&mut self) -> Option<Run<'a, E>> {
        let (pages, at) = (self.pages, self.positions.start);
        if at >= self.positions.end {
            return None;
        }
        let CacheLayout { page_tokens, head_dim, .. } = *pages.layout;
        let token = at % page_tokens;
        let tokens = (page_tokens - token).min(self.positions.end - at);
        let page = pages.table[at / page_tokens] as usize;
        let first = pages.layout.vector_index(page, pages.head, token);
        self.positions.start += tokens;
        Some(Run {
            codes: &pages.codes[first * head_dim..][..tokens * head_dim],
            scales: if E::SCALED { &pages.scales[first..][..tokens] } else { &[] },
            head_dim,
        })
    }
}

/// Memory that is asked for a position at a time: what is asked for at once has to wait for one another, and the work with it.
pub(super) struct Ahead<'a, E> {
    runs: Runs<'a, E>,
    /// What is left of a run.
    codes: &'a [E],
}

impl<E: CacheElement> Ahead<'_, E> {
    /// Asks for the next position's head vector, if there is one.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(&mut self, s: S) {
        if self.codes.is_empty() {
            let Some(run) = self.runs.next() else { return };
            self.codes = run.codes;
        }
        let (vector, rest) = self.codes.split_at(self.runs.pages.layout.head_dim);
        prefetch(s, vector);
        self.codes = rest;
    }
}

/// Asks for the memory of some elements.
#[inline(always)]
fn prefetch<S: Simd, E>(s: S, codes: &[E]) {
    for line in codes.chunks(64 / size_of::<E>()) {
        s.prefetch(&line[0], 0);
    }
}

impl<E: CacheElement> Pages<'_, E> {
    /// Asks for the memory of a range of positions, which will be read soon. Pages lie apart from one another, so the
    /// processor does not find out by itself where reading goes on.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd>(self, s: S, positions: Range<usize>) {
        for run in self.runs(positions) {
            prefetch(s, run.codes);
        }
    }
}

/// The 16 elements of a head vector from 16·`index` on, or as many as there are.
#[inline(always)]
pub(super) fn lanes_at<S: Simd, E: Element>(s: S, vector: &[E], index: usize) -> S::F32 {
    let from = &vector[index * LANES..];
    match from.first_chunk() {
        Some(whole) => E::load(s, whole),
        None => E::load_partial(s, from),
    }
}
