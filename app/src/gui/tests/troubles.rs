//! What goes wrong with files, folders, disks and what people put in: it is said, nothing that was typed is lost, and the window goes
//! on.

use std::fs;
use std::path::{Path, PathBuf};

use egui_kittest::kittest::Queryable;

use super::Window;
use crate::conversation::MessageState;
use crate::gui::app::Picked;
use crate::gui::command::Command;
use crate::gui::dialog::{Answer, Fault, Purpose};
use crate::gui::job::Job;
use crate::store::ExportFormat;

/// The draft that is in the field.
fn draft(window: &Window) -> String {
    window.state().chats.drafts.get(&window.state().chats.current.id()).cloned().unwrap_or_default()
}

#[test]
fn a_model_whose_folder_goes_away_writes_on_and_is_missed_when_it_is_loaded_again() {
    let mut window = Window::ready();
    let folder = window.model.path().to_owned();
    let copy = super::model();
    fs::remove_dir_all(&folder).unwrap();
    window.exchange("what is loaded needs no files");
    window.type_into("Message", "keep me");
    let int8 = Command::UseFormats { weights: "int8".to_owned(), cache: "f16".to_owned(), context: None };
    window.command(int8);
    window.wait("it is told", |state| state.trouble.is_some());
    let trouble = window.state().trouble.clone().unwrap();
    assert!(trouble.reason.contains(folder.to_str().unwrap()), "{trouble:?}");
    window.frames(2);
    assert!(window.has_text("could not be opened") && window.has_text("Open a model folder"));
    assert_eq!(draft(&window), "keep me");
    window.command(Command::Send);
    assert_eq!(draft(&window), "keep me");
    window.wait_until_told("Choose a model first");
    // Once the folder is back, the same button is enough.
    fs::rename(copy.path(), &folder).unwrap();
    window.click("Try again");
    window.wait("it is open", |state| state.model.facts().is_some());
    assert!(window.state().trouble.is_none());
    window.command(Command::Send);
    window.wait_for_text(20);
    assert_eq!(window.shown()[2].text, "keep me");
}

#[test]
fn a_model_of_the_last_time_that_is_gone_is_missed() {
    let window = Window::ready();
    let folder = window.model.path().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    let mut window = window.again();
    let told = window.wait_until_told("there is no folder");
    assert!(told.contains(folder.to_str().unwrap()), "{told}");
    assert!(window.state().model.is_none());
    // It is said once.
    let mut window = window.again();
    assert!(window.told().is_empty());
}

#[test]
fn a_second_window_says_that_it_keeps_nothing_and_works() {
    let mut first = Window::ready();
    first.exchange("of the first");
    let chat = first.state().chats.current.id();
    let mut second = first.beside();
    let told = second.wait_until_told("Another Inglenook window");
    assert!(told.contains("nothing is kept"), "{told}");
    second.command(Command::OpenChat(chat));
    second.wait("what was there is shown", |state| state.chats.current.id() == chat);
    assert_eq!(second.shown().len(), 2);
    second.model = super::model();
    second.open_model();
    second.exchange("of the second");
    assert_eq!(second.shown().len(), 4);
    drop(second);
    assert_eq!(first.exchange("on").state, MessageState::Stopped);
    assert_eq!(first.shown().len(), 4);
}

#[test]
fn a_damaged_database_is_kept_aside_and_that_is_said() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("conversations.db"), b"this was a database once ".repeat(500)).unwrap();
    let mut window = Window::at(data);
    let told = window.wait_until_told("was damaged");
    let kept = fs::read_dir(window.data.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<PathBuf> =
        kept.filter(|path| path.to_string_lossy().contains("conversations-damaged")).collect();
    assert!(kept.len() == 1 && told.contains(kept[0].to_str().unwrap()), "{told} {kept:?}");
    window.model = super::model();
    window.open_model();
    window.exchange("begun anew");
    let mut window = window.again();
    assert!(window.told().is_empty());
    assert_eq!(window.state().chats.heads.len(), 1);
}

#[test]
fn on_a_full_disk_a_reply_goes_on_and_is_saved_when_there_is_room() {
    let mut window = Window::ready();
    window.exchange("before it was full");
    window.harness.state().store.meddle(|database| {
        let pages: u32 = database.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        database.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    });
    // More than what is free in the pages that there are.
    window.type_into("Message", &"words that need room ".repeat(1000));
    window.command(Command::Send);
    let told = window.wait_until_told("the disk is full");
    assert!(told.contains("keep this window open"), "{told}");
    window.stop();
    window.exchange("it goes on");
    window.harness.state().store.meddle(|database| {
        database.query_row("PRAGMA max_page_count = 1073741823", [], |_| Ok(())).unwrap();
    });
    window.wait_until_told("Everything is saved again");
    let (chat, shown) = (window.state().chats.current.id(), window.shown());
    let mut window = window.again();
    window.command(Command::OpenChat(chat));
    window.wait("it is open", |state| state.chats.current.id() == chat);
    assert_eq!(window.shown(), shown);
}

#[test]
fn what_is_no_export_is_not_imported_and_why_is_said() {
    let mut window = Window::empty();
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in [
        ("garbage.json", &b"{\"conversations\": [{"[..]),
        ("another.json", &b"{\"name\": \"of another program\"}"[..]),
        ("binary.md", &[0xff, 0xfe, 0x00, 0x80][..]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        window.drop_path(&path);
        let told = window.wait_until_told(name);
        assert!(told.contains("was not read"), "{told}");
    }
    assert!(window.state().chats.heads.is_empty());
    window.drop_path(&folder.path().join("gone.json"));
    window.wait_until_told("gone.json");
}

#[test]
fn a_megabyte_that_is_pasted_is_kept_and_the_window_stays_quick() {
    let mut window = Window::ready();
    let pasted = "A line of words that somebody found somewhere, with 汉字 in it.\n".repeat(16_000);
    assert!(pasted.len() > 1_000_000);
    window.type_into("Message", "look: ");
    let start = std::time::Instant::now();
    window.harness.event(egui::Event::Paste(pasted.clone()));
    window.frames(2);
    let first = start.elapsed();
    let start = std::time::Instant::now();
    window.frames(10);
    let each = start.elapsed() / 10;
    eprintln!("1 MB pasted: {first:?}, then {each:?} a frame");
    assert_eq!(draft(&window), format!("look: {pasted}"));
    // A tenth of this where nothing else runs; a window that lays all of it out anew in each frame takes seconds.
    assert!(each.as_millis() < 1000, "{each:?}");
    // It is more than the model can read. The message stays, and why there is no reply is said below it.
    window.command(Command::Send);
    window.wait("it is answered", |state| state.chats.current.writing().is_none());
    let shown = window.shown();
    assert_eq!(shown[0].text, format!("look: {pasted}").trim());
    let MessageState::Failed(why) = &shown[1].state else { panic!("{:?}", shown[1].state) };
    assert!(why.contains("context"), "{why}");
    window.frames(3);
    // Nor does it stand in the way of what is said next.
    window.exchange("something short");
}

/// As a dialog answers on a desktop that has none.
fn no_dialog(window: &mut Window, purpose: Purpose) {
    let ctx = window.harness.ctx.clone();
    let job = Job::start(&ctx, "dialog", move |reporter| {
        reporter.tell(Picked { purpose, answer: Answer::NoDialog });
    });
    window.harness.state_mut().dialog = Some(job.unwrap());
    window.wait("it is asked for a path", |state| state.asking.is_some());
}

#[test]
fn where_there_is_no_dialog_paths_are_typed() {
    let mut window = Window::ready();
    window.exchange("hello");
    let folder = tempfile::tempdir().unwrap();
    no_dialog(&mut window, Purpose::Export(ExportFormat::Json));
    assert!(window.has_text("This desktop has no dialog"));
    window.harness.check_accessibility();
    // A name is offered.
    assert!(window.state().asking.as_ref().unwrap().typed.ends_with("hello.json"));
    let file = folder.path().join("hello.json");
    let typed = |window: &mut Window, path: &Path| {
        window.harness.state_mut().state.asking.as_mut().unwrap().typed = path.display().to_string();
        window.click("Use this path");
    };
    typed(&mut window, &folder.path().join("none/hello.json"));
    assert_eq!(window.state().asking.as_ref().unwrap().fault, Some(Fault::NoPlace));
    assert!(window.has_text("No file can be made there"));
    typed(&mut window, &file);
    assert!(window.state().asking.is_none());
    window.wait_until_told("exported to");
    assert!(file.is_file());
    // The same file is not written over, and is read again.
    no_dialog(&mut window, Purpose::Export(ExportFormat::Json));
    typed(&mut window, &file);
    assert_eq!(window.state().asking.as_ref().unwrap().fault, Some(Fault::Taken));
    window.click("Cancel");
    assert!(window.state().asking.is_none());
    no_dialog(&mut window, Purpose::Import);
    window.frames(3);
    window.type_into("Path", file.to_str().unwrap());
    window.harness.key_press(egui::Key::Enter);
    window.wait_until_told("imported");
    assert_eq!(window.state().chats.heads.len(), 2);
    // Escape leaves it, and does not stop what is being written.
    window.say("again");
    window.wait_for_text(10);
    no_dialog(&mut window, Purpose::Model);
    window.harness.key_press(egui::Key::Escape);
    window.frames(3);
    assert!(window.state().asking.is_none() && window.state().chats.current.writing().is_some());
    assert!(window.harness.query_by_label("Use this path").is_none());
}
