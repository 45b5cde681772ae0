//! Reading rotations, in both spellings: `rope_theta` with `rope_scaling`, and `rope_parameters`, which
//! may have an object for each type of layer.

use ingle_backends::plan::{RopeScaling, RopeSpec};

use super::error::ConfigError;
use super::fields::Fields;
use crate::arch::{Dimensions, LongRotation, Rotation};

/// Factors and bases beyond this are typing mistakes.
const LARGEST: f64 = 1e15;
const SMALLEST: f64 = 1e-6;

/// What a family says of a rotation where the configuration does not.
pub(crate) struct RopeDefaults<'a> {
    /// The entry of `rope_parameters` where that has one for each type of layer.
    pub(crate) layer_type: Option<&'a str>,
    /// The key of the base in the older spelling.
    pub(crate) base_key: &'a str,
    pub(crate) base: f64,
    /// Whether `rope_scaling`, in the older spelling, applies to these layers.
    pub(crate) scaled: bool,
}

impl RopeDefaults<'_> {
    /// The usual keys, and this base.
    pub(crate) const fn base(base: f64) -> Self {
        Self { layer_type: None, base_key: "rope_theta", base, scaled: true }
    }
}

/// The rotation of heads of `head_dim` in a model made for `context` tokens.
pub(crate) fn rotation(
    config: &Fields,
    head_dim: usize,
    context: usize,
    defaults: &RopeDefaults<'_>,
) -> Result<Rotation, ConfigError> {
    let parameters = parameters(config, defaults)?;
    let own = |key| parameters.as_ref().filter(|object| object.get(key).is_some()).unwrap_or(config);

    let base_place = parameters.as_ref().filter(|object| object.get("rope_theta").is_some());
    let base = match base_place {
        Some(object) => object.optional_number("rope_theta", SMALLEST..=LARGEST)?,
        None => config.optional_number(defaults.base_key, SMALLEST..=LARGEST)?,
    };
    let partial = own("partial_rotary_factor").optional_number("partial_rotary_factor", SMALLEST..=1.0)?;
    let rotary_dim = (head_dim as f64 * partial.unwrap_or(1.0)) as usize;
    if rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
        let needed = format!("a factor that makes {head_dim} elements of a head an even number of them");
        return Err(own("partial_rotary_factor").wrong("partial_rotary_factor", needed));
    }
    let plain = RopeSpec { rotary_dim, ..RopeSpec::new(head_dim, base.unwrap_or(defaults.base)) };

    let Some(parameters) = parameters else { return Ok(plain.into()) };
    let rotation = scaled(config, &parameters, &plain, context)?;
    parameters.refuse_unread()?;
    Ok(rotation)
}

/// The object that describes the rotation, whichever spelling it is in.
fn parameters(config: &Fields, defaults: &RopeDefaults<'_>) -> Result<Option<Fields>, ConfigError> {
    let older = config.optional_object("rope_scaling")?.filter(|_| defaults.scaled);
    let Some(parameters) = config.optional_object("rope_parameters")? else { return Ok(older) };
    let nested = |key: &str| parameters.get(key).is_some_and(serde_json::Value::is_object);
    if !nested("full_attention") && !nested("sliding_attention") {
        return Ok(Some(parameters));
    }
    match defaults.layer_type {
        Some(layer_type) => parameters
            .optional_object(layer_type)?
            .map(Some)
            .ok_or_else(|| parameters.missing(layer_type, "an object")),
        None => Err(config.unsupported("rope_parameters", "one rotation for all layers in this family")),
    }
}

/// Reads the type of scaling and its numbers.
fn scaled(
    config: &Fields,
    parameters: &Fields,
    plain: &RopeSpec,
    context: usize,
) -> Result<Rotation, ConfigError> {
    let key = if parameters.get("rope_type").is_some() { "rope_type" } else { "type" };
    let kind = parameters.optional_text(key)?.unwrap_or("default");
    let factor = || parameters.number("factor", SMALLEST..=LARGEST);
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: factor()? },
        "llama3" => {
            let low_frequency = parameters.number("low_freq_factor", SMALLEST..=LARGEST)?;
            let high_frequency = parameters.number("high_freq_factor", SMALLEST..=LARGEST)?;
            if high_frequency <= low_frequency {
                return Err(parameters.wrong("high_freq_factor", "more than low_freq_factor"));
            }
            let original_context = original_context(config, parameters, context)? as f64;
            RopeScaling::Llama3 { factor: factor()?, low_frequency, high_frequency, original_context }
        }
        // The first Phi 3 checkpoints called their scheme by these names.
        "longrope" | "su" => return long(config, parameters, plain, context),
        "yarn" if parameters.get("short_factor").is_some() => {
            return long(config, parameters, plain, context);
        }
        "yarn" => yarn(config, parameters, context)?,
        _ => return Err(parameters.unsupported(key, "default, linear, llama3, yarn, longrope")),
    };
    Ok(RopeSpec { scaling, ..plain.clone() }.into())
}

fn yarn(config: &Fields, parameters: &Fields, context: usize) -> Result<RopeScaling, ConfigError> {
    let original = original_context(config, parameters, context)? as f64;
    let number = |key| parameters.optional_number(key, SMALLEST..=LARGEST);
    let factor = number("factor")?.unwrap_or(context as f64 / original);
    let (beta_fast, beta_slow) = (number("beta_fast")?.unwrap_or(32.0), number("beta_slow")?.unwrap_or(1.0));
    if beta_fast < beta_slow {
        return Err(parameters.wrong("beta_fast", "at least beta_slow"));
    }
    // DeepSeek's pair of magnitudes: what one adds to the rotation, the other takes away again.
    let scaled = |by: f64| if factor > 1.0 { 0.1 * by * factor.ln() + 1.0 } else { 1.0 };
    let optional = |key| parameters.optional_number(key, 0.0..=LARGEST);
    let magnitudes = (optional("mscale")?.unwrap_or(0.0), optional("mscale_all_dim")?.unwrap_or(0.0));
    let magnitude = match (number("attention_factor")?, magnitudes) {
        (Some(stated), _) => Some(stated),
        (None, (up, down)) if up > 0.0 && down > 0.0 => Some(scaled(up) / scaled(down)),
        (None, _) => None,
    };
    let truncate = parameters.get("truncate").is_none() || parameters.flag("truncate")?;
    Ok(RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context: original, magnitude, truncate })
}

/// Two tables of divisors: one up to the original context, the other beyond.
fn long(
    config: &Fields,
    parameters: &Fields,
    plain: &RopeSpec,
    context: usize,
) -> Result<Rotation, ConfigError> {
    let original = original_context(config, parameters, context)?;
    let number = |key| parameters.optional_number(key, SMALLEST..=LARGEST);
    let factor = number("factor")?.unwrap_or(context as f64 / original as f64);
    let magnitude = match number("attention_factor")? {
        Some(stated) => stated,
        None if factor <= 1.0 || original < 2 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    let table = |key| -> Result<RopeSpec, ConfigError> {
        let divisors = parameters.numbers(key, plain.rotary_dim / 2, SMALLEST..=LARGEST)?;
        Ok(RopeSpec { scaling: RopeScaling::PerFrequency { divisors, magnitude }, ..plain.clone() })
    };
    let beyond = LongRotation { original_context: original, rope: table("long_factor")? };
    Ok(Rotation { rope: table("short_factor")?, beyond: Some(beyond) })
}

/// The context that the model was trained for before it was stretched. Beside the object it has
/// precedence over the one within.
fn original_context(config: &Fields, parameters: &Fields, context: usize) -> Result<usize, ConfigError> {
    const KEY: &str = "original_max_position_embeddings";
    let range = 1..=Dimensions::LARGEST_CONTEXT;
    let beside = config.optional_size(KEY, range.clone())?;
    let within = parameters.optional_size(KEY, range)?;
    Ok(beside.or(within).unwrap_or(context))
}
