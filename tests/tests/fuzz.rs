//! What comes from outside, bent in every way: uploads, requests, manifests and policies, and the rows of a journal.
//! Nothing panics, nothing is our fault, and what is taken is whole.
//!
//! Each target begins with its corpus, `tests/corpus/TARGET`, and goes on with what chance makes of it: 300 cases, or as
//! many as there is time for with `RELUME_FUZZ_SECONDS=60`. An input that fails is made small and kept in the corpus.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use relume::manifest::{Manifest, Settings};
use relume::policy::Policy;
use relume::sandbox::check_upload;
use relume::store::{Due, EntryKind, EntryState, JournalEntry, Usage};
use relume_tests::alone::Alone;
use relume_tests::guests::{self, workspace};
use relume_tests::node::{Node, sandbox};
use relume_tests::raw;
use relume_tests::server::Server;
use relume_tests::sql;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Cases of a target when no time is set.
const CASES: u32 = 300;
/// Cases between two looks at the clock.
const ROUND: u32 = 50;

/// What the pieces of an input are changed into: each has meant something to a parser.
const TOKENS: [&[u8]; 28] = [
    b"\0",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\"",
    b"'''",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b"..",
    b"%00",
    b"%2f",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"18446744073709551616",
    b"-1",
    b"1e999",
    b"nan",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\0asm\x0d\0\x01\0",
    b"\0asm\x01\0\0\0",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1",
    b"*",
    b"\x7fELF",
];

/// A change of an input: where in 65,536ths of its length, what, and with what.
type Change = (u16, u8, u16);

fn change(input: &mut Vec<u8>, (place, kind, with): Change) {
    let at = input.len() * usize::from(place) / 65_536;
    let end = (at + usize::from(with) % 64).min(input.len());
    match kind % 7 {
        0 if at < input.len() => input[at] ^= 1 << (with % 8),
        1 if at < input.len() => input[at] = with as u8,
        2 => drop(input.splice(at..at, TOKENS[usize::from(with) % TOKENS.len()].iter().copied())),
        3 => drop(input.drain(at..end)),
        4 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece.repeat(1 + usize::from(with >> 8) % 16));
        }
        5 => input.truncate(at),
        _ => drop(input.splice(at..end, TOKENS[usize::from(with) % TOKENS.len()].iter().copied())),
    }
}

/// Inputs made of `seeds`, or of nothing.
fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = || proptest::collection::vec(any::<Change>(), 0..8);
    let changed = (proptest::sample::select(seeds), changes()).prop_map(|(mut input, changes)| {
        changes.into_iter().for_each(|it| change(&mut input, it));
        input
    });
    prop_oneof![8 => changed, 1 => proptest::collection::vec(any::<u8>(), 0..512)]
}

fn corpus(target: &str) -> PathBuf {
    workspace().join("tests/corpus").join(target)
}

/// Checks the corpus of `target`, then what chance makes of it and of `more`. `check` says how an input ended.
fn fuzz(target: &str, more: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> String) {
    let ends = RefCell::new(BTreeMap::<String, u32>::new());
    let check = |input: &[u8]| {
        let end = check(input);
        *ends.borrow_mut().entry(end).or_default() += 1;
    };
    let mut seeds = vec![];
    for entry in fs::read_dir(corpus(target)).expect("every target has a corpus") {
        let path = entry.expect("it is readable").path();
        let input = fs::read(&path).expect("it is readable");
        eprintln!("{target}: {}", path.display());
        check(&input);
        seeds.push(input);
    }
    seeds.extend(more);
    let time = std::env::var("RELUME_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    // Counted where they are checked, so that the number is of what was done.
    let (began, cases) = (Instant::now(), Cell::new(0_u32));
    let config = Config { cases: ROUND, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let strategy = inputs(seeds);
    while match time {
        Some(seconds) => began.elapsed() < Duration::from_secs(seconds),
        None => cases.get() < CASES,
    } {
        let before = cases.get();
        // A runner counts over all its runs: one that has had its cases makes no more.
        let result = TestRunner::new(config.clone()).run(&strategy, |input| {
            cases.set(cases.get() + 1);
            catch_unwind(AssertUnwindSafe(|| check(&input))).map_err(|_| TestCaseError::fail("it panicked"))
        });
        match result {
            Ok(()) => assert!(cases.get() >= before + ROUND, "{target}: a round checked nothing"),
            Err(TestError::Fail(reason, input)) => {
                let path = corpus(target).join(format!("found-{}", input.len()));
                fs::write(&path, &input).expect("the input is kept");
                panic!("{target}: {reason}; the input is in {}", path.display());
            }
            Err(TestError::Abort(reason)) => panic!("{target}: {reason}"),
        }
    }
    let ends = ends.into_inner();
    println!("{target}: {} cases in {:?}: {ends:?}", cases.get(), began.elapsed());
    assert!(ends.len() > 1, "{target}: every input comes to the same end, so that nothing is told by it");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test] // V5, V6
fn any_upload_is_an_app_or_refused() {
    let runtime = runtime();
    let taken = Cell::new(0);
    let guests = ["plain", "steps"].map(|guest| fs::read(guests::path(guest)).expect("it was built"));
    fuzz("upload", guests.to_vec(), |input| match check_upload(input) {
        Err(refusal) => {
            assert!(!refusal.code().is_empty() && !refusal.hint().is_empty() && refusal.to_string().len() < 64 * 1024);
            refusal.code().to_owned()
        }
        Ok(_) => {
            taken.set(taken.get() + 1);
            // The compiler has a process of its own, which takes time: some of them.
            if taken.get() % 8 == 0 {
                return match runtime.block_on(sandbox().inspect(input.to_vec())) {
                    Ok(_) => "compiled".to_owned(),
                    Err(refusal) => {
                        assert_ne!(refusal.code(), "host", "{refusal}");
                        refusal.code().to_owned()
                    }
                };
            }
            "taken".to_owned()
        }
    });
}

#[test] // V22
fn any_bytes_on_a_connection_are_answered_or_refused() {
    let runtime = runtime();
    let server = runtime.block_on(async {
        let server = Server::sqlite();
        server.deploy("hello", "").await;
        server
    });
    // The corpus holds no token; with this one a request comes further.
    let line = format!("Authorization: Bearer {}\r\n", server.token);
    let with_token = |input: &[u8]| {
        let at = input.windows(2).position(|bytes| bytes == b"\r\n").map_or(input.len(), |at| at + 2);
        [&input[..at], line.as_bytes(), &input[at..]].concat()
    };
    let cases = Cell::new(0);
    fuzz("http", vec![], |input| {
        let mut end = String::new();
        for request in [input.to_vec(), with_token(input)] {
            let answer = runtime.block_on(raw::send_and_leave(&server.url, &request));
            assert!(answer.status.is_none_or(|status| status < 500), "{answer:?}");
            end = answer.status.map_or("none".to_owned(), |status| status.to_string());
        }
        cases.set(cases.get() + 1);
        if cases.get() % 50 == 0 {
            assert_eq!(runtime.block_on(server.get("/readyz")).status, 200);
        }
        end
    });
    assert!(!server.process.said().iter().any(|line| line.contains("panicked")), "{:#?}", server.process.said());
}

#[test]
fn any_text_is_a_manifest_or_refused() {
    fuzz("manifest", vec![], |input| {
        let text = String::from_utf8_lossy(input);
        let manifest = Manifest::parse(&text);
        let end = if manifest.is_ok() { "taken" } else { "refused" };
        if let Ok(manifest) = manifest {
            let settings = manifest.settings();
            let kept = serde_json::to_string(&settings).expect("it can be kept");
            let read: Settings = serde_json::from_str(&kept).expect("and read again");
            assert_eq!(read, settings);
        }
        end.to_owned()
    });
}

#[test]
fn any_text_is_a_policy_or_refused() {
    fuzz("policy", vec![], |input| {
        let text = String::from_utf8_lossy(input);
        let policy = Policy::parse(&text);
        let end = if policy.is_ok() { "taken" } else { "refused" };
        if let Ok(policy) = policy {
            let shown = serde_json::to_string(&policy).expect("it can be shown");
            assert_eq!(serde_json::from_str::<Policy>(&shown).expect("and read again"), policy);
        }
        end.to_owned()
    });
}

/// Values read off the bytes of an input, zeros at its end.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.0.len().min(N);
        bytes[..taken].copy_from_slice(&self.0[..taken]);
        self.0 = &self.0[taken..];
        bytes
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.number();
        byte
    }

    /// Mostly a small one, as in a real row.
    fn count(&mut self) -> u32 {
        match self.byte() {
            255 => u32::MAX,
            254 => u32::from_le_bytes(self.number()),
            small => u32::from(small % 5),
        }
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 32).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn moment(&mut self) -> Timestamp {
        Timestamp::from_millisecond(i64::from_le_bytes(self.number()) % 250_000_000_000_000).unwrap_or(Timestamp::MIN)
    }

    /// An entry that could stand in a row, be it true or not.
    fn entry(&mut self, seq: u32) -> JournalEntry {
        let kinds = EntryKind::ALL;
        // Mostly what the program does ask for.
        let is_likely = self.byte() < 200;
        let kind = if is_likely { EntryKind::Step } else { kinds[usize::from(self.byte()) % kinds.len()] };
        let name = if is_likely { format!("step-{seq}") } else { self.text() };
        let occurrence = if is_likely { 1 } else { self.count() };
        let state = match self.byte() % 8 {
            0 => EntryState::Begun,
            1 => EntryState::Again(self.text()),
            2 => EntryState::Waiting,
            3 => EntryState::Failed(self.text()),
            4 => EntryState::Indeterminate,
            5 => EntryState::Finished(self.text().into_bytes()),
            // A number, as the program's steps return it.
            _ => EntryState::Finished(vec![self.byte()]),
        };
        JournalEntry {
            seq: if self.byte() < 240 { seq } else { self.count() },
            attempt: self.count(),
            version: self.count(),
            kind,
            name,
            occurrence,
            request: if is_likely { vec![] } else { self.text().into_bytes() },
            state,
            tries: self.count(),
            tries_before: self.count(),
            due: (self.byte().is_multiple_of(4)).then(|| Due::At(self.moment())),
            took: Duration::from_micros(self.count().into()),
            usage: Usage { fuel: u64::from_le_bytes(self.number()), ..Usage::default() },
            seeds: self.count(),
            recorded_at: self.moment(),
        }
    }
}

#[test] // R40
fn any_journal_is_replayed_or_told_to_be_another() {
    let runtime = runtime();
    let program = runtime
        .block_on(Alone::new(fs::read(guests::path("steps")).expect("it was built"), "[limits]\nfuel = 500_000_000\n"));
    let program = program.input(b"4").time(Duration::from_secs(20));
    fuzz("journal", vec![], |input| {
        let mut source = Source(input);
        let length = u32::from(source.byte() % 8);
        let entries = (1..=length).map(|seq| source.entry(seq)).collect();
        // The verdict is never that Relume failed: that is checked where it is read.
        let verdict = runtime.block_on(program.clone().recorded(entries).verdict());
        assert_ne!(verdict, "crashed timeout", "it does not end");
        // What it waits for is of no importance here.
        verdict.split(['{', '(']).next().unwrap_or_default().to_owned()
    });
}

#[test] // R40
fn any_row_of_a_journal_is_read_or_refused() {
    let runtime = runtime();
    let (node, run) = runtime.block_on(async {
        let node = Node::sqlite().await;
        let app = node.deploy("steps", "").await;
        let run = node.start(&app, json!(3), &[]).await;
        let worker = node.worker();
        node.finished(&run).await;
        worker.stop().await;
        (node, run)
    });
    let columns = [
        "seq",
        "attempt",
        "version",
        "kind",
        "name",
        "occurrence",
        "request",
        "state",
        "payload",
        "tries",
        "tries_before",
        "seeds",
        "due_at",
        "took_us",
        "fuel",
        "recorded_at",
    ];
    fuzz("rows", vec![], |input| {
        let mut source = Source(input);
        let column = columns[usize::from(source.byte()) % columns.len()];
        let value = match source.byte() % 5 {
            0 => i64::from_le_bytes(source.number()).to_string(),
            1 => "-1".to_owned(),
            2 => format!("x'{}'", relume::sandbox::hex(source.text().as_bytes())),
            3 => format!("'{}'", source.text().replace(['\'', '\0'], "?")),
            _ => "1e300".to_owned(),
        };
        runtime.block_on(async {
            let seq = source.byte() % 3 + 1;
            let changed =
                format!("pragma ignore_check_constraints = 1; update journal set {column} = {value} where seq = {seq}");
            // What the types of the columns forbid is refused before it is read.
            let is_changed = sql::try_run(&node.url, &changed).await.is_ok();
            let end = match node.store.load_journal(run.run_id).await {
                _ if !is_changed => "refused by the database",
                Ok(entries) => {
                    assert!(entries.len() <= 3);
                    "read"
                }
                Err(_) => "refused when it is read",
            };
            let reset =
                "update journal set attempt = 1, version = 1, kind = 'step', name = 'step-' || seq, occurrence = 1,
                 request = x'', state = 'finished', payload = x'01', tries = 1, tries_before = 0, seeds = 0,
                 due_at = null, took_us = 0, fuel = 0, recorded_at = 0 where seq between 1 and 3;
                 delete from journal where seq not between 1 and 3";
            sql::run(&node.url, reset).await;
            end.to_owned()
        })
    });
}
