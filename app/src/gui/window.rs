//! The window as the system sees it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use eframe::egui_wgpu::{WgpuConfiguration, WgpuSetup};
use eframe::{NativeOptions, wgpu};
use egui::{IconData, ViewportBuilder, vec2};

use super::app::{App, Start};
use super::picture::Canvas;

/// Whether there is a display that a window can be on.
pub(crate) fn has_display() -> bool {
    if !cfg!(all(unix, not(target_os = "macos"))) {
        return true;
    }
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].into_iter().any(is_set)
}

/// Shows the window, until it is closed.
pub(crate) fn run(model: Option<PathBuf>) -> anyhow::Result<()> {
    if !has_display() {
        return Err(anyhow!(
            "there is no display for a window (neither DISPLAY nor WAYLAND_DISPLAY is set); `ingle chat` talks in the \
             terminal"
        ));
    }
    let start = Start { data: inglenook::folders::data_folder(), model, built_in: true };
    let create: eframe::AppCreator<'_> = Box::new(move |context| {
        let mut app = App::new(&context.egui_ctx, start)?;
        app.canvas = context.wgpu_render_state.as_ref().map(Canvas::of_window);
        Ok(Box::new(app))
    });
    eframe::run_native("Inglenook", options(), create)
        .map_err(|error| anyhow!("the window cannot be opened: {error}; `ingle chat` talks in the terminal"))
}

fn options() -> NativeOptions {
    let viewport = ViewportBuilder::default()
        .with_title("Inglenook")
        .with_app_id("inglenook")
        .with_icon(Arc::new(icon()))
        .with_inner_size(vec2(1180.0, 780.0))
        .with_min_inner_size(vec2(640.0, 440.0));
    let mut wgpu_options = WgpuConfiguration::default();
    if let WgpuSetup::CreateNew(setup) = &mut wgpu_options.wgpu_setup {
        // Drawing a window is little work; the strong GPU has other things to do.
        setup.power_preference = wgpu::PowerPreference::LowPower;
    }
    NativeOptions { viewport, wgpu_options, ..NativeOptions::default() }
}

/// A flame on a dark disc, computed since it is small.
fn icon() -> IconData {
    const SIZE: u32 = 64;
    let mut rgba = Vec::with_capacity((SIZE * SIZE * 4) as usize);
    let middle = SIZE as f32 / 2.0;
    for y in 0..SIZE {
        for x in 0..SIZE {
            let (dx, dy) = ((x as f32 + 0.5 - middle) / middle, (y as f32 + 0.5 - middle) / middle);
            let disc = cover(1.0 - (dx * dx + dy * dy).sqrt());
            // The flame is wide below and narrow above.
            let height = (0.62 - dy) / 1.3;
            let width = 0.44
                * (height.clamp(0.0, 1.0) * std::f32::consts::PI).sin().powf(0.75)
                * (1.15 - 0.75 * height);
            let flame = if (0.0..1.0).contains(&height) {
                cover(width - (dx + 0.1 * (height * 5.0).sin() * height).abs())
            } else {
                0.0
            };
            let heat = (1.0 - height).clamp(0.0, 1.0);
            let mix = |ground: f32, fire: f32| (ground + (fire - ground) * flame) as u8;
            let fire = [238.0, 120.0 + 70.0 * heat, 50.0 + 40.0 * heat];
            rgba.extend([mix(34.0, fire[0]), mix(27.0, fire[1]), mix(22.0, fire[2]), (255.0 * disc) as u8]);
        }
    }
    IconData { rgba, width: SIZE, height: SIZE }
}

/// From a distance inside an edge to how much of a pixel is covered.
fn cover(inside: f32) -> f32 {
    (inside * 32.0 + 0.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_is_a_flame_on_a_disc() {
        let icon = icon();
        assert_eq!(icon.rgba.len(), 64 * 64 * 4);
        let pixel = |x: usize, y: usize| &icon.rgba[(y * 64 + x) * 4..][..4];
        assert_eq!(pixel(0, 0)[3], 0);
        assert_eq!(pixel(32, 4), [34, 27, 22, 255]);
        assert!(pixel(32, 42)[0] > 200);
    }
}
