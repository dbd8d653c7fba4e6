//! The world outside: a web service on a loopback port that counts what it is asked to do, and can be made to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// What the manifest of an app says that asks it.
pub const ALLOWED: &str = "allowed_hosts = [\"http://127.0.0.1:*\"]\n";

/// A running shop. It has a thread of its own, for blocking tests as well as async ones; it closes when dropped.
///
/// `POST /charge` is answered with `{"id": "charge-1"}`, the second with `charge-2`, and so on for any path.
pub struct Shop {
    address: SocketAddr,
    books: watch::Sender<Books>,
    /// Dropped, it closes the shop.
    _open: oneshot::Sender<()>,
}

/// What the shop was asked, and what it does about it, by path.
#[derive(Default)]
struct Books {
    requests: BTreeMap<String, Vec<Request>>,
    held: BTreeSet<String>,
    failures: BTreeMap<String, u32>,
    busy: BTreeMap<String, u32>,
    takes: Duration,
}

/// A POST that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Its body as JSON; null when it is none.
    pub body: Value,
}

impl Shop {
    /// Opens a shop on a free port of 127.0.0.1.
    pub fn start() -> Shop {
        let books = watch::Sender::new(Books::default());
        let (open, closed) = oneshot::channel();
        let (send_address, address) = std::sync::mpsc::channel();
        let shop = books.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
                send_address.send(listener.local_addr().expect("it is bound")).expect("the shop's owner waits for it");
                let app = axum::Router::new().fallback(serve).with_state(shop);
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.expect("the shop serves"),
                    _ = closed => {}
                }
            });
        });
        Shop { address: address.recv().expect("the shop opens"), books, _open: open }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often `POST /path` came in, held and failed ones included.
    pub fn calls(&self, path: &str) -> usize {
        self.books.borrow().calls(path)
    }

    /// The POSTs to `/path`, the oldest first.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.books.borrow().requests.get(path).cloned().unwrap_or_default()
    }

    /// From now on calls of `path` are counted and get no answer, until [`release`](Shop::release).
    pub fn hold(&self, path: &str) {
        self.books.send_modify(|books| _ = books.held.insert(path.to_owned()));
    }

    /// Answers the held calls of `path`, and those to come.
    pub fn release(&self, path: &str) {
        self.books.send_modify(|books| _ = books.held.remove(path));
    }

    /// Answers the next `times` calls of `path` with status 500.
    pub fn fail(&self, path: &str, times: u32) {
        self.books.send_modify(|books| _ = books.failures.insert(path.to_owned(), times));
    }

    /// Answers the next call of `path` with status 429 and `Retry-After: seconds`.
    pub fn be_busy(&self, path: &str, seconds: u32) {
        self.books.send_modify(|books| _ = books.busy.insert(path.to_owned(), seconds));
    }

    /// From now on it works for so long on each call, as a service does that is elsewhere and has something to do.
    pub fn take(&self, time: Duration) {
        self.books.send_modify(|books| books.takes = time);
    }

    /// Waits until `path` was called once since the shop opened.
    pub async fn wait_for_call(&self, path: &str) {
        self.wait_for_calls(path, 1).await;
    }

    /// Waits until `path` was called `n` times since the shop opened.
    pub async fn wait_for_calls(&self, path: &str, n: usize) {
        let mut books = self.books.subscribe();
        books.wait_for(|books| books.calls(path) >= n).await.expect("the shop is open");
    }
}

/// A status, how many seconds to wait before another call, and a body.
type Answer = (StatusCode, Option<u32>, Value);

impl Books {
    fn calls(&self, path: &str) -> usize {
        self.requests.get(path).map_or(0, Vec::len)
    }

    /// Writes the call down, and decides on its answer.
    fn enter(&mut self, path: &str, request: Request) -> Answer {
        let requests = self.requests.entry(path.to_owned()).or_default();
        requests.push(request);
        let number = requests.len();
        if let Some(seconds) = self.busy.remove(path) {
            return (StatusCode::TOO_MANY_REQUESTS, Some(seconds), json!({ "error": "too many requests" }));
        }
        let failures = self.failures.entry(path.to_owned()).or_default();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        match fails {
            true => (StatusCode::INTERNAL_SERVER_ERROR, None, json!({ "error": "out of order" })),
            false => (StatusCode::OK, None, json!({ "id": format!("{path}-{number}") })),
        }
    }
}

async fn serve(
    State(books): State<watch::Sender<Books>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let path = uri.path().trim_start_matches('/');
    let idempotency_key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let request = Request { idempotency_key, body: serde_json::from_slice(&body).unwrap_or_default() };
    let mut answer = None;
    books.send_modify(|books| answer = Some(books.enter(path, request)));
    let (status, wait_seconds, body) = answer.expect("it was just decided");

    let takes = books.borrow().takes;
    tokio::time::sleep(takes).await;
    let mut news = books.subscribe();
    news.wait_for(|books| !books.held.contains(path)).await.expect("the shop is open");
    let wait = wait_seconds.map(|seconds| [(RETRY_AFTER, seconds.to_string())]);
    (status, wait.map(AppendHeaders), Json(body))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// A call under way.
    fn post(shop: &Shop, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(shop.address).expect("the shop is open");
        let head = format!("POST /{path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nIdempotency-Key: k1\r\n");
        write!(stream, "{head}Content-Length: 2\r\n\r\n{{}}").expect("the request is sent");
        stream
    }

    fn answer(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        answer
    }

    #[test]
    fn calls_are_counted_by_path() {
        let shop = Shop::start();
        assert!(answer(post(&shop, "charge")).ends_with(r#"{"id":"charge-1"}"#));
        assert!(answer(post(&shop, "charge")).ends_with(r#"{"id":"charge-2"}"#));
        assert_eq!((shop.calls("charge"), shop.calls("ship")), (2, 0));
        assert_eq!(shop.requests("charge")[0], Request { idempotency_key: Some("k1".into()), body: json!({}) });
    }

    #[test]
    fn a_failure_is_counted_and_answered() {
        let shop = Shop::start();
        shop.fail("charge", 1);
        assert!(answer(post(&shop, "charge")).starts_with("HTTP/1.1 500"));
        assert!(answer(post(&shop, "charge")).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn a_busy_shop_says_when_to_ask_again() {
        let shop = Shop::start();
        shop.be_busy("charge", 7);
        let busy = answer(post(&shop, "charge"));
        assert!(busy.starts_with("HTTP/1.1 429") && busy.contains("retry-after: 7\r\n"), "{busy}");
        assert!(answer(post(&shop, "charge")).starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_held_call_is_answered_when_released() {
        let shop = Shop::start();
        shop.hold("ship");
        let held = post(&shop, "ship");
        shop.wait_for_call("ship").await;
        held.set_nonblocking(true).expect("it is a socket");
        let early = (&held).read(&mut [0]).expect_err("there is no answer yet");
        assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
        held.set_nonblocking(false).expect("it is a socket");
        shop.release("ship");
        assert!(answer(held).ends_with(r#"{"id":"ship-1"}"#));
    }
}
