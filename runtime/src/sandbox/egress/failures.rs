//! Why did a call come to nothing? In a code for the program, and in words for people.

use std::error::Error as _;
use std::io;

use wasmtime_wasi_http::Error;

use super::MAX_HEAD_BYTES;

/// A call that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// For the program.
    pub error: Error,
    /// For people: what was asked for, why it is refused, and what would allow it; or what went wrong.
    pub why: String,
    /// It was refused by us, so that it is said in the run's log.
    pub is_refusal: bool,
}

impl Failed {
    /// Something went wrong.
    pub fn new(error: Error, why: impl Into<String>) -> Failed {
        Failed { error, why: why.into(), is_refusal: false }
    }

    /// We do not let it.
    pub fn refused(error: Error, why: impl Into<String>) -> Failed {
        Failed { error, why: why.into(), is_refusal: true }
    }
}

pub fn of_connect(error: &io::Error) -> Failed {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationUnavailable,
        _ => Error::ConnectionTerminated,
    };
    Failed::new(code, format!("no connection: {error}"))
}

pub fn of_hyper(error: &hyper::Error) -> Failed {
    // What our own bodies say comes back as the cause.
    if let Some(Error::HttpRequestBodySize(Some(limit))) = error.source().and_then(|source| source.downcast_ref()) {
        return too_much_sent(*limit);
    }
    let code = match () {
        () if error.is_parse_too_large() => Error::HttpResponseHeaderSectionSize(u32::try_from(MAX_HEAD_BYTES).ok()),
        () if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        () if error.is_canceled() || error.is_closed() => Error::ConnectionTerminated,
        () if error.source().is_some_and(|source| source.is::<io::Error>()) => Error::ConnectionTerminated,
        () => Error::HttpProtocolError,
    };
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Failed::new(code, format!("no good answer: {error}{cause}"))
}

pub fn too_much_sent(limit: u64) -> Failed {
    Failed::refused(
        Error::HttpRequestBodySize(Some(limit)),
        format!("a request's body of more than {limit} bytes (`limits.body_mib`)"),
    )
}

pub fn too_much_received(limit: u64) -> Failed {
    Failed::refused(
        Error::HttpResponseBodySize(Some(limit)),
        format!("an answer's body of more than {limit} bytes (`limits.body_mib`)"),
    )
}
