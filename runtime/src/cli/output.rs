//! How are things printed? Data on stdout, the rest on stderr, and nothing that steers a
//! terminal. Source: V19.

use std::io::{IsTerminal, Write};

use crate::log::printable;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    clean_stdout: bool,
    clean_stderr: bool,
}

impl Output {
    /// Control characters are stripped on a terminal unless `raw`.
    pub fn new(json: bool, raw: bool) -> Output {
        let clean_stdout = !raw && std::io::stdout().is_terminal();
        let clean_stderr = !raw && std::io::stderr().is_terminal();
        Output { json, clean_stdout, clean_stderr }
    }

    /// Prints data and a newline.
    pub fn data(self, text: &str) {
        let text = if self.clean_stdout { printable(text) } else { text.into() };
        // Whoever read our output has left: nothing is to be done.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// Prints bytes as they are when they go to a file or a pipe.
    pub fn bytes(self, bytes: &[u8]) {
        if self.clean_stdout {
            return self.data(&String::from_utf8_lossy(bytes));
        }
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    /// Prints what is not data.
    pub fn note(self, text: &str) {
        let text = if self.clean_stderr { printable(text) } else { text.into() };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Prints rows in aligned columns under a heading; nothing but the heading if there are none.
    pub fn table(self, heading: &[&str], rows: &[Vec<String>]) {
        let heading = heading.iter().map(|text| (*text).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|t| t.chars().count()).max();
        for line in &lines {
            let cells = line.iter().enumerate();
            let padded = cells.map(|(column, text)| format!("{text:<width$}", width = width(column).unwrap_or(0)));
            self.data(padded.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
