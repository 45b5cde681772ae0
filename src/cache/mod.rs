//! Book-keeping of the paged cache: which page holds what, and who uses it.
//!
//! The engine owns this; a backend only reads page tables. Three things make turns, branches and edits
//! cheap:
//!
//! * Pages are **counted**: branches of a conversation hold the same pages.
//! * A page is **copied before it is written** when somebody else holds it too.
//! * A full page is **remembered by its content**, that is by all tokens up to its end. It stays after
//!   its last holder has gone, until the room is needed, and whoever starts with the same tokens holds
//!   it again without computing anything.

mod pool;
mod sequence;

pub use pool::{OutOfPages, PagePool};
pub use sequence::CachedSequence;
