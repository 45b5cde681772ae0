//! The palette, languages, themes, and that every input has a name.

use egui::Key;
use egui_kittest::kittest::Queryable;

use super::Window;
use crate::gui::command::Command;
use crate::gui::theme::ThemeChoice;
use crate::gui::views::View;
use crate::gui::words::Language;

#[test]
fn the_palette_does_what_is_typed() {
    let mut window = Window::empty();
    window.harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::K);
    window.frames(2);
    assert!(window.state().palette.is_some());
    window.type_into("Command palette", "colours dark");
    window.harness.key_press(Key::Enter);
    window.frames(3);
    assert_eq!(window.state().settings.theme, ThemeChoice::Dark);
    assert!(window.state().palette.is_none());
    window.harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::K);
    window.frames(2);
    window.harness.key_press(Key::Escape);
    window.frames(2);
    assert!(window.state().palette.is_none());
}

#[test]
fn the_language_changes_at_once() {
    let mut window = Window::empty();
    assert!(window.harness.query_by_label("What shall we talk about?").is_some());
    window.command(Command::SetLanguage(Language::Chinese));
    window.frames(2);
    assert!(window.harness.query_by_label("想聊点什么？").is_some());
    assert!(window.harness.query_by_label("What shall we talk about?").is_none());
}

#[test]
fn every_input_has_a_name_on_every_page() {
    let mut window = Window::ready();
    window.exchange("hello");
    window.command(Command::ToggleSampling);
    for theme in [ThemeChoice::Light, ThemeChoice::Dark] {
        window.command(Command::SetTheme(theme));
        for view in View::ALL {
            window.command(Command::Show(view));
            window.frames(20);
            window.harness.check_accessibility();
        }
    }
    window.command(Command::Show(View::Chat));
    window.command(Command::Edit(None));
    window.command(Command::Palette);
    window.frames(5);
    window.harness.check_accessibility();
}

#[test]
fn shortcuts_work_while_typing() {
    let mut window = Window::ready();
    window.type_into("Message", "a draft");
    window.harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::Comma);
    window.frames(2);
    assert_eq!(window.state().view, View::Settings);
    window.harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::Num1);
    window.frames(2);
    assert_eq!(window.state().view, View::Chat);
    window.harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::B);
    window.frames(2);
    assert!(!window.state().settings.sidebar);
    assert!(window.state().chats.drafts.values().any(|draft| draft == "a draft"));
}
