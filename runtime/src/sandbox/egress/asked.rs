//! The way out of a guest that runs in a process without a network: it asks, and the process that has one answers, by
//! the same rules as for a guest of its own. Bodies go over as a whole, and so are not as long as elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde::{Deserialize, Serialize};
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

use super::names::OpenKey;
use super::{Body, Egress, Rest, Traffic};

/// The longest body that goes over.
pub const MAX_ASKED_BYTES: usize = 8 * 1024 * 1024;
/// The most headers of a request, which no program needs.
const MAX_ASKED_HEADERS: usize = 256;

/// A request, as it goes over.
#[derive(Debug, Serialize, Deserialize)]
pub struct AskedRequest {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The step that is being executed, see [`OpenKey`].
    pub step: Option<(String, u32, u64)>,
    pub connect_timeout: Option<Duration>,
    pub first_byte_timeout: Option<Duration>,
    pub between_bytes_timeout: Option<Duration>,
    /// The program only repeats what it did before.
    pub is_muted: bool,
}

/// An answer, as it goes over.
#[derive(Debug, Serialize, Deserialize)]
pub struct AskedAnswer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Why there is no answer: those of the errors that egress makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskedError {
    DnsTimeout,
    DnsError,
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    RequestDenied,
    RequestMethodInvalid,
    RequestUriInvalid,
    RequestBodySize(Option<u64>),
    ResponseIncomplete,
    ResponseHeaderSectionSize(Option<u32>),
    ResponseBodySize(Option<u64>),
    Protocol,
    Internal(Option<String>),
}

impl From<&Error> for AskedError {
    fn from(error: &Error) -> AskedError {
        match error {
            Error::DnsTimeout => AskedError::DnsTimeout,
            Error::DnsError { .. } => AskedError::DnsError,
            Error::DestinationNotFound => AskedError::DestinationNotFound,
            Error::DestinationUnavailable => AskedError::DestinationUnavailable,
            Error::DestinationIpProhibited => AskedError::DestinationIpProhibited,
            Error::ConnectionRefused => AskedError::ConnectionRefused,
            Error::ConnectionTerminated => AskedError::ConnectionTerminated,
            Error::ConnectionTimeout => AskedError::ConnectionTimeout,
            Error::ConnectionReadTimeout => AskedError::ConnectionReadTimeout,
            Error::ConnectionLimitReached => AskedError::ConnectionLimitReached,
            Error::TlsProtocolError => AskedError::TlsProtocolError,
            Error::TlsCertificateError => AskedError::TlsCertificateError,
            Error::HttpRequestDenied => AskedError::RequestDenied,
            Error::HttpRequestMethodInvalid => AskedError::RequestMethodInvalid,
            Error::HttpRequestUriInvalid => AskedError::RequestUriInvalid,
            Error::HttpRequestBodySize(limit) => AskedError::RequestBodySize(*limit),
            Error::HttpResponseIncomplete => AskedError::ResponseIncomplete,
            Error::HttpResponseHeaderSectionSize(limit) => AskedError::ResponseHeaderSectionSize(*limit),
            Error::HttpResponseBodySize(limit) => AskedError::ResponseBodySize(*limit),
            Error::InternalError(text) => AskedError::Internal(text.clone()),
            _ => AskedError::Protocol,
        }
    }
}

impl From<AskedError> for Error {
    fn from(error: AskedError) -> Error {
        match error {
            AskedError::DnsTimeout => Error::DnsTimeout,
            AskedError::DnsError => Error::DnsError { rcode: Some("no address".to_owned()), info_code: None },
            AskedError::DestinationNotFound => Error::DestinationNotFound,
            AskedError::DestinationUnavailable => Error::DestinationUnavailable,
            AskedError::DestinationIpProhibited => Error::DestinationIpProhibited,
            AskedError::ConnectionRefused => Error::ConnectionRefused,
            AskedError::ConnectionTerminated => Error::ConnectionTerminated,
            AskedError::ConnectionTimeout => Error::ConnectionTimeout,
            AskedError::ConnectionReadTimeout => Error::ConnectionReadTimeout,
            AskedError::ConnectionLimitReached => Error::ConnectionLimitReached,
            AskedError::TlsProtocolError => Error::TlsProtocolError,
            AskedError::TlsCertificateError => Error::TlsCertificateError,
            AskedError::RequestDenied => Error::HttpRequestDenied,
            AskedError::RequestMethodInvalid => Error::HttpRequestMethodInvalid,
            AskedError::RequestUriInvalid => Error::HttpRequestUriInvalid,
            AskedError::RequestBodySize(limit) => Error::HttpRequestBodySize(limit),
            AskedError::ResponseIncomplete => Error::HttpResponseIncomplete,
            AskedError::ResponseHeaderSectionSize(limit) => Error::HttpResponseHeaderSectionSize(limit),
            AskedError::ResponseBodySize(limit) => Error::HttpResponseBodySize(limit),
            AskedError::Protocol => Error::HttpProtocolError,
            AskedError::Internal(text) => Error::InternalError(text),
        }
    }
}

/// Whoever has a network.
#[async_trait]
pub trait Ask: Send + Sync {
    async fn ask(&self, request: AskedRequest) -> Result<AskedAnswer, AskedError>;
}

/// The way out of an attempt without a network.
pub struct Asking {
    pub ask: Arc<dyn Ask>,
    pub log: crate::log::Log,
    pub step: Option<OpenKey>,
}

impl WasiHttpHooks for Asking {
    fn forbidden_header_filter(&mut self) -> wasmtime_wasi_http::ForbiddenHeaderFilter {
        super::forbidden_headers()
    }

    fn send_request(
        &mut self,
        request: Request<Body>,
        options: Option<RequestOptions>,
        _: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<Body>, Rest), Error>> + Send> {
        let (ask, is_muted) = (self.ask.clone(), self.log.is_muted());
        let step = self.step.as_ref().map(|step| (step.key.clone(), step.seq, step.execution));
        let options = options.unwrap_or_default();
        Box::new(async move {
            let (head, body) = request.into_parts();
            let too_long = || Error::HttpRequestBodySize(Some(MAX_ASKED_BYTES as u64));
            let body = Limited::new(body, MAX_ASKED_BYTES).collect().await.map_err(|_| too_long())?;
            let request = AskedRequest {
                method: head.method.to_string(),
                uri: head.uri.to_string(),
                headers: head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().into())).collect(),
                body: body.to_bytes().into(),
                step,
                connect_timeout: options.connect_timeout,
                first_byte_timeout: options.first_byte_timeout,
                between_bytes_timeout: options.between_bytes_timeout,
                is_muted,
            };
            let AskedAnswer { status, headers, body } = ask.ask(request).await?;
            let mut response =
                Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Error::HttpProtocolError)?;
            for (name, value) in headers {
                let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
                let (Ok(name), Ok(value)) = (name, value) else { return Err(Error::HttpProtocolError) };
                response.headers_mut().append(name, value);
            }
            let rest: Rest = Box::new(async { Ok(()) });
            Ok((response, rest))
        })
    }
}

/// The way out on the side that has a network: by all the rules, whatever the asking side says of itself.
pub struct Outlet {
    pub(in crate::sandbox) egress: Egress,
    pub(in crate::sandbox) traffic: Traffic,
    pub(in crate::sandbox) log: crate::log::Log,
}

impl Outlet {
    /// Sends the request, if it may be sent. The future may be awaited beside others.
    pub fn answer(
        &mut self,
        asked: AskedRequest,
    ) -> impl Future<Output = Result<AskedAnswer, AskedError>> + Send + 'static {
        self.log.mute(asked.is_muted);
        self.egress.step = asked.step.clone().map(|(key, seq, execution)| OpenKey { key, seq, execution });
        let filter = self.egress.forbidden_header_filter();
        let sending = request(asked, &*filter).map(|(request, options)| {
            let rest: Rest = Box::new(async { Ok(()) });
            Box::into_pin(self.egress.send_request(request, Some(options), rest))
        });
        async move {
            // The connection lives as long as the second part.
            let (response, _connection) = sending?.await.map_err(|error| AskedError::from(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ASKED_BYTES).collect().await.map_err(|error| {
                let known = error.downcast_ref::<Error>().map(AskedError::from);
                known.unwrap_or(AskedError::ResponseBodySize(Some(MAX_ASKED_BYTES as u64)))
            })?;
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().into()));
            Ok(AskedAnswer { status: head.status.as_u16(), headers: headers.collect(), body: body.to_bytes().into() })
        }
    }

    /// Bodies of answers and of requests, in bytes.
    pub fn bytes(&self) -> (u64, u64) {
        self.traffic.bytes()
    }

    /// Whether a request was let through only because of `loose_io`.
    pub fn used_loose_io(&self) -> bool {
        self.egress.used_loose_io()
    }

    /// The attempt is over: its calls are too.
    pub fn close(&self) {
        self.egress.close();
    }
}

/// What was asked for, as a request that a guest could have made here.
fn request(
    asked: AskedRequest,
    is_forbidden: &(dyn Fn(&HeaderName) -> bool + Send + Sync),
) -> Result<(Request<Body>, RequestOptions), AskedError> {
    let method = Method::from_bytes(asked.method.as_bytes()).map_err(|_| AskedError::RequestMethodInvalid)?;
    let uri = asked.uri.parse::<Uri>().map_err(|_| AskedError::RequestUriInvalid)?;
    if asked.body.len() > MAX_ASKED_BYTES || asked.headers.len() > MAX_ASKED_HEADERS {
        return Err(AskedError::RequestBodySize(Some(MAX_ASKED_BYTES as u64)));
    }
    let body = Full::new(Bytes::from(asked.body)).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for (name, value) in asked.headers {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(AskedError::Protocol) };
        // The host is the URI's, which was checked.
        if !is_forbidden(&name) {
            request.headers_mut().append(name, value);
        }
    }
    let options = RequestOptions {
        connect_timeout: asked.connect_timeout,
        first_byte_timeout: asked.first_byte_timeout,
        between_bytes_timeout: asked.between_bytes_timeout,
    };
    Ok((request, options))
}

/// One of the two ways.
pub enum WayOut {
    Own(Box<Egress>),
    Asking(Asking),
}

impl WayOut {
    pub fn hooks(&mut self, step: &Option<OpenKey>) -> &mut dyn WasiHttpHooks {
        match self {
            WayOut::Own(egress) => {
                egress.step.clone_from(step);
                egress.as_mut()
            }
            WayOut::Asking(asking) => {
                asking.step.clone_from(step);
                asking
            }
        }
    }

    /// See [`Egress::used_loose_io`]; of one that asks, the other side knows.
    pub fn used_loose_io(&self) -> bool {
        match self {
            WayOut::Own(egress) => egress.used_loose_io(),
            WayOut::Asking(_) => false,
        }
    }

    /// The attempt is over: its calls are too.
    pub fn close(&self) {
        if let WayOut::Own(egress) = self {
            egress.close();
        }
    }
}
