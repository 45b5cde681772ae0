//! The bar above: the title of the conversation, the model, and the menu.

use egui::{Align, Layout, Popup, RichText, Ui};

use super::model_menu;
use crate::gui::command::{Command, Menu};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton};
use crate::gui::state::State;
use crate::gui::theme::{gap, strong, text};
use crate::gui::views::View;

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    ui.horizontal_centered(|ui| {
        if !state.settings.sidebar {
            button(ui, page, &Command::ToggleSidebar, false);
            button(ui, page, &Command::NewChat, false);
        }
        model_menu::show(ui, state, page);
        if state.view == View::Chat {
            let head = state.chats.current.head();
            let title = if head.title.is_empty() { t.new_chat() } else { head.title.as_str() };
            let title = RichText::new(title).font(strong(text::CONTROL)).color(page.tokens.text_muted);
            let room = (ui.available_width() - 84.0).max(0.0);
            ui.add_space(gap::SMALL);
            ui.scope(|ui| {
                ui.set_max_width(room);
                ui.add(egui::Label::new(title).truncate().selectable(false));
            });
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            menu(ui, state, page);
            if state.view == View::Chat {
                button(ui, page, &Command::ToggleSampling, state.settings.sampling_panel);
            }
        });
    });
}

/// A button with the icon, the name and the keys of a command.
pub(super) fn button(ui: &mut Ui, page: &mut Page<'_>, command: &Command, chosen: bool) {
    let name = command.name(page.t);
    let keys = command.keys(ui.ctx());
    let icon = command.icon().unwrap_or(Icon::Menu);
    if IconButton::new(icon, &name).shortcut(keys).chosen(chosen).show(ui).clicked() {
        page.send(command.clone());
    }
}

/// All commands, by menu.
fn menu(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let response = IconButton::new(Icon::Menu, page.t.menu()).show(ui);
    Popup::menu(&response).show(|ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.name(page.t), |ui| {
                for command in menu.commands() {
                    let mut item = egui::Button::new(command.name(page.t));
                    if let Some(keys) = command.keys(ui.ctx()) {
                        item = item.shortcut_text(keys);
                    }
                    if ui.add_enabled(command.is_possible(state), item).clicked() {
                        page.send(command);
                        ui.close();
                    }
                }
            });
        }
    });
}
