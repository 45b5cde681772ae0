//! An experiment as tables, as Markdown, as JSON and as a plot.

use super::types::{Claim, Curve, Gain, Part, Point, Report, Timed};
use super::{Axis, Experiment};
use crate::measure::plot::{Line, Panel, Plot, Scale};
use crate::measure::table::{Table, number};

impl Claim {
    pub const fn verdict(&self) -> &'static str {
        match self.held {
            Some(true) => "held",
            Some(false) => "did not hold",
            None => "could not be told",
        }
    }
}

impl Experiment {
    /// All of them: what they ask, and what is expected.
    pub fn list() -> Table {
        let mut table = Table::new("Experiments", &["name", "question", "expected"]);
        for experiment in Self::ALL {
            let cells = [experiment.name(), experiment.question(), experiment.expectation()];
            table.push(cells.map(str::to_owned).to_vec());
        }
        table
    }
}

impl Report {
    /// The measurements on each device.
    pub fn tables(&self) -> Vec<Table> {
        self.parts.iter().map(|part| part.table(self.experiment)).collect()
    }

    /// What it is about, in a few lines.
    pub fn head(&self) -> String {
        let Self { experiment, model, conditions, .. } = self;
        let (question, expectation) = (experiment.question(), experiment.expectation());
        format!("{experiment}: {question}\nexpected: {expectation}\n{model}; {conditions}")
    }

    /// What was expected of each device and whether it held, for a terminal.
    pub fn verdicts(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            out += &format!("{}\n", part.title());
            for note in &part.notes {
                out += &format!("  note: {note}\n");
            }
            for claim in &part.claims {
                let Claim { expected, why, found, .. } = claim;
                out += &format!("  {}: {expected}\n    because {why}\n    found: {found}\n", claim.verdict());
            }
        }
        out
    }

    /// All of it, for people.
    pub fn markdown(&self) -> String {
        let Self { experiment, model, conditions, .. } = self;
        let mut out = format!(
            "# {experiment}: {}\n\n{}. {model}; {conditions}.\n\nExpected: {}.\n\n",
            experiment.question(),
            self.machine.line(),
            experiment.expectation()
        );
        if self.cancelled {
            out += "It was stopped before it was done.\n\n";
        }
        for part in &self.parts {
            out += &part.table(*experiment).markdown(2);
            out.push('\n');
            for note in &part.notes {
                out += &format!("Note: {note}.\n\n");
            }
            if !part.claims.is_empty() {
                out += &part.claims_table().markdown(0);
                out.push('\n');
            }
        }
        out
    }

    /// All of it, for programs.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The gains over all sizes, a panel for each device; dashed lines are what is expected.
    pub fn plot(&self) -> Plot {
        let panels = self.parts.iter().filter(|part| part.failure.is_none());
        Plot {
            title: format!("{}: {}", self.experiment, self.model),
            panels: panels.map(|part| part.panel(self.experiment)).collect(),
        }
    }
}

impl Part {
    fn title(&self) -> String {
        let Self { device, device_name, tier, .. } = self;
        match &self.failure {
            Some(reason) => format!("{device} ({device_name}) failed: {reason}"),
            None => format!("{device} ({device_name}, {tier})"),
        }
    }

    /// A row for each size: what each variant took, and what it gained.
    fn table(&self, experiment: Experiment) -> Table {
        let attention = experiment.looks_at_attention();
        let mut header = vec![experiment.axis().name().to_owned()];
        for (place, Curve { label, .. }) in self.curves.iter().enumerate() {
            header.push(format!("{label}, ms"));
            header.extend((place > 0).then(|| "gain".to_owned()));
            header.extend((place > 0).then(|| "expected".to_owned()));
            header.extend(attention.then(|| "its attention, ms".to_owned()));
            header.extend((attention && place > 0).then(|| "gain".to_owned()));
            header.extend((attention && place > 0).then(|| "expected".to_owned()));
        }
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut table = Table::new(self.title(), &header);
        let Some(first) = self.curves.first() else { return table };
        for (row, Point { size, .. }) in first.points.iter().enumerate() {
            let mut cells = vec![size.to_string()];
            for (place, curve) in self.curves.iter().enumerate() {
                let (own, first) = (&curve.points[row], &first.points[row]);
                let mut add = |own: Option<&Timed>, first: Option<&Timed>| {
                    cells.push(time(own));
                    if place > 0 {
                        cells.extend(gain(own, first));
                    }
                };
                add(Some(&own.step), Some(&first.step));
                if attention {
                    add(own.attention.as_ref(), first.attention.as_ref());
                }
            }
            table.push(cells);
        }
        table
    }

    fn claims_table(&self) -> Table {
        let mut table = Table::new("", &["expected", "because", "found", "verdict"]);
        for claim in &self.claims {
            let Claim { expected, why, found, .. } = claim;
            table.push(vec![expected.clone(), why.clone(), found.clone(), claim.verdict().to_owned()]);
        }
        table
    }

    fn panel(&self, experiment: Experiment) -> Panel {
        let attention = experiment.looks_at_attention()
            && self.curves.iter().flat_map(|curve| &curve.points).all(|point| point.attention.is_some());
        let what = if attention { "attention" } else { "a step" };
        let first = self.curves.first().map_or("", |first| first.label.as_str());
        let mut lines = vec![];
        for (colour, (first, curve)) in self.against_the_first().enumerate() {
            let gains = if attention { curve.attention_gains_over(first) } else { curve.gains_over(first) };
            let line = |label: String, dashed: bool, of: fn(&Gain) -> f64| Line {
                label,
                colour,
                dashed,
                points: gains.iter().map(|gain| (gain.size as f64, of(gain))).collect(),
            };
            lines.push(line(curve.label.clone(), false, |gain| gain.found));
            lines.push(line(format!("{} expected", curve.label), true, |gain| gain.expected));
        }
        let unit = match experiment.axis() {
            Axis::Rows => "rows of a step",
            Axis::Context => "tokens of context",
        };
        Panel {
            title: self.title(),
            x: unit.to_owned(),
            y: format!("times as quick as {first}: {what}"),
            x_scale: Scale::Logarithmic,
            y_scale: Scale::Linear,
            rule: Some(1.0),
            lines,
        }
    }
}

/// In milliseconds.
fn time(timed: Option<&Timed>) -> String {
    timed.map_or_else(|| "–".to_owned(), |timed| timed.seconds.times(1e3).with_spread())
}

/// What was gained over the first variant, and what is expected.
fn gain(own: Option<&Timed>, first: Option<&Timed>) -> [String; 2] {
    let Some((own, first)) = own.zip(first) else { return ["–", "–"].map(str::to_owned) };
    [own.gain_over(first), own.expected_gain_over(first)].map(number)
}
