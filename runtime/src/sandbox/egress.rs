//! Where, and when, may a guest send HTTP requests? Only here is a connection made for a guest: to
//! hosts its manifest lists, without redirects, proxies or anything inherited from the environment,
//! and for a durable program only inside a step, as what it reads elsewhere is not recorded.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

use super::effects::{Effect, Effects};
use super::traffic::Traffic;
use crate::kill_point;
use crate::log::Log;

/// The longest a request may take to connect, and to answer its first byte. Source: V7.
const MAX_CALL: Duration = Duration::from_secs(120);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request's or answer's body.
type Body = UnsyncBoxBody<Bytes, Error>;
/// The rest of the work behind an answer whose headers are there.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What one attempt may reach, and when.
pub struct EgressRules<'a> {
    /// As in the manifest.
    pub allowed_hosts: &'a [String],
    /// The program uses the journal: what it reads outside a step would not be recorded.
    pub in_steps_only: bool,
    /// As in the manifest: lets it reach the same outside steps, and flags it.
    pub loose_io: bool,
    /// Where requests are written down, if they are.
    pub effects: Option<Effects>,
}

/// A step that is being executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenKey {
    /// The same whenever the step is executed. Source: R44.
    pub key: String,
    /// Counts the executions of steps, so that each begins with its first request.
    pub execution: u64,
}

/// The way out of one attempt.
pub struct Egress {
    allowed: Vec<HostPattern>,
    in_steps_only: bool,
    loose_io: bool,
    effects: Option<Effects>,
    traffic: Traffic,
    log: Log,
    /// The step that is being executed.
    pub step: Option<OpenKey>,
    used_loose_io: bool,
    /// The step of the last request, and how many its execution has sent.
    sent: (Option<OpenKey>, u32),
}

impl Egress {
    /// Allows what `rules` say and counts it in `traffic`; refusals are said in `log`.
    pub fn new(rules: EgressRules<'_>, traffic: Traffic, log: Log) -> Egress {
        let EgressRules { allowed_hosts, in_steps_only, loose_io, effects } = rules;
        let allowed = allowed_hosts.iter().filter_map(|text| HostPattern::parse(text)).collect();
        Egress {
            allowed,
            in_steps_only,
            loose_io,
            effects,
            traffic,
            log,
            step: None,
            used_loose_io: false,
            sent: (None, 0),
        }
    }

    /// Whether a request was let through only because of `loose_io`.
    pub fn used_loose_io(&self) -> bool {
        self.used_loose_io
    }

    /// The key of the next request: the step's, and from the second request of a step on, its number.
    fn idempotency_key(&mut self) -> Option<String> {
        let step = self.step.as_ref()?;
        if self.sent.0.as_ref() != Some(step) {
            self.sent = (Some(step.clone()), 0);
        }
        self.sent.1 = self.sent.1.saturating_add(1);
        match self.sent.1 {
            1 => Some(step.key.clone()),
            n => Some(format!("{}-{n}", step.key)),
        }
    }

    /// Where the request goes, if it may.
    fn check(&mut self, uri: &Uri) -> Result<Target, Error> {
        let target = Target::of(uri).ok_or(Error::HttpRequestUriInvalid)?;
        let outside = self.in_steps_only && self.step.is_none();
        if outside && !self.loose_io {
            let why = format!(
                "a request to {target} outside a step, as its answer would not be recorded; wrap it in a step, or set \
                 `loose_io = true` in relume.toml"
            );
            self.say(&format!("refused: {why}"));
            return Err(Error::InternalError(Some(format!("Relume refuses {why}"))));
        }
        if !self.allowed.iter().any(|pattern| pattern.matches(&target)) {
            self.say(&format!(
                "refused: a request to {target}; to allow it, add \"{target}\" to `allowed_hosts` in relume.toml"
            ));
            return Err(Error::HttpRequestDenied);
        }
        if outside && !self.used_loose_io {
            self.used_loose_io = true;
            self.say(&format!(
                "flagged: a request to {target} outside a step (`loose_io`): its answer is not recorded, and a replay \
                 that gets another one may diverge"
            ));
        }
        Ok(target)
    }

    /// Says it in the log, unless the program only repeats what it did before.
    fn say(&self, text: &str) {
        if !self.log.is_muted() {
            self.log.setup(text);
        }
    }
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        mut request: Request<Body>,
        options: Option<RequestOptions>,
        _: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<Body>, Rest), Error>> + Send> {
        let target = self.check(request.uri());
        if let Some(key) = self.idempotency_key().and_then(|key| HeaderValue::try_from(key).ok()) {
            request.headers_mut().entry(IDEMPOTENCY_KEY).or_insert(key);
        }
        let traffic = self.traffic.clone();
        let effects = self.effects.clone().map(|effects| (effects, self.step.as_ref().map(|step| step.key.clone())));
        Box::new(async move {
            let target = target?;
            if let Some((effects, step)) = effects {
                request = write_down(request, &effects, step).await?;
            }
            kill_point::reach("before_effect");
            let answer = send(target, request.map(|body| traffic.sent(body)), options).await;
            kill_point::reach("after_effect");
            let (response, rest) = answer?;
            Ok((response.map(|body| traffic.received(body)), rest))
        })
    }
}

async fn write_down(request: Request<Body>, effects: &Effects, step: Option<String>) -> Result<Request<Body>, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
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

async fn send(
    target: Target,
    mut request: Request<Body>,
    options: Option<RequestOptions>,
) -> Result<(Response<Body>, Rest), Error> {
    let limit = |asked: Option<Duration>| asked.map_or(MAX_CALL, |asked| asked.min(MAX_CALL));
    let connecting = timeout(limit(options.and_then(|options| options.connect_timeout)), connect(&target));
    let (mut sender, connection) = connecting.await.map_err(|_| Error::ConnectionTimeout)??;

    // The request line names only path and query: we are no proxy's client.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;

    let answering =
        timeout(limit(options.and_then(|options| options.first_byte_timeout)), sender.send_request(request));
    let response = answering.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let rest: Rest = Box::new(async move { connection.await.map_err(Error::from) });
    Ok((response.map(|body| body.map_err(Error::from).boxed_unsync()), rest))
}

type Connection = (http1::SendRequest<Body>, AbortOnDropJoinHandle<Result<(), hyper::Error>>);

async fn connect(target: &Target) -> Result<Connection, Error> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, target.port)).await.map_err(Error::Connect)?;
    if !target.tls {
        return handshake(tcp).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
    handshake(TLS.connect(name, tcp).await.map_err(Error::Tls)?).await
}

async fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Connection, Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, wasmtime_wasi::runtime::spawn(connection)))
}

static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});

/// Where a request goes. Written as `allowed_hosts` has it.
#[derive(Debug)]
struct Target {
    tls: bool,
    /// Lower-case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Target {
    fn of(uri: &Uri) -> Option<Target> {
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Target { tls, host: uri.host()?.to_ascii_lowercase(), port })
    }
}

/// One line of `allowed_hosts`: `host`, `host:port`, `*.host`, or the same after `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPattern {
    tls: bool,
    /// With a leading dot, it stands for every host that ends so.
    host: String,
    /// `None` is any port.
    port: Option<u16>,
}

impl HostPattern {
    fn parse(text: &str) -> Option<HostPattern> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (true, text),
        };
        let after_brackets = rest.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match rest[after_brackets..].split_once(':') {
            None => (rest, Some(if tls { 443 } else { 80 })),
            Some((between, "*")) => (&rest[..after_brackets + between.len()], None),
            Some((between, port)) => (&rest[..after_brackets + between.len()], Some(port.parse().ok()?)),
        };
        let host = host.strip_prefix('*').unwrap_or(host).to_ascii_lowercase();
        (!host.is_empty()).then_some(HostPattern { tls, host, port })
    }

    fn matches(&self, target: &Target) -> bool {
        let host_fits = match self.host.strip_prefix('.') {
            Some(_) => target.host.len() > self.host.len() && target.host.ends_with(&self.host),
            None => target.host == self.host,
        };
        host_fits && self.tls == target.tls && self.port.is_none_or(|port| port == target.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way out to `api.example.com`.
    fn egress(in_steps_only: bool, loose_io: bool) -> Egress {
        let rules =
            EgressRules { allowed_hosts: &["api.example.com".to_owned()], in_steps_only, loose_io, effects: None };
        Egress::new(rules, Traffic::default(), Log::to_nowhere())
    }

    #[test] // R44
    fn each_request_of_a_step_has_a_key_of_its_own_and_the_same_whenever_the_step_is_executed() {
        let keys = || {
            let mut egress = egress(true, false);
            let mut keys = vec![egress.idempotency_key()];
            for (step, execution) in [("run-1", 1), ("run-1", 1), ("run-1", 2), ("run-2", 3)] {
                egress.step = Some(OpenKey { key: step.to_owned(), execution });
                keys.push(egress.idempotency_key());
            }
            keys
        };
        let expected = [None, Some("run-1"), Some("run-1-2"), Some("run-1"), Some("run-2")];
        let expected = expected.map(|key| key.map(str::to_owned));
        assert_eq!(keys(), expected);
        assert_eq!(keys(), expected);
    }

    /// Whether a request goes out, and whether the attempt is flagged then.
    fn lets_through(egress: &mut Egress, step: Option<&str>) -> (bool, bool) {
        egress.step = step.map(|step| OpenKey { key: step.to_owned(), execution: 1 });
        let allowed = egress.check(&Uri::from_static("https://api.example.com/x")).is_ok();
        let elsewhere = egress.check(&Uri::from_static("https://example.com/"));
        assert!(elsewhere.is_err());
        (allowed, egress.used_loose_io)
    }

    #[test] // R40
    fn a_durable_program_reaches_the_network_inside_a_step_only() {
        let mut egress = egress(true, false);
        assert_eq!(lets_through(&mut egress, None), (false, false));
        assert_eq!(lets_through(&mut egress, Some("run-1")), (true, false));
        assert_eq!(lets_through(&mut egress, None), (false, false));
    }

    #[test] // R40
    fn loose_io_lets_a_durable_program_through_outside_a_step_and_flags_it() {
        let mut egress = egress(true, true);
        assert_eq!(lets_through(&mut egress, Some("run-1")), (true, false));
        assert_eq!(lets_through(&mut egress, None), (true, true));
        assert_eq!(lets_through(&mut egress, Some("run-2")), (true, true));
    }

    #[test]
    fn a_plain_program_has_no_steps_and_is_not_flagged() {
        for loose_io in [false, true] {
            assert_eq!(lets_through(&mut egress(false, loose_io), None), (true, false));
        }
    }

    fn check(pattern: &str, url: &str, allowed: bool) {
        let uri: Uri = url.parse().expect("a URL");
        let target = Target::of(&uri).expect("a host");
        let matches = HostPattern::parse(pattern).is_some_and(|pattern| pattern.matches(&target));
        assert_eq!(matches, allowed, "{pattern} and {url}");
    }

    #[test] // V11
    fn a_bare_host_is_that_host_over_https_on_its_usual_port() {
        check("api.example.com", "https://api.example.com/x", true);
        check("api.example.com", "https://API.example.com/x", true);
        check("api.example.com", "http://api.example.com/x", false);
        check("api.example.com", "https://api.example.com:8443/x", false);
        check("api.example.com", "https://evil-api.example.com/", false);
        check("api.example.com", "https://api.example.com.evil.org/", false);
    }

    #[test] // V11
    fn a_star_stands_for_subdomains_or_ports_only() {
        check("*.example.com", "https://a.example.com/", true);
        check("*.example.com", "https://a.b.example.com/", true);
        check("*.example.com", "https://example.com/", false);
        check("*.example.com", "https://evilexample.com/", false);
        check("http://127.0.0.1:*", "http://127.0.0.1:4711/", true);
        check("http://127.0.0.1:*", "http://127.0.0.2:4711/", false);
        check("*", "https://example.com/", false);
    }

    #[test] // V11
    fn an_ipv6_address_keeps_its_brackets() {
        check("http://[::1]:9000", "http://[::1]:9000/", true);
        check("http://[::1]", "http://[::1]:9000/", false);
    }

    #[test] // V11
    fn an_unknown_scheme_or_port_allows_nothing() {
        check("ftp://example.com", "https://example.com/", false);
        check("example.com:port", "https://example.com/", false);
    }
}
