//! Adding a model: the field for a folder or a name, what a hub offers under the name, and a download on its way.

use std::sync::Arc;
use std::time::Duration;

use egui::{Key, RichText, TextEdit, Ui};

use super::table;
use crate::gui::command::Command;
use crate::gui::library::{Doing, Download, End, LibraryCommand, Subject};
use crate::gui::page::Page;
use crate::gui::parts::{Icon, IconButton, Meter, primary, quiet};
use crate::gui::state::State;
use crate::gui::theme::{gap, strong, text};
use crate::gui::words::Language;
use crate::text::{gibibytes, gigabytes_per_second};

pub(super) fn show(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    let library = &mut state.library;
    ui.horizontal(|ui| {
        let edit = TextEdit::singleline(&mut library.typed)
            .hint_text(t.add_model_hint())
            .desired_width((ui.available_width() - 260.0).max(160.0))
            .margin(egui::Margin::symmetric(10, 7));
        let field = ui.add(edit).accessible_name(t.add_model_hint());
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if quiet(ui, t.add_model_look()).clicked() || entered {
            page.send(Command::Library(LibraryCommand::Add(library.typed.clone())));
        }
        if quiet(ui, t.choose_library_folder()).clicked() {
            page.send(Command::ChooseLibraryFolder);
        }
    });
    ui.label(RichText::new(t.drop_hint()).size(text::SMALL).color(page.tokens.text_muted));
    if let Some(fault) = &library.typed_fault {
        ui.label(RichText::new(fault).color(page.tokens.danger));
    }
}

/// What the hub says of a model.
pub(super) fn offer(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    let Some(asked) = &state.library.offer else { return };
    let name = asked.name.clone();
    let mut close = false;
    ui.horizontal(|ui| {
        ui.label(RichText::new(&name).font(strong(text::TITLE)).color(page.tokens.text));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            close = IconButton::new(Icon::Close, t.close()).show(ui).clicked();
        });
    });
    match &asked.answer {
        None => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(t.asking_hub(&name));
            });
        }
        Some(Err(fault)) => {
            ui.label(RichText::new(fault).color(page.tokens.danger));
        }
        Some(Ok(offer)) => {
            let offer = Arc::clone(offer);
            let bytes =
                offer.bytes.map_or(t.offer_unknown_bytes().to_owned(), |b| t.offer_bytes(&gibibytes(b)));
            ui.label(RichText::new(bytes).color(page.tokens.text_muted));
            table::show(ui, state, &Subject::Offer(offer), page);
            ui.add_space(gap::TINY);
            let busy = state.library.download.as_ref().is_some_and(|download| download.end.is_none());
            ui.add_enabled_ui(!busy, |ui| {
                if primary(ui, t.download()).accessible_name(t.download_model(&name)).clicked() {
                    page.send(Command::Library(LibraryCommand::Download(name.clone())));
                }
            });
        }
    }
    if close {
        state.library.offer = None;
    }
}

/// A download: how far it is, or how it ended.
pub(super) fn download(ui: &mut Ui, state: &mut State, page: &mut Page<'_>) {
    let t = page.t;
    let Some(download) = &state.library.download else { return };
    let (name, tokens) = (download.model.clone(), page.tokens);
    let mut close = false;
    ui.label(RichText::new(&name).font(strong(text::TITLE)).color(tokens.text));
    match &download.end {
        None => {
            ui.label(doing(t, download));
            Meter::new(download.share(), t.download_progress()).width(ui.available_width()).show(ui);
            ui.label(RichText::new(progress(t, download)).size(text::SMALL).color(tokens.text_muted));
            if quiet(ui, t.download_stop()).clicked() {
                page.send(Command::Library(LibraryCommand::StopDownload));
            }
        }
        Some(End::Here(_)) => {
            ui.label(RichText::new(t.download_done(&name)).color(tokens.good));
            close = quiet(ui, t.close()).clicked();
        }
        Some(end) => {
            if let End::Failed(fault) = end {
                ui.label(RichText::new(t.download_failed(&name)).color(tokens.danger));
                ui.label(RichText::new(fault).color(tokens.danger));
            } else {
                ui.label(RichText::new(t.download_stopped(&name)).color(tokens.text_muted));
            }
            ui.horizontal(|ui| {
                if primary(ui, t.download_again()).clicked() {
                    page.send(Command::Library(LibraryCommand::Download(name.clone())));
                }
                close = quiet(ui, t.close()).clicked();
            });
        }
    }
    if close {
        state.library.download = None;
    }
}

fn doing(t: Language, download: &Download) -> String {
    let file = &download.now.file;
    match &download.now.doing {
        Doing::Asking => t.download_asking().to_owned(),
        Doing::Receiving => t.download_receiving(file),
        Doing::Checking => t.download_checking(file),
        Doing::Pausing(attempt, fault) => t.download_pausing(file, *attempt, fault),
        Doing::Waiting => t.download_waiting(file),
    }
}

fn progress(t: Language, download: &Download) -> String {
    let (done, total) = (gibibytes(download.now.done), gibibytes(download.now.total));
    match download.speed() {
        Some((rate, left)) => t.download_rate(&done, &total, &gigabytes_per_second(rate), &time(t, left)),
        None => t.download_share(&done, &total),
    }
}

fn time(t: Language, time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => t.seconds_left(seconds + 1),
        seconds @ 100..6000 => t.minutes_left(seconds.div_ceil(60)),
        seconds => t.hours_left(seconds.div_ceil(3600)),
    }
}
