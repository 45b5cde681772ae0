//! Where messages are typed.

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{
    Align, Frame, Key, KeyboardShortcut, Layout, Margin, Modifiers, RichText, ScrollArea, Stroke, TextEdit,
    Ui,
};

use crate::gui::command::Command;
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, Meter};
use crate::gui::state::{Field, State};
use crate::gui::theme::{gap, radius, regular, text};

/// The field grows up to this height.
const HIGHEST: f32 = 220.0;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let focused = ui.ctx().memory(|memory| memory.has_focus(id()));
    let line = if focused { page.tokens.ember } else { page.tokens.line_strong };
    let frame = Frame::new()
        .fill(page.tokens.raised)
        .stroke(Stroke::new(1.0, line))
        .corner_radius(radius::LARGE)
        .inner_margin(Margin { left: 14, right: 8, top: 10, bottom: 8 });
    frame.show(ui, |ui| {
        field(ui, state, page);
        ui.horizontal(|ui| {
            context(ui, state, page);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if state.chats.current.writing().is_some() {
                    let keys = Command::Stop.keys(ui.ctx());
                    let stop = IconButton::new(Icon::Stop, page.t.stop()).filled().size(32.0).shortcut(keys);
                    if stop.show(ui).clicked() {
                        page.send(Command::Stop);
                    }
                } else {
                    let keys = if state.settings.enter_sends { "Enter" } else { "Ctrl+Enter" };
                    let send = IconButton::new(Icon::Send, page.t.send())
                        .filled()
                        .size(32.0)
                        .enabled(state.can_send())
                        .shortcut(Some(keys.to_owned()));
                    if send.show(ui).clicked() {
                        page.send(Command::Send);
                    }
                }
            });
        });
    });
}

fn id() -> egui::Id {
    egui::Id::unique("composer")
}

fn field(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let enter_sends = state.settings.enter_sends;
    let focused = ui.ctx().memory(|memory| memory.has_focus(id()));
    // Ctrl and Enter send always.
    let sends = focused
        && ui.input_mut(|input| {
            input.consume_key(Modifiers::COMMAND, Key::Enter)
                || (enter_sends && input.consume_key(Modifiers::NONE, Key::Enter))
        });
    let new_line = if enter_sends { Modifiers::SHIFT } else { Modifiers::NONE };
    let hint = RichText::new(page.t.write_message()).color(page.tokens.text_faint);
    ScrollArea::vertical().id_salt("composer").max_height(HIGHEST).show(ui, |ui| {
        let edit = TextEdit::multiline(state.draft())
            .id(id())
            .frame(Frame::NONE)
            .margin(Margin::ZERO)
            .font(regular(text::BODY))
            .hint_text(hint)
            .desired_rows(1)
            .desired_width(f32::INFINITY)
            .return_key(KeyboardShortcut::new(new_line, Key::Enter));
        let response = ui.add(edit).accessible_name(page.t.message());
        if state.focus == Some(Field::Composer) {
            state.focus = None;
            response.request_focus();
            // Behind what is there already, such as a suggestion that was chosen.
            let end = CCursorRange::one(CCursor::new(state.draft().chars().count()));
            let mut edited = TextEditState::load(ui.ctx(), id()).unwrap_or_default();
            edited.cursor.set_char_range(Some(end));
            edited.store(ui.ctx(), id());
        }
    });
    if sends {
        page.send(Command::Send);
    }
    ui.add_space(gap::TINY);
}

/// How much of the context is used.
fn context(ui: &mut Ui, state: &State, page: &Page<'_>) {
    let Some(facts) = state.model.facts() else { return };
    // Of a conversation from before the start the last reply knows.
    let known = state.last_reply().and_then(|reply| reply.statistics.as_ref());
    let known = known.map_or(0, |statistics| statistics.prompt_tokens + statistics.tokens);
    let used = state.chats.tokens.get(&state.chats.current.id()).copied().unwrap_or(known);
    let used = used.min(facts.context);
    let share = used as f32 / facts.context.max(1) as f32;
    let color = if share > 0.9 { page.tokens.warning } else { page.tokens.ember };
    let words = page.t.context_used(used, facts.context);
    Meter::new(share, &words).color(color).width(64.0).show(ui).on_hover_text(page.t.context_tip());
    let label = RichText::new(&words).size(text::SMALL).color(page.tokens.text_faint);
    ui.add(egui::Label::new(label).selectable(false)).on_hover_text(page.t.context_tip());
}
