//! A comparison as tables, as Markdown and as JSON.

use super::types::{Comparison, Entry, Measured, Outcome, VERSION};
use crate::measure::table::{Table, number, percent};
use crate::measure::{MeasureError, operators};

impl Comparison {
    /// What is shown of it at a glance: speed and memory, and agreement.
    pub fn tables(&self) -> Vec<Table> {
        vec![self.speed_table(), self.agreement_table()]
    }

    /// Speed and memory of each contestant.
    pub fn speed_table(&self) -> Table {
        let header = [
            "contestant",
            "first token, ms",
            "prefill, tokens/s",
            "decode, tokens/s",
            "MB/token",
            "GB/s",
            "of bandwidth",
            "memory, MB",
            "W",
            "J/token",
        ];
        let mut table = Table::new("Speed", &header);
        for entry in &self.entries {
            let row = |measured: &Measured| {
                vec![
                    measured.first_token_seconds.times(1e3).with_spread(),
                    measured.prefill.with_spread(),
                    measured.decode.with_spread(),
                    number(measured.bytes_per_token / 1e6),
                    number(measured.bytes_per_second() / 1e9),
                    percent(Some(measured.share_of_bandwidth())),
                    number(measured.memory.total() as f64 / 1e6),
                    number(measured.power.watts().unwrap_or(f64::NAN)),
                    number(measured.power.joules_per_token().unwrap_or(f64::NAN)),
                ]
            };
            table.push(line(entry, header.len(), row));
        }
        table
    }

    /// How far each is from the reference.
    pub fn agreement_table(&self) -> Table {
        let header = [
            "contestant",
            "same most likely token",
            "mean divergence, nats",
            "largest",
            "RMS Δp",
            "first difference at token",
            "every run alike",
        ];
        let reference = self.reference.and_then(|place| self.entries.get(place));
        let title = reference
            .map_or_else(|| "Agreement".to_owned(), |entry| format!("Agreement with {}", entry.label));
        let mut table = Table::new(title, &header);
        for (place, entry) in self.entries.iter().enumerate() {
            let row = |measured: &Measured| {
                let agreement = &measured.agreement;
                let difference = match measured.first_difference {
                    _ if self.reference == Some(place) => "the reference".to_owned(),
                    Some(place) => place.to_string(),
                    None => "none".to_owned(),
                };
                vec![
                    percent(Some(agreement.same_top)),
                    number(agreement.mean_divergence),
                    number(agreement.largest_divergence),
                    percent(Some(agreement.rms_probability_difference)),
                    difference,
                    if measured.repeatable { "yes" } else { "no" }.to_owned(),
                ]
            };
            table.push(line(entry, header.len(), row));
        }
        table
    }

    /// Whose power each contestant's is, or why it is not known; those of whom the same is to be said share a line.
    pub fn power_notes(&self) -> Vec<String> {
        let mut notes: Vec<(String, Vec<&str>)> = vec![];
        for entry in &self.entries {
            let Some(measured) = entry.measured() else { continue };
            let about = measured.power.about();
            match notes.iter_mut().find(|(known, _)| *known == about) {
                Some((_, labels)) => labels.push(&entry.label),
                None => notes.push((about, vec![&entry.label])),
            }
        }
        notes.into_iter().map(|(about, labels)| format!("{}: {about}", labels.join("; "))).collect()
    }

    /// Where the time of each contestant's decode step goes.
    pub fn operator_tables(&self) -> Vec<Table> {
        let of = |entry: &Entry| {
            let operators = &entry.measured()?.decode_operators;
            let title = format!("{}: one token", entry.label);
            (!operators.is_empty()).then(|| operators::table(&title, operators))
        };
        self.entries.iter().filter_map(of).collect()
    }

    /// All of it, for people.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}: a comparison\n\n{}.\n\n", self.model, self.machine.line());
        let Comparison { settings, prompt_tokens, .. } = self;
        out += &format!(
            "Prompt of {prompt_tokens} tokens, {} written, {} runs after one to warm up, temperature {}, seed {}. \
             Medians, and the spread between the largest and the smallest.\n\n",
            settings.generate, settings.repeats, settings.temperature, settings.seed
        );
        if self.cancelled {
            out += "It was stopped before it was done.\n\n";
        }
        out += &quoted(&self.prompt);
        out.push('\n');
        for table in self.tables() {
            out += &table.markdown(2);
            out.push('\n');
        }
        for note in self.power_notes() {
            out += &format!("{note}.\n\n");
        }
        out += "## What they wrote\n\n";
        for entry in &self.entries {
            let Some(measured) = entry.measured() else { continue };
            let (same, rest) = measured.split_text();
            let mark = if rest.is_empty() { String::new() } else { format!("{same}⟦≠⟧{rest}") };
            let shown = if mark.is_empty() { same } else { mark };
            out += &format!(
                "**{}** ({}, {})\n\n{}\n",
                entry.label,
                entry.device_name,
                entry.tier,
                quoted(&shown)
            );
        }
        out += "## Where the time goes\n\n";
        for table in self.operator_tables() {
            out += &table.markdown(3);
            out.push('\n');
        }
        out
    }

    /// All of it, for programs.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Reads what [`Comparison::json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, MeasureError> {
        let fault =
            |message: String| MeasureError::Settings(format!("this is no kept comparison: {message}"));
        let comparison: Self = serde_json::from_str(text).map_err(|error| fault(error.to_string()))?;
        if comparison.version != VERSION {
            return Err(fault(format!(
                "it is of form {}, and this program reads form {VERSION}",
                comparison.version
            )));
        }
        Ok(comparison)
    }
}

impl Measured {
    /// The text up to the first token that differs from the reference's, and from there on.
    pub fn split_text(&self) -> (String, String) {
        let place = self.first_difference.unwrap_or(self.pieces.len()).min(self.pieces.len());
        (self.pieces[..place].concat(), self.pieces[place..].concat())
    }
}

/// A contestant's row: what was measured, or why nothing was.
fn line(entry: &Entry, width: usize, row: impl FnOnce(&Measured) -> Vec<String>) -> Vec<String> {
    let mut cells = vec![entry.label.clone()];
    match &entry.outcome {
        Outcome::Done(measured) => cells.extend(row(measured)),
        Outcome::NotRun => cells.push("not run".to_owned()),
        Outcome::Failed { reason } => cells.push(format!("failed: {reason}")),
    }
    cells.resize(width, String::new());
    cells
}

/// A text as a quotation.
fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}
