//! V14: bodies that are compressed, that say they are, or that do not end. Nothing is unpacked, so that nothing
//! grows; what is too much is refused while it arrives.

use libtest_mimic::Trial;
use relume_tests::raw::{self, RawAnswer};
use relume_tests::server::{Server, answer};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::report::{Cases, test};

const MIB: usize = 1 << 20;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v14_a_compressed_body_is_refused", compressed),
        test("v14_a_bomb_of_parts_is_refused", parts),
        test("v14_a_body_without_end_is_cut_off", endless),
    ]
}

async fn compressed(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    // What unpacks to 64 MiB of zeros, as gzip says it; nobody unpacks it here.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &vec![0xaa; 64 * 1024]].concat();
    let before = server.process.resident_bytes();
    for encoding in
        ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "GZIP", "gzip, gzip", "identity, gzip", "\u{e9}"]
    {
        for (method, path) in [
            (Method::POST, "/v1/apps/hello/versions"),
            (Method::POST, "/v1/apps/hello/runs"),
            (Method::POST, "/v1/apps"),
            (Method::PATCH, "/v1/apps/hello"),
        ] {
            let request = server.request(method, path).header("content-encoding", encoding).body(bomb.clone());
            let problem = answer(request).await.problem(415, "unsupported_encoding");
            assert_eq!(problem["field"], "content-encoding");
            assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("uncompressed")), "{problem}");
            cases.add("415");
        }
    }
    let plain = server.request(Method::POST, "/v1/apps/hello/runs").header("content-encoding", "identity");
    assert_eq!(answer(plain.json(&json!({}))).await.status, 201);
    // A component that is compressed, and does not say so, is no component.
    for magic in [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0"] {
        server.upload("hello", [magic, &bomb].concat(), "").await.problem(422, "not_wasm");
        cases.add("422");
    }
    let growth = server.process.peak_bytes().saturating_sub(before);
    assert!(growth < 64 * MIB, "the server grew by {} MiB", growth / MIB);
}

/// What the server says to these bytes as the body of an upload.
async fn upload(server: &Server, headers: &str, body: &[u8]) -> RawAnswer {
    let head = format!(
        "POST /v1/apps/hello/versions HTTP/1.1\r\nHost: relume\r\nAuthorization: Bearer {}\r\nConnection: close\r\n{headers}\r\n",
        server.token
    );
    raw::send(&server.url, &[head.as_bytes(), body].concat()).await
}

async fn parts(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    let part = |name: &str, headers: &str, body: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n{body}\r\n")
    };
    let bombs = [
        ("100,000 parts", part("component", "", "x").repeat(100_000)),
        ("unknown parts", part("other", "", "x").repeat(1000)),
        ("a part with no name", "--x\r\n\r\nx\r\n--x--\r\n".to_owned()),
        ("a name of 1 MiB", part(&"n".repeat(MIB), "", "x")),
        ("a header of 1 MiB", part("component", &format!("X-Large: {}\r\n", "h".repeat(MIB)), "x")),
        ("100,000 headers", part("component", &"X-Many: h\r\n".repeat(100_000), "x")),
        ("a part that does not end", "--x\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\nx".to_owned()),
        ("a head that does not end", "--x\r\nContent-Disposition: form-data".to_owned()),
        ("a manifest of 2 MiB", part("manifest", "", &"#".repeat(2 * MIB))),
        (
            "a part within a part",
            part("component", "Content-Type: multipart/mixed; boundary=y\r\n", "--y\r\n\r\nx\r\n--y--"),
        ),
        ("a part that says it is compressed", part("component", "Content-Encoding: gzip\r\n", "\u{1f}")),
        ("nothing but boundaries", "--x\r\n".repeat(100_000)),
        ("no boundary", "x".repeat(MIB)),
        ("the end first", "--x--\r\n".to_owned()),
    ];
    let before = server.process.resident_bytes();
    for (name, body) in bombs {
        let headers = format!("Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n", body.len());
        let answer = upload(&server, &headers, body.as_bytes()).await;
        let status = answer.status.unwrap_or_else(|| panic!("{name}: {answer:?}"));
        assert!((400..500).contains(&status), "{name}: {answer:?}");
        assert!(answer.text.contains("\"detail\""), "{name}: {answer:?}");
        cases.add("4xx");
    }
    for kind in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x", "text/plain", ""]
    {
        let answer = upload(&server, &format!("Content-Type: {kind}\r\nContent-Length: 3\r\n"), b"--x").await;
        assert!(answer.status.is_some_and(|status| (400..500).contains(&status)), "{kind}: {answer:?}");
        cases.add("4xx");
    }
    let growth = server.process.peak_bytes().saturating_sub(before);
    assert!(growth < 64 * MIB, "the server grew by {} MiB", growth / MIB);
}

async fn endless(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    let (token, before) = (&server.token, server.process.resident_bytes());
    let head = |path: &str, kind: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: relume\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    };
    let begun = "--x\r\nContent-Disposition: form-data; name=\"component\"\r\n\r\n";
    for (path, kind, first) in [
        ("/v1/apps/hello/versions", "multipart/form-data; boundary=x", begun),
        ("/v1/apps/hello/versions", "multipart/form-data; boundary=x", ""),
        ("/v1/apps/hello/runs", "application/json", "{\"input\": \""),
        ("/v1/apps/hello/runs", "application/json", ""),
    ] {
        let mut stream = raw::connect(&server.url).await;
        stream.write_all(head(path, kind).as_bytes()).await.expect("it is sent");
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        if !first.is_empty() {
            stream.write_all(&chunk(first.as_bytes())).await.expect("it is sent");
        }
        let (mut sent, megabyte) = (0, chunk(&vec![b'a'; MIB]));
        // Twice the largest upload and more, unless the server has heard enough.
        while sent < 200 && stream.write_all(&megabyte).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 200, "{path}: 200 MiB were taken");
        let answer = raw::read(&mut stream).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{path}: {answer:?}");
        cases.add("cut off");
    }
    for (name, body) in [
        ("a chunk of more than there is", "ffffffffffffffff\r\nx"),
        ("a length that is none", "-1\r\nx\r\n"),
        ("an extension of 100 KiB", &format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(100 << 10))),
        ("trailers without end", &format!("1\r\nx\r\n0\r\n{}\r\n", "X-More: x\r\n".repeat(20_000))),
    ] {
        let request = [head("/v1/apps/hello/runs", "application/json").as_bytes(), body.as_bytes()].concat();
        let answer = raw::send_and_leave(&server.url, &request).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{name}: {answer:?}");
        cases.add("refused");
    }
    for encoding in ["gzip, chunked", "chunked, chunked", "gzip", "chunked, identity", "xchunked"] {
        let head = head("/v1/apps/hello/runs", "application/json").replace(": chunked", &format!(": {encoding}"));
        let answer = raw::send_and_leave(&server.url, &[head.as_bytes(), b"2\r\n{}\r\n0\r\n\r\n"].concat()).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{encoding}: {answer:?}");
        cases.add("refused");
    }
    assert_eq!(server.get("/v1/apps/hello").await.status, 200);
    // One upload of the largest size, read into memory, and as much again while it grew there.
    let growth = server.process.peak_bytes().saturating_sub(before);
    println!("V14: bodies without end: the server grew by {} MiB at most", growth / MIB);
    assert!(growth < 200 * MIB, "the server grew by {} MiB", growth / MIB);
}
