//! Tables as data: what a terminal, a window and a Markdown file show of a result.

use serde::{Deserialize, Serialize};

/// A table of texts. The first column names its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub title: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.into(), header, rows: vec![] }
    }

    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The table in Markdown, with its title as a heading of this level; none where it is 0.
    pub fn markdown(&self, level: usize) -> String {
        let cell = |text: &String| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        let line =
            |cells: &[String]| format!("| {} |\n", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
        let mut out = String::new();
        if level > 0 && !self.title.is_empty() {
            out += &format!("{} {}\n\n", "#".repeat(level), self.title);
        }
        out += &line(&self.header);
        let rule = self.header.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { "---:" });
        out += &format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
        out += &self.rows.iter().map(|row| line(row)).collect::<String>();
        out
    }
}

/// A number to three digits that matter: `1234`, `12.3`, `0.00123`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = value.abs();
    let digits = match magnitude {
        0.0 => 0,
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        m => 2 - m.log10().floor() as i32,
    };
    if digits > 6 { format!("{value:.2e}") } else { format!("{value:.*}", digits.max(0) as usize) }
}

/// `12.3 %`, or a dash where it is not known.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        // What rounds to nothing has no sign; adding zero takes it away.
        Some(share) if share.is_finite() => format!("{:.1} %", (1000.0 * share).round() / 10.0 + 0.0),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_a_table_whatever_the_cells_hold() {
        let mut table = Table::new("Title", &["name", "a|b"]);
        table.push(vec!["x\ny".into(), "1".into()]);
        assert_eq!(table.markdown(2), "## Title\n\n| name | a\\|b |\n|---|---:|\n| x y | 1 |\n");
        assert!(table.markdown(0).starts_with("| name"));
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = |value| number(value);
        assert_eq!(
            [shown(1234.4), shown(12.345), shown(1.2345), shown(0.012_345), shown(0.0), shown(-5.5)],
            ["1234", "12.3", "1.23", "0.0123", "0", "-5.50"]
        );
        assert_eq!((shown(1.23e-9), shown(f64::NAN)), ("1.23e-9".to_owned(), "–".to_owned()));
        assert_eq!((percent(Some(0.1234)), percent(None)), ("12.3 %".to_owned(), "–".to_owned()));
        let near_nothing = [-1e-17, -0.0004, -0.0006].map(|share| percent(Some(share)));
        assert_eq!(near_nothing, ["0.0 %", "0.0 %", "-0.1 %"]);
    }
}
