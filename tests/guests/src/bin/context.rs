//! Does the program learn what it may know about its run?

use relume::run;

type Context = (String, String, u32, Vec<(String, String)>, usize);

#[relume::main]
fn main() -> relume::Result<Context> {
    log::info!("attempt {}", run::attempt());
    Ok((run::app(), run::name(), run::attempt(), run::parameters(), run::input_bytes().len()))
}
