//! Which kernels of a device may be used: those that were seen to compute rightly there.
//!
//! GPU drivers compile kernels, and some compile some of them wrongly. So before a plan is prepared for the first time with a
//! device, driver, set of kernels ("tier") and formats, the kernels that it will use run a handful of small cases against the
//! oracle ([`checks`]). A tier that fails is passed over for the next lower one, and the user is told. What was
//! found out is remembered in a file, check by check, so that the second start checks nothing; another driver, or kernels that
//! have changed ([`Backend::revision`]), are checked anew. The file only saves time: a damaged or unwritable one is a note.
//!
//! A driver may also take the whole program down. Before a tier's cases run, that is written down too, and a tier that did
//! not live to see the end of its check several times in a row counts as failed.
//!
//! Nothing here knows what kind of backend it is about.

mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::conformance::{CaseError, Check, CheckError, Failure, Target, checks};
use crate::plan::Plan;
use crate::{Backend, BackendError, DeviceInfo, PrepareOptions, ProgressFn, Tier};

use store::{Key, Outcome, Store};

/// Ends of the program in the midst of a check from which on it counts as the driver's fault: a user may have ended one or two.
const FATAL_ENDS: u32 = 3;
/// What a tier's check as a whole goes by in the file.
const WHOLE: &str = "the whole tier";

/// What has been found out about devices, and the file it is remembered in.
#[derive(Debug)]
pub struct Verdicts {
    store: Mutex<Store>,
}

/// The kernels to use, and what there is to say about that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub tier: String,
    /// Cases that were run now; none where everything was known.
    pub cases: usize,
    pub notes: Vec<Note>,
}

/// What was wrong with a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub tier: String,
    /// What was checked, such as `linear nf4`.
    pub check: String,
    /// The case that failed, and how.
    pub case: String,
    pub what: String,
}

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A better tier computes wrongly.
    PassedOver { device: String, fault: Fault, used: String },
    /// The tier that was forced computes wrongly, and is used all the same.
    Forced { device: String, fault: Fault },
    /// What is remembered cannot be read or written.
    NotKept(String),
}

/// What is remembered of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierVerdict {
    pub tier: String,
    /// Names of checks.
    pub passed: Vec<String>,
    pub failed: Vec<Fault>,
}

/// Why there are no kernels to use.
#[derive(Debug, Error)]
pub enum VerdictError {
    #[error(
        "no kernels compute rightly on {device}: {}; update the driver of the device, or run on the CPU (--backend cpu). \
         `ingle selftest` tries everything",
        list(faults)
    )]
    NoTier { device: String, faults: Vec<Fault> },
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("kernels cannot be checked: {0}")]
    Case(#[from] CaseError),
}

impl From<CheckError> for VerdictError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Backend(error) => Self::Backend(error),
            CheckError::Case(error) => Self::Case(error),
        }
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tier {} fails {}", self.tier, self.check)?;
        if !self.case.is_empty() {
            write!(f, " (case {})", self.case)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassedOver { device, fault, used } => write!(
                f,
                "{device} computes wrongly with its better kernels, so those of tier {used} are used: {fault}. An update of the \
                 driver may help; `ingle devices --forget` has them checked again"
            ),
            Self::Forced { device, fault } => write!(
                f,
                "the kernels that were forced COMPUTE WRONGLY on {device}, and what they give may be nonsense: {fault}"
            ),
            Self::NotKept(why) => write!(f, "which kernels compute rightly is not remembered: {why}"),
        }
    }
}

/// How messages name a device.
fn name(device: &DeviceInfo) -> String {
    format!("{} ({})", device.id, device.name)
}

impl Verdicts {
    /// Remembers in a file of this folder; without one, until the program ends.
    pub fn new(folder: Option<&Path>) -> Self {
        Self { store: Mutex::new(Store::new(folder)) }
    }

    /// The best tier whose kernels compute rightly what a plan asks of them, checked now as far as it is not known. A tier that the
    /// options or the environment force is used whatever comes out.
    pub fn choose(
        &self,
        backend: &dyn Backend,
        device: &DeviceInfo,
        plan: &Plan,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Choice, VerdictError> {
        let forced = options.tier.clone().or_else(|| backend.forced_tier());
        let tiers: Vec<&Tier> = match &forced {
            Some(name) => device.tiers.iter().filter(|tier| tier.name == *name).collect(),
            None => device.tiers.iter().collect(),
        };
        if let (Some(tier), true) = (&forced, tiers.is_empty()) {
            // Preparing says that there is no such tier, and which there are.
            return Ok(Choice { tier: tier.clone(), cases: 0, notes: vec![] });
        }
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let checks = checks(plan, &options.cache);
        let bytes = plan.weight_bytes();
        let mut choice = Choice { tier: String::new(), cases: 0, notes: store.take_notes() };
        let mut faults = vec![];
        for tier in tiers {
            let target = Target { backend, device: device.clone(), tier: tier.clone() };
            let judged = store.judge(&target, &checks, progress, bytes, &mut choice.cases);
            choice.notes.extend(store.take_notes());
            let Some(fault) = judged? else {
                choice.tier.clone_from(&tier.name);
                break;
            };
            faults.push(fault);
        }
        match (forced, choice.tier.is_empty()) {
            (_, false) => {
                let note =
                    |fault| Note::PassedOver { device: name(device), fault, used: choice.tier.clone() };
                let notes = faults.into_iter().map(note).collect::<Vec<_>>();
                choice.notes.extend(notes);
                Ok(choice)
            }
            (Some(tier), true) => {
                let note = |fault| Note::Forced { device: name(device), fault };
                choice.notes.extend(faults.into_iter().map(note));
                Ok(Choice { tier, ..choice })
            }
            (None, true) => Err(VerdictError::NoTier { device: name(device), faults }),
        }
    }

    /// What is remembered of each tier of a device.
    pub fn known(&self, backend: &dyn Backend, device: &DeviceInfo) -> Vec<TierVerdict> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |tier: &Tier| {
            let mut verdict = TierVerdict { tier: tier.name.clone(), passed: vec![], failed: vec![] };
            let key = Key::new(backend, device, &tier.name);
            for (check, outcome) in store.of(&key) {
                match outcome {
                    Outcome::Passed => verdict.passed.push(check.to_owned()),
                    Outcome::Failed { case, what } => {
                        verdict.failed.push(fault(&tier.name, check, case, what));
                    }
                    Outcome::Begun { times } if *times >= FATAL_ENDS => {
                        verdict.failed.push(fatal(&tier.name, *times));
                    }
                    Outcome::Begun { .. } => {}
                }
            }
            verdict
        };
        device.tiers.iter().map(of).collect()
    }

    /// Forgets everything, so that all is checked anew.
    pub fn forget(&self) -> Result<(), String> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).forget()
    }
}

fn fault(tier: &str, check: &str, case: &str, what: &str) -> Fault {
    Fault { tier: tier.to_owned(), check: check.to_owned(), case: case.to_owned(), what: what.to_owned() }
}

fn fatal(tier: &str, times: u32) -> Fault {
    fault(tier, WHOLE, "", &format!("the program ended in the midst of its check, {times} times in a row"))
}

impl Store {
    /// What is wrong with a tier, if anything is; what is not known is checked, and `cases` counts on.
    fn judge(
        &mut self,
        target: &Target<'_>,
        checks: &[Check],
        progress: &mut ProgressFn<'_>,
        total_bytes: u64,
        cases: &mut usize,
    ) -> Result<Option<Fault>, CheckError> {
        let tier = target.tier.name.as_str();
        let key = Key::new(target.backend, &target.device, tier);
        for check in checks {
            if let Some(Outcome::Failed { case, what }) = self.get(&key, &check.name) {
                return Ok(Some(fault(tier, &check.name, case, what)));
            }
        }
        let mut pending = checks.iter().filter(|check| self.get(&key, &check.name).is_none()).peekable();
        if pending.peek().is_none() {
            return Ok(None);
        }
        let begun = match self.get(&key, WHOLE) {
            Some(Outcome::Begun { times }) => *times,
            _ => 0,
        };
        if begun >= FATAL_ENDS {
            return Ok(Some(fatal(tier, begun)));
        }
        let pending: Vec<&Check> = pending.collect();
        self.set(&key, WHOLE, Outcome::Begun { times: begun + 1 });
        self.save();
        let mut ended = Ok(None);
        for check in pending {
            match check.run(target, progress, total_bytes) {
                Ok(None) => self.set(&key, &check.name, Outcome::Passed),
                Ok(Some(Failure { case, what })) => {
                    ended = Ok(Some(fault(tier, &check.name, &case, &what)));
                    self.set(&key, &check.name, Outcome::Failed { case, what });
                }
                // What has passed before stays known.
                Err(error) => ended = Err(error),
            }
            *cases += check.cases.len();
            if !matches!(ended, Ok(None)) {
                break;
            }
        }
        self.set(&key, WHOLE, Outcome::Begun { times: 0 });
        self.save();
        ended
    }
}
