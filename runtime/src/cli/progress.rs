//! What moves on a terminal while a person waits? A bar for an upload, and a line that says how things stand. Where
//! nothing may be drawn, nothing is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use crate::log::printable;

const TICK: Duration = Duration::from_millis(100);

/// One line at the foot of the terminal, gone when dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that fills as `bytes` are sent.
    pub fn upload(output: Output, bytes: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(bytes), target(output));
        bar.set_style(style("uploading [{bar:30}] {bytes} of {total_bytes}").progress_chars("=> "));
        bar.tick();
        Progress { bar }
    }

    /// A line that says nothing yet.
    pub fn line(output: Output) -> Progress {
        let progress = Progress { bar: ProgressBar::with_draw_target(None, target(output)) };
        spin(&progress.bar);
        progress
    }

    /// To be told of bytes that were sent. After the last one the bar is a line that says `then`.
    pub fn counter(&self, then: &'static str) -> impl Fn(usize) + Send + 'static {
        let bar = self.bar.clone();
        move |bytes| {
            bar.inc(bytes as u64);
            if bar.length() == Some(bar.position()) {
                bar.set_message(then);
                spin(&bar);
            }
        }
    }

    /// What the line says from now on.
    pub fn say(&self, text: String) {
        // Names that a program chose may be in it, and it is one line.
        self.bar.set_message(printable(&text).replace(['\n', '\t'], " "));
    }

    /// Prints something while the line is out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

fn spin(bar: &ProgressBar) {
    bar.set_style(style("{spinner} {wide_msg}"));
    // Its thread would wake up for nothing.
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn target(output: Output) -> ProgressDrawTarget {
    if output.draws { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours, and right.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
