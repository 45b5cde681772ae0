//! Fields that are typed into for a moment.

use egui::{Margin, TextEdit, Ui, vec2};

/// A field for a name, which has the keyboard until it is left; says whether the name was taken (true) or given up (false).
pub(crate) fn name_field(ui: &mut Ui, name: &mut String, label: &str, height: f32) -> Option<bool> {
    let edit = TextEdit::singleline(name)
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(8, 7))
        .min_size(vec2(0.0, height));
    let response = ui.add(edit).accessible_name(label);
    if ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        return Some(false);
    }
    if response.lost_focus() {
        return Some(true);
    }
    response.request_focus();
    None
}
