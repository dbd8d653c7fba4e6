//! Runs of other apps, started by this one: its children. They go on by themselves, on any worker, and are cancelled
//! when this run is.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::runs::{self, StartOptions};
use crate::run;

/// Another app, by its name, of which runs can be started. It may be the program's own: [`run::app`].
///
/// ```no_run
/// # use relume::{Child, Result, app};
/// # fn main() -> Result<()> {
/// // Started, and waited for later:
/// let thumbnail: Child<String> = app("resize").parameter("WIDTH", "200").start("cat.png")?;
/// // Started and waited for at once:
/// let colours: Vec<String> = app("colours").call("cat.png")?;
/// println!("{} in {colours:?}", thumbnail.wait()?);
/// # Ok(()) }
/// ```
pub fn app(name: impl Into<String>) -> App {
    App { name: name.into(), version: None, parameters: Vec::new() }
}

/// Starts a run of the app `name` for each input, then waits for each: the results are in the order of the inputs.
/// With parameters or a version it is [`App::map`].
///
/// ```no_run
/// # use relume::{ChildError, map};
/// # fn main() -> relume::Result<()> {
/// let thumbnails: Vec<String> = map("resize", ["cat.png", "dog.png"]).into_iter().collect::<Result<_, _>>()?;
/// # Ok(()) }
/// ```
pub fn map<T: DeserializeOwned>(
    name: impl Into<String>,
    inputs: impl IntoIterator<Item: Serialize>,
) -> Vec<Result<T, ChildError>> {
    app(name).map(inputs)
}

/// An app that has a name and waits for [`start`](App::start), [`call`](App::call) or [`map`](App::map).
#[derive(Debug, Clone)]
#[must_use = "no run is started before `start`, `call` or `map`"]
pub struct App {
    name: String,
    version: Option<u32>,
    parameters: Vec<(String, String)>,
}

impl App {
    /// Adds a parameter, which the child finds in its environment.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> App {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Sets the version to run. Without it, it is the one that is active when the child is started.
    pub fn version(mut self, version: u32) -> App {
        self.version = Some(version);
        self
    }

    /// Starts a run, once: a replay gets the same child. `T` is what it will return.
    ///
    /// # Errors
    /// [`ChildError::NotStarted`] when there is no such app or version, the app is disabled, or the input cannot be
    /// written as JSON.
    pub fn start<T: DeserializeOwned>(&self, input: &(impl Serialize + ?Sized)) -> Result<Child<T>, ChildError> {
        let not_started = |message| ChildError::NotStarted { app: self.name.clone(), message };
        let input =
            serde_json::to_vec(input).map_err(|e| not_started(format!("the input cannot be written as JSON: {e}")))?;
        let options = StartOptions { version: self.version, parameters: self.parameters.clone() };
        let child = runs::start(&self.name, &input, &options).map_err(not_started)?;
        Ok(Child { run_id: child.run_id, run: child.run, output: PhantomData })
    }

    /// Starts a run, and waits for its output.
    ///
    /// # Errors
    /// As for [`start`](App::start) and [`Child::wait`].
    pub fn call<T: DeserializeOwned>(&self, input: &(impl Serialize + ?Sized)) -> Result<T, ChildError> {
        self.start(input)?.wait()
    }

    /// Starts a run for each input, then waits for each: the results are in the order of the inputs.
    pub fn map<T: DeserializeOwned>(&self, inputs: impl IntoIterator<Item: Serialize>) -> Vec<Result<T, ChildError>> {
        // All are started before the first is waited for.
        let children: Vec<_> = inputs.into_iter().map(|input| self.start(&input)).collect();
        children.into_iter().map(|child| child.and_then(Child::wait)).collect()
    }
}

/// A run that this one started. Dropped, it goes on; nobody hears of its end then.
#[derive(Debug)]
pub struct Child<T> {
    run_id: String,
    run: String,
    output: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Child<T> {
    /// The run, as people write it: `resize#7`.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Waits until the child has ended, over all its retries, and returns its output; no output is JSON `null`. While
    /// the program waits it is not held in memory.
    ///
    /// # Errors
    /// [`ChildError`] when it ended otherwise than well, or its output is not a `T`.
    pub fn wait(self) -> Result<T, ChildError> {
        match runs::await_(&self.run_id) {
            Ok(output) => output_of(self.run, &output.unwrap_or_default()),
            Err(runs::Failure { run, status, message }) => Err(ChildError::Failed { run, status, message }),
        }
    }
}

fn output_of<T: DeserializeOwned>(run: String, output: &[u8]) -> Result<T, ChildError> {
    run::read_or_null(output).map_err(|problem| ChildError::Invalid { run, problem })
}

/// There is no result of a child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// None was started.
    #[error("no run of `{app}` was started: {message}")]
    NotStarted {
        /// The app's name.
        app: String,
        /// Why not: there is no such app, the app is disabled or has no such version.
        message: String,
    },
    /// It ended, its retries used up, otherwise than well.
    #[error("{run} ended `{status}`: {message}")]
    Failed {
        /// As people write it: `resize#7`.
        run: String,
        /// `crashed`, `errored` or `cancelled`.
        status: String,
        /// What went wrong.
        message: String,
    },
    /// It ended well, and its output is not of the type that was asked for.
    #[error("{run} has another output than expected: {problem}")]
    Invalid {
        /// As people write it: `resize#7`.
        run: String,
        /// What is wrong, and with which field.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R43
    fn the_output_of_a_child_is_json() {
        assert_eq!(output_of::<u32>("resize#7".to_owned(), b"7"), Ok(7));
        assert_eq!(output_of::<()>("resize#7".to_owned(), b""), Ok(()));
        let error = output_of::<u32>("resize#7".to_owned(), b"").expect_err("null is no number");
        assert!(error.to_string().starts_with("resize#7 has another output than expected: invalid type: null"));
    }

    #[test] // R43
    fn an_input_that_json_cannot_hold_starts_nothing() {
        let input = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = app("resize").start::<()>(&input).expect_err("keys are strings");
        let text = "no run of `resize` was started: the input cannot be written as JSON: key must be a string";
        assert_eq!(error.to_string(), text);
    }
}
