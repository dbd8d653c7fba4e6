//! What the program may know about its run. Whenever the run is resumed all of it is the same, but for the number
//! of the [`attempt`] after a retry: choose no steps by it.
//!
//! ```no_run
//! let greeting = format!("{}, attempt {}, for {}", relume::run::name(), relume::run::attempt(),
//!     relume::run::parameter("CUSTOMER").as_deref().unwrap_or("nobody"));
//! ```

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::context;

/// The app's name.
pub fn app() -> String {
    context::app()
}

/// The run, as people write it: `app#7`.
pub fn name() -> String {
    context::run()
}

/// Which attempt this is, from 1. Resuming after a crash of the worker is the same attempt.
pub fn attempt() -> u32 {
    context::attempt()
}

/// The parameters given when the run was started, in the order of their names. They are in the environment too.
pub fn parameters() -> Vec<(String, String)> {
    context::parameters()
}

/// The parameter `name`, if it was given.
pub fn parameter(name: &str) -> Option<String> {
    parameters().into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

/// The input given when the run was started, as it was sent; empty if there was none.
pub fn input_bytes() -> Vec<u8> {
    context::input()
}

/// The input as a `T`, which it must hold as JSON; no input is JSON `null`. `#[relume::main]` calls this for a
/// `main` with an argument.
///
/// # Errors
/// The text names the type, the field and what is wrong with it.
pub fn input<T: DeserializeOwned>() -> Result<T> {
    parse(&input_bytes())
}

/// Ends the program with `code`. Unlike this, [`std::process::exit`] and [`std::process::ExitCode`] turn every code but
/// 0 into 1 on `wasm32-wasip2`.
pub fn exit(code: u8) -> ! {
    #[cfg(target_arch = "wasm32")]
    wasip2::cli::exit::exit_with_code(code);
    std::process::exit(code.into())
}

/// A key for receivers that know a repeated request by it, the same whenever the step that asks for it is executed. The
/// step's first HTTP request carries it as `Idempotency-Key`, each further one with its number behind it. Outside a step
/// it is the same for the whole run.
///
/// ```no_run
/// # use relume::{idempotency_key, step};
/// # fn pay(key: &str) -> relume::Result<()> { Ok(()) }
/// # fn main() -> relume::Result<()> {
/// step("pay").run(|| pay(&idempotency_key()))?;
/// # Ok(()) }
/// ```
pub fn idempotency_key() -> String {
    context::idempotency_key()
}

fn parse<T: DeserializeOwned>(input: &[u8]) -> Result<T> {
    read_or_null(input).map_err(|problem| {
        let problem = if input.is_empty() { "there is none".to_owned() } else { problem };
        anyhow!("the input is not a valid `{}`: {problem}", short_type_name::<T>())
    })
}

/// The value, or what is wrong and with which field. Nothing is JSON `null`.
pub(crate) fn read_or_null<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(if json.is_empty() { b"null" } else { json });
    let value = serde_path_to_error::deserialize(&mut json).map_err(|problem| match problem.path().to_string() {
        path if path == "." => problem.into_inner().to_string(),
        path => format!("{path}: {}", problem.into_inner()),
    })?;
    json.end().map_err(|problem| problem.to_string())?;
    Ok(value)
}

/// `Vec<Order>` for `alloc::vec::Vec<shop::Order>`.
pub(crate) fn short_type_name<T>() -> String {
    let mut short = String::new();
    for part in std::any::type_name::<T>().split("::") {
        let path_start = short.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
        short.truncate(path_start);
        short.push_str(part);
    }
    short
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[allow(dead_code, reason = "only its type matters")]
        cents: u64,
    }

    fn problem<T: DeserializeOwned>(input: &str) -> String {
        parse::<T>(input.as_bytes()).err().expect("this input is wrong").to_string()
    }

    #[test] // R52
    fn no_input_is_null() {
        parse::<()>(b"").expect("null is a ()");
        assert_eq!(parse::<Option<u32>>(b"").expect("null is None"), None);
    }

    #[test] // R52
    fn a_wrong_input_is_named_with_type_field_and_reason() {
        assert_eq!(
            problem::<Order>("{}"),
            "the input is not a valid `Order`: missing field `cents` at line 1 column 2"
        );
        let message = problem::<Vec<Order>>(r#"[{"cents": "1"}]"#);
        let expected = r#"the input is not a valid `Vec<Order>`: [0].cents: invalid type: string "1", expected u64"#;
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(problem::<Order>(""), "the input is not a valid `Order`: there is none");
        assert!(problem::<u8>("1 2").contains("trailing characters"));
    }
}
