//! Does the log stay within its limits? 100,000 lines, one of 8 MiB, invalid UTF-8, NUL, a last line without its end.

use std::io::{Write, stdout};

fn main() -> std::io::Result<()> {
    (0..100_000).try_for_each(|i| writeln!(stdout(), "line {i}"))?;
    stdout().write_all("x".repeat(8 << 20).as_bytes())?;
    stdout().write_all(b"\nnot utf-8: \xff\xfe\nnul: \0\nno newline")?;
    stdout().flush()
}
