//! The page that compares: choosing, running, stopping, keeping, exporting, and writing side by side.

use std::path::PathBuf;

use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use inglenook::backend::DeviceId;
use inglenook::chat::Ending;
use inglenook::measure::compare::{Comparison, Measured, Outcome};
use inglenook::model::builtin;

use super::pictures::pixels;
use super::{Window, fixtures, gpu};
use crate::gui::beside::{Beside, ColumnState};
use crate::gui::command::{Command, CompareCommand, ComparisonFormat};
use crate::gui::picture::Canvas;
use crate::gui::state::State;
use crate::gui::toast::Kind;
use crate::gui::update::export_comparison;
use crate::gui::views::{Mode, View};

/// A window on the page that compares, with a model open on the CPU and room for all of the page.
fn page(folder: PathBuf) -> Window {
    let mut window = Window::empty();
    window.harness.set_size(egui::vec2(1180.0, 3200.0));
    let state = &mut window.harness.state_mut().state;
    (state.settings.device, state.compare.generate, state.compare.repeats) = ("cpu".to_owned(), 10, 2);
    window.command(Command::OpenModel(folder));
    window.wait("the model is open", |state| state.model.facts().is_some() && !state.devices.is_empty());
    window.command(Command::Show(View::Compare));
    window
}

/// The same with the built-in model's small sibling.
fn tiny() -> Window {
    page(fixtures("models/guide/tiny"))
}

fn tick(window: &mut Window, label: &str) {
    let boxes = window.harness.get_all_by_label_contains(label);
    boxes.into_iter().find(|node| role(node) == Role::CheckBox).unwrap().click();
    window.frames(2);
}

fn role(node: &egui_kittest::Node<'_>) -> Role {
    use egui_kittest::kittest::NodeT;
    node.accesskit_node().role()
}

/// On the CPU, which is in use and therefore chosen, f16 and then int8.
fn choose_formats(window: &mut Window) {
    tick(window, "as stored");
    let f16 = window.harness.get_by_role_and_label(Role::CheckBox, "f16");
    f16.click();
    window.frames(2);
}

fn has_text(window: &Window, part: &str) -> bool {
    window.harness.query_all_by_label_contains(part).next().is_some()
}

/// Presses the button and waits for the end.
fn run(window: &mut Window, button: &str) -> Comparison {
    window.click(button);
    result(window)
}

/// Waits for the end of what has begun.
fn result(window: &mut Window) -> Comparison {
    assert!(window.state().compare.running.is_some(), "{:?}", window.state().compare.trouble);
    window.wait("it is done", |state| state.compare.running.is_none());
    window.frames(3);
    window.state().compare.shown.clone().unwrap()
}

fn measured(comparison: &Comparison, place: usize) -> &Measured {
    match &comparison.entries[place].outcome {
        Outcome::Done(measured) => measured,
        other => panic!("{}: {other:?}", comparison.entries[place].label),
    }
}

/// A comparison of two formats that is shown.
fn compared() -> (Window, Comparison) {
    let mut window = tiny();
    choose_formats(&mut window);
    let comparison = run(&mut window, "Compare 2");
    (window, comparison)
}

#[test]
fn formats_of_the_built_in_model_are_compared() {
    let mut window = page(builtin::folder().unwrap());
    tick(&mut window, "(cpu:0)");
    assert!(has_text(&window, "Choose a device"));
    tick(&mut window, "(cpu:0)");
    choose_formats(&mut window);
    let comparison = run(&mut window, "Compare 2");
    assert_eq!(comparison.model, builtin::NAME);
    let labels: Vec<_> = comparison.entries.iter().map(|entry| entry.label.as_str()).collect();
    assert!(labels[0] == "cpu:0 f16" && labels[1].starts_with("cpu:0 int8"), "{labels:?}");
    let (reference, other) = (measured(&comparison, 0), measured(&comparison, 1));
    assert_eq!((reference.decode.samples.len(), other.decode.samples.len()), (2, 2));
    assert!(other.bytes_per_token < 0.7 * reference.bytes_per_token);
    assert!(other.agreement.mean_divergence > 0.0 && reference.agreement.mean_divergence < 1e-12);
    // Rows, the first difference, the strip and the bars.
    for label in &labels {
        assert!(has_text(&window, label), "{label}");
    }
    assert!(has_text(&window, "the reference"));
    let difference = other.first_difference.map_or("none".to_owned(), |place| format!("token {place}"));
    assert!(has_text(&window, &difference), "{difference}");
    assert!(has_text(&window, &format!("Agreement of {} with the reference", labels[1])));
    assert!(has_text(&window, "cpu:0 f16: linear"));
    // The text of each is there, piece by piece.
    assert!(has_text(&window, &reference.text) && has_text(&window, &other.text));
    window.harness.check_accessibility();
}

#[test]
fn the_cpu_is_compared_with_a_gpu() {
    let Some(gpu) = gpu() else { return };
    let mut window = tiny();
    tick(&mut window, &format!("({})", gpu.id));
    tick(&mut window, "as stored");
    let comparison = run(&mut window, "Compare 2");
    let mut devices: Vec<_> = comparison.entries.iter().map(|entry| entry.device.clone()).collect();
    devices.sort();
    assert_eq!(devices, ["cpu:0".to_owned(), gpu.id.to_string()]);
    for place in 0..2 {
        let one = measured(&comparison, place);
        assert!(one.decode.median() > 0.0 && one.agreement.same_top > 0.5, "{one:?}");
    }
    // The same format: they mean the same.
    let other = 1 - comparison.reference.unwrap();
    assert!(measured(&comparison, other).agreement.mean_divergence < 1e-2);
}

#[test]
fn a_comparison_is_stopped_in_the_middle_and_shows_what_it_has() {
    let mut window = tiny();
    // Long enough to be stopped in.
    window.harness.state_mut().state.compare.repeats = 20;
    window.harness.state_mut().state.compare.generate = 200;
    choose_formats(&mut window);
    window.click("Compare 2");
    assert!(window.state().compare.running.is_some());
    window
        .wait("it runs", |state| state.compare.running.as_ref().is_some_and(|running| running.at.is_some()));
    window.click("Stop comparing");
    window.wait("it is stopped", |state| state.compare.running.is_none());
    window.frames(2);
    let comparison = window.state().compare.shown.clone().unwrap();
    assert!(comparison.cancelled && matches!(comparison.entries[1].outcome, Outcome::NotRun));
    assert!(has_text(&window, "It was stopped") && has_text(&window, "not run"));
}

/// Chooses a device that was there when devices were looked for, and is gone; the list is told anew now and then, so this is the
/// last thing before the start.
fn choose_one_that_is_gone(window: &mut Window) {
    let state = &mut window.harness.state_mut().state;
    let cpu = state.devices.iter().find(|card| card.device.info.id.backend == "cpu");
    let mut gone = cpu.unwrap().clone();
    gone.device.info.id = DeviceId { backend: "cpu", index: 7 };
    state.devices.insert(0, gone);
    state.compare.devices.insert("cpu:7".to_owned());
}

#[test]
fn a_contestant_that_fails_is_told_of_and_the_others_go_on() {
    let mut window = tiny();
    tick(&mut window, "int8");
    choose_one_that_is_gone(&mut window);
    window.command(Command::Compare(CompareCommand::Start));
    let comparison = result(&mut window);
    let Outcome::Failed { reason } = &comparison.entries[0].outcome else { panic!("{comparison:?}") };
    assert!(reason.contains("cpu:7"), "{reason}");
    assert!(has_text(&window, reason));
    assert_eq!(comparison.reference, Some(1));
    assert!(measured(&comparison, 1).decode.median() > 0.0);
}

#[test]
fn comparisons_are_kept_named_deleted_and_found_after_a_restart() {
    let (mut window, comparison) = compared();
    window.type_into("Name of the comparison", "two formats");
    window.click("Keep it");
    let id = window.state().compare.shown_id.unwrap();
    assert_eq!(window.state().compare.kept[0].name, "two formats");
    window.click("Rename the comparison “two formats”");
    window.type_into("Name of the comparison", "!");
    window.harness.key_press(egui::Key::Enter);
    window.frames(2);
    assert_eq!(window.state().compare.kept[0].name, "two formats!");

    window.click("Delete the comparison “two formats!”");
    assert!(window.state().compare.kept.is_empty());
    window.wait("it can be undone", |state| !state.undo.is_empty());
    window.click("Undo");
    assert_eq!((window.state().compare.kept.len(), window.state().compare.kept[0].id), (1, id));

    let mut window = window.again();
    assert!(window.state().compare.shown.is_none());
    assert_eq!(window.state().compare.kept[0].name, "two formats!");
    window.harness.set_size(egui::vec2(1180.0, 3200.0));
    window.command(Command::Show(View::Compare));
    // Not by its button: the last model is being opened meanwhile, and all moves down when it is there.
    window.command(Command::Compare(CompareCommand::Open(id)));
    window.wait("it is shown", |state| state.compare.shown.is_some());
    assert_eq!(window.state().compare.shown.as_ref(), Some(&comparison));
    assert_eq!(window.state().compare.shown_id, Some(id));
    window.command(Command::Compare(CompareCommand::Delete(id)));
    window.wait("it is gone", |state| !state.undo.is_empty());
    let window = window.again();
    assert!(window.state().compare.kept.is_empty());
}

fn export(window: &mut Window, format: ComparisonFormat, path: PathBuf) {
    let ctx = window.harness.ctx.clone();
    export_comparison(window.harness.state_mut(), format, path, &ctx);
    window.frames(1);
}

#[test]
fn comparisons_are_exported() {
    let (mut window, comparison) = compared();
    let folder = tempfile::tempdir().unwrap();
    let file = |format: ComparisonFormat| folder.path().join(format!("out.{}", format.ending()));
    for format in [ComparisonFormat::Json, ComparisonFormat::Markdown] {
        export(&mut window, format, file(format));
    }
    let json = std::fs::read_to_string(file(ComparisonFormat::Json)).unwrap();
    assert_eq!(Comparison::from_json(&json).unwrap(), comparison);
    let markdown = std::fs::read_to_string(file(ComparisonFormat::Markdown)).unwrap();
    assert!(markdown.contains("| cpu:0 f16 |") && markdown.contains("## Where the time goes"), "{markdown}");
    assert!(has_text(&window, "The comparison is written to"));

    let nowhere = folder.path().join("no such folder").join("out.json");
    export(&mut window, ComparisonFormat::Json, nowhere);
    let problem = |window: &mut Window, part: &str| {
        let (shown, _) = window.harness.state_mut().state.toasts.shown();
        shown.iter().any(|toast| toast.kind == Kind::Problem && toast.words.contains(part))
    };
    assert!(problem(&mut window, "no such folder"));
    // This window has no GPU device.
    export(&mut window, ComparisonFormat::Png, file(ComparisonFormat::Png));
    assert!(problem(&mut window, "without a GPU device"));
    assert!(!file(ComparisonFormat::Png).exists());
}

#[test]
fn a_picture_shows_the_whole_report_whatever_the_window_shows() {
    let Some(canvas) = Canvas::without_window() else {
        assert!(gpu().is_none(), "there is a device of wgpu, and none for pictures");
        eprintln!("not run: there is no device of wgpu");
        return;
    };
    let (mut window, _) = compared();
    window.harness.state_mut().canvas = Some(canvas);
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = vec![];
    for size in [egui::vec2(1180.0, 3200.0), egui::vec2(700.0, 460.0)] {
        window.harness.set_size(size);
        let path = folder.path().join(format!("{}.png", size.x));
        export(&mut window, ComparisonFormat::Png, path.clone());
        assert!(window.state().compare.picture.is_some(), "it is drawn beside the window");
        window.wait("it is drawn", |state| state.compare.picture.is_none());
        let (width, height, pixels) = pixels(&std::fs::read(&path).unwrap());
        sizes.push((width, height));
        // Something is drawn in each tenth of it, the last one included.
        for tenth in pixels.chunks(pixels.len() / 10 / 4 * 4) {
            let first = &pixels[..4];
            let other = tenth.chunks_exact(4).filter(|pixel| *pixel != first).count();
            assert!(tenth.len() < 4000 || other * 100 > tenth.len() / 4, "a tenth is empty");
        }
    }
    assert_eq!(sizes[0], sizes[1]);
    // Higher than the smaller window, which shows a part of it.
    assert!(sizes[0].0 >= 2560 && sizes[0].1 > 4 * 460, "{sizes:?}");
}

fn beside_is_over(state: &State) -> bool {
    state.compare.beside.as_ref().is_some_and(Beside::is_over)
}

#[test]
fn contestants_write_side_by_side() {
    let mut window = tiny();
    choose_formats(&mut window);
    let mode = window.harness.get_by_role_and_label(Role::RadioButton, "Side by side, for show");
    mode.click();
    window.frames(2);
    assert_eq!(window.state().compare.mode, Mode::Beside);
    choose_one_that_is_gone(&mut window);
    window.command(Command::Compare(CompareCommand::Start));
    window.wait("they are done", beside_is_over);
    assert!(has_text(&window, "These speeds are not fair"));
    let columns = &window.state().compare.beside.as_ref().unwrap().columns;
    assert_eq!(columns.len(), 4);
    for column in &columns[2..] {
        let ColumnState::Ended { tokens, rate, ending } = &column.state else { panic!("{:?}", column.state) };
        assert!(
            (1..=10).contains(tokens) && *rate > 0.0 && *ending != Ending::Cancelled,
            "{:?}",
            column.state
        );
        assert!(!column.text.is_empty());
    }
    for column in &columns[..2] {
        assert!(matches!(&column.state, ColumnState::Failed(reason) if reason.contains("cpu:7")));
    }
    assert!(has_text(&window, "tokens/s") && has_text(&window, "It does not take part"));
    window.harness.check_accessibility();
}

#[test]
fn contestants_that_write_side_by_side_stop_together() {
    let endless = super::model();
    let mut window = page(endless.path().to_owned());
    window.model = endless;
    choose_formats(&mut window);
    let compare = &mut window.harness.state_mut().state.compare;
    (compare.mode, compare.generate) = (Mode::Beside, 4096);
    window.frames(2);
    window.click("Let 2 write");
    window.wait("both write", |state| {
        let columns = &state.compare.beside.as_ref().unwrap().columns;
        columns.iter().all(|column| column.live.tokens > 3)
    });
    window.click("Stop all");
    window.wait("both have ended", beside_is_over);
    for column in &window.state().compare.beside.as_ref().unwrap().columns {
        let stopped = matches!(column.state, ColumnState::Ended { ending: Ending::Cancelled, .. });
        assert!(stopped && !column.text.is_empty(), "{:?}", column.state);
    }
    window.frames(2);
    assert!(has_text(&window, "stopped"));
}
