//! How is a run named? `greet#7`, or its two words.

use std::fmt;

use clap::Args;

use super::failure::Failure;
use crate::manifest::check_app_name;

/// A run as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    pub app: String,
    pub number: i64,
}

/// A run as it is typed.
#[derive(Debug, Args)]
pub struct Named {
    /// The run, e.g. greet#7 or greet 7
    #[arg(required = true, num_args = 1..=2, value_name = "RUN")]
    run: Vec<String>,
}

impl Named {
    /// The run that was named.
    pub fn id(&self) -> Result<RunId, Failure> {
        RunId::parse(&self.run)
    }
}

impl RunId {
    /// What was typed: `greet#7`, or `greet 7`.
    pub fn parse(words: &[String]) -> Result<RunId, Failure> {
        let written = words.join("#");
        let (app, number) = written.split_once('#').unwrap_or((&written, ""));
        let wrong = |cause: String| {
            Failure::new(format!("`{}` is not a run", words.join(" ")))
                .because(cause)
                .hint("write it as greet#7")
                .usage()
        };
        check_app_name("app", app).map_err(|e| wrong(e.message))?;
        let number = number.parse().ok().filter(|number| *number >= 1);
        let number = number.ok_or_else(|| wrong("a run has a number, from 1".into()))?;
        Ok(RunId { app: app.into(), number })
    }

    /// The run's path below `/v1`.
    pub fn path(&self) -> String {
        format!("/apps/{}/runs/{}", self.app, self.number)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}#{}", self.app, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: Option<(&str, i64)>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let expected = expected.map(|(app, number)| RunId { app: app.into(), number });
        assert_eq!(RunId::parse(&words).ok(), expected, "{words:?}");
    }

    #[test]
    fn a_run_is_named_in_two_ways() {
        check(&["greet#7"], Some(("greet", 7)));
        check(&["greet", "7"], Some(("greet", 7)));
        check(&["greet"], None);
        check(&["greet#0"], None);
        check(&["../x", "1"], None);
    }
}
