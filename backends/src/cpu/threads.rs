//! The threads of the CPU backend, and how they are kept awake while a step is carried out.
//!
//! A step that writes a token is a few hundred operators. Most of its time goes into products that all threads share, a few hundred
//! microseconds each; between two of them is a little work for one thread. The pool's idle threads go to sleep there within
//! microseconds, and waking one takes tens of them. So while a step is carried out the others look for work without sleeping.
//!
//! On two cores of a Xeon with AVX-512, six pairs of runs with and without (`ingle bench --backend cpu --weights int8 -n 48`): decode was
//! quicker in all, by 5 % in the median for a model of 135 million weights, by 3 % for one of a billion.
//!
//! What it costs: where several models are stepped at once on the same threads, one that was kept awake may take a whole step of another
//! model, and its own step ends after that.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};

/// How long a step waits for the other threads to wake up before it begins without those that have not.
const PATIENCE: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(super) struct Threads {
    pool: ThreadPool,
    /// Whether a step keeps all threads awake. One at a time: two that each waited for the other's end would wait forever.
    taken: AtomicBool,
}

/// What a step and the threads that it keeps awake tell each other.
#[derive(Default)]
struct Watch {
    awake: AtomicUsize,
    /// Work has begun. Who comes later must not stay: a thread may have tasks of this step under way beneath, and then the end that
    /// it would wait for waits for it.
    begun: AtomicBool,
    over: AtomicBool,
}

impl Threads {
    pub(super) fn start(count: usize) -> Result<Self, ThreadPoolBuildError> {
        let builder = ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("ingle-cpu-{i}"));
        Ok(Self { pool: builder.build()?, taken: AtomicBool::new(false) })
    }

    pub(super) fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    pub(super) fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Does work that shares parts of itself many times, with all threads awake from beginning to end.
    pub(super) fn stay_awake<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let others = self.count() - 1;
        if others == 0 || self.taken.swap(true, Ordering::Acquire) {
            return self.pool.install(work);
        }
        let _taken = SetLater(&self.taken, false);
        self.pool.install(|| {
            let watch = Watch::default();
            let me = rayon::current_thread_index();
            rayon::scope(|scope| {
                scope.spawn_broadcast(|_, context| {
                    if Some(context.index()) != me {
                        watch.keep();
                    }
                });
                watch.begin(others);
                // Also where the work panics, or the scope would wait for its threads forever.
                let _over = SetLater(&watch.over, true);
                work()
            })
        })
    }
}

impl Watch {
    /// Waits a moment for so many threads, then closes the door.
    fn begin(&self, others: usize) {
        let start = Instant::now();
        while self.awake.load(Ordering::Relaxed) < others && start.elapsed() < PATIENCE {
            spin_loop();
        }
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Takes what tasks there are until the work is over.
    fn keep(&self) {
        if self.begun.load(Ordering::SeqCst) {
            return;
        }
        self.awake.fetch_add(1, Ordering::Relaxed);
        while !self.over.load(Ordering::Acquire) {
            if rayon::yield_now() != Some(Yield::Executed) {
                spin_loop();
            }
        }
    }
}

/// Sets a flag when it is let go of.
struct SetLater<'a>(&'a AtomicBool, bool);

impl Drop for SetLater<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of a range, shared down to single numbers.
    fn sum(from: usize, to: usize) -> usize {
        if to - from < 2 {
            return (from..to).sum();
        }
        let middle = usize::midpoint(from, to);
        let (a, b) = rayon::join(|| sum(from, middle), || sum(middle, to));
        a + b
    }

    #[test]
    fn work_is_done_with_any_number_of_threads() {
        for count in [1, 2, 3, 8] {
            let threads = Threads::start(count).unwrap();
            for _ in 0..100 {
                assert_eq!(threads.stay_awake(|| sum(0, 1000)), 499_500);
            }
        }
    }

    #[test]
    fn several_at_once_do_not_wait_for_each_other() {
        let threads = Threads::start(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        assert_eq!(threads.stay_awake(|| sum(0, 300)), 44_850);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let threads = Threads::start(3).unwrap();
        let attempt = std::panic::AssertUnwindSafe(|| threads.stay_awake(|| panic!("on purpose")));
        assert!(std::panic::catch_unwind(attempt).is_err());
        assert_eq!(threads.stay_awake(|| sum(0, 100)), 4950);
    }
}
