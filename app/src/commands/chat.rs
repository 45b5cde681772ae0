//! `ingle chat`: a conversation in the terminal. Replies go to standard output, all else to standard error.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use inglenook::backend::sampling::Sampling;
use inglenook::chat::{Conversation, Overflow, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::Session;
use inglenook::model::{Model, ModelText};
use serde_json::json;

use super::reply::{lost, restored, summary};
use crate::cli::{ChatArguments, WhenFull};
use crate::failure::{bad_model, usage};
use crate::interrupt::{self, Stoppable};
use crate::{files, text};

const HELP: &str = "\
/help            this list
/system [TEXT]   shows, or sets, what the model is told before the conversation
/regenerate      writes the last reply again
/new             starts a new conversation
/save FILE       writes the conversation to a file, as JSON
/quit            ends (so does Ctrl-D; Ctrl-C stops a reply, and ends where there is none)
A line that ends with \\ goes on in the next.";

pub(crate) fn run(arguments: &ChatArguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let mut model = arguments.load.open(true)?;
    settle_template(&mut model, arguments.chatml)?;
    let text = model.text()?;
    let sampling = arguments.sampling.sampling(&model);
    let loaded = arguments.load.load(&model, |options| {
        (options.limits.selected, options.limits.sequences) = (1, 1);
    })?;
    let context = loaded.context();
    let engine = loaded.into_engine()?;
    let mut chat = Chat {
        arguments,
        model: &model,
        text,
        session: engine.session(),
        conversation: Conversation::new(arguments.system.clone()),
        sampling,
        context,
        saved: HashSet::new(),
    };
    eprintln!("/help lists what else can be typed.");
    chat.talk()
}

/// Sees to the prompt's form: the model's own, or that of `ChatML` if asked for, or if it has none.
pub(crate) fn settle_template(model: &mut Model, chatml: bool) -> anyhow::Result<()> {
    if chatml {
        return Ok(model.use_chatml()?);
    }
    let text = model.text()?;
    if let Some(fault) = &text.template_fault {
        // Replies to a prompt that the model does not know would be poor, and nobody could tell why.
        return Err(bad_model(format!("{fault}; --chatml uses ChatML in its place, which it may not know")));
    }
    if text.template.is_fallback() {
        eprintln!("note: the model has no chat template; ChatML is used, which it may not know");
    }
    Ok(())
}

struct Chat<'a> {
    arguments: &'a ChatArguments,
    model: &'a Model,
    text: &'a ModelText,
    session: Session,
    conversation: Conversation,
    sampling: Sampling,
    context: usize,
    /// Files that this conversation was written to, which it may write to again.
    saved: HashSet<PathBuf>,
}

impl Chat<'_> {
    fn talk(&mut self) -> anyhow::Result<()> {
        while let Some(line) = read_message()? {
            let line = line.trim();
            let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            match command {
                "" => {}
                "/quit" | "/exit" => break,
                "/help" => eprintln!("{HELP}"),
                "/system" if rest.is_empty() => {
                    eprintln!("{}", self.conversation.system.as_deref().unwrap_or("(none)"));
                }
                "/system" => self.conversation.system = Some(rest.to_owned()),
                "/new" => self.conversation = Conversation::new(self.conversation.system.take()),
                "/regenerate" => self.regenerate()?,
                "/save" => match self.save(Path::new(rest)) {
                    Ok(()) => eprintln!("saved as {rest}"),
                    Err(error) => eprintln!("{error:#}"),
                },
                unknown if unknown.starts_with('/') && !unknown[1..].contains('/') => {
                    eprintln!("there is no {unknown}; /help lists what there is");
                }
                _ => {
                    self.conversation.say(line);
                    if !self.reply()? {
                        self.conversation.take_back();
                    }
                }
            }
        }
        Ok(())
    }

    fn regenerate(&mut self) -> anyhow::Result<()> {
        if !self.conversation.is_answered() {
            eprintln!("there is no reply yet");
            return Ok(());
        }
        let old = self.conversation.take_back();
        // The same seed would write the same reply.
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        if !self.reply()?
            && let Some(old) = old
        {
            self.conversation.add_reply(old.content, old.reasoning.as_deref().unwrap_or_default());
        }
        Ok(())
    }

    /// Writes a reply to the last message and adds it to the conversation; false where there is none.
    fn reply(&mut self) -> anyhow::Result<bool> {
        let overflow = match self.arguments.when_full {
            WhenFull::Stop => Overflow::Stop,
            WhenFull::Slide => Overflow::Slide,
        };
        let reserve = self.arguments.sampling.max_tokens.unwrap_or(usize::MAX).min(self.context / 8);
        let prompt = match self.conversation.prompt(self.text, self.context, reserve, overflow) {
            Ok(prompt) => prompt,
            Err(error) => {
                eprintln!("{error}");
                return Ok(false);
            }
        };
        if !prompt.dropped.is_empty() {
            let count = prompt.dropped.len();
            eprintln!(
                "(the context is full: the {count} oldest messages are not shown to the model any more)"
            );
        }
        let sampling = self.sampling.clone();
        let request = self.arguments.sampling.request(prompt.tokens, sampling, &self.text.end_tokens);
        let options = ReplyOptions {
            stops: self.arguments.sampling.stop.clone(),
            split_thinking: true,
            thinking_open: prompt.thinking_open,
            ..ReplyOptions::default()
        };
        self.follow(TextReply::new(self.session.generate(request), self.text, options))
    }

    fn follow(&mut self, reply: TextReply) -> anyhow::Result<bool> {
        let stoppable = Stoppable::new(reply.canceller());
        let mut out = std::io::stdout().lock();
        let (mut answer, mut thinking) = (String::new(), String::new());
        let dim = std::io::stderr().is_terminal();
        for event in reply {
            match event {
                ReplyEvent::Reading { .. } | ReplyEvent::Token(_) => {}
                ReplyEvent::DeviceLost(error) => eprintln!("\n{}", lost(&error)),
                ReplyEvent::DeviceRestored { loading } => eprintln!("{}", restored(loading)),
                ReplyEvent::Text { text: piece, thinking: true } => {
                    let shown = text::printable(&piece);
                    if dim {
                        eprint!("\x1b[2m{shown}\x1b[0m");
                    } else {
                        eprint!("{shown}");
                    }
                    thinking += &piece;
                }
                ReplyEvent::Text { text: piece, thinking: false } => {
                    if answer.is_empty() && !thinking.is_empty() {
                        eprintln!("\n");
                    }
                    out.write_all(text::for_output(&piece).as_bytes())?;
                    out.flush()?;
                    answer += &piece;
                }
                ReplyEvent::Finished { ending, timings } => {
                    writeln!(out)?;
                    drop(stoppable);
                    eprintln!("[{}]", summary(&ending, &timings));
                    self.conversation.add_reply(answer, &thinking);
                    return Ok(true);
                }
                ReplyEvent::Failed(error) => {
                    writeln!(out)?;
                    return Err(error).context("the reply could not be written");
                }
            }
        }
        Ok(false)
    }

    fn save(&mut self, path: &Path) -> anyhow::Result<()> {
        if path.as_os_str().is_empty() {
            return Err(usage("/save needs the name of a file"));
        }
        if path.exists() && !self.saved.contains(path) {
            return Err(usage(format!("{} is there already; choose another name", path.display())));
        }
        let messages = self.conversation.messages().iter().map(|message| {
            json!({ "role": message.role, "content": message.content, "reasoning": message.reasoning })
        });
        let whole = json!({
            "model": self.model.name(),
            "system": self.conversation.system,
            "messages": messages.collect::<Vec<_>>(),
        });
        files::write_atomically(path, |file| Ok(serde_json::to_writer_pretty(file, &whole)?))?;
        self.saved.insert(path.to_owned());
        Ok(())
    }
}

/// A message of the user; `None` at the end of the input.
fn read_message() -> anyhow::Result<Option<String>> {
    // One that was meant for a reply may come when this is over.
    let _stoppable = Stoppable::new(|| eprint!("\n(Ctrl-C once more ends, and so do Ctrl-D and /quit)\n> "));
    let mut message = String::new();
    loop {
        eprint!("{}", if message.is_empty() { "\n> " } else { ". " });
        let mut line = vec![];
        let read = std::io::stdin().lock().read_until(b'\n', &mut line);
        if read.context("standard input cannot be read")? == 0 {
            eprintln!();
            return Ok((!message.is_empty()).then_some(message));
        }
        // Whatever a terminal sends, a conversation is text.
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some(line) = line.strip_suffix('\\') {
            message += line;
            message.push('\n');
        } else {
            message += line;
            return Ok(Some(message));
        }
    }
}
