//! Bare `ingle`: the window. Without a display, a conversation with the only model there is, else what this machine can run, and
//! how to begin.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::Parser;
use inglenook::models::hub::library::{LocalModel, ModelState, list};

use super::{chat, overview};
use crate::cli::{Arguments, Command};
use crate::{gui, text};

/// Small enough to be tried on any machine.
const FIRST_MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// Models that are listed by name.
const SHOWN: usize = 8;

pub(crate) fn run() -> anyhow::Result<()> {
    if gui::has_display() {
        return gui::run(None);
    }
    eprintln!("there is no display for a window, so this is the terminal; `ingle gui` insists on the window");
    in_terminal()
}

fn in_terminal() -> anyhow::Result<()> {
    let ready = match list(&[]) {
        Ok(models) => models.into_iter().filter(|model| model.state == ModelState::Supported).collect(),
        Err(error) => {
            eprintln!("note: the models on this machine cannot be listed: {error}");
            vec![]
        }
    };
    // Programs that call this one want an answer and not a conversation.
    let talks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if let ([model], true) = (ready.as_slice(), talks) {
        eprintln!("{} is the only model here; `ingle --help` shows what else can be done", model.name);
        let words = ["ingle", "chat", "--model"].map(OsString::from);
        let arguments = Arguments::try_parse_from(words.into_iter().chain([model.path.clone().into()]))?;
        if let Some(Command::Chat(arguments)) = arguments.command {
            return chat::run(&arguments);
        }
    }
    overview::run()?;
    text::print(&advice(&ready))
}

/// How to begin.
fn advice(ready: &[LocalModel]) -> String {
    if ready.is_empty() {
        return format!(
            "\nThere is no model on this machine yet. This downloads a small one:\n  ingle models pull \
             {FIRST_MODEL}\nand says where it is; a model in a folder of yours is as good:\n  ingle chat --model \
             FOLDER"
        );
    }
    let shown = ready.iter().take(SHOWN);
    let lines: String =
        shown.map(|model| format!("  ingle chat --model {}\n", quoted(&model.path))).collect();
    let more = match ready.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("  and {more} more: ingle models list\n"),
    };
    format!("\nTo talk with a model:\n{lines}{more}")
}

/// A path as a shell takes it.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:\\".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn advice_names_what_is_there() {
        assert!(advice(&[]).contains("models pull"));
        let model = |path: &str| LocalModel {
            name: "m".to_owned(),
            revision: None,
            path: PathBuf::from(path),
            family: None,
            bytes: 0,
            parameters: None,
            dtype: None,
            state: ModelState::Supported,
        };
        assert!(advice(&[model("/a/b")]).contains("ingle chat --model /a/b\n"));
        let many: Vec<_> = (0..10).map(|i| model(&format!("/m{i}"))).collect();
        assert!(advice(&many).contains("and 2 more"));
        assert_eq!(quoted(Path::new("/my models/it's")), r"'/my models/it'\''s'");
    }
}
