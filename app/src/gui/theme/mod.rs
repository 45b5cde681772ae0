//! How everything looks: colours, sizes and fonts, as tokens. Views name tokens and no colours of their own.

mod fonts;
mod style;
mod tokens;

use serde::{Deserialize, Serialize};

pub(crate) use fonts::{install as install_fonts, italic, mono, regular, strong};
pub(crate) use tokens::{Tokens, gap, radius, text};

/// Which colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThemeChoice {
    /// Those of the desktop.
    #[default]
    System,
    Light,
    Dark,
}

impl ThemeChoice {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Tells egui, which asks the desktop where that decides.
    pub(crate) fn apply(self, ctx: &egui::Context) {
        ctx.set_theme(match self {
            Self::System => egui::ThemePreference::System,
            Self::Light => egui::ThemePreference::Light,
            Self::Dark => egui::ThemePreference::Dark,
        });
    }
}

/// Sets fonts and both styles; once, before the first frame.
pub(crate) fn install(ctx: &egui::Context) {
    install_fonts(ctx);
    for theme in [egui::Theme::Light, egui::Theme::Dark] {
        ctx.set_style_of(theme, style::of(Tokens::of(theme)));
    }
}
