//! A download on its way: what it reports, how fast it is, and how it ended.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use inglenook::models::hub::{HubError, Progress, Request, Settings, Stage, pull};

use crate::gui::job::Job;

/// The window is told no more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// A download.
pub(crate) struct Download {
    pub(crate) model: String,
    pub(crate) now: Now,
    pub(crate) end: Option<End>,
    job: Job<Report>,
    began: Instant,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) doing: Doing,
    /// The file that it is about.
    pub(crate) file: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What was here when it began.
    before: u64,
}

/// What it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Doing {
    #[default]
    Asking,
    Receiving,
    Checking,
    /// The connection dropped for this reason; the next attempt has this number.
    Pausing(u32, String),
    /// Another program is downloading the same.
    Waiting,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Here(PathBuf),
    /// What has arrived is kept.
    Stopped,
    Failed(String),
}

enum Report {
    Now(Now),
    End(End),
}

impl Download {
    /// Begins a download, or goes on with an earlier one.
    pub(crate) fn start(ctx: &egui::Context, settings: Settings, model: String) -> std::io::Result<Self> {
        let request = Request { model: model.clone(), ..Request::default() };
        let job = Job::start(ctx, "download", move |reporter| {
            let mut told: Option<Instant> = None;
            let mut last = Doing::Checking;
            let mut watch = |progress: &Progress<'_>| {
                let now = Now::from(progress);
                if now.doing != last || told.is_none_or(|told| told.elapsed() >= PAUSE) {
                    last = now.doing.clone();
                    told = Some(Instant::now());
                    reporter.tell(Report::Now(now));
                }
                if reporter.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let end = match pull(&settings, &request, &mut watch) {
                Ok(pulled) => End::Here(pulled.path),
                Err(HubError::Cancelled) => End::Stopped,
                Err(error) => End::Failed(error.to_string()),
            };
            reporter.tell(Report::End(end));
        })?;
        Ok(Self { model, now: Now::default(), end: None, job, began: Instant::now() })
    }

    /// Takes what it reports; says whether it has ended just now.
    pub(crate) fn take(&mut self) -> bool {
        let was_on_its_way = self.end.is_none();
        while let Some(report) = self.job.poll() {
            match report {
                Report::Now(now) => {
                    // The speed is that of what comes, not of what was here.
                    if now.before != self.now.before {
                        self.began = Instant::now();
                    }
                    self.now = now;
                }
                Report::End(end) => self.end = Some(end),
            }
        }
        if self.job.has_ended() && self.end.is_none() {
            self.end = Some(End::Stopped);
        }
        was_on_its_way && self.end.is_some()
    }

    /// Stops it; what has arrived stays.
    pub(crate) fn cancel(&self) {
        self.job.cancel();
    }

    pub(crate) fn share(&self) -> f32 {
        if self.now.total == 0 { 0.0 } else { (self.now.done as f64 / self.now.total as f64) as f32 }
    }

    /// Bytes per second, and the time that is left, once that can be told.
    pub(crate) fn speed(&self) -> Option<(f64, Duration)> {
        let time = self.began.elapsed().as_secs_f64();
        let came = self.now.done.saturating_sub(self.now.before) as f64;
        if time < 0.5 || came <= 0.0 {
            return None;
        }
        let left = self.now.total.saturating_sub(self.now.done) as f64 * time / came;
        Some((came / time, Duration::try_from_secs_f64(left).ok()?))
    }
}

impl From<&Progress<'_>> for Now {
    fn from(progress: &Progress<'_>) -> Self {
        let (doing, file) = match progress.stage {
            Stage::Listing => (Doing::Asking, ""),
            Stage::Receiving { file } => (Doing::Receiving, file),
            Stage::Checking { file } => (Doing::Checking, file),
            Stage::Pausing { file, attempt, fault } => (Doing::Pausing(attempt, fault.to_owned()), file),
            Stage::Another { file } => (Doing::Waiting, file),
        };
        let &Progress { done, total, before, .. } = progress;
        Self { doing, file: file.to_owned(), done, total, before }
    }
}
