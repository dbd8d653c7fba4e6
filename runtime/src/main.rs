//! The program `relume`.

use std::process::ExitCode;

use clap::Parser;
use relume::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
