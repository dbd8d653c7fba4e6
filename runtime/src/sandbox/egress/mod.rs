//! Where, and when, may a guest send HTTP requests? Only here is a connection made for a guest: to what its manifest
//! lists and the operator's policy lets, at addresses of the public internet, without redirects, proxies, cookies or
//! anything inherited from the environment, and for a durable program only inside a step, as what it reads elsewhere is
//! not recorded. Source: V7, V11.

mod addresses;
mod asked;
mod bodies;
mod failures;
mod gateway;
mod ledger;
mod names;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiHttpHooks};

use self::bodies::Allowance;
use self::failures::{Failed, of_hyper, too_much_received, too_much_sent};
use self::ledger::{Call, Ledger};
use self::names::{IDEMPOTENCY_KEY, Names};
use super::effects::{Effect, Effects};
use crate::hosts::{HostRule, Target, shortened};
use crate::kill_point;
use crate::log::Log;
use crate::manifest::{Limit, Limits};

pub use self::asked::{Ask, AskedAnswer, AskedError, AskedRequest, Asking, Outlet, WayOut};
pub use self::bodies::Traffic;
pub use self::gateway::{CONNECT_EACH, Gateway, MAX_ADDRESSES};
pub use self::names::OpenKey;

/// The longest head of an answer, and of the trailers behind its body.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most headers of an answer.
pub const MAX_HEADERS: usize = 100;

/// A request's or answer's body.
type Body = UnsyncBoxBody<Bytes, Error>;
/// The rest of the work behind an answer whose headers are there.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// How much of the network one attempt may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// Calls that are under way at once.
    pub connections: u32,
    /// Of one body, in each direction.
    pub body_bytes: u64,
    /// How long one call may take: names, connection, request and the whole answer.
    pub call: Duration,
}

impl From<&Limits> for EgressLimits {
    fn from(limits: &Limits) -> EgressLimits {
        EgressLimits {
            connections: limits.get(Limit::Connections).try_into().unwrap_or(u32::MAX),
            body_bytes: limits.bytes(Limit::BodyMib) as u64,
            call: Duration::from_secs(limits.get(Limit::CallSeconds)),
        }
    }
}

/// What one attempt may reach, and when.
pub struct EgressRules<'a> {
    pub gateway: Arc<Gateway>,
    pub limits: EgressLimits,
    pub run_id: Uuid,
    pub attempt: u32,
    /// As in the manifest.
    pub allowed_hosts: &'a [String],
    /// The program uses the journal: what it reads outside a step would not be recorded.
    pub in_steps_only: bool,
    /// As in the manifest: lets it reach the same outside steps, and flags it.
    pub loose_io: bool,
    /// Where requests are written down, if they are.
    pub effects: Option<Effects>,
}

/// The way out of one attempt.
pub struct Egress {
    gateway: Arc<Gateway>,
    limits: EgressLimits,
    allowed: Vec<HostRule>,
    in_steps_only: bool,
    loose_io: bool,
    effects: Option<Effects>,
    ledger: Ledger,
    log: Log,
    connections: Arc<Semaphore>,
    names: Names,
    /// The step that is being executed.
    pub step: Option<OpenKey>,
    used_loose_io: bool,
}

impl Egress {
    /// Allows what `rules` say and counts it in `traffic`; refusals are said in `log`, and every call is listed there.
    pub fn new(rules: EgressRules<'_>, traffic: Traffic, log: Log) -> Egress {
        let EgressRules { gateway, limits, run_id, attempt, allowed_hosts, in_steps_only, loose_io, effects } = rules;
        Egress {
            gateway,
            limits,
            // What an earlier release let in although it allows nothing still allows nothing.
            allowed: allowed_hosts.iter().filter_map(|line| HostRule::parse(line).ok()).collect(),
            in_steps_only,
            loose_io,
            effects,
            ledger: Ledger::new(log.clone(), attempt, traffic),
            log,
            connections: Arc::new(Semaphore::new(limits.connections as usize)),
            names: Names::new(run_id),
            step: None,
            used_loose_io: false,
        }
    }

    /// Whether a request was let through only because of `loose_io`.
    pub fn used_loose_io(&self) -> bool {
        self.used_loose_io
    }

    /// The attempt is over: its calls are too.
    pub fn close(&self) {
        self.ledger.close();
    }

    /// Where the request goes, if it may.
    fn check(&mut self, method: &Method, uri: &Uri) -> Result<(Target, OwnedSemaphorePermit), Failed> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let target = Target::parse(uri.scheme() == Some(&Scheme::HTTPS), authority).map_err(|why| {
            let authority = shortened(&self.log.hidden(authority.rsplit('@').next().unwrap_or_default()));
            Failed::refused(Error::HttpRequestUriInvalid, format!("a request to `{authority}`, which {why}"))
        })?;
        if method == Method::CONNECT {
            let why = format!("a CONNECT to {target}: it opens a tunnel, and nothing would allow that");
            return Err(Failed::refused(Error::HttpRequestMethodInvalid, why));
        }
        let outside = self.in_steps_only && self.step.is_none();
        if outside && !self.loose_io {
            let why = format!(
                "a request to {target} outside a step, as its answer would not be recorded; wrap it in a step, or set \
                 `loose_io = true` in relume.toml"
            );
            return Err(Failed::refused(Error::InternalError(Some(format!("Relume refuses {why}"))), why));
        }
        let method = method.as_str();
        if !self.allowed.iter().any(|rule| rule.allows(method, &target)) {
            let why = if self.allowed.iter().any(|rule| rule.allows_place(&target)) {
                format!(
                    "a {method} to {target}, where other methods are allowed; to allow it, add \"{method} {target}\""
                )
            } else {
                format!("a request to {target}; to allow it, add \"{target}\"")
            };
            return Err(Failed::refused(Error::HttpRequestDenied, format!("{why} to `allowed_hosts` in relume.toml")));
        }
        if !self.gateway.allows(method, &target) {
            let why = format!(
                "a {method} to {target}, which is more than this machine's policy lets any app do; to allow it, the \
                 operator adds \"{method} {target}\" to `allowed_hosts` under [egress] in the policy"
            );
            return Err(Failed::refused(Error::HttpRequestDenied, why));
        }
        let permit = self.connections.clone().try_acquire_owned().map_err(|_| {
            let most = self.limits.connections;
            let why = format!(
                "a request to {target} while {most} are under way, which is the most (`limits.connections`); read their \
                 answers first"
            );
            Failed::refused(Error::ConnectionLimitReached, why)
        })?;
        if outside && !self.used_loose_io {
            self.used_loose_io = true;
            if !self.log.is_muted() {
                self.log.setup(&format!(
                    "flagged: a request to {target} outside a step (`loose_io`): its answer is not recorded, and a \
                     replay that gets another one may diverge"
                ));
            }
        }
        Ok((target, permit))
    }
}

impl WasiHttpHooks for Egress {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        forbidden_headers()
    }

    /// Our own bodies have named the cause already; what else there is fits no better code.
    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn send_request(
        &mut self,
        mut request: Request<Body>,
        options: Option<RequestOptions>,
        _: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<Body>, Rest), Error>> + Send> {
        let checked = self.check(request.method(), request.uri());
        let seq = self.step.as_ref().map(|step| step.seq);
        let call = self.ledger.begin(seq, request.method(), request.uri());
        let log = self.log.clone();
        let (target, permit) = match checked {
            Ok(checked) => checked,
            Err(failed) => {
                call.fail(&failed);
                return Box::new(async move {
                    log.room().await;
                    Err(failed.error)
                });
            }
        };
        self.names.name(&mut request, self.step.as_ref());
        let effects = self.effects.clone().map(|effects| (effects, self.step.as_ref().map(|step| step.key.clone())));
        let sending = Sending { gateway: self.gateway.clone(), limits: self.limits, call: call.clone(), permit };
        Box::new(async move {
            log.room().await;
            let answer = async {
                let mut request = sending.checked(request)?;
                if let Some((effects, step)) = effects {
                    request = write_down(request, &effects, step).await?;
                }
                kill_point::reach("before_effect");
                let answer = sending.send(&target, request, options.unwrap_or_default()).await;
                kill_point::reach("after_effect");
                answer
            };
            answer.await.map_err(|failed: Failed| {
                call.fail(&failed);
                failed.error
            })
        })
    }
}

/// Beside those that say where a request goes and how it is framed, all that speak to a proxy.
fn forbidden_headers() -> ForbiddenHeaderFilter {
    Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || name.as_str().starts_with("proxy-"))
}

async fn write_down(request: Request<Body>, effects: &Effects, step: Option<String>) -> Result<Request<Body>, Failed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| match error {
        Error::HttpRequestBodySize(Some(limit)) => too_much_sent(limit),
        error => Failed::new(error, "its body was not sent"),
    })?;
    let body = body.to_bytes();
    let key = head.headers.get(IDEMPOTENCY_KEY).map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    effects.add(Effect {
        step,
        method: head.method.to_string(),
        url: head.uri.to_string(),
        idempotency_key: key,
        body: body.to_vec(),
    });
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    Ok(Request::from_parts(head, body))
}

/// A call that may be made.
struct Sending {
    gateway: Arc<Gateway>,
    limits: EgressLimits,
    call: Arc<Call>,
    permit: OwnedSemaphorePermit,
}

impl Sending {
    /// The request with a body that is counted.
    fn checked(&self, request: Request<Body>) -> Result<Request<Body>, Failed> {
        let limit = self.limits.body_bytes;
        if length(request.headers()).is_some_and(|length| length > limit) {
            return Err(too_much_sent(limit));
        }
        Ok(request.map(|body| bodies::sent(body, self.call.clone(), limit)))
    }

    async fn send(
        self,
        target: &Target,
        mut request: Request<Body>,
        options: RequestOptions,
    ) -> Result<(Response<Body>, Rest), Failed> {
        let Sending { gateway, limits, call, permit } = self;
        let began = Instant::now();
        let at_most = |asked: Option<Duration>| began + asked.map_or(limits.call, |asked| asked.min(limits.call));
        let deadline = at_most(None);
        let connecting = timeout_at(at_most(options.connect_timeout), gateway.connect(target));
        let late = |_| Failed::new(Error::ConnectionTimeout, "there was no connection in time");
        let (mut sender, connection) = connecting.await.map_err(late)??;

        // The request line names only path and query: we are no proxy's client.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let invalid = |_| Failed::new(Error::HttpRequestUriInvalid, "its path is no path");
        *request.uri_mut() = path.parse().map_err(invalid)?;

        let first_byte = options.first_byte_timeout.and_then(|asked| Instant::now().checked_add(asked));
        let answering = timeout_at(first_byte.map_or(deadline, |at| at.min(deadline)), sender.send_request(request));
        let late = |_| Failed::new(Error::ConnectionReadTimeout, "there was no answer in time");
        let response = answering.await.map_err(late)?.map_err(|error| of_hyper(&error))?;
        call.answered(response.status().as_u16());
        if response.body().size_hint().lower() > limits.body_bytes {
            return Err(too_much_received(limits.body_bytes));
        }
        let rest: Rest = Box::new(async move {
            // How it ended, the body knows. Later than that, so that it is the body's end that is told.
            let _ = timeout_at(deadline + Duration::from_secs(1), connection).await;
            Ok(())
        });
        let pause = options.between_bytes_timeout;
        let allowance = Allowance { bytes: limits.body_bytes, deadline, pause, permit };
        Ok((response.map(|body| bodies::received(body, call, allowance)), rest))
    }
}

/// What the headers say of the body's length.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
