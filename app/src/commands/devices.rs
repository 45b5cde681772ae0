//! `ingle devices`.

use std::fmt::Write;

use anyhow::anyhow;
use inglenook::verdict::{TierVerdict, remembered};
use inglenook::{Device, devices};
use serde_json::{Value, json};

use crate::cli::DevicesArguments;
use crate::text;

pub(crate) fn run(arguments: &DevicesArguments) -> anyhow::Result<()> {
    if arguments.forget {
        remembered()
            .forget()
            .map_err(|why| anyhow!("what is known of kernels cannot be forgotten: {why}"))?;
    }
    let devices = devices();
    if arguments.json {
        let list: Vec<Value> = devices.iter().map(as_json).collect();
        return text::print(&serde_json::to_string_pretty(&list)?);
    }
    let mut out = String::new();
    for device in &devices {
        out += &describe(device);
    }
    for backend in inglenook::backends() {
        for missing in backend.unavailable() {
            writeln!(out, "\n{}: not available: {}", missing.what, missing.reason)?;
        }
    }
    text::print(&out)
}

/// A device in a few lines.
pub(crate) fn describe(device: &Device) -> String {
    let info = &device.info;
    let bytes = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), text::gibibytes);
    let units = info.parallel_units.map_or(String::new(), |n| format!(", {n} units"));
    let tiers: Vec<&str> = info.tiers.iter().map(|tier| tier.name.as_str()).collect();
    let verdicts = remembered().known(device.backend.as_ref(), info);
    format!(
        "{id}  {name} ({kind}{units})\n    memory   {total}, {available} available\n    \
         kernels  {tiers}\n{checks}    features {features}\n",
        id = info.id,
        name = info.name,
        kind = info.kind,
        total = bytes(info.memory.total),
        available = bytes(info.memory.available),
        tiers = tiers.join(", "),
        checks = checks(&verdicts),
        features = if info.features.is_empty() { "none".to_owned() } else { info.features.join(" ") },
    )
}

/// What is known of kernels, down to the best that are not known to be wrong: the others are not used.
fn checks(verdicts: &[TierVerdict]) -> String {
    let mut out = String::new();
    let used = verdicts.iter().position(|verdict| verdict.failed.is_empty());
    for (index, verdict) in verdicts.iter().enumerate().take(used.map_or(verdicts.len(), |used| used + 1)) {
        let tier = &verdict.tier;
        let line = match (verdict.failed.as_slice(), verdict.passed.as_slice()) {
            ([], []) => format!("{tier} not yet checked"),
            ([], passed) => format!("{tier} {}", sound(passed)),
            (failed, _) => {
                let faults: Vec<String> =
                    failed.iter().map(|fault| format!("{}: {}", fault.check, fault.what)).collect();
                let instead = used.and_then(|used| verdicts.get(used));
                let instead =
                    instead.map_or("no tier is sound".to_owned(), |used| format!("using tier {}", used.tier));
                format!("{tier} FAILED: {}; {instead}", faults.join("; "))
            }
        };
        out += if index == 0 { "    checks   " } else { "             " };
        out += &text::printable(&line);
        out.push('\n');
    }
    out
}

/// How much was checked and found sound, by the formats of weights that it was checked with; JSON has all of it.
fn sound(passed: &[String]) -> String {
    let formats: Vec<&str> = passed.iter().filter_map(|check| check.strip_prefix("linear ")).collect();
    let count = passed.len();
    let checks = if count == 1 { "check" } else { "checks" };
    if formats.is_empty() {
        return format!("passed {count} {checks}");
    }
    format!("passed {count} {checks}, with weights in {}", formats.join(", "))
}

fn as_json(device: &Device) -> Value {
    let info = &device.info;
    let verdicts = remembered().known(device.backend.as_ref(), info);
    let verdict = |verdict: &TierVerdict| {
        let failed = verdict.failed.iter();
        let failed = failed.map(|f| json!({ "check": f.check, "case": f.case, "what": f.what }));
        json!({ "tier": verdict.tier, "passed": verdict.passed, "failed": failed.collect::<Vec<_>>() })
    };
    json!({
        "id": info.id.to_string(),
        "name": info.name,
        "vendor": info.vendor,
        "driver": info.driver,
        "kind": info.kind.to_string(),
        "memory_total": info.memory.total,
        "memory_available": info.memory.available,
        "memory_shared_with_cpu": info.memory.shared_with_cpu,
        "tiers": info.tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>(),
        "checks": verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "features": info.features,
        "parallel_units": info.parallel_units,
        "bandwidth": info.bandwidth,
    })
}

#[cfg(test)]
mod tests {
    use inglenook::verdict::Fault;

    use super::*;

    #[test]
    fn devices_say_what_is_known_of_their_kernels() {
        let fresh = |tier: &str| TierVerdict { tier: tier.to_owned(), passed: vec![], failed: vec![] };
        let fault = Fault {
            tier: "coop".to_owned(),
            check: "linear nf4".to_owned(),
            case: "linear/nf4 33×65".to_owned(),
            what: "3e2 of the tolerance".to_owned(),
        };
        let broken = |tier: &str| TierVerdict { failed: vec![fault.clone()], ..fresh(tier) };
        let passed = ["linear f16", "sample"].map(str::to_owned).to_vec();
        let sound = TierVerdict { passed, ..fresh("f16") };
        assert_eq!(checks(&[fresh("coop"), fresh("base")]), "    checks   coop not yet checked\n");
        assert_eq!(
            checks(&[broken("coop"), sound, fresh("base")]),
            "    checks   coop FAILED: linear nf4: 3e2 of the tolerance; using tier f16\n             f16 passed 2 \
             checks, with weights in f16\n"
        );
        assert!(checks(&[broken("coop")]).contains("no tier is sound"));
    }
}
