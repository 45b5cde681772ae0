//! Side by side, for show: every contestant writes a reply to the same prompt at the same time, each with an engine of its own.
//!
//! They are loaded one after another, so that each is weighed against the memory that those before it have left, and begin
//! together. They share the machine, so their speeds say little of each of them alone; fair ones are measured elsewhere
//! (`inglenook::measure::compare`).

use std::ops::ControlFlow;
use std::path::PathBuf;

use inglenook::backend::plan::BatchLimits;
use inglenook::chat::{Ending, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::{Engine, Request, Session, Timings};
use inglenook::measure::compare::{Contestant, Options};
use inglenook::model::{LoadOptions, Model};

use super::job::{Job, Reporter};
use super::live::Live;
use crate::failure;

/// What all of them do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) folder: PathBuf,
    pub(crate) prompt: String,
    /// Each writes so many tokens at most.
    pub(crate) tokens: usize,
}

/// Contestants that write side by side, or have.
pub(crate) struct Beside {
    job: Job<Report>,
    pub(crate) columns: Vec<Column>,
    /// Why none of them could begin.
    pub(crate) trouble: Option<String>,
}

/// One of them.
pub(crate) struct Column {
    pub(crate) label: String,
    pub(crate) device: String,
    pub(crate) state: ColumnState,
    pub(crate) text: String,
    pub(crate) live: Live,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ColumnState {
    /// Those before it are being loaded.
    Waiting,
    Loading {
        done: u64,
        total: u64,
    },
    /// It is loaded, and waits until all are.
    Ready,
    Writing,
    Ended {
        ending: Ending,
        tokens: usize,
        /// Tokens per second.
        rate: f64,
    },
    Failed(String),
}

/// What the job has to say of the contestant in a place.
enum Report {
    State(usize, ColumnState),
    Text(usize, String),
    /// So many tokens are written.
    Token(usize, usize),
    Trouble(String),
}

impl Beside {
    /// Begins; the contestants are told apart by their labels.
    pub(crate) fn start(
        ctx: &egui::Context,
        task: Task,
        contestants: Vec<Contestant>,
    ) -> std::io::Result<Self> {
        let column = |contestant: &Contestant| Column {
            label: contestant.label(),
            device: contestant.device.info.name.clone(),
            state: ColumnState::Waiting,
            text: String::new(),
            live: Live::new(),
        };
        let columns = contestants.iter().map(column).collect();
        let work = move |reporter: &Reporter<Report>| {
            if let Err(error) = run(&task, &contestants, reporter) {
                reporter.tell(Report::Trouble(failure::message(&error)));
            }
        };
        Ok(Self { job: Job::start(ctx, "side by side", work)?, columns, trouble: None })
    }

    /// Takes in what has happened.
    pub(crate) fn take_reports(&mut self) {
        while let Some(report) = self.job.poll() {
            match report {
                Report::State(place, state) => self.columns[place].state = state,
                Report::Text(place, text) => self.columns[place].text.push_str(&text),
                Report::Token(place, tokens) => self.columns[place].live.wrote(tokens, true, false),
                Report::Trouble(reason) => self.trouble = Some(reason),
            }
        }
        if self.is_over() {
            for column in &mut self.columns {
                if !column.is_over() {
                    column.state = ColumnState::Ended { ending: Ending::Cancelled, tokens: 0, rate: 0.0 };
                }
            }
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.job.has_ended()
    }

    /// Stops all of them.
    pub(crate) fn stop(&self) {
        self.job.cancel();
    }
}

impl Column {
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, ColumnState::Ended { .. } | ColumnState::Failed(_))
    }
}

fn run(task: &Task, contestants: &[Contestant], reporter: &Reporter<Report>) -> anyhow::Result<()> {
    let model = Model::open(&task.folder)?;
    let text = model.text()?;
    let prompt = Options::chat(&model, &task.prompt)?.tokens;
    let request =
        Request { max_tokens: task.tokens, stop_tokens: text.end_tokens.clone(), ..Request::new(prompt) };
    let mut ready = vec![];
    for (place, contestant) in contestants.iter().enumerate() {
        let mut tell =
            |done, total| reporter.tell(Report::State(place, ColumnState::Loading { done, total }));
        let loaded = load(&model, contestant, &request, &mut tell);
        // What was stopped has not failed.
        if reporter.is_cancelled() {
            return Ok(());
        }
        match loaded {
            Ok(engine) => {
                reporter.tell(Report::State(place, ColumnState::Ready));
                ready.push((place, engine.session()));
            }
            Err(error) => {
                let reason = failure::message(&error);
                reporter.tell(Report::State(place, ColumnState::Failed(reason)));
            }
        }
    }
    // All are asked before any is listened to.
    let begin = |(place, session): (usize, Session)| {
        let reply = TextReply::new(session.generate(request.clone()), text, ReplyOptions::default());
        (place, session, reply)
    };
    let begun: Vec<_> = ready.into_iter().map(begin).collect();
    std::thread::scope(|scope| {
        for (place, session, reply) in begun {
            let follow = move || {
                follow(place, reply, reporter);
                drop(session);
            };
            let started = std::thread::Builder::new().name("beside".to_owned()).spawn_scoped(scope, follow);
            if let Err(error) = started {
                reporter.tell(Report::State(place, ColumnState::Failed(error.to_string())));
            }
        }
    });
    Ok(())
}

/// Loads the model as a contestant has it, with room for what is to be written.
fn load(
    model: &Model,
    contestant: &Contestant,
    request: &Request,
    tell: &mut dyn FnMut(u64, u64) -> bool,
) -> anyhow::Result<Engine> {
    let options = LoadOptions {
        weights: contestant.weights,
        cache: contestant.cache,
        context: Some(request.tokens.len() + request.max_tokens),
        limits: BatchLimits { selected: 1, sequences: 1, ..LoadOptions::default().limits },
        ..LoadOptions::default()
    };
    let device = contestant.device.now()?;
    let loaded = model.prepare(&device, &options, &mut |progress| {
        if tell(progress.done_bytes, progress.total_bytes) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(loaded.into_engine()?)
}

/// Listens to one of them until it ends.
fn follow(place: usize, reply: TextReply, reporter: &Reporter<Report>) {
    let cancel = reply.canceller();
    let mut tokens = 0;
    for event in reply {
        let report = match event {
            ReplyEvent::Reading { .. } | ReplyEvent::DeviceRestored { .. } => {
                Report::State(place, ColumnState::Writing)
            }
            ReplyEvent::Token(_) => {
                tokens += 1;
                Report::Token(place, tokens)
            }
            ReplyEvent::Text { text, .. } => Report::Text(place, text),
            ReplyEvent::DeviceLost(_) => Report::State(place, ColumnState::Ready),
            ReplyEvent::Finished { ending, timings } => Report::State(place, ended(ending, tokens, &timings)),
            ReplyEvent::Failed(error) => Report::State(place, ColumnState::Failed(error.to_string())),
        };
        if !reporter.tell(report) {
            cancel();
        }
    }
}

fn ended(ending: Ending, tokens: usize, timings: &Timings) -> ColumnState {
    ColumnState::Ended { ending, tokens, rate: timings.decode_rate() }
}
