//! An ordinary program that knows nothing of Relume: it counts the words of its input, and says no to an empty one.
//!
//! The run's input comes on stdin, its parameters are environment variables, what it prints is the log, and its exit
//! code is the result: 0, or 1 when there are no words. (Rust's standard library knows no other code on this target.)

use std::env;
use std::io::{self, Read};
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let name = env::args().nth(1).unwrap_or_else(|| "you".to_owned());
    println!("{}, {name}!", env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned()));

    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let words = text.split_whitespace().count();
    println!("{words} words, {} bytes", text.len());

    if words == 0 {
        eprintln!("there are no words");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
