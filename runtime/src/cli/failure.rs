//! What went wrong, why, and what to type next.

use std::fmt::Display;

use super::output::Output;
use crate::api::wire::ProblemBody;
use crate::manifest::InvalidField;
use crate::store::StoreError;

/// An error as a person reads it.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cause: Option<String>,
    hint: Option<String>,
    pub exit_code: u8,
    /// The server knows of such a thing already, or its state forbids this: 409.
    pub is_conflict: bool,
}

impl Failure {
    /// What failed, in one line.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), cause: None, hint: None, exit_code: 1, is_conflict: false }
    }

    /// Why.
    pub fn because(self, cause: impl Display) -> Failure {
        Failure { cause: Some(cause.to_string()), ..self }
    }

    /// What to type next.
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Ends the program with `exit_code`.
    pub fn exit_code(self, exit_code: u8) -> Failure {
        Failure { exit_code, ..self }
    }

    /// It is what was typed that is wrong.
    pub fn usage(self) -> Failure {
        self.exit_code(2)
    }

    /// What the server refused at `path`, told as a failure to do `what`.
    pub fn refused(what: &str, problem: ProblemBody, path: &str) -> Failure {
        let exit_code = match problem.status {
            401 | 403 => 7,
            404 => 6,
            400 | 413 | 415 | 422 => 2,
            _ => 1,
        };
        let cause = match &problem.field {
            Some(field) if !problem.detail.contains(field.as_str()) => format!("{field}: {}", problem.detail),
            _ => problem.detail,
        };
        let hint = problem.hint.or_else(|| matches!(problem.status, 404 | 409).then(|| where_to_look(path)));
        Failure { what: what.into(), cause: Some(cause), hint, exit_code, is_conflict: problem.status == 409 }
    }

    /// What and why, in one line.
    pub fn told(&self) -> String {
        self.cause.as_ref().map_or_else(|| self.what.clone(), |cause| format!("{}: {cause}", self.what))
    }

    /// Prints the three lines to stderr.
    pub fn print(&self, output: Output) {
        output.note(&format!("error: {}", self.what));
        if let Some(cause) = &self.cause {
            output.note(&format!("cause: {cause}"));
        }
        if let Some(hint) = &self.hint {
            output.note(&format!("hint: {hint}"));
        }
    }
}

/// What to type to see what is there.
fn where_to_look(path: &str) -> String {
    for kind in ["secrets", "tokens"] {
        if path.contains(&format!("/v1/{kind}")) {
            return format!("`relume {kind} list` shows what is there");
        }
    }
    let kind = if path.contains("/v1/schedules") { "schedules" } else { "runs" };
    format!("`relume apps list` and `relume {kind} list` show what is there")
}

/// What was typed for an app is not the name of one.
pub fn not_an_app(what: &str, error: InvalidField) -> Failure {
    Failure::new(what).because(error.message).hint("`relume apps list` shows the apps").usage()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new("the database refused").because(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        let (what, cause) = (error.to_string(), error.root_cause().to_string());
        let cause = Some(cause).filter(|cause| *cause != what);
        Failure { cause, ..Failure::new(what) }
    }
}
