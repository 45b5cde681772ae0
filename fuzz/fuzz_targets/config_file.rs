//! Any text as a configuration: it is refused, or its model has a plan that can be fused and counted, or an
//! error instead of one. What comes after the first NUL is `generation_config.json`.
#![no_main]

use ingle_backends::CacheOptions;
use ingle_backends::format::{Int8Group, WeightFormat};
use ingle_backends::plan::{BatchLimits, FusionSet};
use ingle_models::checkpoint::Quantization;
use ingle_models::{Config, WeightFormats, arch};
use libfuzzer_sys::fuzz_target;

/// Plans grow with the layers, of which a real model has some hundreds at most; time spent on more of the same
/// finds nothing.
const LAYERS: u64 = 200;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (config, generation) = text.split_once('\0').map_or((text, None), |(c, g)| (c, Some(g)));
    if let Ok(value) = serde_json::from_str(config) {
        let _ = Quantization::of(&value);
    }
    let Ok(config) = Config::parse(config, generation) else { return };
    let _ = (config.dtype(), config.quantization(), config.model_type());
    let Ok(architecture) = arch::from_config(&config) else { return };
    assert!(architecture.context() > 0);
    let layers = |name: &str| config.fields().get(name).and_then(|value| value.as_u64());
    if layers("num_hidden_layers").is_some_and(|layers| layers > LAYERS) {
        return;
    }
    let text = config.fields().optional_object("text_config").ok().flatten();
    let nested = text.and_then(|text| text.get("num_hidden_layers").and_then(|value| value.as_u64()));
    if nested.is_some_and(|layers| layers > LAYERS) {
        return;
    }
    let limits = BatchLimits { rows: 32, selected: 4, sequences: 4 };
    for format in [WeightFormat::F32, WeightFormat::Int8(Int8Group::G64), WeightFormat::Nf4] {
        let Ok(plan) = architecture.plan(&WeightFormats::usual(format).into()) else { continue };
        let Ok(plan) = plan.fused(FusionSet::all()) else { continue };
        assert!(plan.footprint(&CacheOptions::default(), &limits).total() > 0);
    }
});
