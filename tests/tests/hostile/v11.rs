//! V11: guests that try to reach what they should not: this machine, its network, and what clouds tell their machines.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use relume::hosts::HostRule;
use relume::manifest::{Limit, Limits};
use relume::policy::Policy;
use relume_tests::node::LOOPBACK;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::network::{
    Bed, Canary, Says, answer, get, name_server, read_head, sandbox, sandbox_under, send_for_ever, server, write,
};
use crate::report::{Cases, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("v11_no_spelling_of_an_address_leads_to_a_private_network", spellings),
        test("v11_no_name_leads_to_a_private_network_whatever_its_server_says", names),
        test("v11_a_redirect_is_not_followed_and_leads_nowhere_new", redirects),
        test("v11_what_neither_the_app_nor_the_operator_lists_is_refused_with_the_line_that_allows_it", lists),
        test("v11_one_connection_more_than_there_may_be_is_refused", connections),
        test("v11_bodies_and_heads_end_at_their_limit", sizes),
        test("v11_no_header_or_path_leads_elsewhere", headers),
        test("v11_a_flood_of_calls_is_listed_as_far_as_the_list_goes", flood),
    ]
}

/// The ways to write an IPv4 address that some program somewhere reads.
fn ways_to_write(address: Ipv4Addr) -> Vec<String> {
    let number = u32::from(address);
    let [a, b, c, d] = address.octets();
    let (high, low) = (number >> 16, number & 0xffff);
    let wide: String = address.to_string().chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap_or(c)).collect();
    let percent: String = address.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        address.to_string(),
        format!("{address}."),
        format!("{number}"),
        format!("{number:#x}"),
        format!("0X{number:08X}"),
        format!("0{number:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
        format!("{a}.{}", number & 0xff_ffff),
        format!("{a:#x}.{}", number & 0xff_ffff),
        format!("{a}.{b}.{c}.{d}.0"),
        format!("good.example@{address}"),
        format!("good.example:80@{address}"),
        format!("{address}\\@good.example"),
        format!("{address}#@good.example"),
        format!("{address}%00"),
        format!("{address}\u{200b}"),
        address.to_string().replace('.', "。"),
        wide,
        percent,
        format!("[::ffff:{address}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:04x}:{low:04x}]"),
        format!("[::{address}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:{high:x}:{low:x}::{:x}:{:x}]", !high & 0xffff, !low & 0xffff),
        format!("[::ffff:{address}%25lo]"),
    ]
}

const PRIVATE: [Ipv4Addr; 8] = [
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 255, 255, 254),
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(192, 168, 1, 1),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

const PRIVATE_V6: [&str; 14] = [
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[ff02::1]",
    "[fec0::1]",
    "localhost",
    "LOCALHOST",
    "x.localhost",
];

/// What the guest is told of a request that goes nowhere.
fn is_refused(told: &str) -> bool {
    ["authority", "HttpRequestUriInvalid", "HttpRequestDenied", "DestinationIpProhibited", "DnsError"]
        .iter()
        .any(|word| told.starts_with(word))
}

async fn spellings(cases: &mut Cases) {
    let canary = Canary::start().await;
    let mut hosts: Vec<String> = PRIVATE.into_iter().flat_map(ways_to_write).collect();
    hosts.extend(PRIVATE_V6.map(str::to_owned));
    let authorities: Vec<_> = hosts.iter().map(|host| format!("{host}:{}", canary.port)).collect();
    // Whatever can be listed is listed: it is the address that has to be refused.
    let lines: Vec<_> = authorities.iter().map(|authority| format!("http://{authority}")).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| HostRule::parse(line).is_ok()).collect();
    assert!(lines.len() >= PRIVATE.len() * 7 && authorities.len() >= 120, "{}, {}", lines.len(), authorities.len());
    let bed = Bed::new(sandbox(&[], None), &lines, "").await;
    let asks: Vec<_> = authorities.iter().map(get).collect();
    let told = bed.fetch(&asks, false).await;
    for (authority, told) in authorities.iter().zip(&told) {
        assert!(is_refused(told), "{authority}: {told}");
        cases.add("refused");
    }
    assert!(told.iter().filter(|told| *told == "DestinationIpProhibited").count() >= lines.len() - 3, "{told:?}");
    assert_eq!(canary.connections(), 0);

    // The canary would have been seen.
    let bed = Bed::new(sandbox(&LOOPBACK, None), &lines, "").await;
    assert_eq!(bed.fetch(&asks[..1], false).await, ["200 with 5 bytes"]);
    assert_eq!(canary.connections(), 1);
}

async fn names(cases: &mut Cases) {
    let canary = Canary::start().await;
    let hello = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    // Stands for the internet.
    let public = server("127.0.0.2", move |stream| answer(stream, hello.to_owned())).await;
    let zone = |name: &str, nth: usize| {
        let to = |texts: &[&str]| texts.iter().map(|t| Says::Address(t.parse().expect("an address"))).collect();
        match name {
            "good.test" => to(&["127.0.0.2"]),
            "rebind.test" if nth == 1 => to(&["127.0.0.2"]),
            "rebind.test" | "local.test" => to(&["127.0.0.1", "::1"]),
            "both.test" => to(&["127.0.0.1", "::1", "127.0.0.2", "10.0.0.1"]),
            "mapped.test" => to(&["::ffff:127.0.0.1"]),
            "compatible.test" => to(&["::127.0.0.1"]),
            "nat64.test" => to(&["64:ff9b::7f00:1"]),
            "6to4.test" => to(&["2002:7f00:1::1"]),
            "zero.test" => to(&["0.0.0.0", "::"]),
            "metadata.test" => to(&["169.254.169.254", "fd00:ec2::254"]),
            "private.test" => to(&["10.0.0.1", "192.168.0.1", "172.16.0.1", "fd12::1"]),
            "azure.test" => to(&["168.63.129.16"]),
            "carrier.test" => to(&["100.64.0.1", "100.100.100.200"]),
            "alias.test" => {
                let mut said = vec![Says::Alias("inside.corp")];
                said.extend::<Vec<_>>(to(&["127.0.0.1", "::1"]));
                said
            }
            "local-alias.test" => vec![Says::Alias("localhost"), Says::Address(IpAddr::V4(Ipv4Addr::LOCALHOST))],
            _ => vec![],
        }
    };
    let asked = name_server(zone).await;
    let networks = ["127.0.0.2/32"];
    let lines = ["http://*.test:*".to_owned()];
    let bed = Bed::new(sandbox(&networks, Some(asked)), &lines, "").await;
    let is_public = |name: &str| get(format!("{name}:{}", public.port()));
    let is_canary = |name: &str| get(format!("{name}:{}", canary.port));

    let told = bed.fetch(&[is_public("good.test"), is_public("rebind.test"), is_canary("rebind.test")], false).await;
    assert_eq!(told, ["200 with 5 bytes", "200 with 5 bytes", "DestinationIpProhibited"]);
    // Of four addresses it is the one that is allowed, on every port.
    let told = bed.fetch(&[is_public("both.test"), is_canary("both.test")], false).await;
    assert_eq!(told, ["200 with 5 bytes", "ConnectionRefused"]);
    for _ in 0..2 {
        cases.add("refused");
    }
    let bad = [
        "local",
        "mapped",
        "compatible",
        "nat64",
        "6to4",
        "zero",
        "metadata",
        "private",
        "azure",
        "carrier",
        "alias",
        "local-alias",
    ];
    let asks: Vec<_> = bad.iter().map(|name| is_canary(&format!("{name}.test"))).collect();
    for (name, told) in bad.iter().zip(bed.fetch(&asks, false).await) {
        assert_eq!(told, "DestinationIpProhibited", "{name}");
        cases.add("refused");
    }
    let told = bed.fetch(&[is_canary("nowhere.test")], false).await;
    assert!(told[0].starts_with("DnsError"), "{told:?}");
    cases.add("refused");
    assert_eq!(canary.connections(), 0);
}

async fn redirects(cases: &mut Cases) {
    let canary = Canary::start().await;
    let here = format!("http://127.0.0.1:{}/", canary.port);
    let targets = [here.clone(), "http://169.254.169.254/latest/meta-data/".to_owned(), "//127.0.0.1/".to_owned()];
    let lines =
        [format!("http://127.0.0.1:{}", canary.port), "http://127.0.0.2:*".into(), "http://169.254.169.254".into()];
    let bed = Bed::new(sandbox(&["127.0.0.2/32"], None), &lines, "").await;
    for (status, target) in
        [301, 302, 303, 307, 308].into_iter().flat_map(|status| targets.iter().map(move |t| (status, t)))
    {
        let text = format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let server = server("127.0.0.2", move |stream| answer(stream, text.clone())).await;
        let next =
            target.trim_start_matches("http:").trim_matches('/').split('/').next().unwrap_or_default().to_owned();
        let told = bed.fetch(&[get(server), get(&next)], false).await;
        assert_eq!(told[0], format!("{status} to {target}"), "the program sees it");
        assert!(is_refused(&told[1]), "{next}: {}", told[1]);
        cases.add("refused");
    }
    assert_eq!(canary.connections(), 0);
}

async fn lists(cases: &mut Cases) {
    let canary = Canary::start().await;
    let at = format!("127.0.0.1:{}", canary.port);
    let mut policy =
        Policy::parse("[egress]\nallowed_hosts = [\"GET http://127.0.0.1:*\", \"https://*\"]").expect("a policy");
    policy.egress.allowed_networks.extend(LOOPBACK.map(|network| network.parse::<ipnet::IpNet>().expect("a network")));
    let lines = [format!("GET,POST http://{at}"), format!("http://localhost:{}", canary.port)];
    let bed = Bed::new(sandbox_under(policy), &lines, "").await;
    let asks: Vec<Value> = vec![
        get(&at),
        json!({"authority": at, "method": "POST"}),
        json!({"authority": at, "method": "DELETE"}),
        json!({"authority": at, "method": "get"}),
        json!({"authority": at, "method": "CONNECT"}),
        json!({"authority": at, "scheme": "https"}),
        json!({"authority": at, "scheme": "ftp"}),
        get("127.0.0.1"),
        get(format!("localhost:{}", canary.port)),
        get(format!("good.example.127.0.0.1.evil.test:{}", canary.port)),
    ];
    let finished = bed.run(&asks, false).await;
    let told: Vec<String> = serde_json::from_value(finished.output.clone().expect("an output")).expect("texts");
    assert_eq!(told[0], "200 with 5 bytes", "{told:?}");
    for (ask, told) in asks.iter().zip(&told).skip(1) {
        assert!(
            told.starts_with("HttpRequestDenied") || told == "HttpRequestMethodInvalid" || told == "HttpProtocolError",
            "{ask}: {told}"
        );
        cases.add("refused");
    }
    assert_eq!(canary.connections(), 1);
    let said: Vec<_> = finished.log.iter().map(|line| line.content.as_str()).collect();
    for words in [
        format!("the operator adds \"POST http://{at}\" to `allowed_hosts` under [egress] in the policy"),
        format!("add \"DELETE http://{at}\" to `allowed_hosts` in relume.toml"),
        format!("add \"https://{at}\" to `allowed_hosts` in relume.toml"),
        "add \"http://127.0.0.1\" to `allowed_hosts` in relume.toml".to_owned(),
        format!("the operator adds \"GET http://localhost:{}\" to", canary.port),
    ] {
        assert!(said.iter().any(|line| line.starts_with("refused: ") && line.contains(&words)), "{words}: {said:#?}");
    }
}

async fn connections(cases: &mut Cases) {
    let most = usize::try_from(Limits::default().get(Limit::Connections)).expect("a small number");
    // How many are being held, how many there were at most, and whether they are let go.
    let held = watch::Sender::new((0, 0, false));
    let door = held.clone();
    let server = server("127.0.0.1", move |mut stream| {
        let door = door.clone();
        async move {
            read_head(&mut stream).await;
            door.send_modify(|(now, peak, _)| (*now, *peak) = (*now + 1, (*now + 1).max(*peak)));
            door.subscribe().wait_for(|(_, _, is_open)| *is_open).await.expect("the test goes on");
            door.send_modify(|(now, _, _)| *now -= 1);
            write(stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let lines = [format!("http://{server}")];
    let bed = Bed::new(sandbox(&LOOPBACK, None), &lines, "").await;
    // And once more: they were given back.
    for _ in 0..2 {
        held.send_replace((0, 0, false));
        let asks = json!({"asks": vec![get(server); most + 4], "at_once": true});
        let run = bed.node.start("fetch", asks, &[]).await;
        bed.node.wait_for_setup_line(&run, &format!("while {most} are under way, which is the most")).await;
        held.subscribe().wait_for(|(now, _, _)| *now == most).await.expect("all are there");
        held.send_modify(|(_, _, is_open)| *is_open = true);
        let finished = bed.node.finished(&run).await;
        let told: Vec<String> = serde_json::from_value(finished.output.expect("an output")).expect("texts");
        let refused = told.iter().filter(|told| *told == "ConnectionLimitReached").count();
        let answered = told.iter().filter(|told| *told == "204 with 0 bytes").count();
        // Those that were begun after the first were let go may have found room.
        assert!(refused >= 1 && answered >= most && refused + answered == told.len(), "{told:?}");
        assert_eq!(held.borrow().1, most);
        cases.add("refused");
    }
}

async fn sizes(cases: &mut Cases) {
    let piece: &'static [u8] = &[b'x'; 8192];
    let endless =
        server("127.0.0.1", move |s| send_for_ever(s, "HTTP/1.1 200 OK\r\n\r\n", piece, Duration::ZERO)).await;
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let long = server("127.0.0.1", move |stream| send_for_ever(stream, long, piece, Duration::ZERO)).await;
    let head = server("127.0.0.1", move |s| send_for_ever(s, "HTTP/1.1 200 OK\r\nx: ", piece, Duration::ZERO)).await;
    let fields = server("127.0.0.1", |s| send_for_ever(s, "HTTP/1.1 200 OK\r\n", b"a: b\r\n", Duration::ZERO)).await;
    let sink = server("127.0.0.1", |stream| send_for_ever(stream, "", b"", Duration::ZERO)).await;
    let bed = Bed::new(sandbox(&LOOPBACK, None), &["http://127.0.0.1:*".to_owned()], "[limits]\nbody_mib = 1\n").await;
    for (ask, expected) in [
        (get(endless), "200, then HTTP response body size exceeds limit: 1048576 bytes"),
        (get(long), "HttpResponseBodySize(Some(1048576))"),
        (get(head), "HttpResponseHeaderSectionSize(Some(65536))"),
        (get(fields), "HttpResponseHeaderSectionSize(Some(65536))"),
        (
            json!({"authority": sink.to_string(), "method": "POST", "body_bytes": 2 << 20}),
            "HttpRequestBodySize(Some(1048576))",
        ),
    ] {
        let told = bed.fetch(std::slice::from_ref(&ask), false).await.remove(0);
        assert_eq!(told, expected, "{ask}");
        cases.add("cut");
    }
}

async fn headers(cases: &mut Cases) {
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = heads.clone();
    let server = server("127.0.0.1", move |mut stream| {
        let keep = keep.clone();
        async move {
            let head = read_head(&mut stream).await;
            keep.lock().expect("no one panics with it").push(head);
            write(stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let bed = Bed::new(sandbox(&LOOPBACK, None), &[format!("http://{server}")], "").await;
    let with = |name: &str, value: &str| json!({"authority": server.to_string(), "headers": [[name, value]]});
    let mut asks = vec![];
    for name in [
        "Host",
        "host",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Anything",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
    ] {
        asks.push(with(name, "169.254.169.254"));
    }
    asks.push(with("x", "a\r\nHost: 169.254.169.254"));
    asks.push(with("x\r\nHost", "169.254.169.254"));
    for path in
        ["/\r\nHost: 169.254.169.254", "http://169.254.169.254/", "169.254.169.254", "*", "/ HTTP/1.1\r\nx: y\r\n\r\n"]
    {
        asks.push(json!({"authority": server.to_string(), "path": path}));
    }
    for method in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "G T", "", "CONNECT"] {
        asks.push(json!({"authority": server.to_string(), "method": method}));
    }
    let told = bed.fetch(&asks, false).await;
    for (ask, told) in asks.iter().zip(&told) {
        assert!(!told.contains("204"), "{ask}: {told}");
        cases.add("refused");
    }
    assert_eq!(heads.lock().expect("no one panics with it").len(), 0, "none of them was sent");
    assert_eq!(bed.fetch(&[get(server)], false).await, ["204 with 0 bytes"]);
    let head = heads.lock().expect("no one panics with it").remove(0).to_lowercase();
    assert!(head.starts_with("get / http/1.1\r\n") && head.contains(&format!("host: {server}\r\n")), "{head}");
    assert!(head.contains("\r\nidempotency-key: ") && head.contains("\r\ntraceparent: 00-"), "{head}");
}

async fn flood(cases: &mut Cases) {
    let bed = Bed::new(sandbox(&[], None), &[], "").await;
    let most = usize::try_from(relume::log::MAX_RUN_CALLS).expect("a small number");
    let finished = bed.run(&vec![get("a.example"); most + 500], false).await;
    assert_eq!(finished.verdict(), "exited", "{:?}", finished.run.failure);
    let calls = bed.node.store.list_calls(finished.run.run_id, 0, 100_000).await.expect("they are listed");
    assert_eq!(calls.len(), most);
    let said = finished.log.iter().filter(|line| line.content == "500 calls are not listed: a run's list holds 10000");
    assert_eq!(said.count(), 1);
    cases.add("exited");
}
