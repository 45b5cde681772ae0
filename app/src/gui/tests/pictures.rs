//! Pictures of the window, compared with those in `pictures/`: that all is where it belongs, and has its colour.
//!
//! Only what is the same on every machine is in them. `INGLE_NEW_PICTURES=1` writes them anew, to be looked at before they are
//! committed; what was drawn instead of an expected picture is written beside it, as `NAME.new.png`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use eframe::egui_wgpu::{RenderState, RendererOptions, ScreenDescriptor, WgpuConfiguration, WgpuSetup, wgpu};
use egui::TexturesDelta;
use egui_kittest::TestRenderer;
use image::RgbaImage;

use super::Window;
use crate::conversation::{Conversation, Message, MessageState, Role, SamplingSettings};
use crate::gui::command::Command;
use crate::gui::theme::ThemeChoice;
use crate::gui::views::View;

/// A channel of a pixel is the same up to this: drivers round, and edges are blended.
const SAME: u8 = 10;
/// Pixels that may differ. A line that has moved by one, or a letter, is more.
const FEW: usize = 40;

/// What textures have become, from the first frame on: the harness hands it out with each.
#[derive(Clone, Default)]
pub(super) struct Textures(Rc<RefCell<TexturesDelta>>);

impl TestRenderer for Textures {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        self.0.borrow_mut().append(std::mem::take(delta));
    }
}

impl Drop for Textures {
    fn drop(&mut self) {
        // Nobody has to have drawn them.
        self.0.borrow_mut().clear();
    }
}

/// Draws what the window shows on the driver that computes on the CPU, or on another where there is none.
fn draw(window: &Window, textures: &Textures) -> Result<RgbaImage, String> {
    let mut setup = WgpuSetup::without_display_handle();
    if let WgpuSetup::CreateNew(setup) = &mut setup {
        setup.native_adapter_selector = Some(Arc::new(|adapters, _| {
            let is_software =
                |adapter: &&wgpu::Adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu;
            let software = adapters.iter().find(is_software);
            software.or(adapters.first()).cloned().ok_or_else(|| "there is no device to draw with".to_owned())
        }));
    }
    let instance = pollster::block_on(setup.new_instance());
    let configuration = WgpuConfiguration { wgpu_setup: setup, ..WgpuConfiguration::default() };
    let state = RenderState::create(&configuration, &instance, None, RendererOptions::PREDICTABLE);
    let state = pollster::block_on(state).map_err(|error| error.to_string())?;
    let (device, queue, ctx) = (&state.device, &state.queue, &window.harness.ctx);
    let scale = ctx.pixels_per_point();
    let size = ctx.content_rect().size() * scale;
    let (width, height) = (size.x.round() as u32, size.y.round() as u32);
    let screen = ScreenDescriptor { pixels_per_point: scale, size_in_pixels: [width, height] };
    let mut renderer = state.renderer.write();
    for (id, images) in &textures.0.borrow().set {
        for image in images {
            renderer.update_texture(device, queue, *id, image);
        }
    }
    let shapes = ctx.tessellate(window.harness.output().shapes.clone(), scale);
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let uploads = renderer.update_buffers(device, queue, &mut encoder, &shapes, &screen);
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: state.target_format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    let target = wgpu::RenderPassColorAttachment {
        view: &view,
        resolve_target: None,
        ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
        depth_slice: None,
    };
    let pass = wgpu::RenderPassDescriptor { color_attachments: &[Some(target)], ..Default::default() };
    renderer.render(&mut encoder.begin_render_pass(&pass).forget_lifetime(), &shapes, &screen);
    // Rows of what is read begin at multiples of this.
    let row = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(row) * u64::from(height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
        texture.size(),
    );
    queue.submit(uploads.into_iter().chain([encoder.finish()]));
    buffer.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| error.to_string())?;
    let mapped = buffer.get_mapped_range(..).unwrap();
    let mut pixels: Vec<u8> =
        mapped.chunks_exact(row as usize).flat_map(|row| row[..4 * width as usize].to_vec()).collect();
    if matches!(state.target_format, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb) {
        pixels.chunks_exact_mut(4).for_each(|pixel| pixel.swap(0, 2));
    }
    // The ground is opaque; what is blended over it need not say so.
    pixels.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 255);
    RgbaImage::from_raw(width, height, pixels).ok_or_else(|| "the picture has another size".to_owned())
}

fn path(name: &str) -> PathBuf {
    super::fixtures("app/src/gui/tests/pictures").join(name)
}

/// How many pixels are not the same.
fn differing(a: &RgbaImage, b: &RgbaImage) -> usize {
    assert_eq!(a.dimensions(), b.dimensions());
    let other = |(a, b): &(&image::Rgba<u8>, &image::Rgba<u8>)| {
        a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > SAME)
    };
    a.pixels().zip(b.pixels()).filter(other).count()
}

/// Compares what is shown with a picture.
fn compare(window: &mut Window, textures: &Textures, name: &str) {
    window.frames(20);
    let expected = std::env::var("INGLE_EXPECT_DEVICES").is_ok_and(|list| list.contains("wgpu/"));
    let drawn = match draw(window, textures) {
        Ok(drawn) => drawn,
        Err(why) => {
            assert!(!expected, "{why}");
            eprintln!("not run: {why}");
            return;
        }
    };
    let file = path(&format!("{name}.png"));
    if std::env::var_os("INGLE_NEW_PICTURES").is_some() {
        drawn.save(&file).unwrap();
        return;
    }
    let known = image::open(&file).unwrap().to_rgba8();
    let count = differing(&drawn, &known);
    if count > FEW {
        drawn.save(path(&format!("{name}.new.png"))).unwrap();
    }
    assert!(count <= FEW, "{name}: {count} pixels are other than in {}", file.display());
}

/// A small window without a model, which would bring the names of this machine's devices.
fn small() -> (Window, Textures) {
    let textures = Textures::default();
    let mut window = Window::drawn(textures.clone(), [760.0, 480.0]);
    window.command(Command::SetTheme(ThemeChoice::Light));
    window.wait("devices are known", |state| !state.devices.is_empty());
    (window, textures)
}

#[test]
fn the_first_page() {
    let (mut window, textures) = small();
    compare(&mut window, &textures, "welcome");
    window.command(Command::SetTheme(ThemeChoice::Dark));
    window.command(Command::Palette);
    compare(&mut window, &textures, "palette");
}

#[test]
fn a_conversation() {
    let (mut window, textures) = small();
    let question = Message::new(None, Role::User, "How do I greet somebody in Rust?".to_owned());
    let answer = "# Greeting\n\nCall **`println!`**, which takes a *format* and values:\n\n```rust\nfn main() {\n    \
                  let name = \"Ember\"; // who\n    println!(\"Hello, {name}!\");\n}\n```\n\n| mark | shows |\n|---|---:|\n| \
                  `{}` | a value |\n| `{:?}` | its parts |\n\n- short\n- [tested](https://example.org)\n";
    let mut answer = Message::new(Some(question.id), Role::Assistant, answer.to_owned());
    answer.state = MessageState::Finished;
    let head = Conversation::new(None, SamplingSettings::default()).head().clone();
    let chosen = vec![question.id, answer.id];
    let conversation = Conversation::from_parts(head, vec![question, answer], chosen).unwrap();
    window.harness.state_mut().state.chats.current = conversation;
    window.harness.state_mut().state.settings.sidebar = false;
    window.harness.set_size(egui::vec2(760.0, 620.0));
    compare(&mut window, &textures, "conversation-light");
    window.command(Command::SetTheme(ThemeChoice::Dark));
    compare(&mut window, &textures, "conversation-dark");
}

#[test]
fn the_settings() {
    let (mut window, textures) = small();
    window.command(Command::Show(View::Settings));
    compare(&mut window, &textures, "settings");
}

#[test]
fn a_line_that_moves_is_seen() {
    let plain = RgbaImage::from_pixel(60, 60, image::Rgba([40, 30, 20, 255]));
    let line = |at: u32| {
        let mut picture = plain.clone();
        (0..60).for_each(|x| picture.put_pixel(x, at, image::Rgba([70, 60, 50, 255])));
        picture
    };
    assert_eq!(differing(&line(5), &line(5)), 0);
    assert!(differing(&line(5), &line(6)) > FEW && differing(&plain, &line(5)) > FEW);
}
