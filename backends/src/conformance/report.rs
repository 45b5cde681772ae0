//! What a run of the conformance tests found, as data and as a table.

use std::fmt;

use super::case::Group;
use crate::Unavailable;

/// Everything that a run found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub targets: Vec<TargetReport>,
    /// Devices that one might expect and that were not there.
    pub not_run: Vec<Unavailable>,
    /// Targets that had to be there and were not.
    pub missing: Vec<String>,
}

/// What was found on one tier of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetReport {
    pub target: String,
    pub groups: Vec<GroupReport>,
}

/// The cases of one group on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    pub group: Group,
    pub cases: usize,
    /// Failures that nobody knew of.
    pub failures: Vec<Failure>,
    pub known_failures: Vec<Failure>,
    /// Cases that pass though an entry says that they fail.
    pub unexpected_passes: Vec<Failure>,
    /// Discrete results that differ where the oracle could not tell either.
    pub close_calls: usize,
    /// The largest share of a tolerance that a passing case used.
    pub largest_share: f64,
    /// That case, and the number in it.
    pub worst: String,
}

/// A case and what is the matter with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub case: String,
    pub what: String,
}

impl GroupReport {
    pub fn new(group: Group) -> Self {
        Self {
            group,
            cases: 0,
            failures: vec![],
            known_failures: vec![],
            unexpected_passes: vec![],
            close_calls: 0,
            largest_share: 0.0,
            worst: String::new(),
        }
    }
}

impl TargetReport {
    /// The report of a group, made when first asked for.
    pub(super) fn group(&mut self, group: Group) -> &mut GroupReport {
        let at = self.groups.iter().position(|g| g.group == group).unwrap_or_else(|| {
            self.groups.push(GroupReport::new(group));
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }
}

impl Report {
    /// What keeps the run from being green, a line each; none if it is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems =
            self.missing.iter().map(|m| format!("{m} must be tested and is not there")).collect::<Vec<_>>();
        for target in &self.targets {
            for group in &target.groups {
                let line =
                    |kind: &str, f: &Failure| format!("{}: {} {kind}: {}", target.target, f.case, f.what);
                problems.extend(group.failures.iter().map(|f| line("fails", f)));
                problems.extend(group.unexpected_passes.iter().map(|f| line("passes, known to fail", f)));
            }
        }
        if self.targets.iter().all(|t| t.groups.iter().all(|g| g.cases == 0)) {
            problems.push("no case was run".to_owned());
        }
        problems
    }

    /// The report of a group on a target.
    pub fn group(&self, target: usize, group: Group) -> Option<&GroupReport> {
        self.targets.get(target)?.groups.iter().find(|g| g.group == group)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.targets.iter().map(|t| t.target.chars().count()).max().unwrap_or(6).max(6);
        writeln!(f, "{:width$} {:11} cases failed known close share worst", "target", "group")?;
        for target in &self.targets {
            for group in &target.groups {
                let GroupReport { cases, close_calls, largest_share, worst, .. } = group;
                let failed = group.failures.len() + group.unexpected_passes.len();
                writeln!(
                    f,
                    "{:width$} {:11} {cases:5} {failed:6} {:5} {close_calls:5} {:4.0}% {worst}",
                    target.target,
                    group.group,
                    group.known_failures.len(),
                    100.0 * largest_share,
                )?;
            }
        }
        for Unavailable { what, reason } in &self.not_run {
            writeln!(f, "{what}: not run: {reason}")?;
        }
        for problem in self.problems() {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}
