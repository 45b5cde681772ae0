//! Stop strings: where a reply's text ends before its tokens do.

/// Finds stop strings in text that comes in pieces, holding back what might become one.
#[derive(Clone, Debug)]
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

/// What may be shown after a piece of text came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    pub text: String,
    /// A stop string was found; nothing comes after it.
    pub stopped: bool,
}

impl StopScanner {
    /// Looks for these; empty ones are ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Takes a piece of text and gives back what can be no part of a stop string.
    pub fn push(&mut self, piece: &str) -> Pieces {
        if self.stopped {
            return Pieces { text: String::new(), stopped: true };
        }
        self.held.push_str(piece);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            self.stopped = true;
            return Pieces { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Pieces { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What was held back, once it is certain that no more text comes.
    pub fn finish(self) -> String {
        self.held
    }
}

/// Length of the longest end of `text` with which `stop` begins.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).skip(1).filter(|at| text.ends_with(&stop[..*at]));
    starts.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut scanner = StopScanner::new(stops.iter().map(ToString::to_string));
        let mut text = String::new();
        for piece in pieces {
            let Pieces { text: shown, stopped } = scanner.push(piece);
            text += &shown;
            if stopped {
                return (text, true);
            }
        }
        text += &scanner.finish();
        (text, false)
    }

    #[test]
    fn stop_strings_are_found_across_pieces() {
        assert_eq!(scan(&["\nUser:"], &["Hello", "\nUs", "er: x"]), ("Hello".into(), true));
        assert_eq!(scan(&["\nUser:"], &["Hello\nUs", "a"]), ("Hello\nUsa".into(), false));
        assert_eq!(scan(&["ab", "b"], &["xab"]), ("x".into(), true));
        assert_eq!(scan(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(scan(&["…"], &["wait", "…no"]), ("wait".into(), true));
        assert_eq!(scan(&[""], &["x"]), ("x".into(), false));
    }
}
