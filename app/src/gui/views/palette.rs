//! The palette: every command, device and conversation, found by typing.

use egui::{
    Align2, Area, Frame, Id, Key, Margin, Order, RichText, ScrollArea, Sense, Stroke, TextEdit, Ui, vec2,
};

use crate::gui::command::Command;
use crate::gui::page::Page;
use crate::gui::parts::Icon;
use crate::gui::state::State;
use crate::gui::theme::{gap, radius, regular, text};
use crate::gui::words::Language;

const ROW: f32 = 34.0;
const WIDTH: f32 = 560.0;
/// Conversations that are offered.
const CHATS: usize = 50;

/// What is typed, and which line is chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct PaletteView {
    query: String,
    chosen: usize,
    shown: bool,
}

/// A line of the palette.
struct Entry {
    name: String,
    command: Command,
    score: i32,
}

/// How well a name fits to what was typed; none where it does not. Letters must come in order, and those at the beginning of words,
/// or next to each other, count for more.
fn fits(name: &str, query: &str) -> Option<i32> {
    let (mut score, mut last) = (0, None);
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut at = 0;
    for wanted in query.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let found = at + name[at..].iter().position(|c| *c == wanted)?;
        score += match () {
            () if last.is_some_and(|last| last + 1 == found) => 10,
            () if found == 0 || !name[found - 1].is_alphanumeric() => 8,
            () => 1,
        };
        last = Some(found);
        at = found + 1;
    }
    // Among equals the shorter one.
    Some(score * 100 - name.len() as i32)
}

fn entries(t: Language, state: &State, query: &str) -> Vec<Entry> {
    let listed = Command::listed().into_iter().filter(|command| *command != Command::Palette);
    let devices = state.devices.iter().map(|card| Command::UseDevice(card.device.info.id.to_string()));
    let commands = listed.chain(devices).filter(|command| command.is_possible(state));
    let named = commands.map(|command| {
        let mut name = command.name(t);
        if let Command::UseDevice(id) = &command
            && let Some(card) = state.devices.iter().find(|card| card.device.info.id.to_string() == *id)
        {
            name = t.use_device(&format!("{} ({id})", card.device.info.name));
        }
        (name, command)
    });
    let chats = state.chats.heads.iter().take(if query.is_empty() { 0 } else { CHATS });
    let chats = chats.map(|head| (head.title.clone(), Command::OpenChat(head.id)));
    let entry = |(name, command): (String, Command)| {
        let score = fits(&name, query)?;
        Some(Entry { name, command, score })
    };
    let mut entries: Vec<Entry> = named.chain(chats).filter_map(entry).collect();
    if !query.is_empty() {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.score));
    }
    entries
}

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let Some(mut palette) = state.palette.take() else { return };
    let entries = entries(page.t, state, palette.query.trim());
    let (up, down, enter, escape) = ui.input_mut(|input| {
        let mut key = |key| input.consume_key(egui::Modifiers::NONE, key);
        (key(Key::ArrowUp), key(Key::ArrowDown), key(Key::Enter), key(Key::Escape))
    });
    let moved = up || down;
    if up {
        palette.chosen = palette.chosen.saturating_sub(1);
    }
    if down {
        palette.chosen += 1;
    }
    palette.chosen = palette.chosen.min(entries.len().saturating_sub(1));
    let screen = ui.ctx().content_rect();
    let mut picked = if enter { Some(palette.chosen) } else { None };
    let area = Area::new(Id::unique("palette"))
        .order(Order::Foreground)
        .anchor(Align2::CENTER_TOP, vec2(0.0, screen.height() * 0.14))
        .show(ui.ctx(), |ui| {
            let frame = Frame::new()
                .fill(page.tokens.raised)
                .stroke(Stroke::new(1.0, page.tokens.line_strong))
                .corner_radius(radius::LARGE)
                .shadow(ui.visuals().window_shadow)
                .inner_margin(Margin::same(10));
            frame.show(ui, |ui| {
                ui.set_width(WIDTH.min(screen.width() - 60.0));
                let edit = TextEdit::singleline(&mut palette.query)
                    .desired_width(f32::INFINITY)
                    .font(regular(text::BODY))
                    .hint_text(page.t.palette_hint())
                    .margin(Margin::symmetric(10, 8));
                let response = ui.add(edit).accessible_name(page.t.palette());
                response.request_focus();
                if response.changed() {
                    palette.chosen = 0;
                }
                ui.add_space(gap::TINY);
                if entries.is_empty() {
                    ui.label(RichText::new(page.t.nothing_found()).color(page.tokens.text_faint));
                }
                list(ui, &entries, &mut palette, moved, page, &mut picked);
            });
        });
    let outside = palette.shown
        && ui.input(|input| input.pointer.any_pressed())
        && ui.ctx().pointer_interact_pos().is_some_and(|at| !area.response.rect.contains(at));
    palette.shown = true;
    if let Some(entry) = picked.and_then(|index| entries.into_iter().nth(index)) {
        page.send(entry.command);
    } else if !escape && !outside {
        state.palette = Some(palette);
    }
}

fn list(
    ui: &mut Ui,
    entries: &[Entry],
    palette: &mut PaletteView,
    moved: bool,
    page: &Page<'_>,
    picked: &mut Option<usize>,
) {
    ui.spacing_mut().item_spacing.y = 1.0;
    ScrollArea::vertical().max_height(380.0).id_salt("palette").show(ui, |ui| {
        for (index, entry) in entries.iter().enumerate() {
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
            let chosen = index == palette.chosen;
            response
                .widget_info(|| egui::WidgetInfo::selected(egui::Role::MenuItem, true, chosen, &entry.name));
            if chosen && moved {
                response.scroll_to_me(None);
            }
            if response.hovered() && ui.input(|input| input.pointer.is_moving()) {
                palette.chosen = index;
            }
            if response.clicked() {
                *picked = Some(index);
            }
            if ui.is_rect_visible(rect) {
                paint(ui, entry, rect, chosen, page);
            }
        }
    });
}

fn paint(ui: &Ui, entry: &Entry, rect: egui::Rect, chosen: bool, page: &Page<'_>) {
    let tokens = page.tokens;
    let painter = ui.painter_at(rect);
    if chosen {
        painter.rect_filled(rect, radius::SMALL, tokens.ember_soft);
    }
    let icon = entry.command.icon().unwrap_or(Icon::Right);
    let place =
        egui::Rect::from_center_size(egui::pos2(rect.left() + 18.0, rect.center().y), vec2(17.0, 17.0));
    icon.paint(&painter, place, if chosen { tokens.ember } else { tokens.text_muted });
    let at = egui::pos2(rect.left() + 38.0, rect.center().y);
    painter.text(at, Align2::LEFT_CENTER, &entry.name, regular(text::CONTROL), tokens.text);
    if let Some(keys) = entry.command.keys(ui.ctx()) {
        let at = egui::pos2(rect.right() - 10.0, rect.center().y);
        painter.text(at, Align2::RIGHT_CENTER, keys, regular(text::SMALL), tokens.text_faint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_words_and_neighbours_count_for_more() {
        assert!(fits("New conversation", "nc") > fits("Rename conversation", "nc"));
        assert!(fits("Export as Markdown", "exp") > fits("Show extra pages", "exp"));
        assert_eq!(fits("Quit", "quota"), None);
        assert!(fits("anything", "").is_some());
        assert!(fits("新建对话", "对话").is_some());
    }
}
