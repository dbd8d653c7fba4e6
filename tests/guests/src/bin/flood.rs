//! Does the log hold out against every kind of flood? What is printed is named by the input.

use std::io::{self, Write, stderr, stdout};

/// More than the limit of an attempt.
const FLOOD_BYTES: usize = 12 << 20;

fn repeat(text: &[u8], bytes: usize) -> io::Result<()> {
    let block = text.repeat((64 << 10) / text.len());
    (0..bytes / block.len() + 1).try_for_each(|_| stdout().write_all(&block))
}

fn line(content: &[u8], bytes: usize) -> Vec<u8> {
    let mut line = content.repeat(bytes / content.len() + 1);
    line.truncate(bytes);
    line.push(b'\n');
    line
}

#[relume::main]
fn main(kind: String) -> relume::Result<()> {
    match kind.as_str() {
        "nothing" => {}
        "no_newline" => repeat(b"x", 100 << 20)?,
        "not_utf8" => repeat(&line(b"\xff\xc0\xed\xa0\x80", 1000), FLOOD_BYTES)?,
        "nul" => repeat(&line(b"\0", 1000), FLOOD_BYTES)?,
        "carriage_returns" => repeat(b"\r", FLOOD_BYTES)?,
        "tiny_lines" => repeat(b"1\n", 2_000_000)?,
        "empty_lines" => repeat(b"\n", 1_000_000)?,
        "alternating" => {
            for _ in 0..100_000 {
                stdout().write_all(b"one half of a line, ")?;
                stderr().write_all(b"the other stream, which is unbuffered\n")?;
                stdout().write_all(b"and the other half\n")?;
            }
        }
        "one_byte_too_long" => repeat(&line(b"x", 16 * 1024 + 1), FLOOD_BYTES)?,
        "exactly_long_enough" => repeat(&line(b"x", 16 * 1024), FLOOD_BYTES)?,
        "escape_sequences" => repeat(&line(b"\x1b[2J\x1b]0;title\x07", 100), FLOOD_BYTES)?,
        "then_trap" | "then_exit" => repeat(&line(b"x", 100), FLOOD_BYTES)?,
        other => anyhow::bail!("there is no flood `{other}`"),
    }
    stdout().flush()?;
    match kind.as_str() {
        "then_trap" => std::process::abort(),
        "then_exit" => relume::run::exit(3),
        _ => Ok(()),
    }
}
