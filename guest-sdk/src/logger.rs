//! Where the macros of the `log` crate write: one line on stderr, which the run's log keeps.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

/// Makes stderr the logger, from the level in `RUST_LOG` (`error`, `warn`, `info`, `debug`, `trace`, `off`) or `info`
/// up. A program that installed a logger before keeps it.
pub(crate) fn init() {
    if log::set_logger(&Stderr).is_ok() {
        let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
        log::set_max_level(level.unwrap_or(LevelFilter::Info));
    }
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("{} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}
