//! The list of conversations, and the way to the other pages.

use chrono::{DateTime, Local, NaiveTime};
use egui::{
    Align, Button, CursorIcon, Layout, Popup, Rect, Response, RichText, ScrollArea, Sense, TextEdit, Ui, vec2,
};

use super::View;
use super::top::button;
use crate::conversation::{ConversationId, Head, Moment};
use crate::gui::command::Command;
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, name_field};
use crate::gui::state::{Field, State};
use crate::gui::theme::{gap, radius, strong, text};
use crate::gui::words::Language;
use crate::store::{Hit, Span};

const ROW: f32 = 34.0;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    header(ui, page);
    ui.add_space(gap::SMALL);
    new_chat(ui, page);
    ui.add_space(gap::TINY);
    search(ui, state, page);
    ui.add_space(gap::SMALL);
    let pages = View::ALL.len() as f32 * (ROW + ui.spacing().item_spacing.y) + 2.0 * gap::MEDIUM;
    let room = (ui.available_height() - pages).max(60.0);
    ui.allocate_ui(vec2(ui.available_width(), room), |ui| {
        ui.set_min_height(room);
        if state.chats.hits.is_some() { hits(ui, state, page) } else { list(ui, state, page) }
    });
    ui.separator();
    for view in View::ALL {
        let chosen = state.view == view;
        let response = row(ui, page, view.name(page.t), Some(view.icon()), chosen);
        let keys = Command::Show(view).keys(ui.ctx()).unwrap_or_default();
        if response.on_hover_text(keys).clicked() {
            page.send(Command::Show(view));
        }
    }
}

fn header(ui: &mut Ui, page: &mut Page<'_>) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let (rect, _) = ui.allocate_exact_size(vec2(22.0, 28.0), Sense::hover());
        Icon::Flame.paint(ui.painter(), rect, page.tokens.ember);
        let name = RichText::new("Inglenook").font(strong(text::TITLE)).color(page.tokens.text);
        ui.add(egui::Label::new(name).selectable(false));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            button(ui, page, &Command::ToggleSidebar, false);
        });
    });
}

fn new_chat(ui: &mut Ui, page: &mut Page<'_>) {
    let words = RichText::new(format!("+   {}", page.t.new_chat())).font(strong(text::CONTROL));
    let button = Button::new(words.color(page.tokens.text))
        .corner_radius(radius::MEDIUM)
        .min_size(vec2(ui.available_width(), 34.0));
    let response = ui.add(button).on_hover_cursor(CursorIcon::PointingHand);
    let response = response.accessible_name(page.t.new_chat());
    let keys = Command::NewChat.keys(ui.ctx()).unwrap_or_default();
    if response.on_hover_text(keys).clicked() {
        page.send(Command::NewChat);
    }
}

fn search(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let edit = TextEdit::singleline(&mut state.chats.search)
        .hint_text(page.t.search_chats())
        .desired_width(f32::INFINITY)
        .margin(egui::Margin::symmetric(10, 6));
    let response = ui.add(edit).accessible_name(page.t.search_chats());
    if state.focus == Some(Field::Search) {
        state.focus = None;
        response.request_focus();
    }
    if response.has_focus() && ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        state.chats.search.clear();
        page.send(Command::Find);
        response.surrender_focus();
    } else if response.changed() {
        page.send(Command::Find);
    }
}

/// What is in the list: titles of groups and conversations.
enum Row<'a> {
    Group(&'static str),
    Chat(&'a Head),
}

/// When days began. Looked up once per frame: a calendar is too slow to be asked for each of thousands of conversations.
struct Days {
    today: Moment,
    yesterday: Moment,
    last_week: Moment,
    last_month: Moment,
}

impl Days {
    fn before(now: DateTime<Local>) -> Self {
        let began = |days| {
            let midnight = now.date_naive().checked_sub_days(chrono::Days::new(days)).unwrap_or_default();
            let midnight = midnight.and_time(NaiveTime::MIN);
            // Where clocks are put forward at midnight, a day begins an hour later.
            let later = midnight + chrono::TimeDelta::hours(1);
            let at = |time: chrono::NaiveDateTime| time.and_local_timezone(Local).earliest();
            let time = at(midnight).or_else(|| at(later));
            Moment(time.map_or_else(|| midnight.and_utc().timestamp_millis(), |time| time.timestamp_millis()))
        };
        Self { today: began(0), yesterday: began(1), last_week: began(7), last_month: began(30) }
    }

    fn group(&self, t: Language, head: &Head) -> &'static str {
        match head.changed {
            _ if head.pinned => t.pinned(),
            changed if changed >= self.today => t.today(),
            changed if changed >= self.yesterday => t.yesterday(),
            changed if changed >= self.last_week => t.last_week(),
            changed if changed >= self.last_month => t.last_month(),
            _ => t.older(),
        }
    }
}

fn list(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let days = Days::before(Local::now());
    let mut rows = vec![];
    let mut last = "";
    for head in &state.chats.heads {
        let group = days.group(page.t, head);
        if group != last {
            rows.push(Row::Group(group));
            last = group;
        }
        rows.push(Row::Chat(head));
    }
    if rows.is_empty() {
        ui.add_space(gap::LARGE);
        ui.vertical_centered(|ui| ui.label(RichText::new(page.t.no_chats()).color(page.tokens.text_faint)));
        return;
    }
    let mut renamed = None;
    let current = state.chats.current.id();
    let writing = |id: ConversationId| {
        let open = &state.chats.current;
        let other = state.chats.others.get(&id);
        (open.id() == id && open.writing().is_some()) || other.is_some_and(|other| other.writing().is_some())
    };
    let mut renaming = state.renaming.take();
    ScrollArea::vertical().auto_shrink(false).id_salt("chats").show_rows(ui, ROW, rows.len(), |ui, range| {
        for row_of in &rows[range] {
            match row_of {
                Row::Group(words) => {
                    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
                    let at = egui::pos2(rect.left() + 8.0, rect.bottom() - 7.0);
                    let font = strong(11.5);
                    ui.painter().text(at, egui::Align2::LEFT_BOTTOM, *words, font, page.tokens.text_faint);
                }
                Row::Chat(head) => {
                    if let Some(renaming) = renaming.as_mut().filter(|renaming| renaming.chat == head.id) {
                        renamed = name_field(ui, &mut renaming.title, page.t.title(), ROW).or(renamed);
                        continue;
                    }
                    let icon = if head.pinned { Some(Icon::Pin) } else { None };
                    let title = if head.title.is_empty() { page.t.new_chat() } else { head.title.as_str() };
                    let response = row(ui, page, title, icon, head.id == current);
                    if writing(head.id) {
                        let at = egui::pos2(response.rect.right() - 12.0, response.rect.center().y);
                        ui.painter().circle_filled(at, 3.5, page.tokens.ember);
                    }
                    actions(ui, head, &response, page);
                    if response.double_clicked() {
                        page.send(Command::Rename(Some(head.id)));
                    } else if response.clicked() {
                        page.send(Command::OpenChat(head.id));
                    }
                }
            }
        }
    });
    match renamed {
        Some(true) => {
            if let Some(renaming) = renaming.take() {
                page.send(Command::SetTitle(renaming.chat, renaming.title));
            }
        }
        Some(false) => renaming = None,
        None => {}
    }
    state.renaming = renaming;
}

/// What can be done with a conversation: with the other button of the mouse, or behind the button at its end.
fn actions(ui: &mut Ui, head: &Head, response: &Response, page: &mut Page<'_>) {
    let t = page.t;
    let mut content = |ui: &mut Ui| {
        let pin = if head.pinned { t.unpin() } else { t.pin() };
        for (words, command) in [
            (t.rename(), Command::Rename(Some(head.id))),
            (pin, Command::Pin(Some(head.id))),
            (t.delete_chat(), Command::DeleteChat(Some(head.id))),
        ] {
            if ui.button(words).clicked() {
                page.send(command);
                ui.close();
            }
        }
    };
    response.context_menu(&mut content);
    let place = Rect::from_center_size(
        egui::pos2(response.rect.right() - 16.0, response.rect.center().y),
        vec2(24.0, 24.0),
    );
    let popup = egui::Id::unique(("more", head.id.0));
    // The menu stays when the pointer goes into it.
    if response.contains_pointer() || Popup::is_id_open(ui.ctx(), popup) {
        let more = ui
            .scope_builder(egui::UiBuilder::new().max_rect(place).id_salt(head.id.0), |ui| {
                IconButton::new(Icon::Down, t.more()).size(24.0).show(ui)
            })
            .inner;
        Popup::menu(&more).id(popup).show(content);
    }
}

/// A line of the list.
fn row(ui: &mut Ui, page: &Page<'_>, words: &str, icon: Option<Icon>, chosen: bool) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, words));
    if ui.is_rect_visible(rect) {
        let tokens = page.tokens;
        let fill = match () {
            () if chosen => tokens.ember_soft,
            () if response.hovered() || response.has_focus() => tokens.hover,
            () => egui::Color32::TRANSPARENT,
        };
        ui.painter().rect_filled(rect, radius::SMALL, fill);
        let mut left = rect.left() + 9.0;
        let ink = if chosen { tokens.text } else { tokens.text_muted };
        if let Some(icon) = icon {
            let place = Rect::from_center_size(egui::pos2(left + 8.0, rect.center().y), vec2(17.0, 17.0));
            icon.paint(ui.painter(), place, if chosen { tokens.ember } else { tokens.text_faint });
            left += 24.0;
        }
        let job = egui::text::LayoutJob {
            wrap: egui::text::TextWrapping::truncate_at_width(rect.right() - left - 26.0),
            ..egui::text::LayoutJob::single_section(
                words.to_owned(),
                egui::TextFormat::simple(crate::gui::theme::regular(text::CONTROL), ink),
            )
        };
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        let at = egui::pos2(left, rect.center().y - galley.size().y / 2.0);
        ui.painter().galley(at, galley, ink);
    }
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// What was found.
fn hits(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let Some(hits) = &state.chats.hits else { return };
    if hits.is_empty() {
        ui.add_space(gap::LARGE);
        ui.vertical_centered(|ui| {
            ui.label(RichText::new(page.t.nothing_found()).color(page.tokens.text_faint));
        });
        return;
    }
    ScrollArea::vertical().auto_shrink(false).id_salt("hits").show(ui, |ui| {
        for hit in hits {
            if self::hit(ui, hit, page).clicked() {
                page.send(match hit.message {
                    Some(message) => Command::OpenMessage(hit.conversation, message),
                    None => Command::OpenChat(hit.conversation),
                });
            }
        }
    });
}

fn hit(ui: &mut Ui, hit: &Hit, page: &Page<'_>) -> Response {
    let mut job = egui::text::LayoutJob::default();
    let format = |font, color| egui::TextFormat::simple(font, color);
    let title = format(strong(text::CONTROL), page.tokens.text);
    job.append(&format!("{}\n", hit.title), 0.0, title);
    for Span { text: words, found } in &hit.snippet {
        let color = if *found { page.tokens.ember } else { page.tokens.text_muted };
        job.append(&words.replace('\n', " "), 0.0, format(crate::gui::theme::regular(text::SMALL), color));
    }
    let button = Button::new(job).frame_when_inactive(false).wrap().min_size(vec2(ui.available_width(), 0.0));
    ui.add(button).on_hover_cursor(CursorIcon::PointingHand).accessible_name(&hit.title)
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};

    use super::*;
    use crate::conversation::{Conversation, SamplingSettings};

    #[test]
    fn conversations_are_grouped_by_days() {
        let now = Local.with_ymd_and_hms(2026, 5, 20, 9, 30, 0).unwrap();
        let days = Days::before(now);
        let mut head = Conversation::new(None, SamplingSettings::default()).head().clone();
        let t = Language::English;
        for (hours, group) in [
            (0, t.today()),
            (9, t.today()),
            (10, t.yesterday()),
            (34, t.last_week()),
            (24 * 7 + 9, t.last_week()),
            (24 * 8, t.last_month()),
            (24 * 31, t.older()),
        ] {
            head.changed = Moment((now - TimeDelta::hours(hours)).timestamp_millis());
            assert_eq!(days.group(t, &head), group, "{hours} hours ago");
        }
        head.pinned = true;
        assert_eq!(days.group(t, &head), t.pinned());
    }
}
