//! Are odd lines kept readable? Invalid UTF-8, NUL, an escape sequence, an empty line, stderr, no newline at the end.

use std::io::{Write, stderr, stdout};

fn main() -> std::io::Result<()> {
    stdout().write_all(b"not utf-8: \xff\nnul: \0\nescape: \x1b[2J\n\n")?;
    stderr().write_all(b"on stderr\n")?;
    stdout().write_all(b"no newline")?;
    stdout().flush()
}
