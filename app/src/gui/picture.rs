//! Pictures of views: drawn by a context of their own, of any height and at a fixed width, whatever the window shows.
//!
//! The window's GPU device draws them, strip by strip into a texture that is read back, from a thread of its own: a picture may be
//! higher than any texture, and the window goes on meanwhile.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use eframe::egui_wgpu::{RenderState, Renderer, RendererOptions, ScreenDescriptor};
use eframe::wgpu;
use egui::epaint::{ClippedPrimitive, Primitive};
use egui::{Context, Pos2, RawInput, Rect, Ui, Vec2, pos2, vec2};
use egui_system_font_provider::SystemFontProvider;
use thiserror::Error;

use super::theme::{self, Tokens};

/// Pixels per point: text stays sharp where a picture is enlarged.
const SCALE: f32 = 2.0;
/// Rows of pixels that are drawn at once.
const STRIP: u32 = 2048;
/// No picture is higher, in points: programs that show pictures would not open it.
const HIGHEST: f32 = 40_000.0;
/// Views find their sizes in a few frames, some of them (plots) only in the one after.
const FRAMES: usize = 4;
/// A GPU that takes longer for a strip has been lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is drawn into: red, green, blue and alpha, as PNG has them.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// Why there is no picture.
#[derive(Debug, Error)]
pub(crate) enum PictureError {
    #[error("the GPU that draws the window did not draw the picture: {0}")]
    Gpu(String),
    #[error(
        "it would be {0} points high, and no picture may be higher than {HIGHEST}; compare fewer at once"
    )]
    TooHigh(f32),
    #[error(transparent)]
    Encode(#[from] png::EncodingError),
}

/// A GPU device that draws.
#[derive(Clone)]
pub(crate) struct Canvas {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Canvas {
    /// The one that draws the window.
    pub(crate) fn of_window(state: &RenderState) -> Self {
        Self { device: state.device.clone(), queue: state.queue.clone() }
    }

    /// Any, where there is no window.
    #[cfg(test)]
    pub(crate) fn without_window() -> Option<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter =
            pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).ok()?;
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: wgpu::Limits::downlevel_defaults().using_resolution(adapter.limits()),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).ok()?;
        Some(Self { device, queue })
    }
}

/// How a picture looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) theme: egui::Theme,
    /// In points; the picture is wider where its content says that it must be.
    pub(crate) width: f32,
}

/// Draws a view, which says how large it would like to be; the picture is a file in the form PNG.
pub(crate) fn draw(
    canvas: &Canvas,
    look: Look,
    view: &mut dyn FnMut(&mut Ui) -> Vec2,
) -> Result<Vec<u8>, PictureError> {
    use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
    // What goes wrong here is no reason to end the window, which is what errors without a scope do.
    let scopes = [OutOfMemory, Validation, Internal].map(|kind| canvas.device.push_error_scope(kind));
    let drawn = encode(canvas, look, view);
    // The innermost first.
    let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
    match errors.collect::<Vec<_>>().first() {
        Some(error) => Err(PictureError::Gpu(error.to_string())),
        None => drawn,
    }
}

fn encode(
    canvas: &Canvas,
    look: Look,
    view: &mut dyn FnMut(&mut Ui) -> Vec2,
) -> Result<Vec<u8>, PictureError> {
    let ctx = Context::default();
    theme::install(&ctx);
    ctx.add_font_provider(Arc::new(SystemFontProvider::new()));
    ctx.set_theme(look.theme);
    let options = RendererOptions { dithering: false, ..RendererOptions::default() };
    let renderer = Renderer::new(&canvas.device, FORMAT, options);
    let mut drawing = Drawing { canvas, ctx, renderer, frame: 0, scale: SCALE };
    let (size, shapes) = drawing.settle(look, view);
    if size.y > HIGHEST {
        return Err(PictureError::TooHigh(size.y));
    }
    let primitives = drawing.ctx.tessellate(shapes, drawing.scale);
    let [width, height] = [size.x, size.y].map(|points| (points * drawing.scale).floor().max(1.0) as u32);

    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    let mut rows = writer.stream_writer()?;
    let ground = Tokens::of(look.theme).ground;
    let mut top = 0;
    while top < height {
        let strip = STRIP.min(height - top);
        let pixels = drawing.strip(&primitives, [width, strip], top, ground)?;
        rows.write_all(&pixels).map_err(png::EncodingError::from)?;
        top += strip;
    }
    rows.finish()?;
    writer.finish()?;
    Ok(file)
}

/// A context and what it is drawn with.
struct Drawing<'a> {
    canvas: &'a Canvas,
    ctx: Context,
    renderer: Renderer,
    frame: usize,
    /// Less than usual where the picture would be wider than a texture.
    scale: f32,
}

impl Drawing<'_> {
    /// Lays the view out until it has its size, and says what is to be drawn.
    fn settle(
        &mut self,
        look: Look,
        view: &mut dyn FnMut(&mut Ui) -> Vec2,
    ) -> (Vec2, Vec<egui::epaint::ClippedShape>) {
        let mut size = vec2(look.width, HIGHEST);
        let mut shapes = vec![];
        for frame in 0..FRAMES {
            let mut wanted = size;
            shapes = self.frame(size, &mut |ui| wanted = view(ui));
            if frame == 0 {
                size.x = wanted.x.max(look.width).ceil();
                self.scale = SCALE.min(self.widest() as f32 / size.x);
            } else {
                size.y = wanted.y.ceil();
            }
        }
        (size, shapes)
    }

    fn widest(&self) -> u32 {
        self.canvas.device.limits().max_texture_dimension_2d
    }

    fn frame(&mut self, size: Vec2, view: &mut dyn FnMut(&mut Ui)) -> Vec<egui::epaint::ClippedShape> {
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)),
            // Movements are over in the next frame.
            time: Some(self.frame as f64 * 10.0),
            max_texture_side: Some(self.widest() as usize),
            ..RawInput::default()
        };
        self.frame += 1;
        if let Some(viewport) = input.viewports.get_mut(&input.viewport_id) {
            viewport.native_pixels_per_point = Some(self.scale);
        }
        let mut output = self.ctx.run_ui(input, |ui| view(ui));
        let Canvas { device, queue } = self.canvas;
        for (id, images) in output.textures_delta.set.drain() {
            for image in images {
                self.renderer.update_texture(device, queue, id, &image);
            }
        }
        for id in output.textures_delta.free.drain() {
            self.renderer.free_texture(&id);
        }
        output.shapes
    }

    /// The pixels of some rows, from the one that is `top` below the first.
    fn strip(
        &mut self,
        primitives: &[ClippedPrimitive],
        [width, height]: [u32; 2],
        top: u32,
        ground: egui::Color32,
    ) -> Result<Vec<u8>, PictureError> {
        let Canvas { device, queue } = self.canvas;
        let moved = moved(primitives, top as f32 / self.scale, height as f32 / self.scale);
        let screen = ScreenDescriptor { size_in_pixels: [width, height], pixels_per_point: self.scale };
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let target = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let before = self.renderer.update_buffers(device, queue, &mut encoder, &moved, &screen);
        {
            let [r, g, b, a] = ground.to_normalized_gamma_f32().map(f64::from);
            let attachment = wgpu::RenderPassColorAttachment {
                view: &target,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color { r, g, b, a }),
                    store: wgpu::StoreOp::Store,
                },
                depth_slice: None,
            };
            let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("picture"),
                color_attachments: &[Some(attachment)],
                ..wgpu::RenderPassDescriptor::default()
            });
            self.renderer.render(&mut pass.forget_lifetime(), &moved, &screen);
        }
        let line = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("picture"),
            size: u64::from(line) * u64::from(height),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(line), rows_per_image: None };
        encoder.copy_texture_to_buffer(
            texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
            size,
        );
        let submitted = queue.submit(before.into_iter().chain([encoder.finish()]));
        read(device, &buffer, submitted, (line as usize, width as usize * 4))
    }
}

/// What reaches into a strip, moved up so that the strip begins at the top.
fn moved(primitives: &[ClippedPrimitive], top: f32, height: f32) -> Vec<ClippedPrimitive> {
    let up = vec2(0.0, -top);
    let strip = Rect::from_min_max(pos2(f32::NEG_INFINITY, top), pos2(f32::INFINITY, top + height));
    let reaches = |one: &&ClippedPrimitive| one.clip_rect.intersects(strip);
    let moved = |one: &ClippedPrimitive| {
        let mut one = one.clone();
        one.clip_rect = one.clip_rect.translate(up);
        if let Primitive::Mesh(mesh) = &mut one.primitive {
            mesh.translate(up);
        }
        one
    };
    primitives.iter().filter(reaches).map(moved).collect()
}

/// Waits for a buffer, and takes the rows without what fills them up.
fn read(
    device: &wgpu::Device,
    buffer: &wgpu::Buffer,
    submitted: wgpu::SubmissionIndex,
    (line, row): (usize, usize),
) -> Result<Vec<u8>, PictureError> {
    let failed = |error: &dyn std::fmt::Display| PictureError::Gpu(error.to_string());
    let (sender, receiver) = channel();
    // Nobody listens any more only where this has given up.
    buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| drop(sender.send(result)));
    let wait = wgpu::PollType::Wait { submission_index: Some(submitted), timeout: Some(PATIENCE) };
    device.poll(wait).map_err(|error| failed(&error))?;
    let mapped = receiver.recv_timeout(PATIENCE).map_err(|error| failed(&error))?;
    mapped.map_err(|error| failed(&error))?;
    let bytes = buffer.slice(..).get_mapped_range().map_err(|error| failed(&error))?;
    Ok(bytes.chunks_exact(line).flat_map(|line| &line[..row]).copied().collect())
}
