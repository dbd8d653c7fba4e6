//! One request and its answer over `wasi:http`, the only file that names it.

use std::time::Duration;

use ::http::{Method, StatusCode, Uri};
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types as wasi;
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::StreamError;

use super::{Cause, Request, Response};

/// How many bytes of the answer one read may ask for: what a host commonly has at hand.
const READ_BYTES: u64 = 64 * 1024;

/// Sends the request, and waits for the last byte of the answer.
pub(super) fn exchange(request: &Request) -> Result<Response, Cause> {
    let uri: Uri = request.url.parse().map_err(|e| Cause::invalid("URL", e))?;
    let host = uri.authority().ok_or_else(|| Cause::invalid("URL", "it names no host"))?.as_str();
    let outgoing = outgoing(request, &uri)?;
    let body = outgoing.body().map_err(|()| Cause::Network("the request's body cannot be sent".to_owned()))?;
    let failed = |code| cause(code, host);

    let deadline = Deadline::after(request.timeout);
    let answer = outgoing_handler::handle(outgoing, Some(options(request.timeout))).map_err(failed)?;
    // A host that refuses the request takes no body: what it answers is the reason, not this.
    let sent = send_body(body, &request.body, &deadline);
    if let Err(late @ Cause::Timeout(_)) = sent {
        return Err(late);
    }
    let incoming = loop {
        match answer.get() {
            Some(result) => break result.expect("the answer is taken once").map_err(failed)?,
            None => deadline.wait(&answer.subscribe())?,
        }
    };
    let headers = incoming.headers().entries();
    let status = StatusCode::from_u16(incoming.status()).map_err(|e| Cause::invalid("status", e))?;
    let body = receive_body(&incoming, &deadline, host)?;
    Ok(Response { method: request.method.clone(), url: super::without_secrets(&request.url), status, headers, body })
}

/// The request as the host wants it, without its body.
fn outgoing(request: &Request, uri: &Uri) -> Result<wasi::OutgoingRequest, Cause> {
    let headers = wasi::Fields::new();
    for (name, value) in &request.headers {
        headers.append(name, value.as_bytes()).map_err(|e| refused_header(name, e))?;
    }
    if !request.body.is_empty() || matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        let length = request.body.len().to_string();
        headers.set("content-length", &[length.into_bytes()]).map_err(|e| refused_header("content-length", e))?;
    }
    let scheme = match uri.scheme_str() {
        Some("http") => wasi::Scheme::Http,
        Some("https") => wasi::Scheme::Https,
        _ => return Err(Cause::invalid("URL", "it begins with neither `http://` nor `https://`")),
    };
    let outgoing = wasi::OutgoingRequest::new(headers);
    let method = wasi::Method::Other(request.method.to_string());
    outgoing.set_method(&method).map_err(|()| Cause::invalid("method", &request.method))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| Cause::invalid("URL", "its scheme is refused"))?;
    let authority = uri.authority().map(|authority| authority.as_str());
    outgoing.set_authority(authority).map_err(|()| Cause::invalid("URL", "its host is refused"))?;
    let path = uri.path_and_query().map(|path| path.as_str());
    outgoing.set_path_with_query(path).map_err(|()| Cause::invalid("URL", "its path is refused"))?;
    Ok(outgoing)
}

fn refused_header(name: &str, error: wasi::HeaderError) -> Cause {
    let why = match error {
        wasi::HeaderError::InvalidSyntax => "its name or value holds what a header may not hold",
        wasi::HeaderError::Forbidden => "the host sets it",
        wasi::HeaderError::Immutable => "it cannot be changed",
    };
    Cause::invalid(&format!("header `{name}`"), why)
}

/// Lets the host give up as well; it may ignore what it does not support.
fn options(timeout: Duration) -> wasi::RequestOptions {
    let options = wasi::RequestOptions::new();
    let nanos = Some(nanos(timeout));
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);
    options
}

fn send_body(body: wasi::OutgoingBody, mut rest: &[u8], deadline: &Deadline) -> Result<(), Cause> {
    let refused = |_: StreamError| Cause::Network("the request's body was not taken".to_owned());
    if !rest.is_empty() {
        let stream = body.write().expect("the stream is taken once");
        while !rest.is_empty() {
            deadline.wait(&stream.subscribe())?;
            let room = usize::try_from(stream.check_write().map_err(refused)?).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(room.min(rest.len()));
            stream.write(now).map_err(refused)?;
            rest = later;
        }
        stream.flush().map_err(refused)?;
    }
    wasi::OutgoingBody::finish(body, None).map_err(|code| Cause::Network(words(&code)))
}

fn receive_body(incoming: &wasi::IncomingResponse, deadline: &Deadline, host: &str) -> Result<Vec<u8>, Cause> {
    let body = incoming.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let mut bytes = Vec::new();
    loop {
        deadline.wait(&stream.subscribe())?;
        match stream.read(READ_BYTES) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match wasi::http_error_code(&error) {
                    Some(code) => cause(code, host),
                    None => Cause::Network(error.to_debug_string()),
                });
            }
        }
    }
}

/// The moment at which a request is given up.
struct Deadline {
    reached: Pollable,
    timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Deadline {
        Deadline { reached: monotonic_clock::subscribe_duration(nanos(timeout)), timeout }
    }

    /// Waits until `ready` is, or the deadline is reached.
    fn wait(&self, ready: &Pollable) -> Result<(), Cause> {
        poll(&[ready, &self.reached]);
        if ready.ready() { Ok(()) } else { Err(Cause::Timeout(self.timeout)) }
    }
}

/// Capped at 584 years.
fn nanos(length: Duration) -> u64 {
    length.as_nanos().try_into().unwrap_or(u64::MAX)
}

fn cause(code: wasi::ErrorCode, host: &str) -> Cause {
    use wasi::ErrorCode as Code;
    match code {
        Code::HttpRequestDenied => Cause::Denied { host: host.rsplit('@').next().unwrap_or(host).to_owned() },
        Code::DnsTimeout
        | Code::ConnectionTimeout
        | Code::ConnectionReadTimeout
        | Code::ConnectionWriteTimeout
        | Code::HttpResponseTimeout => Cause::HostTimeout(words(&code)),
        Code::InternalError(Some(why)) => Cause::Network(why),
        code => Cause::Network(words(&code)),
    }
}

/// `connection refused` for `ErrorCode::ConnectionRefused`.
fn words(code: &wasi::ErrorCode) -> String {
    let name = format!("{code:?}").replacen("ErrorCode::", "", 1);
    let (name, details) = name.split_at(name.find('(').unwrap_or(name.len()));
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words + details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_in_words() {
        assert_eq!(words(&wasi::ErrorCode::ConnectionRefused), "connection refused");
        assert_eq!(words(&wasi::ErrorCode::HttpResponseBodySize(Some(7))), "http response body size(Some(7))");
    }

    #[test] // R2
    fn a_forbidden_host_is_named_with_the_setting_that_would_allow_it() {
        let text = cause(wasi::ErrorCode::HttpRequestDenied, "me:pass@shop:80").to_string();
        assert_eq!(text, "`shop:80` is not in `allowed_hosts` of relume.toml");
    }

    #[test]
    fn the_hosts_own_words_are_passed_on() {
        let code = wasi::ErrorCode::InternalError(Some("wrap the request in a step".to_owned()));
        assert_eq!(cause(code, "shop").to_string(), "wrap the request in a step");
    }
}
