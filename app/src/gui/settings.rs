//! What the window remembers from one start to the next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inglenook::backend::format::CacheFormat;
use inglenook::model::WeightChoice;
use serde::{Deserialize, Serialize};

use super::desk::OpenOrder;
use super::theme::ThemeChoice;
use super::words::Language;
use crate::conversation::SamplingSettings;

/// Under this name the store keeps them.
pub(crate) const NAME: &str = "window";

/// Everything that is remembered. What is missing or unknown is as at the first start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Settings {
    /// Without one, that of the system.
    pub(crate) language: Option<Language>,
    pub(crate) theme: ThemeChoice,
    /// Everything is so many times as large.
    pub(crate) zoom: f32,
    pub(crate) sidebar: bool,
    pub(crate) sampling_panel: bool,
    /// Enter sends; else it begins a new line, and Ctrl+Enter sends.
    pub(crate) enter_sends: bool,
    /// The model of the last time.
    pub(crate) model: Option<PathBuf>,
    /// As `ingle devices` names it, or `auto`.
    pub(crate) device: String,
    /// The name of a weight format, `stored` or `auto`.
    pub(crate) weights: String,
    /// The name of a cache format.
    pub(crate) cache: String,
    pub(crate) context: Option<usize>,
    /// With what new conversations begin.
    pub(crate) system: Option<String>,
    pub(crate) sampling: SamplingSettings,
    /// Folders in which models are looked for, besides the download cache.
    pub(crate) folders: Vec<PathBuf>,
    /// Bytes per second that devices were measured to read.
    pub(crate) speeds: BTreeMap<String, f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: None,
            theme: ThemeChoice::System,
            zoom: 1.0,
            sidebar: true,
            sampling_panel: false,
            enter_sends: true,
            model: None,
            device: "auto".to_owned(),
            weights: "auto".to_owned(),
            cache: "f16".to_owned(),
            context: None,
            system: None,
            sampling: SamplingSettings::default(),
            folders: vec![],
            speeds: BTreeMap::new(),
        }
    }
}

impl Settings {
    pub(crate) fn language(&self) -> Language {
        self.language.unwrap_or_else(Language::of_system)
    }

    /// Takes over the choices that a model was opened with.
    pub(crate) fn take(&mut self, order: &OpenOrder) {
        self.device.clone_from(&order.device);
        self.weights = match order.weights {
            WeightChoice::Auto => "auto".to_owned(),
            WeightChoice::Stored => "stored".to_owned(),
            WeightChoice::Format(format) => format.to_string(),
        };
        self.cache = order.cache.to_string();
        self.context = order.context;
    }

    /// What opens a model as it is set here. A name of a format that is not known is as if there were none.
    pub(crate) fn order(&self, folder: PathBuf) -> OpenOrder {
        let usual = OpenOrder::usual(folder);
        let weights = match self.weights.as_str() {
            "stored" => WeightChoice::Stored,
            name => name.parse().map_or(WeightChoice::Auto, WeightChoice::Format),
        };
        let cache = self.cache.parse().unwrap_or(CacheFormat::F16);
        OpenOrder { device: self.device.clone(), weights, cache, context: self.context, ..usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_as_at_the_first_start() {
        let read = |text: &str| serde_json::from_str::<Settings>(text).unwrap();
        assert_eq!(read("{}"), Settings::default());
        let other = read(r#"{"theme": "dark", "weights": "nf4", "cache": "never heard of", "more": 3}"#);
        assert_eq!(other.theme, ThemeChoice::Dark);
        let order = other.order(PathBuf::from("/m"));
        assert!(matches!(order.weights, WeightChoice::Format(_)));
        assert_eq!(order.cache, CacheFormat::F16);
        let kept = serde_json::to_value(&other).unwrap();
        assert_eq!(serde_json::from_value::<Settings>(kept).unwrap(), other);
    }
}
