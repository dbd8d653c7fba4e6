//! What is let through, and when; and what becomes of servers that send too much, too slowly, or not at all.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::policy::EgressPolicy;

/// A way out to what `allowed_hosts` say, under `policy`.
fn way_out(allowed_hosts: &[&str], policy: &EgressPolicy, limits: EgressLimits) -> Egress {
    let rules = EgressRules {
        gateway: Arc::new(Gateway::new(policy).expect("a good policy")),
        limits,
        run_id: Uuid::nil(),
        attempt: 1,
        allowed_hosts: &allowed_hosts.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(),
        in_steps_only: false,
        loose_io: false,
        effects: None,
    };
    Egress::new(rules, Traffic::default(), Log::to_nowhere())
}

/// A way out to `api.example.com`.
fn egress(in_steps_only: bool, loose_io: bool) -> Egress {
    let egress = way_out(&["api.example.com"], &EgressPolicy::default(), EgressLimits::from(&Limits::default()));
    Egress { in_steps_only, loose_io, ..egress }
}

/// Whether a request goes out, and whether the attempt is flagged then.
fn lets_through(egress: &mut Egress, step: Option<&str>) -> (bool, bool) {
    egress.step = step.map(|step| OpenKey { key: step.to_owned(), seq: 1, execution: 1 });
    let allowed = egress.check(&Method::GET, &Uri::from_static("https://api.example.com/x")).is_ok();
    let elsewhere = egress.check(&Method::GET, &Uri::from_static("https://example.com/"));
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

/// Why a request is refused.
fn refusal(egress: &mut Egress, method: &str, url: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    egress.check(&method, &url.parse().expect("a URL")).expect_err("it is refused").why
}

#[test] // V11
fn a_refusal_says_which_line_would_allow_it() {
    let policy = EgressPolicy { allowed_hosts: vec!["https://*".to_owned()], ..EgressPolicy::default() };
    let mut egress =
        way_out(&["GET a.example", "http://b.example:8080"], &policy, EgressLimits::from(&Limits::default()));
    for (method, url, line) in [
        ("GET", "https://c.example/", "add \"https://c.example\" to `allowed_hosts` in relume.toml"),
        ("GET", "http://c.example:81/", "add \"http://c.example:81\" to `allowed_hosts` in relume.toml"),
        ("POST", "https://a.example/", "add \"POST https://a.example\" to `allowed_hosts` in relume.toml"),
        ("GET", "http://b.example:8080/", "adds \"GET http://b.example:8080\" to `allowed_hosts` under [egress]"),
        ("GET", "https://127.1/", "`127.1`, which is no host"),
        ("GET", "https://me:secret@a.example/", "`a.example`, which names a user"),
        ("CONNECT", "https://a.example/", "tunnel"),
    ] {
        let why = refusal(&mut egress, method, url);
        assert!(why.contains(line) && !why.contains("secret"), "{why}");
    }
    drop(egress.check(&Method::GET, &Uri::from_static("https://a.example/")).expect("it is allowed"));
}

#[test] // V11
fn a_connection_more_than_there_may_be_is_refused_until_one_is_over() {
    let limits = EgressLimits { connections: 2, ..EgressLimits::from(&Limits::default()) };
    let mut egress = way_out(&["a.example"], &EgressPolicy::default(), limits);
    let uri = Uri::from_static("https://a.example/");
    let mut held: Vec<_> = (0..2).map(|_| egress.check(&Method::GET, &uri).expect("there is room")).collect();
    assert!(refusal(&mut egress, "GET", "https://a.example/").contains("2 are under way"));
    held.pop();
    drop(egress.check(&Method::GET, &uri).expect("there is room again"));
}

/// A server on this machine that writes `answer` and then, as long as it is read, `more`.
async fn server(answer: &'static str, more: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 16 * 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                while !more.is_empty() && stream.write_all(more).await.is_ok() {}
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

/// A way out to this machine with small limits.
fn to_here() -> Egress {
    let limits = EgressLimits { connections: 1, body_bytes: 100_000, call: Duration::from_secs(2) };
    let allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    way_out(&["http://127.0.0.1:*"], &EgressPolicy { allowed_networks, ..EgressPolicy::default() }, limits)
}

/// What a program gets: the length of the body, or the code in place of an answer or within it.
async fn fetch(egress: &mut Egress, url: &str, body: Vec<u8>, options: RequestOptions) -> Result<usize, String> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let request = Request::post(url).header("host", host).body(body).expect("a request");
    let answer = Box::into_pin(egress.send_request(request, Some(options), Box::new(async { Ok(()) }))).await;
    let (response, rest) = answer.map_err(|error| format!("{error:?}"))?;
    let rest = tokio::spawn(Box::into_pin(rest));
    let read = response.into_body().collect().await;
    rest.abort();
    Ok(read.map_err(|error| format!("within: {error:?}"))?.to_bytes().len())
}

async fn check(answer: &'static str, more: &'static [u8], body: Vec<u8>, expected: &str) {
    let url = format!("http://{}/x", server(answer, more).await);
    let mut egress = to_here();
    // Twice: what the first one held is given back.
    for _ in 0..2 {
        let ended = match fetch(&mut egress, &url, body.clone(), RequestOptions::default()).await {
            Ok(length) => length.to_string(),
            Err(error) => error,
        };
        assert!(ended.contains(expected), "{expected}: {ended}");
    }
}

#[tokio::test] // V11
async fn a_body_is_as_long_as_it_may_be() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"", vec![0; 100_000], "5").await;
    check("HTTP/1.1 204 No Content\r\n\r\n", b"", vec![], "0").await;
}

#[tokio::test] // V11
async fn a_body_that_is_too_long_ends_the_call_in_either_direction() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    check(endless, &[b'x'; 4096], vec![], "within: HttpResponseBodySize(Some(100000))").await;
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n";
    check(long, b"", vec![], "HttpResponseBodySize(Some(100000))").await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    check(chunked, b"10\r\n0123456789abcdef\r\n", vec![], "within: HttpResponseBodySize").await;
    check("", b"", vec![0; 100_001], "HttpRequestBodySize(Some(100000))").await;
}

#[tokio::test] // V11
async fn a_head_that_is_too_long_is_no_answer() {
    check("HTTP/1.1 200 OK\r\nx: ", &[b'x'; 4096], vec![], "HttpResponseHeaderSectionSize(Some(65536))").await;
    check("HTTP/1.1 200 OK\r\n", b"a: b\r\n", vec![], "HttpResponseHeaderSectionSize(Some(65536))").await;
}

#[tokio::test] // V7
async fn what_does_not_come_in_time_ends_the_call() {
    check("", b"", vec![], "ConnectionReadTimeout").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", b"", vec![], "within: ConnectionReadTimeout").await;
    // Answers that are none go on for ever.
    check("", b"HTTP/1.1 100 Continue\r\n\r\n", vec![], "ConnectionReadTimeout").await;
}

#[tokio::test] // V7
async fn a_program_may_have_less_patience() {
    let url = format!("http://{}/x", server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", b"").await);
    let between_bytes_timeout = Some(Duration::from_millis(50));
    let options = RequestOptions { between_bytes_timeout, ..RequestOptions::default() };
    let began = Instant::now();
    let error = fetch(&mut to_here(), &url, vec![], options).await.expect_err("the rest never comes");
    assert!(error.contains("ConnectionReadTimeout") && began.elapsed() < Duration::from_secs(2), "{error}");
}

#[tokio::test] // V11
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let address = server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n", b"").await;
    assert_eq!(fetch(&mut to_here(), &format!("http://{address}/"), vec![], RequestOptions::default()).await, Ok(0));
}
