//! Which layers see only the last so many positions, and how configurations say so.

use crate::config::{ConfigError, Fields};

use super::Dimensions;

/// For each layer, how many positions it sees; none is all of them.
pub type Windows = Vec<Option<u32>>;

/// The window of a configuration that has one for all its layers that have one.
pub(super) fn window(config: &Fields) -> Result<Option<u32>, ConfigError> {
    let window = config.optional_size("sliding_window", 1..=Dimensions::LARGEST_CONTEXT)?;
    Ok(window.map(|window| window as u32))
}

/// The window of a family in which some layers always have one.
pub(super) fn needed_window(config: &Fields) -> Result<u32, ConfigError> {
    window(config)?.ok_or_else(|| config.missing("sliding_window", "a whole number"))
}

/// The window, where a switch beside it is on as well.
pub(super) fn switched_window(config: &Fields) -> Result<Option<u32>, ConfigError> {
    let on = config.flag("use_sliding_window")?;
    Ok(window(config)?.filter(|_| on))
}

/// Reads `layer_types`; where that is absent, `slides` says which layers have the window.
pub(super) fn by_layer(
    config: &Fields,
    layers: usize,
    window: Option<u32>,
    slides: impl Fn(usize) -> bool,
) -> Result<Windows, ConfigError> {
    let Some(types) = config.texts("layer_types")? else {
        return Ok((0..layers).map(|layer| window.filter(|_| slides(layer))).collect());
    };
    if types.len() != layers {
        return Err(config.wrong("layer_types", format!("one for each of {layers} layers")));
    }
    let seen = types.into_iter().map(|kind| match (kind, window) {
        ("full_attention", _) => Ok(None),
        ("sliding_attention", Some(window)) => Ok(Some(window)),
        ("sliding_attention", None) => {
            Err(config.wrong("sliding_window", "a number, as layer_types names it"))
        }
        _ => Err(config.unsupported("layer_types", "full_attention, sliding_attention")),
    });
    seen.collect()
}

/// The same for all layers, in families where `layer_types` has no say.
pub(super) fn uniform(config: &Fields, layers: usize, window: Option<u32>) -> Result<Windows, ConfigError> {
    let windows = vec![window; layers];
    if by_layer(config, layers, window, |_| true)? != windows {
        let kind = if window.is_some() { "sliding_attention" } else { "full_attention" };
        return Err(config.unsupported("layer_types", format!("{kind} everywhere, in this family")));
    }
    Ok(windows)
}
