//! How the slots of a step, rows times chosen experts, are cut into tiles of one expert each.

/// Slots per expert from which on tiles pay: with fewer, most of a tile is empty.
pub(crate) const FULL_ENOUGH: u32 = 4;

/// Where the lists lie that say which tile multiplies which slots: first the number of slots before each expert's, then the tiles
/// (expert and first slot), then the slots in the order of their experts. All in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouping {
    pub(crate) experts: u32,
    /// Slots in a tile.
    pub(crate) size: u32,
    pub(crate) tiles_at: u32,
    pub(crate) order_at: u32,
    /// Of all lists.
    pub(crate) words: u32,
}

impl Grouping {
    /// For at most `most` slots.
    pub(crate) fn new(experts: u32, size: u32, most: u32) -> Self {
        let tiles_at = experts + 1;
        let order_at = tiles_at + 2 * Self { experts, size, tiles_at, order_at: 0, words: 0 }.tiles(most);
        Self { experts, size, tiles_at, order_at, words: order_at + most }
    }

    /// Tiles that suffice for so many slots however they are spread; the kernels count likewise.
    pub(crate) fn tiles(self, slots: u32) -> u32 {
        slots / self.size + slots.min(self.experts)
    }

    /// Whether so many slots are multiplied in tiles.
    pub(crate) const fn pays(self, slots: u32) -> bool {
        slots >= FULL_ENOUGH * self.experts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However slots choose their experts, an expert with `n` of them needs ⌈n ÷ size⌉ tiles.
    #[test]
    fn there_are_always_tiles_enough() {
        for (experts, size, slots) in [(8, 16, 100), (128, 32, 1024), (4, 64, 64), (60, 16, 7)] {
            let grouping = Grouping::new(experts, size, slots);
            // The worst spread: as many experts as there can be have one slot more than full tiles.
            let begun = slots.min(experts);
            let needed = begun + (slots - begun) / size;
            assert!(grouping.tiles(slots) >= needed);
            assert_eq!(grouping.words - grouping.order_at, slots);
            assert_eq!(grouping.order_at - grouping.tiles_at, 2 * grouping.tiles(slots));
        }
    }
}
