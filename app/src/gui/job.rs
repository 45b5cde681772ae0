//! Work beside the window: a thread that reports as it goes, for views that need more than a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Work on its way. Dropping it tells the work that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Job<T> {
    reports: Receiver<T>,
    cancelled: Arc<AtomicBool>,
    ended: bool,
}

/// What the work reports to.
pub(crate) struct Reporter<T> {
    reports: Sender<T>,
    cancelled: Arc<AtomicBool>,
    ctx: egui::Context,
}

impl<T> Reporter<T> {
    /// Tells the window something, which is drawn again soon. False where nobody waits any more.
    pub(crate) fn tell(&self, report: T) -> bool {
        let heard = self.reports.send(report).is_ok();
        self.ctx.request_repaint_after(std::time::Duration::from_millis(25));
        heard && !self.is_cancelled()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl<T: Send + 'static> Job<T> {
    /// Begins work on a thread of its own.
    pub(crate) fn start(
        ctx: &egui::Context,
        name: &str,
        work: impl FnOnce(&Reporter<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, reports) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let reporter = Reporter { reports: sender, cancelled: Arc::clone(&cancelled), ctx: ctx.clone() };
        let run = move || {
            work(&reporter);
            let Reporter { reports, ctx, .. } = reporter;
            // First, so that the window that wakes up sees that it has ended.
            drop(reports);
            ctx.request_repaint();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { reports, cancelled, ended: false })
    }

    /// The next report, if there is one now.
    pub(crate) fn poll(&mut self) -> Option<T> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.ended = true;
                None
            }
        }
    }

    /// Whether the work has ended and all reports were taken.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_in_order_and_then_it_has_ended() {
        let ctx = egui::Context::default();
        let mut job = Job::start(&ctx, "test", |reporter| {
            for number in 0..3 {
                assert!(reporter.tell(number));
            }
        })
        .unwrap();
        let mut taken = vec![];
        while !job.has_ended() {
            taken.extend(job.poll());
            std::thread::yield_now();
        }
        assert_eq!(taken, [0, 1, 2]);
    }

    #[test]
    fn work_that_nobody_waits_for_is_told() {
        let (told, heard) = channel();
        let work = move |reporter: &Reporter<()>| {
            while reporter.tell(()) {
                std::thread::yield_now();
            }
            told.send(()).unwrap();
        };
        drop(Job::start(&egui::Context::default(), "test", work).unwrap());
        heard.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    }
}
