//! How a request is refused: RFC 9457 problem documents with a stable `code`, the field at
//! fault, and what to do next.

use std::any::Any;
use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorDetail, ProblemBody};
use crate::manifest::InvalidField;
use crate::store::StoreError;

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) field: Option<String>,
    pub(super) hint: Option<String>,
    /// When to come back, in whole seconds.
    pub(super) retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with a `code` that never changes its meaning, and what happened in words.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), field: None, hint: None, retry_after: None }
    }

    /// A field that holds something it may not hold: 422.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail).field(field)
    }

    /// Our fault: 500. Nothing of the cause is told; the caller of this logs it.
    pub fn internal() -> Problem {
        let detail = "the server failed to answer this request";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).hint("the server's log says why")
    }

    /// The app starts no runs, and no attempts: 409.
    pub fn app_disabled(app: &str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "app_disabled", detail)
            .hint(format!("`relume apps enable {app}` lets it start runs again"))
    }

    /// Names the field at fault.
    pub fn field(mut self, field: impl Into<String>) -> Problem {
        self.field = Some(field.into());
        self
    }

    /// Says what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Says when to come back: in a whole second or more.
    pub fn retry_after(mut self, wait: Duration) -> Problem {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        self.retry_after = Some(Duration::from_secs(seconds));
        self
    }

    /// The answer to a panic while a request was handled.
    pub fn from_panic(panic: Box<dyn Any + Send>) -> Response {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        tracing::error!(panic = text, "a request panicked");
        Problem::internal().into_response()
    }
}

impl From<InvalidField> for Problem {
    fn from(error: InvalidField) -> Problem {
        Problem::invalid(error.field, error.message)
    }
}

impl From<StoreError> for Problem {
    /// Logs what is our fault: this is where it is handled.
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            StoreError::Outdated(_) => {
                let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "outdated", error.to_string());
                problem.field("If-Match").hint("read it again, and decide anew")
            }
            StoreError::KeyReused => {
                let problem =
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", error.to_string());
                problem.field("Idempotency-Key").hint("take another key for another request")
            }
            StoreError::Conflict(detail) => Problem::new(StatusCode::CONFLICT, "conflict", detail),
            StoreError::Unavailable(cause) => {
                tracing::error!(error = %cause, "the database cannot be reached");
                let detail = "the database cannot be reached at the moment";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).hint("try again in a few seconds")
            }
            StoreError::LeaseLost | StoreError::Fault(_) => {
                tracing::error!(error = %error, "a request failed");
                Problem::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        // Some clients show the detail alone.
        let detail = match &self.field {
            Some(field) if !self.detail.contains(field.as_str()) => format!("{field}: {}", self.detail),
            _ => self.detail,
        };
        // Where Tower's clients look for it.
        let errors = self.hint.iter().map(|hint| ErrorDetail { message: hint.clone(), location: self.field.clone() });
        let body = ProblemBody {
            errors: errors.collect(),
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Problem").into(),
            status: status.as_u16(),
            detail,
            code: self.code.into(),
            field: self.field,
            hint: self.hint,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let seconds = self.retry_after.map_or(2, |wait| wait.as_secs());
                headers.insert(RETRY_AFTER, seconds.into());
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: StoreError, status: u16, code: &str) -> Problem {
        let problem = Problem::from(error);
        assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        problem
    }

    #[test]
    fn errors_of_the_store_become_their_status() {
        check(StoreError::NotFound("the app `greet`".into()), 404, "not_found");
        check(StoreError::Conflict("taken".into()), 409, "conflict");
        check(StoreError::LeaseLost, 500, "internal");
    }

    #[test]
    fn the_cause_of_our_fault_is_not_told() {
        let problem = check(StoreError::Fault(anyhow::anyhow!("relation `runs` is gone")), 500, "internal");
        assert!(!problem.detail.contains("runs"));
    }

    #[test]
    fn a_problem_is_a_problem_document() {
        let response = Problem::invalid("name", "no").into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
