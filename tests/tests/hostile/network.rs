//! A network that means no good, for the rows V7 and V11: listeners that nobody should reach, servers that answer badly or
//! never end, and a name server that says what it likes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use relume::policy::Policy;
use relume::sandbox::{Sandbox, SandboxOptions};
use relume_tests::node::{Finished, Node, Worker, compiled};
use relume_tests::process::binary;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A sandbox whose guests may reach `networks`, and whose names come from `name_server`.
pub fn sandbox(networks: &[&str], name_server: Option<SocketAddr>) -> Sandbox {
    let mut policy = Policy::default();
    policy.egress.allowed_networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
    policy.egress.nameservers.extend(name_server);
    sandbox_under(policy)
}

/// A sandbox under an operator's policy.
pub fn sandbox_under(policy: Policy) -> Sandbox {
    Sandbox::new(SandboxOptions::new(compiled(), binary()).policy(policy)).expect("a sandbox")
}

/// A node on which the guest `fetch` makes requests, and whose worker has a sandbox of its own.
pub struct Bed {
    pub node: Node,
    _worker: Worker,
}

impl Bed {
    pub async fn new(sandbox: Sandbox, allowed_hosts: &[String], more: &str) -> Bed {
        let node = Node::sqlite().await;
        node.deploy("fetch", &format!("allowed_hosts = {}\n{more}", json!(allowed_hosts))).await;
        let worker = node.worker_with(sandbox);
        Bed { node, _worker: worker }
    }

    /// What the guest was told of each request, in order, by a run that exits.
    pub async fn fetch(&self, asks: &[Value], at_once: bool) -> Vec<String> {
        let finished = self.run(asks, at_once).await;
        assert_eq!(finished.verdict(), "exited", "{finished:?}");
        serde_json::from_value(finished.output.expect("an output")).expect("a list of texts")
    }

    /// A run that makes the requests.
    pub async fn run(&self, asks: &[Value], at_once: bool) -> Finished {
        let run = self.node.start("fetch", json!({"asks": asks, "at_once": at_once}), &[]).await;
        self.node.finished(&run).await
    }
}

/// A request for `http://authority/`.
pub fn get(authority: impl ToString) -> Value {
    json!({"authority": authority.to_string()})
}

/// Counts the connections to a port of this machine. It answers them well: a guest that gets there notices.
pub struct Canary {
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl Canary {
    /// On 127.0.0.1 and, with the same port, ::1.
    pub async fn start() -> Canary {
        let connections = Arc::new(AtomicUsize::new(0));
        let v4 = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = v4.local_addr().expect("it has an address").port();
        let v6 = TcpListener::bind(("::1", port)).await.expect("the port is free there too");
        for listener in [v4, v6] {
            let connections = connections.clone();
            serve(listener, move |stream| {
                connections.fetch_add(1, Ordering::SeqCst);
                answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello".to_owned())
            });
        }
        Canary { port, connections }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A server on `ip` that treats each connection as `how` says.
pub async fn server<F>(ip: &str, how: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((ip, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    serve(listener, how);
    address
}

fn serve<F>(listener: TcpListener, how: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(how(stream));
        }
    });
}

/// Reads a request's head and answers it.
pub async fn answer(mut stream: TcpStream, text: String) {
    read_head(&mut stream).await;
    write(stream, &text).await;
}

/// Writes an answer, and waits until the other side is done with it.
pub async fn write(mut stream: TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
}

/// Reads a request's head, sends `start`, and then `piece` again and again, `pause` apart; without one, nothing more ever.
pub async fn send_for_ever(mut stream: TcpStream, start: &str, piece: &[u8], pause: Duration) {
    read_head(&mut stream).await;
    if stream.write_all(start.as_bytes()).await.is_err() {
        return;
    }
    while !piece.is_empty() && stream.write_all(piece).await.is_ok() {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
}

/// The request's head.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// What a name server says of a name.
#[derive(Clone)]
pub enum Says {
    Address(IpAddr),
    /// The name has another, and these records are of that.
    Alias(&'static str),
}

/// A name server on this machine. `zone` says what a name is when it is asked for the n-th time, from 1: as IPv4 and as
/// IPv6 together count as one.
pub async fn name_server(zone: impl Fn(&str, usize) -> Vec<Says> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
    let address = socket.local_addr().expect("it has an address");
    tokio::spawn(async move {
        let asked: Mutex<BTreeMap<(String, RecordType), usize>> = Mutex::default();
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(question) = query.queries.first() else { continue };
            let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
            let nth = {
                let mut asked = asked.lock().expect("no one panics with it");
                let nth = asked.entry((name.clone(), question.query_type())).or_default();
                *nth += 1;
                *nth
            };
            let mut response = Message::response(query.metadata.id, OpCode::Query);
            response.metadata.recursion_desired = true;
            response.metadata.recursion_available = true;
            response.add_query(question.clone());
            let mut owner = question.name().clone();
            for said in zone(&name, nth) {
                let data = match said {
                    Says::Address(IpAddr::V4(ip)) if question.query_type() == RecordType::A => RData::A(A(ip)),
                    Says::Address(IpAddr::V6(ip)) if question.query_type() == RecordType::AAAA => RData::AAAA(AAAA(ip)),
                    Says::Address(_) => continue,
                    Says::Alias(other) => {
                        let other = Name::from_ascii(other).expect("a name");
                        response.add_answer(Record::from_rdata(owner, 60, RData::CNAME(CNAME(other.clone()))));
                        owner = other;
                        continue;
                    }
                };
                response.add_answer(Record::from_rdata(owner.clone(), 60, data));
            }
            let _ = socket.send_to(&response.to_vec().expect("it is well formed"), from).await;
        }
    });
    address
}

/// A name server that hears, and says nothing.
pub async fn silent_name_server() -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
    (socket.local_addr().expect("it has an address"), socket)
}
