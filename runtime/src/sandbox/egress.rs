//! Where may a guest send HTTP requests? Only here is a connection made for a guest: to hosts its
//! manifest lists, without redirects, proxies or anything inherited from the environment.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
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

use crate::kill_point;
use crate::log::Log;

/// The longest a request may take to connect, and to answer its first byte. Source: V7.
const MAX_CALL: Duration = Duration::from_secs(120);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request's or answer's body.
type Body = UnsyncBoxBody<Bytes, Error>;
/// The rest of the work behind an answer whose headers are there.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What one attempt may reach.
#[derive(Clone)]
pub struct Egress {
    allowed: Arc<[HostPattern]>,
    log: Log,
    /// The step that is being executed, by a key that is the same whenever it is. Source: R44.
    pub step: Option<String>,
    /// The step of the last request, and how many it has sent.
    sent: (Option<String>, u32),
}

impl Egress {
    /// Allows what `allowed_hosts` lists; refusals are said in `log`.
    pub fn new(allowed_hosts: &[String], log: Log) -> Egress {
        let allowed = allowed_hosts.iter().filter_map(|text| HostPattern::parse(text)).collect();
        Egress { allowed, log, step: None, sent: (None, 0) }
    }

    /// The key of the next request: the step's, and from the second request of a step on, its number.
    fn idempotency_key(&mut self) -> Option<String> {
        let step = self.step.as_ref()?;
        if self.sent.0.as_ref() != Some(step) {
            self.sent = (Some(step.clone()), 0);
        }
        self.sent.1 = self.sent.1.saturating_add(1);
        match self.sent.1 {
            1 => Some(step.clone()),
            n => Some(format!("{step}-{n}")),
        }
    }

    fn check(&self, uri: &Uri) -> Result<Target, Error> {
        let target = Target::of(uri).ok_or(Error::HttpRequestUriInvalid)?;
        if self.allowed.iter().any(|pattern| pattern.matches(&target)) {
            return Ok(target);
        }
        let Target { tls, host, port } = &target;
        let scheme = if *tls { "https" } else { "http" };
        self.log.setup(&format!(
            "refused: a request to {scheme}://{host}:{port}; to allow it, add \"{scheme}://{host}:{port}\" to \
             `allowed_hosts` in relume.toml"
        ));
        Err(Error::HttpRequestDenied)
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
        Box::new(async move {
            kill_point::reach("before_effect");
            let answer = send(target?, request, options).await;
            kill_point::reach("after_effect");
            answer
        })
    }
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

/// Where a request goes.
struct Target {
    tls: bool,
    /// Lower-case; an IPv6 address in brackets.
    host: String,
    port: u16,
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

    #[test] // R44
    fn each_request_of_a_step_has_a_key_of_its_own_and_the_same_whenever_the_step_is_executed() {
        let keys = || {
            let mut egress = Egress::new(&[], Log::to_terminal());
            let mut keys = vec![egress.idempotency_key()];
            for step in ["run-1", "run-1", "run-2"] {
                egress.step = Some(step.to_owned());
                keys.push(egress.idempotency_key());
            }
            keys
        };
        let expected = [None, Some("run-1"), Some("run-1-2"), Some("run-2")].map(|key| key.map(str::to_owned));
        assert_eq!(keys(), expected);
        assert_eq!(keys(), expected);
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
