//! How is the server asked? One request at a time, with the token, and no redirect followed.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::rustls::crypto::ring;

use super::DATA_DIR;
use super::failure::Failure;
use crate::api::wire::ProblemBody;

const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A server, and the token for it.
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
}

/// An answer: its headers, its text for `--json`, and what it means.
pub struct Answer<T> {
    pub headers: HeaderMap,
    pub text: String,
    pub body: T,
}

impl Client {
    /// Asks nothing yet.
    pub fn new(server: &str, token: Option<String>) -> Result<Client, Failure> {
        let wrong = |cause: String| {
            let failure = Failure::new(format!("`{server}` is not the address of a server")).because(cause).usage();
            failure.hint("write it as --server http://127.0.0.1:7300")
        };
        let url = Url::parse(server).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it does not begin with http:// or https://".into()));
        }
        // Refused only if there is one already.
        let _ = ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIME);
        http = http.redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "http" {
            // Reading the system's certificates takes time, and fails where there are none.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|e| Failure::new("the client cannot be set up").because(root(&e)))?;
        let token = token.or_else(|| local_token(&url));
        Ok(Client { http, server: url, token })
    }

    /// Asks for `path`, below `/v1`.
    pub async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<Answer<T>, Failure> {
        self.answer(what, self.request(Method::GET, path)?).await
    }

    /// Sends JSON to `path`.
    pub async fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        self.send_json(what, Method::POST, path, body).await
    }

    /// Sends JSON to `path` in any way.
    pub async fn send_json<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        self.answer(what, self.request(method, path)?.json(body)).await
    }

    /// A request to `path`, with the token.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let base = self.server.as_str().trim_end_matches('/');
        let request = self.http.request(method, format!("{base}/v1{path}"));
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends a request and reads its answer.
    pub async fn answer<T: DeserializeOwned>(&self, what: &str, request: RequestBuilder) -> Result<Answer<T>, Failure> {
        let response = self.send(what, request).await?;
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|e| self.unreachable(what, &e))?;
        let body = serde_json::from_str(&text)
            .map_err(|e| Failure::new(what).because(format!("the answer of {} is not Relume's: {e}", self.server)))?;
        Ok(Answer { headers, text, body })
    }

    /// Sends a request; an answer that is not 2xx is a failure.
    pub async fn send(&self, what: &str, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|e| self.unreachable(what, &e))?;
        let (status, path) = (response.status(), response.url().path().to_owned());
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let Ok(mut problem) = serde_json::from_str::<ProblemBody>(&text) else {
            return Err(Failure::new(what).because(format!("{} answered {status}", self.server)));
        };
        if status == 401 {
            problem.hint = Some(format!("set RELUME_TOKEN, or run this where `relume dev` left {DATA_DIR}/token"));
        }
        Err(Failure::refused(what, problem, &path))
    }

    /// The server cannot be reached, or broke off.
    pub fn unreachable(&self, what: &str, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::new(what).because(root(error)).usage();
        }
        let cause = format!("no answer from {}: {}", self.server, root(error));
        Failure::new(what)
            .because(cause)
            .hint("start a server with `relume dev`, or name one with --server")
            .exit_code(10)
    }
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    let written = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(written).collect()
}

/// The token that `relume dev` left in this folder. It is for the server on this machine, and
/// shown to no other.
fn local_token(server: &Url) -> Option<String> {
    if !matches!(server.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
        return None;
    }
    let text = std::fs::read_to_string(format!("{DATA_DIR}/token")).ok()?;
    Some(text.trim().to_owned())
}

/// The innermost cause, which is the one that says something.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        assert_eq!(segment("nightly-1_a.b~c"), "nightly-1_a.b~c");
        assert_eq!(segment("a/b ?#ä"), "a%2Fb%20%3F%23%C3%A4");
    }
}
