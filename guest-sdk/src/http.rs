//! HTTP requests that block until the whole answer is there. They are sent inside steps; outside of one they are
//! refused, or sent again each time the run is resumed if the app's `relume.toml` says `loose_io = true`.
//!
//! The app may reach only the hosts in `allowed_hosts` of its `relume.toml`, and those only as far as the operator's
//! policy lets: the run's log says which line would allow what was refused.
//!
//! ```no_run
//! # use relume::{Result, http, step};
//! # fn main() -> Result<()> {
//! let rate: f64 = step("rate").run(|| http::get("https://rates.example/eur").send()?.error_for_status()?.json())?;
//!
//! step("pay").run(|| -> Result<_> {
//!     let payment = http::post("https://bank.example/payments").header("X-Rate", rate.to_string()).json(&100)?;
//!     payment.send()?.error_for_status()?;
//!     Ok(())
//! })?;
//! # Ok(()) }
//! ```

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use ::http::{Method, StatusCode};

mod retry_after;
mod wire;

/// How long a request may take in all, unless [`Request::timeout`] says otherwise: what callers of a web service
/// commonly wait, and far below an app's default running time of 15 minutes.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A GET request.
pub fn get(url: impl Into<String>) -> Request {
    request(Method::GET, url)
}

/// A POST request.
pub fn post(url: impl Into<String>) -> Request {
    request(Method::POST, url)
}

/// A PUT request.
pub fn put(url: impl Into<String>) -> Request {
    request(Method::PUT, url)
}

/// A DELETE request.
pub fn delete(url: impl Into<String>) -> Request {
    request(Method::DELETE, url)
}

/// A request with any method. `url` is absolute, `http` or `https`, and percent-encoded where it has to be.
pub fn request(method: Method, url: impl Into<String>) -> Request {
    Request { method, url: url.into(), headers: Vec::new(), body: Vec::new(), timeout: DEFAULT_TIMEOUT }
}

/// A request that waits to be [sent](Request::send).
#[derive(Debug, Clone)]
#[must_use = "a request does nothing before `send`"]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Duration,
}

impl Request {
    /// Adds a header. The host adds `Idempotency-Key` unless it is there: the same key each time the step is executed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Sets the body to `value` as JSON, and `Content-Type` to `application/json`.
    ///
    /// # Errors
    /// When JSON cannot hold the value, a map whose keys are no strings for instance.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Result<Request, Error> {
        let body = serde_json::to_vec(value).map_err(|e| self.error(Cause::Json(e)))?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// Sets how long the request may take, from sending it to the last byte of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = timeout;
        self
    }

    /// Sends the request and waits for the whole answer. Any status is an answer: see
    /// [`error_for_status`](Response::error_for_status). Redirects are not followed.
    ///
    /// # Errors
    /// When the URL or a header is invalid, the host is not in `allowed_hosts` or cannot be reached, or the time is up.
    pub fn send(self) -> Result<Response, Error> {
        wire::exchange(&self).map_err(|cause| self.error(cause))
    }

    fn error(&self, cause: Cause) -> Error {
        Error { method: self.method.clone(), url: without_secrets(&self.url), cause }
    }
}

/// An answer, completely received.
#[derive(Debug, Clone)]
pub struct Response {
    /// Of the request, for errors.
    method: Method,
    url: String,
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Response {
    /// The status, `200 OK` for instance.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The first header of that name, in any case of letters, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(self) -> Result<String, Error> {
        String::from_utf8(self.body).map_err(|e| Error {
            method: self.method,
            url: self.url,
            cause: Cause::Text(e.utf8_error()),
        })
    }

    /// The body as a `T`, which it must hold as JSON.
    ///
    /// # Errors
    /// When it does not.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|e| self.error(Cause::Json(e)))
    }

    /// How long to wait before asking again, if the status is 429 or 503 and the answer says so by `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::of(self)
    }

    /// The answer itself, unless its status is 400 or above.
    ///
    /// # Errors
    /// When it is; [`Error::status`] tells which. A step that fails with it waits as long as the answer says
    /// ([`Error::retry_after`]).
    pub fn error_for_status(self) -> Result<Response, Error> {
        let status = self.status;
        if status.is_client_error() || status.is_server_error() {
            let retry_after = self.retry_after();
            return Err(self.error(Cause::Status { status, retry_after }));
        }
        Ok(self)
    }

    fn error(self, cause: Cause) -> Error {
        Error { method: self.method, url: self.url, cause }
    }
}

/// A request that did not get the answer it needs. Its text is method, URL and cause; the URL's query and password
/// are left out, since the journal and the log keep the text.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {cause}")]
pub struct Error {
    method: Method,
    url: String,
    cause: Cause,
}

impl Error {
    /// The status, if [`Response::error_for_status`] refused it.
    pub fn status(&self) -> Option<StatusCode> {
        match self.cause {
            Cause::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// How long to wait before asking again, if [`Response::error_for_status`] refused an answer that
    /// [says so](Response::retry_after).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.cause {
            Cause::Status { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// Whether the host is not in `allowed_hosts` of the app's `relume.toml`.
    pub fn is_denied(&self) -> bool {
        matches!(self.cause, Cause::Denied { .. })
    }

    /// Whether the answer did not come in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause, Cause::Timeout(_) | Cause::HostTimeout(_))
    }
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{0}")]
    Invalid(String),
    #[error("`{host}` is not in `allowed_hosts` of relume.toml")]
    Denied { host: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    HostTimeout(String),
    #[error("{0}")]
    Network(String),
    #[error("status {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("not UTF-8: {0}")]
    Text(std::str::Utf8Error),
    #[error("not the expected JSON: {0}")]
    Json(serde_json::Error),
}

impl Cause {
    fn invalid(what: &str, why: impl Display) -> Cause {
        Cause::Invalid(format!("invalid {what}: {why}"))
    }
}

/// The URL without what may be a key or a password: its query, fragment and `user:password@`.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        let url = "http://shop/charge".to_owned();
        Response { method: Method::POST, url, status, headers, body: body.into() }
    }

    #[test]
    fn an_error_says_method_url_and_cause() {
        let error = answer(StatusCode::PAYMENT_REQUIRED, "").error_for_status().expect_err("402 is an error");
        assert_eq!(error.to_string(), "POST http://shop/charge: status 402 Payment Required");
        assert_eq!(error.status(), Some(StatusCode::PAYMENT_REQUIRED));
        let error = answer(StatusCode::OK, "[").json::<Vec<u8>>().expect_err("this is no JSON");
        assert!(error.to_string().starts_with("POST http://shop/charge: not the expected JSON: EOF"), "{error}");
        let error = post("http://shop/charge").error(Cause::Denied { host: "shop".into() });
        assert_eq!(error.to_string(), "POST http://shop/charge: `shop` is not in `allowed_hosts` of relume.toml");
        assert!(error.is_denied());
    }

    #[test] // R23
    fn a_step_waits_as_long_as_the_answer_says() {
        let mut busy = answer(StatusCode::SERVICE_UNAVAILABLE, "");
        busy.headers.push(("retry-after".to_owned(), b"7".to_vec()));
        let error = anyhow::Error::from(busy.error_for_status().expect_err("503 is an error")).context("no payment");
        assert_eq!(crate::mark::wait_of(&error), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        assert_eq!(answer(StatusCode::OK, "").header("Content-Type"), Some("text/plain"));
        assert_eq!(answer(StatusCode::OK, "").header("Location"), None);
    }

    #[test]
    fn an_error_keeps_keys_and_passwords_out_of_its_url() {
        assert_eq!(without_secrets("https://me:pass@shop:8443/a/b?key=s#c"), "https://shop:8443/a/b");
        assert_eq!(without_secrets("http://shop?key=a/b@c"), "http://shop");
        assert_eq!(without_secrets("not a url"), "not a url");
    }
}
