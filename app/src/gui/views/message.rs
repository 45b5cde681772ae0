//! A message: what was said, what the model thought, how far a reply is, and what can be done with it.

use egui::{Align, Frame, Layout, Margin, Rect, RichText, TextEdit, Ui, vec2};

use super::chat::Texts;
use super::fold;
use crate::conversation::{Direction, Message, MessageId, MessageState, Role, Statistics};
use crate::gui::command::Command;
use crate::gui::live::{Live, Phase};
use crate::gui::markdown::{Clicked, Document, Epoch, Voice};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, Meter, primary, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, radius, regular, text};
use crate::gui::words::Language;

/// The widest that a message of the user becomes.
const BUBBLE: f32 = 580.0;

/// Which message is shown, and how.
pub(super) struct Shown {
    pub(super) id: MessageId,
    /// It is the last one.
    pub(super) last: bool,
    /// The model does not see it any more.
    pub(super) forgotten: bool,
    pub(super) epoch: Epoch,
}

pub(super) fn show(ui: &mut Ui, state: &mut State, texts: &mut Texts, shown: &Shown, page: &mut Page<'_>) {
    let Some(role) = state.chats.current.message(shown.id).map(|message| message.role) else { return };
    if shown.forgotten {
        ui.set_opacity(0.45);
    }
    ui.spacing_mut().item_spacing.y = gap::TINY;
    let top = ui.cursor().top();
    match role {
        Role::User => user(ui, state, texts, shown, page),
        Role::Assistant => assistant(ui, state, texts, shown, page),
    }
    let area = Rect::from_x_y_ranges(ui.max_rect().x_range(), top..=ui.cursor().top() + 30.0);
    actions(ui, state, shown, area, page);
}

fn user(ui: &mut Ui, state: &mut State, texts: &mut Texts, shown: &Shown, page: &mut Page<'_>) {
    if state.editing.as_ref().is_some_and(|editing| editing.message == shown.id) {
        return edit(ui, state, page);
    }
    let Some(message) = state.chats.current.message(shown.id) else { return };
    texts.answer.update_plain(&message.text);
    let widest = (ui.available_width() - 60.0).min(BUBBLE);
    let width = texts.answer.natural_width(ui, Voice::Answer).min(widest - 32.0).ceil();
    ui.with_layout(Layout::top_down(Align::Max), |ui| {
        Frame::new()
            .fill(page.tokens.ember_soft)
            .corner_radius(radius::LARGE)
            .inner_margin(Margin::symmetric(16, 9))
            .show(ui, |ui| {
                ui.set_width(width);
                document(ui, &mut texts.answer, shown, "said", Voice::Answer, page);
            });
    });
}

fn edit(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let Some(editing) = &mut state.editing else { return };
    let edit = TextEdit::multiline(&mut editing.text)
        .desired_width(f32::INFINITY)
        .desired_rows(2)
        .font(regular(text::BODY))
        .margin(Margin::symmetric(14, 10));
    let response = ui.add(edit).accessible_name(page.t.edit());
    if !response.has_focus() && !response.lost_focus() {
        response.request_focus();
    }
    let (escape, send) = ui.input(|input| {
        let send = input.modifiers.command && input.key_pressed(egui::Key::Enter);
        (input.key_pressed(egui::Key::Escape), send)
    });
    ui.horizontal(|ui| {
        if primary(ui, page.t.send_edit()).clicked() || send {
            page.send(Command::SendEdit);
        }
        if quiet(ui, page.t.cancel()).clicked() || escape {
            page.send(Command::CancelEdit);
        }
        ui.label(RichText::new(page.t.edit_tip()).size(text::SMALL).color(page.tokens.text_faint));
    });
}

fn assistant(ui: &mut Ui, state: &State, texts: &mut Texts, shown: &Shown, page: &mut Page<'_>) {
    let Some(message) = state.chats.current.message(shown.id) else { return };
    let live = state.live.get(&shown.id);
    if !message.thinking.is_empty() {
        thinking(ui, message, live, texts, shown, page);
    }
    if !message.text.is_empty() {
        texts.answer.update(&message.text);
        document(ui, &mut texts.answer, shown, "answer", Voice::Answer, page);
    }
    match &message.state {
        MessageState::Writing => progress(ui, live, page),
        MessageState::Failed(reason) => failed(ui, reason, page),
        MessageState::Interrupted => note(ui, page, page.t.interrupted()),
        MessageState::CutOff => note(ui, page, page.t.cut_off()),
        MessageState::Stopped if message.text.is_empty() => note(ui, page, page.t.stopped()),
        MessageState::Stopped | MessageState::Finished => {}
    }
}

/// Draws a text where it is in sight.
fn document(
    ui: &mut Ui,
    document: &mut Document,
    shown: &Shown,
    what: &str,
    voice: Voice,
    page: &mut Page<'_>,
) {
    let width = ui.available_width();
    let top = ui.cursor().top();
    let clip = ui.clip_rect();
    let height = document.lay(ui, width, shown.epoch, voice, clip.top() - top..clip.bottom() - top);
    let (rect, _) = ui.allocate_exact_size(vec2(width, height), egui::Sense::hover());
    let id = egui::Id::unique((shown.id.0, what));
    match document.show(ui, rect, id, page.t.copy_code()) {
        Some(Clicked::Link(link)) => ui.ctx().open_url(egui::OpenUrl::new_tab(link)),
        Some(Clicked::CopyCode(code)) => {
            ui.ctx().copy_text(code);
            page.send(Command::Say(page.t.copied()));
        }
        None => {}
    }
}

fn thinking(
    ui: &mut Ui,
    message: &Message,
    live: Option<&Live>,
    texts: &mut Texts,
    shown: &Shown,
    page: &mut Page<'_>,
) {
    let t = page.t;
    let thinks = message.state == MessageState::Writing && message.text.is_empty();
    let words = match live.and_then(|live| live.thought_for) {
        _ if thinks => t.thinking().to_owned(),
        Some(time) => t.thought_for(time.as_secs_f64()),
        None => t.thoughts().to_owned(),
    };
    if fold::line(ui, Icon::Thought, &words, texts.unfolded) {
        texts.unfolded = !texts.unfolded;
    }
    if texts.unfolded {
        texts.thinking.update(&message.thinking);
        let frame = Frame::new().inner_margin(Margin { left: 18, right: 0, top: 2, bottom: 6 });
        let inner = frame.show(ui, |ui| {
            document(ui, &mut texts.thinking, shown, "thinking", Voice::Thought, page);
        });
        let rect = inner.response.rect;
        let line = egui::Stroke::new(2.0, page.tokens.line);
        ui.painter().vline(rect.left() + 7.0, rect.y_range().shrink(4.0), line);
    }
}

/// How far a reply is that has no text yet, and that it goes on where it has.
fn progress(ui: &mut Ui, live: Option<&Live>, page: &Page<'_>) {
    let Some(live) = live else { return };
    let t = page.t;
    ui.horizontal(|ui| {
        ui.set_min_height(22.0);
        let words = match &live.phase {
            Phase::Waiting => t.waiting().to_owned(),
            Phase::Restoring(_) => t.restoring().to_owned(),
            Phase::Reading { done, total } => {
                let share = *done as f32 / (*total).max(1) as f32;
                Meter::new(share, t.reading_progress()).width(140.0).show(ui);
                let mut words = t.reading(*done, *total);
                if let Some(wait) = live.wait().filter(|wait| wait.as_secs_f64() >= 1.0) {
                    words += &t.about_to_go(wait.as_secs_f64().ceil() as u64);
                }
                words
            }
            Phase::Writing => {
                ember(ui, page);
                return;
            }
        };
        if !matches!(live.phase, Phase::Reading { .. }) {
            ember(ui, page);
        }
        ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
    });
}

/// A glow that says that more is coming.
fn ember(ui: &mut Ui, page: &Page<'_>) {
    let (rect, _) = ui.allocate_exact_size(vec2(14.0, 18.0), egui::Sense::hover());
    let time = ui.input(|input| input.time);
    let glow = 0.55 + 0.45 * (time * 3.2).sin() as f32;
    let color = page.tokens.ember.gamma_multiply(0.35 + 0.65 * glow);
    ui.painter().circle_filled(rect.center(), 4.0 + glow, color);
    ui.ctx().request_repaint_after(std::time::Duration::from_millis(50));
}

fn note(ui: &mut Ui, page: &Page<'_>, words: &str) {
    ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_faint));
}

/// Why a reply could not be written on. What was written stays.
fn failed(ui: &mut Ui, reason: &str, page: &mut Page<'_>) {
    Frame::new()
        .fill(page.tokens.danger_soft)
        .corner_radius(radius::MEDIUM)
        .inner_margin(Margin::symmetric(14, 10))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), egui::Sense::hover());
                Icon::Warning.paint(ui.painter(), rect, page.tokens.danger);
                ui.vertical(|ui| {
                    ui.label(RichText::new(page.t.reply_failed()).color(page.tokens.danger));
                    ui.add(egui::Label::new(reason).wrap());
                    ui.label(
                        RichText::new(page.t.reply_failed_advice()).small().color(page.tokens.text_muted),
                    );
                });
            });
        });
}

/// The buttons below a message: those of the last one are always seen, those of others where the pointer is.
fn actions(ui: &mut Ui, state: &State, shown: &Shown, area: Rect, page: &mut Page<'_>) {
    let Some(message) = state.chats.current.message(shown.id) else { return };
    if message.state == MessageState::Writing {
        ui.add_space(30.0);
        return;
    }
    let over = ui.rect_contains_pointer(area);
    let t = page.t;
    let of_user = message.role == Role::User;
    let layout =
        if of_user { Layout::right_to_left(Align::Center) } else { Layout::left_to_right(Align::Center) };
    ui.allocate_ui_with_layout(vec2(ui.available_width(), 28.0), layout, |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if !(over || (shown.last && !of_user)) {
            ui.set_opacity(0.0);
        }
        let busy = state.chats.current.writing().is_some();
        versions(ui, state, shown.id, busy, page);
        let mut button = |ui: &mut Ui, icon, name: &str, enabled, command: Command| {
            if IconButton::new(icon, name).size(26.0).enabled(enabled).show(ui).clicked() {
                page.send(command);
            }
        };
        button(
            ui,
            Icon::Copy,
            if of_user { t.copy_message() } else { t.copy_reply() },
            true,
            Command::Copy(Some(shown.id)),
        );
        if of_user {
            button(ui, Icon::Pencil, t.edit(), !busy, Command::Edit(Some(shown.id)));
        } else {
            button(ui, Icon::Again, t.regenerate(), !busy, Command::Regenerate(Some(shown.id)));
        }
        button(ui, Icon::Trash, t.delete_message(), !busy, Command::DeleteMessage(shown.id));
        if let Some(statistics) = &message.statistics {
            ui.add_space(gap::SMALL);
            let words = RichText::new(brief(t, statistics)).size(text::SMALL).color(page.tokens.text_faint);
            let label = egui::Label::new(words).selectable(false).truncate();
            ui.add(label).on_hover_text(full(t, statistics));
        }
    });
}

/// Arrows between the versions of a message.
fn versions(ui: &mut Ui, state: &State, id: MessageId, busy: bool, page: &mut Page<'_>) {
    let (versions, at) = state.chats.current.versions(id);
    let count = versions.len();
    if count < 2 {
        return;
    }
    let t = page.t;
    let mut arrow = |ui: &mut Ui, icon, name: &str, enabled, direction| {
        if IconButton::new(icon, name).size(24.0).enabled(enabled && !busy).show(ui).clicked() {
            page.send(Command::Version(id, direction));
        }
    };
    let words = RichText::new(format!("{} / {count}", at + 1)).size(text::SMALL);
    // The layout of the user's messages runs from right to left.
    if ui.layout().main_dir() == egui::Direction::RightToLeft {
        arrow(ui, Icon::Right, t.next_version(), at + 1 < count, Direction::Right);
        ui.label(words);
        arrow(ui, Icon::Left, t.previous_version(), at > 0, Direction::Left);
    } else {
        arrow(ui, Icon::Left, t.previous_version(), at > 0, Direction::Left);
        ui.label(words);
        arrow(ui, Icon::Right, t.next_version(), at + 1 < count, Direction::Right);
    }
}

/// The model and how fast it was.
fn brief(t: Language, statistics: &Statistics) -> String {
    let mut words = statistics.model.clone();
    if statistics.tokens > 0 {
        words += &format!("  ·  {}", t.tokens(statistics.tokens));
    }
    if statistics.tokens_per_second > 0.0 {
        words += &format!("  ·  {}", t.rate(f64::from(statistics.tokens_per_second)));
    }
    words
}

fn full(t: Language, statistics: &Statistics) -> String {
    let mut lines = vec![statistics.model.clone()];
    if !statistics.device_name.is_empty() {
        lines.push(format!("{}  {}", statistics.device, statistics.device_name));
        lines.push(t.formats(&statistics.weights, &statistics.cache));
    }
    if statistics.milliseconds_to_first_token > 0.0 {
        lines.push(t.first_token(f64::from(statistics.milliseconds_to_first_token) / 1e3));
    }
    lines.push(t.prompt_of(statistics.prompt_tokens, statistics.reused_tokens));
    if statistics.prompt_tokens_per_second > 0.0 {
        lines.push(t.prompt_rate(f64::from(statistics.prompt_tokens_per_second)));
    }
    if statistics.tokens_per_second > 0.0 {
        lines.push(t.rate(f64::from(statistics.tokens_per_second)));
    }
    lines.push(t.seed_of(statistics.seed));
    lines.join("\n")
}
