//! The tokens: every colour, distance and size of the program. DESIGN.md says what they are for.

use egui::{Color32, Theme};

/// Colours by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) dark: bool,
    /// Behind conversations and pages.
    pub(crate) ground: Color32,
    /// Behind side panels and bars.
    pub(crate) panel: Color32,
    /// What lies on either: cards, fields, popups.
    pub(crate) raised: Color32,
    /// The same under the pointer.
    pub(crate) hover: Color32,
    /// The same while pressed or chosen.
    pub(crate) pressed: Color32,
    /// Code, and wells that things lie in.
    pub(crate) sunken: Color32,
    /// Lines between things.
    pub(crate) line: Color32,
    /// Lines around what can be typed into.
    pub(crate) line_strong: Color32,
    pub(crate) text: Color32,
    /// What is said beside.
    pub(crate) text_muted: Color32,
    /// What is hardly there: hints, messages outside of the context.
    pub(crate) text_faint: Color32,
    /// The ember: what is alive, and the one thing to press.
    pub(crate) ember: Color32,
    pub(crate) ember_hover: Color32,
    /// Behind what is chosen.
    pub(crate) ember_soft: Color32,
    /// On the ember.
    pub(crate) on_ember: Color32,
    pub(crate) good: Color32,
    pub(crate) warning: Color32,
    pub(crate) danger: Color32,
    pub(crate) danger_soft: Color32,
    pub(crate) shadow: Color32,
    /// Kinds of words in code.
    pub(crate) code_keyword: Color32,
    pub(crate) code_string: Color32,
    pub(crate) code_number: Color32,
    pub(crate) code_comment: Color32,
    pub(crate) code_function: Color32,
    pub(crate) code_type: Color32,
    /// Lines and bars that stand beside each other in charts.
    pub(crate) series: [Color32; 6],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const DARK: Tokens = Tokens {
    dark: true,
    ground: rgb(0x001c_1815),
    panel: rgb(0x0016_1310),
    raised: rgb(0x0027_221d),
    hover: rgb(0x0031_2a24),
    pressed: rgb(0x003a_322b),
    sunken: rgb(0x0014_110f),
    line: rgb(0x0030_2a24),
    line_strong: rgb(0x0047_3d34),
    text: rgb(0x00ed_e6dc),
    text_muted: rgb(0x00a9_9d8f),
    text_faint: rgb(0x0076_6b60),
    ember: rgb(0x00e8_8a45),
    ember_hover: rgb(0x00f2_9a58),
    ember_soft: rgb(0x003b_2819),
    on_ember: rgb(0x0021_1408),
    good: rgb(0x0093_b877),
    warning: rgb(0x00e0_b354),
    danger: rgb(0x00e8_7865),
    danger_soft: rgb(0x003a_201b),
    shadow: Color32::from_black_alpha(110),
    code_keyword: rgb(0x00e5_a06a),
    code_string: rgb(0x00a7_bf83),
    code_number: rgb(0x00d7_a9c0),
    code_comment: rgb(0x0080_7568),
    code_function: rgb(0x0089_b4c4),
    code_type: rgb(0x00d9_c28a),
    series: [
        rgb(0x00e8_8a45),
        rgb(0x0089_b4c4),
        rgb(0x00a7_bf83),
        rgb(0x00d7_a9c0),
        rgb(0x00d9_c28a),
        rgb(0x00b0_a0e0),
    ],
};

const LIGHT: Tokens = Tokens {
    dark: false,
    ground: rgb(0x00fd_faf5),
    panel: rgb(0x00f5_efe6),
    raised: rgb(0x00ff_ffff),
    hover: rgb(0x00ef_e7dc),
    pressed: rgb(0x00e7_ddcf),
    sunken: rgb(0x00f6_f1e9),
    line: rgb(0x00e8_dfd2),
    line_strong: rgb(0x00d3_c6b5),
    text: rgb(0x002c_2520),
    text_muted: rgb(0x0076_6a5e),
    text_faint: rgb(0x00a1_9588),
    ember: rgb(0x00bf_5717),
    ember_hover: rgb(0x00a9_4a10),
    ember_soft: rgb(0x00fa_e7d6),
    on_ember: rgb(0x00ff_fbf6),
    good: rgb(0x004f_7d3a),
    warning: rgb(0x0096_6a08),
    danger: rgb(0x00b5_3a28),
    danger_soft: rgb(0x00fb_e6e1),
    shadow: Color32::from_black_alpha(34),
    code_keyword: rgb(0x00a8_4a12),
    code_string: rgb(0x004c_7433),
    code_number: rgb(0x0095_3f6d),
    code_comment: rgb(0x0094_897c),
    code_function: rgb(0x0022_677f),
    code_type: rgb(0x0082_6312),
    series: [
        rgb(0x00c9_621f),
        rgb(0x0022_677f),
        rgb(0x005c_8740),
        rgb(0x0095_3f6d),
        rgb(0x0092_701b),
        rgb(0x0061_4fa8),
    ],
};

impl Tokens {
    pub(crate) const fn of(theme: Theme) -> &'static Self {
        match theme {
            Theme::Dark => &DARK,
            Theme::Light => &LIGHT,
        }
    }

    /// Those of the style that a part of the window has.
    pub(crate) fn in_ui(ui: &egui::Ui) -> &'static Self {
        if ui.visuals().dark_mode { &DARK } else { &LIGHT }
    }
}

/// Distances: multiples of four.
pub(crate) mod gap {
    pub(crate) const TINY: f32 = 4.0;
    pub(crate) const SMALL: f32 = 8.0;
    pub(crate) const MEDIUM: f32 = 12.0;
    pub(crate) const LARGE: f32 = 16.0;
    pub(crate) const HUGE: f32 = 24.0;
}

/// Corners.
pub(crate) mod radius {
    pub(crate) const SMALL: u8 = 6;
    pub(crate) const MEDIUM: u8 = 9;
    pub(crate) const LARGE: u8 = 14;
}

/// Sizes of text.
pub(crate) mod text {
    pub(crate) const SMALL: f32 = 12.0;
    pub(crate) const CONTROL: f32 = 13.5;
    pub(crate) const BODY: f32 = 15.0;
    pub(crate) const CODE: f32 = 13.0;
    pub(crate) const TITLE: f32 = 17.0;
    pub(crate) const DISPLAY: f32 = 28.0;
    /// The height of a line of running text, as a multiple of its size.
    pub(crate) const LINE: f32 = 1.55;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as the accessibility guidelines define it.
    fn luminance(color: Color32) -> f64 {
        let channel = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(color.r()) + 0.7152 * channel(color.g()) + 0.0722 * channel(color.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read() {
        for tokens in [&DARK, &LIGHT] {
            for ground in [tokens.ground, tokens.panel, tokens.raised, tokens.sunken, tokens.ember_soft] {
                for (text, least) in [
                    (tokens.text, 7.0),
                    (tokens.text_muted, 4.2),
                    (tokens.ember, 3.0),
                    (tokens.danger, 4.0),
                    (tokens.good, 3.9),
                    (tokens.warning, 3.9),
                ] {
                    let found = contrast(text, ground);
                    assert!(found >= least, "{text:?} on {ground:?}: {found:.2}, dark {}", tokens.dark);
                }
            }
            assert!(contrast(tokens.on_ember, tokens.ember) >= 4.2);
            for code in [
                tokens.code_keyword,
                tokens.code_string,
                tokens.code_number,
                tokens.code_function,
                tokens.code_type,
            ] {
                assert!(contrast(code, tokens.sunken) >= 4.5, "{code:?}");
            }
        }
    }
}
