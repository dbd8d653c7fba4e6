//! The program's own log, on stderr.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::output::may_draw;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging. `RELUME_LOG` says what is logged; without it, warnings, and from Relume itself
/// what happens too unless `is_quiet`.
pub fn start(format: LogFormat, is_quiet: bool) {
    let default = if is_quiet { "warn" } else { "warn,relume=info" };
    let filter = EnvFilter::try_from_env("RELUME_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_target(false).with_ansi(may_draw()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
