//! Bare `ingle`: the window. Without a display, a conversation with the only model there is beside the built-in one, or with that; a
//! reply to what is piped in; else what this machine can run, and how to begin.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use clap::Parser;
use inglenook::model::builtin;
use inglenook::models::hub::library::{LocalModel, ModelState, list};

use super::run::run as run_once;
use super::{chat, overview};
use crate::cli::{Arguments, BUILTIN, Command};
use crate::{gui, text};

/// Small enough to be tried on any machine.
const FIRST_MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// Models that are listed by name.
const SHOWN: usize = 8;

pub(crate) fn run() -> anyhow::Result<()> {
    if gui::has_display() && !is_piped_into() {
        return gui::run(None);
    }
    if !gui::has_display() {
        eprintln!(
            "there is no display for a window, so this is the terminal; `ingle gui` insists on the window"
        );
    }
    in_terminal()
}

/// Whether a program or a file stands before this one. Desktops start programs with an input that may never end.
fn is_piped_into() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        let input = std::fs::metadata("/dev/stdin").map(|about| about.file_type());
        input.is_ok_and(|kind| kind.is_fifo() || kind.is_file())
    }
    #[cfg(not(unix))]
    false
}

fn in_terminal() -> anyhow::Result<()> {
    let typed = std::io::stdin().is_terminal();
    if !typed {
        let words = piped_in()?;
        if !words.trim().is_empty() {
            return answer(words);
        }
    }
    let ready = match list(&[]) {
        Ok(models) => models.into_iter().filter(|model| model.state == ModelState::Supported).collect(),
        Err(error) => {
            eprintln!("note: the models on this machine cannot be listed: {error}");
            vec![]
        }
    };
    // Programs that call this one want an answer and not a conversation.
    let talks = typed && std::io::stdout().is_terminal();
    match (ready.as_slice(), talks) {
        ([], true) => {
            eprintln!(
                "this is {}, the small model that comes with Inglenook: it tells stories and answers questions on the \
                 program;\n`ingle models pull {FIRST_MODEL}` downloads a larger one, and `ingle --help` shows the rest",
                builtin::NAME
            );
            converse(BUILTIN.into())
        }
        ([model], true) => {
            eprintln!(
                "{} is the only model here beside the built-in one; `ingle --help` shows what else can be done",
                model.name
            );
            converse(model.path.clone().into())
        }
        _ => {
            overview::run()?;
            text::print(&advice(&ready))
        }
    }
}

/// What comes on standard input. Whatever it is, a prompt is text.
fn piped_in() -> anyhow::Result<String> {
    let mut bytes = vec![];
    std::io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One reply of the built-in model.
fn answer(words: String) -> anyhow::Result<()> {
    let Some(Command::Run(mut arguments)) = Arguments::try_parse_from(["ingle", "run"])?.command else {
        bail!("there is no command `run`");
    };
    arguments.prompt = Some(words);
    run_once(&arguments)
}

/// A conversation with a model.
fn converse(model: OsString) -> anyhow::Result<()> {
    let words = ["ingle", "chat", "--model"].map(OsString::from);
    let words = words.into_iter().chain([model]);
    let Some(Command::Chat(arguments)) = Arguments::try_parse_from(words)?.command else {
        bail!("there is no command `chat`");
    };
    chat::run(&arguments)
}

/// How to begin.
fn advice(ready: &[LocalModel]) -> String {
    let builtin = "\nTo talk with the small model that comes with Inglenook:\n  ingle chat\n";
    if ready.is_empty() {
        return format!(
            "{builtin}This downloads a larger one:\n  ingle models pull {FIRST_MODEL}\nand says where it is; a model \
             in a folder of yours is as good:\n  ingle chat --model FOLDER"
        );
    }
    let shown = ready.iter().take(SHOWN);
    let lines: String =
        shown.map(|model| format!("  ingle chat --model {}\n", quoted(&model.path))).collect();
    let more = match ready.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("  and {more} more: ingle models list\n"),
    };
    format!("{builtin}To talk with another:\n{lines}{more}")
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
