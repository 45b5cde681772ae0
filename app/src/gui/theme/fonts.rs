//! Fonts: Inter for text in three cuts, what egui brings for code and symbols; the system's own fonts stand in for
//! characters that none of them has, such as Chinese ones (eframe asks for those when they are first needed).

use std::sync::Arc;

use egui::{FontData, FontDefinitions, FontFamily, FontId};

const REGULAR: &str = "Inter-Regular";
const STRONG: &str = "Inter-SemiBold";
const ITALIC: &str = "Inter-Italic";

/// Sets the fonts.
pub(crate) fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::default();
    let files: [(&str, &'static [u8]); 3] = [
        (REGULAR, include_bytes!("../../../assets/fonts/Inter-Regular.otf")),
        (STRONG, include_bytes!("../../../assets/fonts/Inter-SemiBold.otf")),
        (ITALIC, include_bytes!("../../../assets/fonts/Inter-Italic.otf")),
    ];
    let behind = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    for (name, file) in files {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(file)));
        let list = std::iter::once(name.to_owned()).chain(behind.iter().cloned()).collect();
        let family =
            if name == REGULAR { FontFamily::Proportional } else { FontFamily::Name(Arc::from(name)) };
        fonts.families.insert(family, list);
    }
    ctx.set_fonts(fonts);
}

pub(crate) fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

pub(crate) fn strong(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(Arc::from(STRONG)))
}

pub(crate) fn italic(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(Arc::from(ITALIC)))
}

pub(crate) fn mono(size: f32) -> FontId {
    FontId::new(size, FontFamily::Monospace)
}
