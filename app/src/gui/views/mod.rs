//! The views: each draws its part of the state into its part of the window, and sends commands.
//!
//! A page beside the conversation is a variant of [`View`], with its name, icon and keys here, and an arm in [`page`].

mod asking;
mod chat;
mod compare;
mod composer;
mod devices;
mod fold;
mod message;
mod model_menu;
mod models;
mod overlay;
mod palette;
mod sampling;
mod settings;
mod sidebar;
mod status;
mod top;

use egui::{CentralPanel, Frame, Key, KeyboardShortcut, Margin, Modifiers, Panel, Ui};

use super::page::Page;
use super::parts::Icon;
use super::state::State;
use super::words::Language;

pub(crate) use chat::ChatView;
pub(crate) use compare::{At, CACHES, CompareView, Drawn, Mode, Report, Running, WEIGHTS, picture};
pub(crate) use palette::PaletteView;
pub(crate) use sampling::SamplingView;

/// What the middle of the window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Chat,
    Models,
    Devices,
    Compare,
    Settings,
}

impl View {
    /// In the order of the sidebar.
    pub(crate) const ALL: [Self; 5] =
        [Self::Chat, Self::Models, Self::Devices, Self::Compare, Self::Settings];

    pub(crate) const fn name(self, t: Language) -> &'static str {
        match self {
            Self::Chat => t.view_chat(),
            Self::Models => t.view_models(),
            Self::Devices => t.view_devices(),
            Self::Compare => t.view_compare(),
            Self::Settings => t.view_settings(),
        }
    }

    pub(crate) const fn icon(self) -> Icon {
        match self {
            Self::Chat => Icon::Chat,
            Self::Models => Icon::Box,
            Self::Devices => Icon::Chip,
            Self::Compare => Icon::Columns,
            Self::Settings => Icon::Gear,
        }
    }

    /// Ctrl and a number, by the place in the sidebar; the settings have the comma that they have everywhere.
    pub(crate) const fn shortcut(self) -> KeyboardShortcut {
        let key = match self {
            Self::Chat => Key::Num1,
            Self::Models => Key::Num2,
            Self::Devices => Key::Num3,
            Self::Compare => Key::Num4,
            Self::Settings => Key::Comma,
        };
        KeyboardShortcut::new(Modifiers::COMMAND, key)
    }
}

/// Draws the view in the middle.
fn page(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    match state.view {
        View::Chat => chat::show(ui, state, page),
        View::Models => models::show(ui, state, page),
        View::Devices => devices::show(ui, state, page),
        View::Compare => compare::show(ui, state, page),
        View::Settings => settings::show(ui, state, page),
    }
}

/// Draws the whole window.
pub(crate) fn show(ui: &mut Ui, state: &mut State, page_of: &mut Page<'_>) {
    let tokens = page_of.tokens;
    let line = egui::Stroke::new(1.0, tokens.line);
    let bar = Frame::new().fill(tokens.panel).inner_margin(Margin::symmetric(12, 3));
    let status = Panel::bottom("status").frame(bar).exact_size(27.0).show_separator_line(false);
    status.show(ui, |ui| {
        ui.painter().hline(ui.clip_rect().x_range(), ui.clip_rect().top() + 0.5, line);
        status::show(ui, state, page_of);
    });
    let side =
        Frame::new().fill(tokens.panel).inner_margin(Margin { left: 10, right: 10, top: 10, bottom: 8 });
    let mut open = state.settings.sidebar;
    Panel::left("sidebar")
        .frame(side)
        .resizable(true)
        .default_size(256.0)
        .size_range(200.0..=420.0)
        .show_separator_line(false)
        .show_collapsible(ui, &mut open, |ui| sidebar::show(ui, state, page_of));
    if open != state.settings.sidebar {
        page_of.send(super::command::Command::ToggleSidebar);
    }
    if state.view == View::Chat {
        let side = Frame::new().fill(tokens.panel).inner_margin(Margin::same(14));
        let mut open = state.settings.sampling_panel;
        Panel::right("sampling")
            .frame(side)
            .resizable(true)
            .default_size(296.0)
            .size_range(250.0..=420.0)
            .show_separator_line(false)
            .show_collapsible(ui, &mut open, |ui| sampling::show(ui, state, page_of));
        if open != state.settings.sampling_panel {
            page_of.send(super::command::Command::ToggleSampling);
        }
    }
    CentralPanel::no_frame().frame(Frame::new().fill(tokens.ground)).show(ui, |ui| {
        let bar = Frame::new().fill(tokens.ground).inner_margin(Margin::symmetric(12, 6));
        Panel::top("top").frame(bar).exact_size(46.0).show_separator_line(false).show(ui, |ui| {
            top::show(ui, state, page_of);
        });
        page(ui, state, page_of);
    });
    overlay::show(ui, state, page_of);
    palette::show(ui, state, page_of);
    asking::show(ui, state, page_of);
}
