//! The open conversation: its messages, of which only those in sight are drawn, and the field below them.
//!
//! Heights of messages that were never seen are guesses. When one that lies above turns out other than guessed, the place where one
//! reads moves along, so that nothing jumps.

use std::collections::HashMap;
use std::time::Duration;

use egui::{Frame, Margin, Panel, Rect, RichText, ScrollArea, Ui, UiBuilder, pos2, vec2};

use super::{composer, message};
use crate::conversation::{Conversation, ConversationId, MessageId};
use crate::gui::command::Command;
use crate::gui::markdown::{Document, Epoch};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, primary, quiet};
use crate::gui::state::{ModelState, State};
use crate::gui::theme::{gap, radius, strong, text};

/// As wide as lines can be read well.
pub(super) const WIDEST: f32 = 760.0;
/// Between messages.
const BETWEEN: f32 = 10.0;
/// Texts of messages out of sight that are kept parsed.
const PARSED: usize = 300;

/// What is known of how messages look.
#[derive(Default)]
pub(crate) struct ChatView {
    chat: Option<ConversationId>,
    rows: Vec<Row>,
    width: f32,
    texts: HashMap<MessageId, Texts>,
    pub(super) epoch: Epoch,
    offset: f32,
    /// To be added to the offset in the next frame.
    shift: f32,
    jump: Option<Jump>,
    /// Counts frames, to know which texts were in sight last.
    frame: u64,
}

/// Where to go in the next frame.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Jump {
    End,
    Message(MessageId),
}

/// A message's place.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    id: MessageId,
    top: f32,
    height: f32,
    measured: bool,
}

/// A message's texts as they are shown.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) answer: Document,
    pub(super) thinking: Document,
    /// Whether the thinking is unfolded.
    pub(super) unfolded: bool,
    seen: u64,
}

impl ChatView {
    /// Another conversation is shown.
    pub(crate) fn begin(&mut self, chat: ConversationId) {
        if self.chat != Some(chat) {
            self.chat = Some(chat);
            self.rows.clear();
            self.jump = Some(Jump::End);
        }
    }

    /// Shows the end from now on.
    pub(crate) const fn follow_end(&mut self) {
        self.jump = Some(Jump::End);
    }

    /// Shows a message.
    pub(crate) const fn go_to(&mut self, message: MessageId) {
        self.jump = Some(Jump::Message(message));
    }

    /// Brings the places up to the messages that are shown.
    fn arrange(&mut self, conversation: &Conversation, width: f32) {
        let path = conversation.path();
        let other_width = (self.width - width).abs() > 0.5;
        self.width = width;
        let same = self.rows.iter().zip(path).take_while(|(row, id)| row.id == **id).count();
        if same == path.len() && same == self.rows.len() && !other_width {
            return;
        }
        self.rows.truncate(same);
        for id in &path[same..] {
            let length = conversation.message(*id).map_or(0, |message| message.text.len());
            let height = guess(length, width);
            self.rows.push(Row { id: *id, top: 0.0, height, measured: false });
        }
        if other_width {
            for row in &mut self.rows {
                row.measured = false;
            }
        }
        self.stack(if other_width { 0 } else { same });
    }

    fn stack(&mut self, start: usize) {
        let before = start.checked_sub(1).and_then(|at| self.rows.get(at));
        let mut bottom = before.map_or(0.0, |row| row.top + row.height);
        for (index, row) in self.rows.iter_mut().enumerate().skip(start) {
            row.top = if index == 0 { gap::LARGE } else { bottom + BETWEEN };
            bottom = row.top + row.height;
        }
    }

    fn height(&self) -> f32 {
        self.rows.last().map_or(0.0, |row| row.top + row.height) + gap::HUGE
    }

    /// Takes the true height of a row. What lies below the reader's eye may move, what lies above may not.
    fn measure(&mut self, index: usize, height: f32, top_of_view: f32) {
        let Some(row) = self.rows.get_mut(index) else { return };
        let by = height - row.height;
        let first_time = !row.measured;
        row.measured = true;
        if by.abs() < 0.5 {
            return;
        }
        row.height = height;
        if row.top + height - by <= top_of_view || (first_time && row.top < top_of_view) {
            self.shift += by;
        }
        self.stack(index + 1);
    }

    /// Forgets texts that were not seen for long, and the layout of those that are out of sight.
    fn tidy(&mut self) {
        let frame = self.frame;
        for texts in self.texts.values_mut().filter(|texts| texts.seen + 1 == frame) {
            texts.answer.hide();
            texts.thinking.hide();
        }
        if self.texts.len() > PARSED {
            let mut seen: Vec<u64> = self.texts.values().map(|texts| texts.seen).collect();
            seen.sort_unstable();
            let oldest = seen[seen.len() / 2];
            self.texts.retain(|_, texts| texts.seen > oldest || texts.seen == frame);
        }
    }
}

fn guess(bytes: usize, width: f32) -> f32 {
    let lines = (bytes as f32 * 7.4 / width.max(100.0)).ceil().max(1.0);
    lines * text::BODY * text::LINE + 60.0
}

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let margin = Margin { left: 20, right: 20, top: 4, bottom: 12 };
    Panel::bottom("composer")
        .frame(Frame::new().fill(page.tokens.ground).inner_margin(margin))
        .show_separator_line(false)
        .show(ui, |ui| {
            column(ui, |ui| {
                trouble(ui, state, page);
                composer::show(ui, state, page);
            });
        });
    if state.chats.current.is_empty() {
        welcome(ui, state, page);
        return;
    }
    messages(ui, state, page);
}

/// Puts content into a column in the middle.
fn column(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let width = ui.available_width().min(WIDEST);
    let side = (ui.available_width() - width) / 2.0;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(side);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.x = gap::SMALL;
            ui.set_width(width);
            content(ui);
        });
    });
}

fn messages(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let mut view = std::mem::take(&mut state.chat_view);
    view.begin(state.chats.current.id());
    view.frame += 1;
    view.epoch.look(ui);
    let width = (ui.available_width() - 40.0).min(WIDEST);
    view.arrange(&state.chats.current, width);
    let jump = view.jump.take();
    let mut scroll = ScrollArea::vertical()
        .id_salt(("messages", state.chats.current.id().0))
        .auto_shrink(false)
        // An area that sticks to its end goes back there from wherever it is sent.
        .stick_to_bottom(!matches!(jump, Some(Jump::Message(_))));
    match jump {
        Some(Jump::End) => {
            scroll = scroll.vertical_scroll_offset((view.height() - ui.available_height()).max(0.0));
            // Once more when all heights are known.
            if view.rows.last().is_some_and(|row| !row.measured) {
                view.jump = Some(Jump::End);
                ui.ctx().request_repaint();
            }
        }
        Some(Jump::Message(id)) => {
            if let Some(row) = view.rows.iter().find(|row| row.id == id) {
                scroll = scroll.vertical_scroll_offset((row.top - 60.0).max(0.0));
                if !row.measured {
                    view.jump = Some(Jump::Message(id));
                    ui.ctx().request_repaint();
                }
            }
        }
        None if view.shift.abs() > 0.5 => {
            scroll = scroll.vertical_scroll_offset((view.offset + view.shift).max(0.0));
        }
        None => {}
    }
    view.shift = 0.0;
    let area = ui.available_rect_before_wrap();
    let output = scroll.show_viewport(ui, |ui, viewport| {
        ui.set_height(view.height());
        let left = ui.max_rect().left() + (ui.available_width() - width) / 2.0;
        let top = ui.max_rect().top();
        let first = view.rows.partition_point(|row| row.top + row.height < viewport.top());
        let mut index = first;
        while let Some(row) = view.rows.get(index).copied() {
            if row.top > viewport.bottom() {
                break;
            }
            let rect = Rect::from_min_size(pos2(left, top + row.top), vec2(width, row.height));
            let height = one(ui, state, &mut view, index, rect, page);
            view.measure(index, height, viewport.top());
            index += 1;
        }
    });
    view.offset = output.state.unclamped_offset().y;
    if view.shift.abs() > 0.5 {
        ui.ctx().request_repaint();
    }
    let below = output.content_size.y - output.inner_rect.height() - view.offset;
    if below > 120.0 {
        to_end(ui, area, &mut view, page);
    }
    view.tidy();
    if state.chats.current.writing().is_some() {
        // Times that are shown go on though no token comes.
        ui.ctx().request_repaint_after(Duration::from_millis(250));
    }
    state.chat_view = view;
}

/// Draws a message; says how high it is.
fn one(
    ui: &mut Ui,
    state: &mut State,
    view: &mut ChatView,
    index: usize,
    rect: Rect,
    page: &mut Page<'_>,
) -> f32 {
    let id = view.rows[index].id;
    let mut texts = view.texts.remove(&id).unwrap_or_default();
    texts.seen = view.frame;
    let forgotten = state.chats.forgotten.get(&state.chats.current.id()).copied().unwrap_or_default();
    let shown = message::Shown {
        id,
        last: index + 1 == view.rows.len(),
        forgotten: index < forgotten,
        epoch: view.epoch,
    };
    let builder = UiBuilder::new().max_rect(rect).id_salt(id.0);
    let response = ui.scope_builder(builder, |ui| {
        ui.set_width(rect.width());
        message::show(ui, state, &mut texts, &shown, page);
    });
    view.texts.insert(id, texts);
    response.response.rect.height()
}

/// The button that leads back to the end.
fn to_end(ui: &mut Ui, area: Rect, view: &mut ChatView, page: &Page<'_>) {
    let place = Rect::from_center_size(pos2(area.center().x, area.bottom() - 24.0), vec2(32.0, 32.0));
    let builder = UiBuilder::new().max_rect(place).id_salt("to end");
    ui.scope_builder(builder, |ui| {
        ui.painter().circle_filled(place.center(), 16.0, page.tokens.raised);
        let line = egui::Stroke::new(1.0, page.tokens.line_strong);
        ui.painter().circle_stroke(place.center(), 16.0, line);
        if IconButton::new(Icon::Down, page.t.to_end()).size(32.0).show(ui).clicked() {
            view.follow_end();
        }
    });
}

/// What is shown where nothing was said yet.
fn welcome(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let (t, tokens) = (page.t, page.tokens);
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space((height * 0.28).max(24.0));
        let (rect, _) = ui.allocate_exact_size(vec2(64.0, 64.0), egui::Sense::hover());
        ui.painter().circle_filled(rect.center(), 32.0, tokens.ember_soft);
        Icon::Flame.paint(ui.painter(), rect.shrink(14.0), tokens.ember);
        ui.add_space(gap::MEDIUM);
        ui.label(RichText::new(t.welcome()).font(strong(text::DISPLAY)).color(tokens.text));
        ui.add_space(gap::TINY);
        let words = match &state.model {
            ModelState::None => t.welcome_without_model().to_owned(),
            ModelState::Loading(loading) => t.welcome_loading(&loading.model),
            ModelState::Open(facts) => t.welcome_with(&facts.name, &facts.device.name),
        };
        ui.label(RichText::new(words).size(text::BODY).color(tokens.text_muted));
        ui.add_space(gap::HUGE);
        match &state.model {
            ModelState::None => {
                if primary(ui, t.choose_folder()).clicked() {
                    page.send(Command::ChooseModel);
                }
                ui.add_space(gap::TINY);
                ui.label(RichText::new(t.drop_hint()).size(text::SMALL).color(tokens.text_faint));
            }
            ModelState::Loading(_) | ModelState::Open(_) => {
                // The built-in model knows stories and this program, and little else.
                let built_in = state.library.built_in.as_ref();
                let is_built_in = built_in.is_some() && built_in == state.settings.model.as_ref();
                let suggestions = if is_built_in {
                    [t.guide_suggestion_1(), t.guide_suggestion_2(), t.guide_suggestion_3()]
                } else {
                    [t.suggestion_1(), t.suggestion_2(), t.suggestion_3()]
                };
                for words in suggestions {
                    if quiet(ui, words).clicked() {
                        words.clone_into(state.draft());
                        page.send(Command::FocusComposer);
                    }
                }
            }
        }
    });
}

/// Why there is no model, and what can be done.
fn trouble(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let Some(trouble) = &state.trouble else { return };
    let (t, tokens) = (page.t, page.tokens);
    let frame = Frame::new()
        .fill(tokens.danger_soft)
        .corner_radius(radius::MEDIUM)
        .inner_margin(Margin::symmetric(14, 10));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let name = trouble.folder.display().to_string();
        ui.label(RichText::new(t.cannot_open(&name)).font(strong(text::CONTROL)).color(tokens.danger));
        ui.add(egui::Label::new(&trouble.reason).wrap());
        ui.horizontal(|ui| {
            if quiet(ui, t.load_again()).clicked() {
                page.send(Command::TryAgain);
            }
            if trouble.device != "cpu" && quiet(ui, t.try_on_cpu()).clicked() {
                page.send(Command::UseDevice("cpu".to_owned()));
            }
            if quiet(ui, t.choose_folder()).clicked() {
                page.send(Command::ChooseModel);
            }
        });
    });
    ui.add_space(gap::SMALL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::SamplingSettings;

    #[test]
    fn what_lies_above_does_not_move_what_is_read() {
        let mut conversation = Conversation::new(None, SamplingSettings::default());
        for _ in 0..5 {
            conversation.say("hello").unwrap();
        }
        let mut view = ChatView::default();
        view.arrange(&conversation, 500.0);
        let tops: Vec<f32> = view.rows.iter().map(|row| row.top).collect();
        let height = view.rows[0].height;
        // The third row is being read.
        view.measure(0, height + 40.0, tops[2] + 5.0);
        assert!((view.shift - 40.0).abs() < 0.01);
        // What grows below it moves nothing.
        view.measure(3, height + 40.0, tops[2] + 45.0);
        assert!((view.shift - 40.0).abs() < 0.01);
        assert!((view.rows[4].top - tops[4] - 80.0).abs() < 0.01);
        // Another width: all is to be measured again.
        view.arrange(&conversation, 300.0);
        assert!(view.rows.iter().all(|row| !row.measured));
    }
}
