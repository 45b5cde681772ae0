//! `ingle`: conversations with local models in a window or a terminal, which devices there are, what fits on them, and how fast it is.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod conversation;
mod failure;
mod files;
mod gui;
mod interrupt;
mod store;
mod text;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe (`ingle plan … | head`) is the reader's wish, not a failure.
        Err(error) if text::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ingle: {}", failure::message(&error));
            ExitCode::from(failure::code(&error))
        }
    }
}
