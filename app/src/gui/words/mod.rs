//! All that the window says, in each language.
//!
//! A string is a method of [`Language`]; the macro [`words!`] takes each in all languages at once, so that none can be missing. A file
//! for each part of the window.

mod chat;
mod common;
mod compare;
mod devices;
mod library;
mod model;
mod settings;

use serde::{Deserialize, Serialize};

/// A language of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// What it calls itself.
    pub(crate) const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// The system's, as far as it is one of ours.
    pub(crate) fn of_system() -> Self {
        Self::of_locale(&sys_locale::get_locale().unwrap_or_default())
    }

    fn of_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") { Self::Chinese } else { Self::English }
    }
}

/// Defines strings: `name: "English", "中文";`, or with values in them `name(count: usize): "{count} …", "…{count}";`.
macro_rules! words {
    ($($name:ident $(($($value:ident: $kind:ty),+))?: $english:literal, $chinese:literal;)*) => {
        impl $crate::gui::words::Language {
            $($crate::gui::words::words!(@one $name $(($($value: $kind),+))?, $english, $chinese);)*
        }
    };
    (@one $name:ident, $english:literal, $chinese:literal) => {
        pub(crate) const fn $name(self) -> &'static str {
            match self {
                Self::English => $english,
                Self::Chinese => $chinese,
            }
        }
    };
    (@one $name:ident ($($value:ident: $kind:ty),+), $english:literal, $chinese:literal) => {
        pub(crate) fn $name(self, $($value: $kind),+) -> String {
            match self {
                Self::English => format!($english),
                Self::Chinese => format!($chinese),
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_follows_from_the_locale() {
        for (locale, language) in [
            ("zh-CN", Language::Chinese),
            ("zh_TW.UTF-8", Language::Chinese),
            ("en-GB", Language::English),
            ("de-DE", Language::English),
            ("C", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of_locale(locale), language, "{locale}");
        }
    }

    #[test]
    fn values_stand_in_the_words() {
        assert_eq!(Language::English.tokens(3), "3 tokens");
        assert!(Language::Chinese.tokens(3).contains('3'));
    }
}
