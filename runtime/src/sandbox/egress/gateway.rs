//! The way out of this machine, as its operator has it: which hosts are open to any app at all, who is asked for
//! addresses, which of those may be connected to, and who is believed over TLS. Names are looked up here, and the
//! connection is made to the very address that was checked: what a name server says next changes nothing. Source: V11.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use hyper::client::conn::http1;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::io::TokioIo;

use super::addresses::{self, Blocked};
use super::failures::{Failed, of_connect, of_hyper};
use super::{Body, MAX_HEAD_BYTES, MAX_HEADERS};
use crate::hosts::{Host, HostRule, Target};
use crate::policy::{EgressPolicy, TlsRoots};

/// How long one address may take, so that a second one has its turn within a call.
pub const CONNECT_EACH: Duration = Duration::from_secs(10);
/// How many of a name's addresses are tried.
pub const MAX_ADDRESSES: usize = 8;

/// What the attempts of a sandbox share.
pub struct Gateway {
    ceiling: Vec<HostRule>,
    allowed_networks: Vec<IpNet>,
    nameservers: Vec<SocketAddr>,
    roots: TlsRoots,
    /// Made for the first call that needs it: the system's list takes a while to read.
    tls: OnceLock<TlsConnector>,
}

/// A connection to which one request may be sent, and the task that carries it.
pub type Connection = (http1::SendRequest<Body>, AbortOnDropJoinHandle<Result<(), hyper::Error>>);

impl Gateway {
    /// As `policy` says.
    pub fn new(policy: &EgressPolicy) -> anyhow::Result<Gateway> {
        let rule = |line: &String| {
            let rule = HostRule::parse(line).map_err(anyhow::Error::msg);
            rule.with_context(|| format!("`{line}` of the policy's egress.allowed_hosts"))
        };
        Ok(Gateway {
            ceiling: policy.allowed_hosts.iter().map(rule).collect::<Result<_, _>>()?,
            allowed_networks: policy.allowed_networks.clone(),
            nameservers: policy.nameservers.clone(),
            roots: policy.tls_roots,
            tls: OnceLock::new(),
        })
    }

    /// Whether the operator lets any app send this request.
    pub fn allows(&self, method: &str, target: &Target) -> bool {
        self.ceiling.iter().any(|rule| rule.allows(method, target))
    }

    /// Connects to an allowed address of the target.
    pub async fn connect(&self, target: &Target) -> Result<Connection, Failed> {
        let tcp = self.connect_tcp(target).await?;
        if !target.tls {
            return handshake(tcp).await;
        }
        let name = match &target.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| Failed::new(Error::HttpRequestUriInvalid, format!("{name} can have no certificate")))?,
        };
        let tls = self.tls.get_or_init(|| connector(self.roots)).connect(name, tcp).await;
        handshake(tls.map_err(|error| of_tls(&error))?).await
    }

    /// The addresses that are allowed are tried one after the other.
    async fn connect_tcp(&self, target: &Target) -> Result<TcpStream, Failed> {
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in self.resolve(&target.host).await? {
            match addresses::check(address, &self.allowed_networks) {
                Ok(address) => allowed.push(address),
                Err(blocked) => refused = Some((address, blocked)),
            }
        }
        let mut failed = match refused {
            Some((address, blocked)) => is_blocked(target, address, blocked),
            None => Failed::new(Error::DestinationNotFound, format!("{} has no address", target.host)),
        };
        for address in allowed.into_iter().take(MAX_ADDRESSES) {
            let address = SocketAddr::new(address, target.port);
            match timeout(CONNECT_EACH, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failed = of_connect(&error),
                Err(_) => failed = of_connect(&io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failed)
    }

    /// The addresses of a host, IPv4 first: it may be the only one that leads anywhere.
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, Failed> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let resolver = self.resolver().map_err(|error| not_found(name, &error))?;
        // With the dot, a name is what it says, and not looked for in the system's own domains.
        let found = resolver.lookup_ip(format!("{name}.")).await.map_err(|error| not_found(name, &error))?;
        let mut addresses: Vec<_> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }

    /// One for each name: no answer is kept, and no run learns from another's what was asked for before.
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder: ResolverBuilder<_> = match self.nameservers.as_slice() {
            [] => Resolver::builder_tokio()?,
            servers => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, vec![], servers);
                let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
        };
        builder.options_mut().cache_size = 0;
        builder.build()
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

async fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Result<Connection, Failed> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_header_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| of_hyper(&error))?;
    Ok((sender, wasmtime_wasi::runtime::spawn(connection)))
}

fn connector(roots: TlsRoots) -> TlsConnector {
    believing(roots_of(roots))
}

fn roots_of(roots: TlsRoots) -> RootCertStore {
    let mut store = RootCertStore::empty();
    if roots == TlsRoots::System {
        // What cannot be read there is no root of ours.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

fn believing(store: RootCertStore) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap_or_else(|never| unreachable!("{never}"));
    TlsConnector::from(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

fn is_blocked(target: &Target, address: IpAddr, blocked: &Blocked) -> Failed {
    let Blocked { network, purpose } = blocked;
    let to = match target.host {
        Host::Address(_) => format!("{target}, which is in {network} ({purpose})"),
        Host::Name(_) => format!("{target}, whose address {address} is in {network} ({purpose})"),
    };
    let exception = IpNet::from(address.to_canonical());
    let allow = format!("the operator adds \"{exception}\" to `allowed_networks` under [egress] in the policy");
    Failed::refused(Error::DestinationIpProhibited, format!("a request to {to}; to allow it, {allow}"))
}

fn not_found(name: &str, error: &NetError) -> Failed {
    let code = match error {
        NetError::Timeout => Error::DnsTimeout,
        _ => Error::DnsError { rcode: Some("no address".to_owned()), info_code: None },
    };
    Failed::new(code, format!("the address of {name} was not found: {error}"))
}

fn of_tls(error: &io::Error) -> Failed {
    let code = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        _ => Error::TlsProtocolError,
    };
    Failed::new(code, format!("TLS failed: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    /// Signed by itself, for `localhost` and 127.0.0.1, until 2120.
    const CERTIFICATE: &[u8] = include_bytes!("localhost.pem");

    fn certificate() -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate")
    }

    /// A server on this machine that can only shake hands.
    async fn server() -> SocketAddr {
        let key = PrivateKeyDer::from_pem_slice(CERTIFICATE).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("they fit").with_no_client_auth();
        let acceptor =
            TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate()], key).expect("they fit")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        address
    }

    /// How a handshake ends for who believes `roots`.
    async fn shake_hands(host: &str, roots: RootCertStore) -> Result<(), String> {
        let allowed_networks = ["127.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network")).into();
        let gateway = Gateway::new(&EgressPolicy { allowed_networks, ..EgressPolicy::default() }).expect("a policy");
        assert!(gateway.tls.set(believing(roots)).is_ok());
        let target = Target::parse(true, &format!("{host}:{}", server().await.port())).expect("a target");
        gateway.connect(&target).await.map(drop).map_err(|failed| format!("{:?}", failed.error))
    }

    #[tokio::test] // V11
    async fn a_server_has_to_prove_that_it_is_who_was_asked_for() {
        let mut own = RootCertStore::empty();
        own.add(certificate()).expect("it can be believed");
        for host in ["localhost", "127.0.0.1"] {
            assert_eq!(shake_hands(host, own.clone()).await, Ok(()), "{host}");
            for roots in [TlsRoots::System, TlsRoots::Bundled] {
                let refused = shake_hands(host, roots_of(roots)).await;
                assert_eq!(refused, Err("TlsCertificateError".to_owned()), "{host} {roots:?}");
            }
        }
        let refused = shake_hands("other.localhost", own).await;
        assert_eq!(refused, Err("TlsCertificateError".to_owned()), "it is another's name");
    }
}
