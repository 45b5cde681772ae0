//! Who takes part and with what prompt; and, while a comparison runs, how far it is.

use std::collections::BTreeSet;

use egui::{DragValue, RichText, TextEdit, Ui};
use inglenook::measure::Stage;

use super::{At, CACHES, CompareView, Mode, Running, WEIGHTS};
use crate::gui::command::{Command, CompareCommand};
use crate::gui::page::Page;
use crate::gui::parts::{Meter, choice, primary, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, text};

pub(super) fn show(ui: &mut Ui, view: &mut CompareView, state: &State, page: &mut Page<'_>) {
    let t = page.t;
    ui.spacing_mut().item_spacing.y = gap::SMALL;
    if let Some(running) = &view.running {
        return progress(ui, running, page);
    }
    if view.is_busy() {
        ui.horizontal(|ui| {
            ui.label(t.beside_under_way());
            if quiet(ui, t.beside_stop()).clicked() {
                page.send(Command::Compare(CompareCommand::Stop));
            }
        });
        return;
    }
    let modes = [(Mode::Fair, t.compare_fair()), (Mode::Beside, t.beside_for_show())];
    if let Some(mode) = choice(ui, view.mode, &modes) {
        view.mode = mode;
    }
    let Some(facts) = state.model.facts() else {
        ui.label(t.compare_no_model());
        return;
    };
    if !std::mem::replace(&mut view.begun, true) {
        view.devices.insert(facts.device.id.to_string());
    }
    label(ui, page, t.compare_devices());
    ui.horizontal_wrapped(|ui| {
        for card in &state.devices {
            let info = &card.device.info;
            let id = info.id.to_string();
            let words = format!("{} ({id})", info.name);
            check(ui, &words, &mut view.devices, id);
        }
    });
    label(ui, page, t.compare_weights());
    ui.horizontal_wrapped(|ui| {
        for format in WEIGHTS {
            let words = if format == "stored" { t.compare_stored() } else { format };
            check(ui, words, &mut view.weights, format);
        }
    });
    label(ui, page, t.compare_cache());
    ui.horizontal_wrapped(|ui| {
        for format in CACHES {
            // Weights have formats of the same names, and what is read aloud must tell them apart.
            check(ui, &format!("{} {format}", t.compare_cache()), &mut view.caches, format);
        }
    });
    label(ui, page, t.compare_prompt());
    let prompt = view.prompt.get_or_insert_with(|| t.compare_first_prompt().to_owned());
    let edit = TextEdit::multiline(prompt).desired_rows(2).desired_width(f32::INFINITY);
    ui.add(edit).accessible_name(t.compare_prompt());
    ui.horizontal(|ui| {
        number(ui, t.compare_tokens(), &mut view.generate, 2..=4096);
        if view.mode == Mode::Fair {
            ui.add_space(gap::LARGE);
            number(ui, t.compare_runs(), &mut view.repeats, 1..=20);
        }
    });
    let hindrance = if view.count() == 0 {
        Some(t.compare_nothing_chosen())
    } else if !state.live.is_empty() {
        Some(t.compare_busy())
    } else {
        None
    };
    if let Some(trouble) = &view.trouble {
        ui.label(RichText::new(t.compare_failed(trouble)).color(page.tokens.danger));
    }
    if let Some(words) = hindrance {
        ui.label(RichText::new(words).color(page.tokens.text_muted));
        return;
    }
    let words = match view.mode {
        Mode::Fair => t.compare_start(view.count()),
        Mode::Beside => t.beside_start(view.count()),
    };
    if primary(ui, &words).clicked() {
        page.send(Command::Compare(CompareCommand::Start));
    }
}

fn label(ui: &mut Ui, page: &Page<'_>, words: &str) {
    ui.label(RichText::new(words).size(text::SMALL).color(page.tokens.text_muted));
}

/// A box that puts something into a set, or takes it out.
fn check<T: Ord + Clone>(ui: &mut Ui, words: &str, chosen: &mut BTreeSet<T>, one: T) {
    let mut is = chosen.contains(&one);
    if ui.checkbox(&mut is, words).changed() {
        if is {
            chosen.insert(one);
        } else {
            chosen.remove(&one);
        }
    }
}

fn number(ui: &mut Ui, words: &str, value: &mut usize, range: std::ops::RangeInclusive<usize>) {
    ui.label(words);
    ui.add(DragValue::new(value).range(range)).accessible_name(words);
}

fn progress(ui: &mut Ui, running: &Running, page: &mut Page<'_>) {
    let t = page.t;
    let count = running.labels.len().max(1);
    let at = running.at;
    let name = at.and_then(|at| running.labels.get(at.subject)).map_or("", String::as_str);
    let doing = at.map_or_else(|| t.compare_loading().to_owned(), |at| doing(page, at.stage));
    ui.label(t.compare_under_way(name, &doing));
    let of_stage = at.map_or(0.0, |at: At| at.done as f32 / at.total.max(1) as f32);
    Meter::new(of_stage, &doing).width(ui.available_width()).show(ui);
    let all = format!("{} / {count}", running.finished);
    ui.horizontal(|ui| {
        Meter::new(running.finished as f32 / count as f32, &all).width(220.0).show(ui);
        ui.label(&all);
        if quiet(ui, t.compare_stop()).clicked() {
            page.send(Command::Compare(CompareCommand::Stop));
        }
    });
}

fn doing(page: &Page<'_>, stage: Stage) -> String {
    let t = page.t;
    match stage {
        Stage::Loading => t.compare_loading().to_owned(),
        Stage::Peaks => t.compare_peaks().to_owned(),
        Stage::WarmingUp => t.compare_warming().to_owned(),
        Stage::Run(run) => t.compare_run(run),
        Stage::Profiling => t.compare_profiling().to_owned(),
        Stage::Agreement | Stage::Scoring => t.compare_agreeing().to_owned(),
    }
}
