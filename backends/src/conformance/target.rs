//! What is tested: each tier of each device of each backend; and which of them must be there.

use std::fmt;

use crate::{Backend, DeviceInfo, Tier};

/// The variable that names the targets that must be there.
pub const EXPECT_DEVICES: &str = "INGLE_EXPECT_DEVICES";

/// One set of kernels on one device.
#[derive(Clone)]
pub struct Target<'a> {
    pub backend: &'a dyn Backend,
    pub device: DeviceInfo,
    pub tier: Tier,
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.device.id, self.device.name, self.tier.name)
    }
}

/// All that there is to test.
pub(crate) fn targets<'a>(backends: &[&'a dyn Backend]) -> Vec<Target<'a>> {
    let mut targets = vec![];
    for backend in backends {
        for device in backend.devices() {
            for tier in &device.tiers {
                targets.push(Target { backend: *backend, device: device.clone(), tier: tier.clone() });
            }
        }
    }
    targets
}

/// A demand such as `cpu/avx2`, or `wgpu/llvmpipe/base` with a part of the device's name between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTarget {
    text: String,
    backend: String,
    device: Option<String>,
    tier: String,
}

impl ExpectedTarget {
    /// Reads a list separated by commas; an entry that makes no sense is a demand that nothing meets.
    pub fn list(text: &str) -> Vec<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let mut parts = entry.split('/').map(str::to_owned);
                let backend = parts.next().unwrap_or_default();
                let rest = parts.collect::<Vec<_>>();
                let (device, tier) = match rest.as_slice() {
                    [tier] => (None, tier.clone()),
                    [device, tier] => (Some(device.clone()), tier.clone()),
                    _ => (None, String::new()),
                };
                Self { text: entry.to_owned(), backend, device, tier }
            })
            .collect()
    }

    /// What the environment demands.
    pub fn from_environment() -> Vec<Self> {
        std::env::var(EXPECT_DEVICES).map(|text| Self::list(&text)).unwrap_or_default()
    }

    pub fn is_met_by(&self, target: &Target<'_>) -> bool {
        self.backend == target.backend.name()
            && self.tier == target.tier.name
            && self.device.as_ref().is_none_or(|part| target.device.name.contains(part.as_str()))
    }
}

impl fmt::Display for ExpectedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::ReferenceBackend;

    #[test]
    fn demands_are_met_or_not() {
        let oracle = ReferenceBackend;
        let all = targets(&[&oracle]);
        let met = |text: &str| {
            let demands = ExpectedTarget::list(text);
            demands.iter().map(|d| all.iter().any(|t| d.is_met_by(t))).collect::<Vec<_>>()
        };
        assert_eq!(met(" reference/reference,,reference/CPU/reference"), [true, true]);
        assert_eq!(met("reference/avx9,cuda/base,reference/GeForce/reference"), [false; 3]);
        assert_eq!(met("nonsense,a/b/c/d,/"), [false; 3]);
        assert!(met("").is_empty());
    }
}
