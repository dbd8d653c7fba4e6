//! V5: uploads that are dear to compile. Each is refused in its time, by a child that has limits or before there is one,
//! and the server does not feel it.

use std::time::Duration;

use libtest_mimic::Trial;
use relume::policy::{CompilePolicy, Policy};
use relume::sandbox::{Sandbox, SandboxOptions};
use relume_tests::process::{binary, children, resident_kib};
use relume_tests::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::bombs::{bombs, slow};
use crate::bytes::tiny;
use crate::report::{Cases, test};

/// For what is refused by counts, on a busy machine and without optimisation.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What the server may keep of what it was sent.
const KEPT_KIB: u64 = 64 * 1024;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v05_compile_bombs_are_refused_in_their_time", refused),
        test("v05_the_server_does_not_feel_compile_bombs", beside),
        test("v05_a_compiler_that_is_killed_is_no_fault_of_the_upload", killed),
    ]
}

async fn refused(cases: &mut Cases) {
    assert_eq!(CompilePolicy::default(), CompilePolicy { cpu_seconds: 60, memory_mib: 2048, at_once: 2 });
    let compile = CompilePolicy { cpu_seconds: 3, memory_mib: 512, at_once: 1 };
    let folder = tempfile::tempdir().expect("a folder");
    let options = SandboxOptions::new(folder.path(), binary()).policy(Policy { compile, ..Policy::default() });
    let sandbox = Sandbox::new(options).expect("a sandbox");
    for (name, bomb, code) in bombs() {
        let began = Instant::now();
        let verdict = match sandbox.inspect(bomb).await {
            Ok(_) => "compiles",
            Err(refusal) => {
                assert!(!refusal.hint().is_empty());
                println!("{name}: {refusal}");
                refusal.code()
            }
        };
        let took = began.elapsed();
        println!("{name}: {verdict} after {took:?}");
        match code {
            Some(code) => assert!(verdict == code && took < AT_ONCE, "{name}: {verdict} after {took:?}"),
            None => assert!(verdict != "host", "{name}"),
        }
        cases.add(verdict);
    }
    sandbox.inspect(tiny()).await.expect("it is still there for others");
}

async fn beside(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[compile]\ncpu_seconds = 3\nmemory_mib = 512\n").expect("written");
    let server = Server::sqlite_with(&[], &[("RELUME_POLICY", policy.to_str().expect("text"))]);
    let app = |name: &str| server.post("/v1/apps", format!("{{\"name\":\"{name}\"}}"));
    app("bad").await;
    app("good").await;
    assert_eq!(server.upload("good", tiny(), "").await.status, 201);
    let before = resident_kib(server.process.id());
    let (bad, good) = tokio::join!(
        async {
            let mut codes = vec![];
            for (name, bomb, _) in bombs() {
                let answer = server.upload("bad", bomb, "").await;
                let code = if answer.status == 201 { "compiles".to_owned() } else { answer.json()["code"].to_string() };
                assert!([201, 413, 422].contains(&answer.status), "{name}: {answer:?}");
                codes.push(code);
            }
            codes
        },
        async {
            let mut longest = Duration::ZERO;
            for n in 0..10 {
                let began = Instant::now();
                let good =
                    server.upload("good", crate::bytes::app_with(&[crate::bytes::section(0, &[0, n])]), "").await;
                assert_eq!(good.status, 201, "{good:?}");
                longest = longest.max(began.elapsed());
            }
            longest
        }
    );
    let after = resident_kib(server.process.id());
    println!("the server held {before} KiB before and {after} KiB after; a good upload took {good:?} at most");
    assert!(after < before + KEPT_KIB, "{before} KiB before, {after} KiB after");
    for code in bad {
        cases.add(code.trim_matches('"'));
    }
    cases.add("good beside it");
}

async fn killed(cases: &mut Cases) {
    let server = Server::sqlite();
    server.post("/v1/apps", "{\"name\":\"app\"}").await;
    let kill = async {
        let child = loop {
            if let [child] = children(server.process.id())[..] {
                break child;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let pid = Pid::from_raw(i32::try_from(child).expect("a number of a process")).expect("it is not 0");
        kill_process(pid, Signal::KILL).expect("it is there");
    };
    let (answer, ()) = tokio::join!(server.upload("app", slow(), ""), kill);
    answer.problem(500, "internal");
    cases.add("host");
    assert_eq!(server.upload("app", tiny(), "").await.status, 201, "the server is there");
    cases.add("good beside it");
}
