//! The program `relume`.

use std::process::ExitCode;

use relume::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::from_args())
}
