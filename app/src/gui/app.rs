//! The window's frame: takes in what has happened, draws the views, and carries out what was asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use egui::Ui;
use inglenook::model::builtin::{self, BuiltinError};

use super::command::Command;
use super::desk::Desk;
use super::dialog::{Answer, Purpose};
use super::job::Job;
use super::page::Page;
use super::picture::Canvas;
use super::settings::{self, Settings};
use super::state::State;
use super::{theme, update, views};
use crate::store::{self, Opened, Store};

/// Everything that a window has.
pub(crate) struct App {
    pub(crate) state: State,
    pub(crate) desk: Desk,
    pub(crate) store: Store,
    /// The built-in model, until it is unpacked.
    pub(crate) built_in: Option<Job<BuiltIn>>,
    /// A dialog for files that is open.
    pub(crate) dialog: Option<Job<Picked>>,
    /// What draws pictures; none where the window has no GPU device of its own.
    pub(crate) canvas: Option<Canvas>,
    /// What was set when it was kept last.
    kept: Settings,
    commands: Vec<Command>,
}

/// Where the built-in model is, or why it cannot be used.
pub(crate) type BuiltIn = Result<PathBuf, BuiltinError>;

/// What came of a dialog.
pub(crate) struct Picked {
    pub(crate) purpose: Purpose,
    pub(crate) answer: Answer,
}

/// What a window begins with.
pub(crate) struct Start {
    /// Where conversations and settings are kept; without one nothing is kept, which is said.
    pub(crate) data: Option<PathBuf>,
    /// The model to open; without one, the last one, or the one that comes with the program.
    pub(crate) model: Option<PathBuf>,
    /// Whether there is a built-in model, which is opened where there is no other to open.
    pub(crate) built_in: bool,
}

impl App {
    /// Prepares the first frame. What takes longer goes on beside it.
    pub(crate) fn new(ctx: &egui::Context, start: Start) -> std::io::Result<Self> {
        theme::install(ctx);
        ctx.options_mut(|options| options.zoom_with_keyboard = false);
        let wake = {
            let ctx = ctx.clone();
            Arc::new(move || ctx.request_repaint_after(Duration::from_millis(25)))
        };
        let opened: Opened = store::open(start.data.as_deref(), wake);
        let settings: Settings = opened.settings.get(settings::NAME).unwrap_or_default();
        let mut state = State::new(settings.clone(), opened.conversations, opened.presets);
        state.compare.kept = opened.comparisons;
        state.access = Some(opened.access);
        for notice in &opened.notices {
            state.toasts.problem(notice.to_string());
        }
        let desk = Desk::start(ctx)?;
        let mut app = Self {
            state,
            desk,
            store: opened.store,
            built_in: None,
            dialog: None,
            canvas: None,
            kept: settings,
            commands: vec![],
        };
        app.state.settings.theme.apply(ctx);
        ctx.set_zoom_factor(app.state.settings.zoom);
        if start.built_in {
            app.built_in = Some(Job::start(ctx, "unpack", |reporter| {
                reporter.tell(builtin::folder());
            })?);
        }
        update::begin(&mut app, start.model);
        Ok(app)
    }

    /// One frame.
    pub(crate) fn show(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        update::take_news(self);
        update::take_events(self);
        update::take_built_in(self);
        update::take_picked(self, &ctx);
        update::take_reports(self);
        update::take_dropped(self, &ctx);
        update::take_library(self, &ctx);
        let pressed = Command::pressed(&ctx, &self.state);
        self.carry_out(pressed, &ctx);
        let mut commands = std::mem::take(&mut self.commands);
        let t = self.state.settings.language();
        let mut page = Page::new(t, ui, &mut commands);
        views::show(ui, &mut self.state, &mut page);
        self.carry_out(commands, &ctx);
        self.keep();
    }

    fn carry_out(&mut self, commands: Vec<Command>, ctx: &egui::Context) {
        if commands.is_empty() {
            return;
        }
        for command in commands {
            update::apply(self, command, ctx);
        }
        ctx.request_repaint();
    }

    /// Hands on what has changed to whoever keeps it.
    fn keep(&mut self) {
        let chats = &mut self.state.chats;
        let id = chats.current.id();
        // One in which nothing was said is not worth keeping.
        if !chats.current.is_empty() || chats.heads.iter().any(|known| known.id == id) {
            let changes = chats.current.take_changes();
            if !changes.is_empty() {
                let head = chats.current.head().clone();
                self.store.write(changes);
                chats.note(&head);
            }
        }
        let ids: Vec<_> = chats.others.keys().copied().collect();
        for id in ids {
            let Some(other) = chats.others.get_mut(&id) else { continue };
            let (changes, head) = (other.take_changes(), other.head().clone());
            let idle = other.writing().is_none();
            if !changes.is_empty() {
                self.store.write(changes);
                chats.note(&head);
            }
            if idle {
                chats.others.remove(&id);
            }
        }
        if self.state.settings != self.kept {
            self.kept = self.state.settings.clone();
            if let Err(error) = self.store.set(settings::NAME, &self.kept) {
                self.state.toasts.problem(error.to_string());
            }
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.show(ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}
