//! How numbers and tables look.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{CellAlignment, Table, presets};

/// Writes to standard output, so that a closed pipe is an error and not a panic.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Whether an error means that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// Text without what would steer a terminal: a model may write anything.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(steers) { Cow::Owned(text.replace(steers, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Text for standard output: as it is for files and programs, [`printable`] for a terminal.
pub(crate) fn for_output(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() { printable(text) } else { Cow::Borrowed(text) }
}

/// A table without lines, the first column to the left and the others to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// `7.4 GiB`.
pub(crate) fn gibibytes(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib < 1.0 { format!("{:.0} MiB", gib * 1024.0) } else { format!("{gib:.1} GiB") }
}

/// `19.8 GB/s`.
pub(crate) fn gigabytes_per_second(rate: f64) -> String {
    format!("{:.1} GB/s", rate / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(printable("a\x1b[2Jb\r\n\tc"), "a\u{fffd}[2Jb\u{fffd}\n\tc");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }
}
