//! Pictures of what views are made of, compared with those beside this file.
//!
//! All fonts in them come with the program, so they are the same on every machine but for how a GPU's driver rounds. Where something
//! is meant to look otherwise, `INGLE_NEW_PICTURES=1` writes them anew: look at them before they are committed.

use std::fs;
use std::path::{Path, PathBuf};

use egui::{Theme, Ui, Vec2};

use super::gpu;
use crate::gui::markdown::{Document, Epoch, Voice};
use crate::gui::parts::{Icon, IconButton, Meter, card, choice, primary, quiet, section};
use crate::gui::picture::{self, Canvas, Look};

/// Drivers place corners on a grid within pixels, of sixteenths at least; an edge fades within a pixel, so a colour can be off by a
/// sixteenth of its range. Blending and storing round once more each.
const NEAR: u8 = 255 / 16 + 2;
/// Pixels that a rasteriser may see covered and another not: as many as a line across the picture has.
const EDGES: usize = 1;

const TEXT: &str = "## A heading\n\nSome text with **strong** and *other* words, `code` and a [link](https://example.org), long enough \
                    to need two lines.\n\n1. first\n2. second\n   - within it\n\n> What somebody said.\n\n```rust\nfn main() {\n    let \
                    words = \"hello\"; // said\n}\n```\n\n| format | bits |\n|---|---:|\n| int8 | 8.25 |\n| nf4 | 4.25 |\n";

fn parts(ui: &mut Ui) -> Vec2 {
    section(ui, "Section");
    card(ui, |ui| {
        ui.horizontal(|ui| {
            for icon in
                [Icon::Plus, Icon::Flame, Icon::Chip, Icon::Gear, Icon::Trash, Icon::Thought, Icon::Columns]
            {
                IconButton::new(icon, "An icon").show(ui);
            }
            IconButton::new(Icon::Send, "Send").filled().show(ui);
            IconButton::new(Icon::Stop, "Stop").enabled(false).show(ui);
        });
        ui.horizontal(|ui| {
            primary(ui, "Open a folder");
            quiet(ui, "Cancel");
            choice(ui, 0, &[(0, "One"), (1, "Another")]);
        });
        Meter::new(0.6, "How far it is").width(200.0).show(ui);
        let (mut ticked, mut clear) = (true, false);
        ui.checkbox(&mut ticked, "Chosen");
        ui.checkbox(&mut clear, "Not chosen");
    });
    ui.min_rect().size()
}

fn text(ui: &mut Ui) -> Vec2 {
    let mut document = Document::default();
    document.update(TEXT);
    let width = ui.available_width();
    let height = document.lay(ui, width, Epoch::default(), Voice::Answer, 0.0..f32::INFINITY);
    let (rect, _) = ui.allocate_exact_size(egui::vec2(width, height), egui::Sense::hover());
    document.show(ui, rect, egui::Id::unique("text"), "Copy");
    ui.min_rect().size()
}

/// Width, height, and four bytes for each pixel.
pub(super) fn pixels(file: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgba, png::BitDepth::Eight));
    pixels.truncate(info.buffer_size());
    (info.width, info.height, pixels)
}

/// The pixels that differ by more than drivers may.
fn different(a: &[u8], b: &[u8]) -> usize {
    let far = |(a, b): (&[u8], &[u8])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > NEAR);
    a.chunks_exact(4).zip(b.chunks_exact(4)).filter(|pair| far(*pair)).count()
}

fn compare(canvas: &Canvas, name: &str, theme: Theme, view: fn(&mut Ui) -> Vec2) {
    let file = picture::draw(canvas, Look { theme, width: 380.0 }, &mut |ui| view(ui)).unwrap();
    let name = format!("{name}-{}.png", if theme == Theme::Dark { "dark" } else { "light" });
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gui/tests/pictures").join(&name);
    if std::env::var_os("INGLE_NEW_PICTURES").is_some() {
        fs::write(&kept, &file).unwrap();
        return;
    }
    let (width, height, drawn) = pixels(&file);
    let expected = pixels(&fs::read(&kept).unwrap());
    let wrong =
        if (expected.0, expected.1) == (width, height) { different(&expected.2, &drawn) } else { usize::MAX };
    eprintln!("{name}: {wrong} of {} pixels differ", width * height);
    if wrong > EDGES * width as usize {
        let seen: PathBuf = std::env::temp_dir().join(format!("ingle-{name}"));
        fs::write(&seen, &file).unwrap();
        panic!("{name} looks otherwise ({wrong} of {} pixels); see {}", width * height, seen.display());
    }
}

#[test]
fn parts_and_texts_look_as_they_did() {
    let Some(_gpu) = gpu() else { return };
    let canvas = Canvas::without_window().expect("there is a device of wgpu, and none for pictures");
    for theme in [Theme::Dark, Theme::Light] {
        compare(&canvas, "parts", theme, parts);
        compare(&canvas, "text", theme, text);
    }
}

#[test]
fn a_picture_that_looks_otherwise_is_found() {
    let Some(_gpu) = gpu() else { return };
    let canvas = Canvas::without_window().expect("there is a device of wgpu, and none for pictures");
    let draw = |size: f32| {
        let look = Look { theme: Theme::Dark, width: 200.0 };
        pixels(
            &picture::draw(&canvas, look, &mut |ui| {
                ui.label(egui::RichText::new("words").size(size));
                egui::vec2(200.0, 60.0)
            })
            .unwrap(),
        )
    };
    let (first, again, other) = (draw(20.0), draw(20.0), draw(21.0));
    assert_eq!(first, again);
    assert_eq!((first.0, first.1), (other.0, other.1));
    assert!(different(&first.2, &other.2) > EDGES * first.0 as usize);
}
