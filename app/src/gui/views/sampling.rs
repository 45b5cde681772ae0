//! How replies are written: the system prompt, presets, and how tokens are drawn.

use std::ops::RangeInclusive;

use egui::{DragValue, RichText, ScrollArea, Slider, TextEdit, Ui};

use crate::conversation::{ConversationId, SamplingSettings};
use crate::gui::command::Command;
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, strong, text};

/// What is being typed here.
#[derive(Default)]
pub(crate) struct SamplingView {
    /// The system prompt of this conversation.
    system: Option<(ConversationId, String)>,
    preset: String,
}

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(page.t.writing()).font(strong(text::TITLE)).color(page.tokens.text));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if IconButton::new(Icon::Close, page.t.close()).show(ui).clicked() {
                page.send(Command::ToggleSampling);
            }
        });
    });
    ScrollArea::vertical().auto_shrink(false).id_salt("sampling").show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = gap::SMALL;
        system(ui, state, page);
        ui.add_space(gap::SMALL);
        presets(ui, state, page);
        ui.add_space(gap::SMALL);
        sampling(ui, state, page);
        ui.add_space(gap::LARGE);
    });
}

fn label(ui: &mut Ui, page: &Page<'_>, words: &str) {
    ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
}

fn system(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    label(ui, page, page.t.system_prompt());
    let chat = &state.chats.current;
    let stored = chat.head().system.clone().unwrap_or_default();
    let typed = match &mut state.sampling_view.system {
        Some((of, typed)) if *of == chat.id() => typed,
        other => &mut other.insert((chat.id(), stored.clone())).1,
    };
    let edit = TextEdit::multiline(typed)
        .desired_rows(4)
        .desired_width(f32::INFINITY)
        .hint_text(page.t.system_prompt_hint())
        .margin(egui::Margin::symmetric(10, 8));
    let response = ui.add(edit).accessible_name(page.t.system_prompt());
    if response.changed() {
        page.send(Command::SetSystem(Some(typed.clone())));
    } else if !response.has_focus() {
        // A preset may have changed it.
        *typed = stored;
    }
}

fn presets(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    label(ui, page, t.presets());
    for preset in &state.presets {
        ui.horizontal(|ui| {
            if quiet(ui, &preset.name).on_hover_text(t.apply_preset()).clicked() {
                page.send(Command::ApplyPreset(preset.name.clone()));
            }
            let name = t.delete_preset(&preset.name);
            if IconButton::new(Icon::Trash, &name).size(24.0).show(ui).clicked() {
                page.send(Command::DeletePreset(preset.name.clone()));
            }
        });
    }
    ui.horizontal(|ui| {
        let typed = &mut state.sampling_view.preset;
        let edit = TextEdit::singleline(typed).desired_width(140.0).hint_text(t.preset_name());
        let response = ui.add(edit).accessible_name(t.preset_name());
        let enter = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let named = !typed.trim().is_empty();
        let save = ui.add_enabled(named, egui::Button::new(t.save()));
        if named && (save.clicked() || enter) {
            page.send(Command::SavePreset(std::mem::take(typed).trim().to_owned()));
        }
    });
}

fn sampling(ui: &mut Ui, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    let before = &state.chats.current.head().sampling;
    let mut now = before.clone();
    let makers = state.model.facts().map(|facts| facts.makers.clone()).unwrap_or_default();
    let usual_temperature = if makers.sample == Some(false) { 0.0 } else { 0.7 };
    let usual = makers.temperature.unwrap_or(usual_temperature);
    number(ui, page, (t.temperature(), t.temperature_tip()), &mut now.temperature, usual, 0.0..=2.0);
    let mut top_k = now.top_k.map(|k| k as f32);
    let usual = makers.top_k.unwrap_or(0) as f32;
    whole(ui, page, (t.top_k(), t.top_k_tip()), &mut top_k, usual, 0.0..=256.0);
    now.top_k = top_k.map(|k| k as u32);
    let usual = makers.top_p.unwrap_or(0.95);
    number(ui, page, (t.top_p(), t.top_p_tip()), &mut now.top_p, usual, 0.01..=1.0);
    let usual = makers.min_p.unwrap_or(0.0);
    number(ui, page, (t.min_p(), t.min_p_tip()), &mut now.min_p, usual, 0.0..=1.0);
    let usual = makers.repetition_penalty.unwrap_or(1.0);
    number(ui, page, (t.repeat_penalty(), t.repeat_penalty_tip()), &mut now.repeat_penalty, usual, 0.5..=2.0);
    plain(ui, page, (t.presence_penalty(), t.presence_penalty_tip()), &mut now.presence_penalty);
    plain(ui, page, (t.frequency_penalty(), t.frequency_penalty_tip()), &mut now.frequency_penalty);
    limits(ui, page, &mut now);
    if now != *before {
        page.send(Command::SetSampling(now));
    }
    if *before != SamplingSettings::default() && quiet(ui, t.as_makers_suggest()).clicked() {
        page.send(Command::SetSampling(SamplingSettings::default()));
    }
}

/// The seed, and how long a reply may be.
fn limits(ui: &mut Ui, page: &Page<'_>, now: &mut SamplingSettings) {
    let t = page.t;
    let mut fixed = now.seed.is_some();
    ui.checkbox(&mut fixed, t.fixed_seed()).on_hover_text(t.fixed_seed_tip());
    if fixed {
        let mut seed = now.seed.unwrap_or(42);
        ui.add(DragValue::new(&mut seed)).accessible_name(t.seed());
        now.seed = Some(seed);
    } else {
        now.seed = None;
    }
    let mut limited = now.max_tokens.is_some();
    ui.checkbox(&mut limited, t.limit_length()).on_hover_text(t.limit_length_tip());
    if limited {
        let mut tokens = now.max_tokens.unwrap_or(512);
        ui.add(DragValue::new(&mut tokens).range(1..=1_000_000)).accessible_name(t.longest_reply());
        now.max_tokens = Some(tokens);
    } else {
        now.max_tokens = None;
    }
}

type Words<'a> = (&'a str, &'a str);

/// A number that is as the makers suggest until it is set.
fn number(
    ui: &mut Ui,
    page: &Page<'_>,
    words: Words<'_>,
    value: &mut Option<f32>,
    usual: f32,
    range: RangeInclusive<f32>,
) {
    slider(ui, page, words, value, usual, |shown| Slider::new(shown, range).fixed_decimals(2));
}

/// The same for whole numbers.
fn whole(
    ui: &mut Ui,
    page: &Page<'_>,
    words: Words<'_>,
    value: &mut Option<f32>,
    usual: f32,
    range: RangeInclusive<f32>,
) {
    slider(ui, page, words, value, usual, |shown| Slider::new(shown, range).integer());
}

fn slider(
    ui: &mut Ui,
    page: &Page<'_>,
    (name, tip): Words<'_>,
    value: &mut Option<f32>,
    usual: f32,
    make: impl FnOnce(&mut f32) -> Slider<'_>,
) {
    ui.horizontal(|ui| {
        label(ui, page, name);
        if value.is_none() {
            ui.label(RichText::new(page.t.suggested()).size(text::SMALL).color(page.tokens.text_faint));
        } else if IconButton::new(Icon::Undo, &page.t.reset_value(name)).size(20.0).show(ui).clicked() {
            *value = None;
        }
    });
    let mut shown = value.unwrap_or(usual);
    let response = ui.add(make(&mut shown)).on_hover_text(tip).accessible_name(name);
    if response.changed() {
        *value = Some(shown);
    }
}

/// A number that is 0 where it is off.
fn plain(ui: &mut Ui, page: &Page<'_>, (name, tip): Words<'_>, value: &mut f32) {
    label(ui, page, name);
    ui.add(Slider::new(value, -2.0..=2.0).fixed_decimals(2)).on_hover_text(tip).accessible_name(name);
}
