//! What is known of this machine: its processor and its memory.

use std::collections::HashSet;
use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use crate::DeviceMemory;

/// The processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Processor {
    pub(super) name: String,
    pub(super) vendor: String,
    /// Cores that work at once, those that this process may use.
    pub(super) cores: usize,
}

impl Processor {
    /// This machine's. Linux tells; elsewhere the architecture has to do.
    pub(super) fn detect() -> Self {
        let usable = available_parallelism().map_or(1, NonZero::get);
        Self::parse(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), usable)
    }

    /// From the text of `/proc/cpuinfo`, or none.
    fn parse(cpuinfo: &str, usable: usize) -> Self {
        let field = |wanted: &str| {
            let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            let mut values = lines.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim());
            values.next().map(str::to_owned)
        };
        let name = ["model name", "Model", "Hardware", "cpu model"].into_iter().find_map(field);
        let vendor = match field("vendor_id").as_deref() {
            Some("GenuineIntel") => "Intel".to_owned(),
            Some("AuthenticAMD") => "AMD".to_owned(),
            Some(other) => other.to_owned(),
            None if cpuinfo.contains("CPU implementer") => "Arm".to_owned(),
            None => String::new(),
        };
        // Two threads of a core share its units, and one of them alone keeps these busy.
        let cores = physical_cores(cpuinfo).map_or(usable, |cores| cores.min(usable));
        Self { name: name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()), vendor, cores }
    }
}

/// Cores as told apart by their numbers in `/proc/cpuinfo`; `None` where it does not number them.
fn physical_cores(cpuinfo: &str) -> Option<usize> {
    let mut cores = HashSet::new();
    for processor in cpuinfo.split("\n\n").filter(|text| text.contains("processor")) {
        let number = |wanted: &str| {
            let lines = processor.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(name, _)| name.trim() == wanted).find_map(|(_, n)| n.trim().parse::<u32>().ok())
        };
        cores.insert((number("physical id")?, number("core id")?));
    }
    (!cores.is_empty()).then_some(cores.len())
}

/// Total and available memory, where the system tells.
pub(super) fn memory() -> DeviceMemory {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let used = fs::read_to_string("/sys/fs/cgroup/memory.current").unwrap_or_default();
    let parts = fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
    parse_memory(&meminfo, &Group { limit: &limit, used: &used, parts: &parts })
}

/// What the system says of the process's group, where it has one: a container, as a rule.
struct Group<'a> {
    limit: &'a str,
    used: &'a str,
    parts: &'a str,
}

/// From the text of `/proc/meminfo` and what is said of the group.
fn parse_memory(meminfo: &str, group: &Group<'_>) -> DeviceMemory {
    let field = |wanted: &str| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(wanted))?;
        let kib = rest.trim_start_matches(':').trim().trim_end_matches("kB").trim();
        kib.parse::<u64>().ok()?.checked_mul(1024)
    };
    let (mut total, mut available) = (field("MemTotal"), field("MemAvailable"));
    if let (Ok(limit), Ok(used)) = (group.limit.trim().parse::<u64>(), group.used.trim().parse::<u64>()) {
        // Files that were read count as used, but make room for whoever needs it.
        let files = group.parts.lines().find_map(|line| line.strip_prefix("file ")?.trim().parse().ok());
        let used = used.saturating_sub(files.unwrap_or(0));
        let least = |known: Option<u64>, limit: u64| Some(known.map_or(limit, |known| known.min(limit)));
        (total, available) = (least(total, limit), least(available, limit.saturating_sub(used)));
    }
    DeviceMemory { total, available, shared_with_cpu: true }
}

/// The instruction sets that matter here, by the names that their makers use.
pub(super) fn features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let found = [
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("F16C", is_x86_feature_detected!("f16c")),
            ("AVX-VNNI", is_x86_feature_detected!("avxvnni")),
            ("AVX-512F", is_x86_feature_detected!("avx512f")),
            ("AVX-512-VNNI", is_x86_feature_detected!("avx512vnni")),
            ("AVX-512-BF16", is_x86_feature_detected!("avx512bf16")),
            ("AVX-512-FP16", is_x86_feature_detected!("avx512fp16")),
        ];
        found.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_core_count_once() {
        let processor = |physical: u32, core: u32| {
            format!(
                "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: Some CPU\nphysical id\t: {physical}\ncore id\t\t: {core}\n"
            )
        };
        let text = [processor(0, 0), processor(0, 0), processor(0, 1), processor(1, 0)].join("\n");
        let found = Processor::parse(&text, 8);
        assert_eq!(found, Processor { name: "Some CPU".into(), vendor: "AMD".into(), cores: 3 });
        assert_eq!(Processor::parse(&text, 2).cores, 2);
    }

    #[test]
    fn processors_that_tell_little_still_have_a_name() {
        let text = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\n\nprocessor\t: 1\n";
        let found = Processor::parse(text, 4);
        assert_eq!((found.name.as_str(), found.cores), (std::env::consts::ARCH, 4));
        assert_eq!(found.vendor, "Arm");
        assert_eq!(Processor::parse("", 3).cores, 3);
    }

    #[test]
    fn memory_is_what_the_system_and_the_group_leave() {
        let meminfo = "MemTotal:       16000 kB\nMemFree:          500 kB\nMemAvailable:    8000 kB\n";
        let group = |limit, used| Group { limit, used, parts: "anon 1\nfile 100000\n" };
        let memory = parse_memory(meminfo, &group("max\n", "5\n"));
        assert_eq!((memory.total, memory.available), (Some(16_384_000), Some(8_192_000)));
        let memory = parse_memory(meminfo, &group("1000000\n", "400000\n"));
        assert_eq!((memory.total, memory.available), (Some(1_000_000), Some(700_000)));
        assert_eq!(parse_memory("", &group("", "")).available, None);
    }
}
