//! On which device something is done: the one that the user names, or the best that can do it.

use inglenook::backend::{BackendError, DeviceKind};
use inglenook::model::LoadError;
use inglenook::verdict::VerdictError;
use inglenook::{Device, find_device, usual_devices};

use crate::failure;
use crate::text;

/// Leaves the choice to us.
const AUTO: &str = "auto";

/// Does something on the device that is called `name`. For `auto` that is the best device; where that one cannot do it, or has no room
/// for it, the user is told so and the next has its turn. A tier that is asked for leaves out the devices without it.
pub(crate) fn on_device<T>(
    name: &str,
    tier: Option<&str>,
    act: impl FnMut(&Device) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    on_device_telling(name, tier, &mut |line| eprintln!("{}", text::printable(line)), act)
}

/// The same for those who have another place to tell the user than standard error.
pub(crate) fn on_device_telling<T>(
    name: &str,
    tier: Option<&str>,
    tell: &mut dyn FnMut(&str),
    act: impl FnMut(&Device) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if name != AUTO {
        let mut act = act;
        return act(&find_device(name)?);
    }
    let mut devices = usual_devices();
    let has =
        |device: &Device| device.info.tiers.iter().any(|known| tier.is_none_or(|tier| known.name == tier));
    if devices.iter().any(has) {
        devices.retain(has);
    }
    on_the_best(&devices, tell, act)
}

fn on_the_best<T>(
    devices: &[Device],
    tell: &mut dyn FnMut(&str),
    mut act: impl FnMut(&Device) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut gave_up: Option<anyhow::Error> = None;
    for (index, device) in devices.iter().enumerate() {
        tell(&chosen(device, index > 0));
        match act(device) {
            Err(error) if index + 1 < devices.len() && is_the_devices(&error) => {
                tell(&format!(
                    "note: {} is given up: {}. (--backend {} insists on it)",
                    device.info.id,
                    failure::message(&error),
                    device.info.id
                ));
                gave_up = Some(error);
            }
            result => return result,
        }
    }
    // There is always a CPU; should there ever be none, this says it.
    Err(gave_up.unwrap_or_else(|| BackendError::UnknownDevice(AUTO.to_owned()).into()))
}

/// The line that says which device it is, and why.
fn chosen(device: &Device, instead: bool) -> String {
    let info = &device.info;
    let why = match (info.kind, instead) {
        (DeviceKind::Cpu, true) => "used instead",
        (_, true) => "the next best, used instead",
        (DeviceKind::Cpu, false) => "there is no GPU that could be used",
        (_, false) => "the best device here",
    };
    format!("device: {} ({}, {}): {why}; --backend chooses another", info.id, info.name, info.kind)
}

/// Whether another device may do what one could not: it has no room, or it, its driver or its kernels failed.
fn is_the_devices(error: &anyhow::Error) -> bool {
    let of_verdict = |error: &VerdictError| match error {
        VerdictError::NoTier { .. } => true,
        VerdictError::Backend(error) => is_of_device(error),
        VerdictError::Case(_) => false,
    };
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<LoadError>() {
            return match error {
                LoadError::DoesNotFit(_) => true,
                LoadError::Backend(error) => is_of_device(error),
                LoadError::Kernels(error) => of_verdict(error),
                _ => false,
            };
        }
        cause.downcast_ref::<BackendError>().is_some_and(is_of_device)
            || cause.downcast_ref::<VerdictError>().is_some_and(of_verdict)
    })
}

/// Whether an error of a backend is one of the device, its driver or its memory.
pub(crate) const fn is_of_device(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::OutOfMemory { .. }
            | BackendError::Unsupported { .. }
            | BackendError::DeviceLost { .. }
            | BackendError::Driver { .. }
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    /// The CPU under other names and of other kinds.
    fn devices(kinds: &[DeviceKind]) -> Vec<Device> {
        let cpu = find_device("cpu").unwrap();
        let device = |(index, kind): (usize, &DeviceKind)| {
            let mut device = cpu.clone();
            (device.info.kind, device.info.id.index) = (*kind, index);
            device
        };
        kinds.iter().enumerate().map(device).collect()
    }

    fn full() -> BackendError {
        let (device, what, advice) = ("it".to_owned(), "a model".to_owned(), "smaller".to_owned());
        BackendError::OutOfMemory { device, what, needed: 2, available: 1, advice }
    }

    #[test]
    fn what_one_device_cannot_do_the_next_does_and_the_user_is_told() {
        let devices = devices(&[DeviceKind::Discrete, DeviceKind::Integrated, DeviceKind::Cpu]);
        let mut told = vec![];
        let done = on_the_best(&devices, &mut |line| told.push(line.to_owned()), |device| {
            match device.info.id.index {
                0 => Err(full()).context("x cannot be loaded"),
                1 => Err(LoadError::Backend(BackendError::DeviceLost {
                    device: "it".into(),
                    reason: "r".into(),
                })
                .into()),
                index => Ok(index),
            }
        });
        assert_eq!(done.unwrap(), 2);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("discrete GPU") && told[0].contains("the best device here"), "{told:?}");
        assert!(told[1].contains("cpu:0 is given up: x cannot be loaded: a model needs 2 bytes"), "{told:?}");
        assert!(told[4].contains("used instead"), "{told:?}");
    }

    #[test]
    fn faults_that_are_not_the_devices_end_it_and_so_does_the_last_device() {
        let devices = devices(&[DeviceKind::Discrete, DeviceKind::Cpu]);
        let tried = |fault: &dyn Fn() -> anyhow::Error| {
            let mut count = 0;
            let result = on_the_best(&devices, &mut |_| {}, |_| -> anyhow::Result<()> {
                count += 1;
                Err(fault())
            });
            assert!(result.is_err());
            count
        };
        assert_eq!(tried(&|| full().into()), 2);
        assert_eq!(tried(&|| BackendError::Cancelled.into()), 1);
        let unknown = || BackendError::UnknownTier {
            device: String::new(),
            tier: String::new(),
            available: String::new(),
        };
        assert_eq!(tried(&|| unknown().into()), 1);
        assert_eq!(tried(&|| anyhow::anyhow!("the files are bad")), 1);
    }

    #[test]
    fn a_device_that_is_named_is_used_or_nothing() {
        let failed = on_device::<()>("cpu", None, |_| Err(full().into()));
        assert!(failed.unwrap_err().downcast_ref::<BackendError>().is_some());
        assert!(on_device("nothing", None, |_| Ok(())).is_err());
        let on = on_device(AUTO, None, |device| Ok(device.info.kind)).unwrap();
        assert_ne!(on, DeviceKind::Software);
        // Only the CPU has this one.
        let on = on_device(AUTO, Some("portable"), |device| Ok(device.info.kind)).unwrap();
        assert_eq!(on, DeviceKind::Cpu);
    }
}
