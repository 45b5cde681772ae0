//! Names of conversations and messages, and moments.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The last number that was given away.
static LAST: AtomicI64 = AtomicI64::new(0);

/// A number that nothing else has, larger than all before: the clock's microseconds, or one more than the last.
fn fresh() -> i64 {
    let now = since_epoch().as_micros() as i64;
    let next = |last: i64| Some(now.max(last + 1));
    // The closure always has a number, so both arms hold the one before.
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
    now.max(last + 1)
}

/// From now on all numbers are larger than this one, whatever the clock says: what was kept may be from the future.
pub(crate) fn start_after(number: i64) {
    LAST.fetch_max(number, Ordering::Relaxed);
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) i64);

        impl $name {
            /// One that nothing else has, later than all before.
            pub(crate) fn fresh() -> Self {
                Self(fresh())
            }
        }
    };
}

id! {
    /// Which conversation. No message has the same number.
    ConversationId
}
id! {
    /// Which message, among all of all conversations. Later ones are larger.
    MessageId
}

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) i64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(since_epoch().as_millis() as i64)
    }

    /// For people, in the time of this place: `2026-11-27 21:43`.
    pub(crate) fn local(self) -> String {
        chrono::DateTime::from_timestamp_millis(self.0).map_or_else(String::new, |time| {
            time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M").to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice_and_later_ones_are_larger() {
        let take = || (0..1000).map(|_| fresh()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(take)).collect();
        let lists: Vec<Vec<i64>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(lists.iter().all(|list| list.is_sorted()));
        let mut all: Vec<i64> = lists.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4000);
        let far = fresh() + 1_000_000_000;
        start_after(far);
        assert!(fresh() > far);
    }
}
