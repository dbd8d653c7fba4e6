//! How are things printed? Data on stdout, the rest on stderr, and nothing that steers a
//! terminal. Source: V19.

use std::env;
use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, poll};

use crate::log::printable;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    /// Whether a bar or a status line may be drawn on stderr.
    pub draws: bool,
    clean_stdout: bool,
    clean_stderr: bool,
}

impl Output {
    /// Control characters are stripped on a terminal unless `raw`.
    pub fn new(json: bool, raw: bool) -> Output {
        let clean_stdout = !raw && io::stdout().is_terminal();
        let clean_stderr = !raw && io::stderr().is_terminal();
        Output { json, draws: !json && may_draw(), clean_stdout, clean_stderr }
    }

    /// Prints data and a newline, and tells whether anybody reads it.
    pub fn data(self, text: &str) -> bool {
        let text = if self.clean_stdout { printable(text) } else { text.into() };
        writeln!(io::stdout().lock(), "{text}").is_ok()
    }

    /// Prints bytes as they are when they go to a file or a pipe.
    pub fn bytes(self, bytes: &[u8]) {
        if self.clean_stdout {
            self.data(&String::from_utf8_lossy(bytes));
            return;
        }
        let mut stdout = io::stdout().lock();
        // Whoever read our output has left: nothing is to be done.
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    /// Prints what is not data.
    pub fn note(self, text: &str) {
        let text = if self.clean_stderr { printable(text) } else { text.into() };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints rows in aligned columns under a heading; nothing but the heading if there are none. A row is one line,
    /// whatever is in it.
    pub fn table(self, heading: &[&str], rows: &[Vec<String>]) {
        let heading: Vec<_> = heading.iter().map(|text| (*text).to_owned()).collect();
        let in_one_line = |row: &Vec<String>| row.iter().map(|text| text.replace(['\n', '\r'], " ")).collect();
        let lines: Vec<Vec<String>> = std::iter::once(heading).chain(rows.iter().map(in_one_line)).collect();
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|t| t.chars().count()).max();
        for line in &lines {
            let cells = line.iter().enumerate();
            let padded = cells.map(|(column, text)| format!("{text:<width$}", width = width(column).unwrap_or(0)));
            self.data(padded.collect::<Vec<_>>().join("  ").trim_end());
        }
    }

    /// Prints what is known of one thing, a line for each fact. Further lines of a text are indented, so that none of
    /// them is taken for a fact.
    pub fn facts(self, facts: &[(&str, String)]) {
        for (label, text) in facts {
            self.data(format!("{label:<12}  {}", indented(text, 14)).trim_end());
        }
    }
}

/// The text with its lines but the first moved to the right.
pub fn indented(text: &str, spaces: usize) -> String {
    text.replace('\n', &format!("\n{:spaces$}", ""))
}

/// The first line of the text, as far as a row of a table has room for it.
pub fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 && line.len() == text.len() {
        return line.to_owned();
    }
    line.chars().take(60).chain("...".chars()).collect()
}

/// Whether stderr is a terminal that can be drawn on, and nobody asked for plain text.
pub fn may_draw() -> bool {
    io::stderr().is_terminal() && !wants_plain()
}

/// Whether the person asked for plain text, or the terminal knows nothing else. Source: <https://no-color.org>.
pub fn wants_plain() -> bool {
    let has = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    has("NO_COLOR") || is_dumb
}

/// Returns when whoever reads stdout has left, as `head` does; never if stdout is a file.
pub async fn nobody_reads() {
    let left = tokio::task::spawn_blocking(|| {
        // An error of the pipe is told whether it is asked for or not.
        let stdout = io::stdout();
        poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None)
    });
    if !matches!(left.await, Ok(Ok(_))) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_fits_a_row() {
        assert_eq!(shortened("ok"), "ok");
        assert_eq!(shortened("a\nb"), "a...");
        assert_eq!(shortened(&"ä".repeat(61)).chars().count(), 63);
    }

    #[test] // V19
    fn no_line_of_a_text_is_taken_for_a_fact() {
        assert_eq!(indented("no\nstatus  exited\n", 2), "no\n  status  exited\n  ");
    }
}
