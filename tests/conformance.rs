//! Every backend, on every device, in every tier, held to the oracle: one test per group of operators.
//!
//! `INGLE_EXPECT_DEVICES=cpu/avx512,cpu/avx2,cpu/portable` names targets that must be there: on a machine
//! where one of them is missing, the run is red instead of silently smaller. `INGLE_ONLY='linear/nf4*'`
//! runs a part.

use ingle_backends::conformance::{CaseError, Conformance, Group};

/// Runs groups on the backends that users get, prints the table, and fails with every problem.
fn conforms(groups: &[Group]) -> Result<(), CaseError> {
    let backends = inglenook::backends();
    let mut run = Conformance::new(backends.iter().map(AsRef::as_ref).collect());
    run.only = std::env::var("INGLE_ONLY").ok();
    let start = std::time::Instant::now();
    let report = run.run(groups)?;
    println!("{report}{groups:?} in {:.1} s", start.elapsed().as_secs_f64());
    let ran = report.targets.iter().flat_map(|t| &t.groups).any(|g| g.cases > 0);
    if ran || run.only.is_none() {
        let problems = report.problems();
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }
    Ok(())
}

#[test]
fn products() -> Result<(), CaseError> {
    conforms(&[Group::Linear])
}

#[test]
fn attention_and_pages() -> Result<(), CaseError> {
    conforms(&[Group::Attention, Group::Pages])
}

#[test]
fn rows_and_elements() -> Result<(), CaseError> {
    conforms(&[Group::Embed, Group::Norm, Group::Rope, Group::Elementwise])
}

#[test]
fn experts() -> Result<(), CaseError> {
    conforms(&[Group::Experts])
}

#[test]
fn logits_and_tokens() -> Result<(), CaseError> {
    conforms(&[Group::Rows, Group::Sample])
}

#[test]
fn whole_models() -> Result<(), CaseError> {
    conforms(&[Group::Sequences])
}

#[test]
fn random_plans() -> Result<(), CaseError> {
    conforms(&[Group::Random])
}

#[test]
fn misuse() -> Result<(), CaseError> {
    conforms(&[Group::Misuse])
}
