//! V15: machine code that we did not make, or that was changed since: as an upload, and in the folder where compiled
//! components are kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use relume::sandbox::{Refusal, Sandbox, engine_config};
use relume::store::StoreError;
use relume_tests::alone::Alone;
use relume_tests::component::{numbered, plain};
use relume_tests::dice::Dice;
use relume_tests::node::{Node, sandbox_in};
use relume_tests::process::Process;
use relume_tests::server::Server;
use serde_json::Value;
use wasmtime::{Config, Engine};

use crate::report::{Cases, test};

const FLIPS: usize = 1000;

pub fn tests() -> Vec<Trial> {
    vec![
        test("v15_no_changed_bit_of_machine_code_is_loaded", flips),
        test("v15_changed_machine_code_is_made_again_and_the_run_ends_well", made_again),
        test("v15_machine_code_is_no_upload", uploads),
        test("v15_files_that_change_places_are_not_loaded", swaps),
    ]
}

fn program() -> Vec<u8> {
    plain(r#"(func (export "run") (result i32) (i32.const 0))"#)
}

/// The files of machine code in a cache.
fn files(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).expect("the cache is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it is readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    files.sort();
    files
}

/// Compiles these in `cache`, and returns their digests.
async fn fill(cache: &Path, components: &[Vec<u8>]) -> Vec<String> {
    let sandbox = sandbox_in(cache);
    let mut digests = vec![];
    for component in components {
        digests.push(sandbox.inspect(component.clone()).await.expect("it is an app").digest);
    }
    digests
}

/// Whether the cache's file was loaded. What is not loaded is asked for again, and here there is nothing to be had.
async fn is_loaded(sandbox: &Sandbox, digest: &str) -> bool {
    sandbox.load(digest, async || Err(StoreError::NotFound("the component".to_owned()))).await.is_ok()
}

async fn flips(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let digests = fill(folder.path(), &[program()]).await;
    let path = files(folder.path()).pop().expect("one file");
    let good = fs::read(&path).expect("it is readable");
    let sandbox = sandbox_in(folder.path());
    let mut dice = Dice::cast();
    for flip in 0..FLIPS {
        let mut bad = good.clone();
        // The MAC's bits and the first of the code all, then any.
        let bit = if flip < 500 { flip } else { dice.below(good.len() as u64 * 8) as usize };
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bad).expect("it is written");
        assert!(!is_loaded(&sandbox, &digests[0]).await, "bit {bit} was changed");
        cases.add("refused");
    }
    for (what, bytes) in [
        ("empty", vec![]),
        ("cut", good[..good.len() - 1].to_vec()),
        ("longer", [&good[..], &[0]].concat()),
        ("without its MAC", good[32..].to_vec()),
        ("with a MAC of zeros", [&[0; 32], &good[32..]].concat()),
    ] {
        fs::write(&path, bytes).expect("it is written");
        assert!(!is_loaded(&sandbox, &digests[0]).await, "{what}");
        cases.add("refused");
    }
    fs::write(&path, &good).expect("it is written");
    assert!(is_loaded(&sandbox, &digests[0]).await, "the file as it was made is loaded");
}

/// A real worker, whose cache is changed while it is away.
async fn made_again(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::sqlite().await;
    let data_dir = folder.path().to_str().expect("the path is text");
    let worker = || Process::start(&["worker", "--database", &node.url, "--data-dir", data_dir], &[]);
    let first = worker();
    for app in 0..8 {
        node.deploy_component(&format!("app-{app}"), numbered(&program(), app), "").await;
    }
    let run_all = async || {
        let mut runs = vec![];
        for app in 0..8 {
            runs.push(node.start(&format!("app-{app}"), Value::Null, &[]).await);
        }
        for run in runs {
            let verdict = node.finished(&run).await.verdict();
            assert_eq!(verdict, "exited");
        }
    };
    run_all().await;
    drop(first);
    let files = files(&folder.path().join("cache"));
    assert_eq!(files.len(), 8);
    let mut dice = Dice::cast();
    for path in &files {
        let mut bytes = fs::read(path).expect("it is readable");
        let bit = dice.below(bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, bytes).expect("it is written");
    }
    let mut second = worker();
    run_all().await;
    let warned = second.said().iter().filter(|line| line.contains("was changed on disk")).count();
    assert_eq!(warned, 8, "{:#?}", second.said());
    assert!(second.is_alive());
    for _ in 0..8 {
        cases.add("compiled again");
    }
}

async fn uploads(cases: &mut Cases) {
    let server = Server::sqlite();
    server.deploy("hello", "").await;
    let sandbox = sandbox_in(tempfile::tempdir().expect("a folder").path());
    let (ours, plain_engine) = (Engine::new(&engine_config()).expect("an engine"), Engine::default());
    let mut no_simd = Config::new();
    no_simd.consume_fuel(true).epoch_interruption(true);
    let other = Engine::new(&no_simd).expect("an engine");
    let module = wat::parse_str("(module)").expect("a module");
    let mut code = vec![];
    for (name, engine) in [("ours", &ours), ("the default", &plain_engine), ("another", &other)] {
        code.push((format!("a component of {name}"), engine.precompile_component(&program()).expect("it compiles")));
        code.push((format!("a module of {name}"), engine.precompile_module(&module).expect("it compiles")));
    }
    let mut newer = code[0].1.clone();
    // The version is told in a section of the ELF file.
    if let Some(at) = newer.windows(2).position(|bytes| bytes == b"48") {
        newer[at..at + 2].copy_from_slice(b"99");
    }
    code.push(("a component of a newer version".to_owned(), newer));
    for (name, code) in code {
        let refusal = sandbox.inspect(code.clone()).await.expect_err(&name);
        assert!(matches!(refusal, Refusal::Precompiled), "{name}: {refusal}");
        server.upload("hello", code.clone(), "").await.problem(422, "component_precompiled");
        // Behind the head of a component it is no component either.
        let hidden = [b"\0asm\x0d\0\x01\0", &code[..]].concat();
        let answer = server.upload("hello", hidden, "").await;
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
        cases.add("refused");
    }
    for (name, code) in [
        ("an ELF program", fs::read("/bin/true").expect("a program")),
        ("a cached file", {
            let folder = tempfile::tempdir().expect("a folder");
            fill(folder.path(), &[program()]).await;
            fs::read(&files(folder.path())[0]).expect("it is readable")
        }),
    ] {
        let answer = server.upload("hello", code, "").await;
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
        cases.add("refused");
    }
}

async fn swaps(cases: &mut Cases) {
    let folder = tempfile::tempdir().expect("a folder");
    let digests = fill(folder.path(), &[numbered(&program(), 1), numbered(&program(), 2)]).await;
    let files = files(folder.path());
    let (one, two) = (fs::read(&files[0]).expect("readable"), fs::read(&files[1]).expect("readable"));
    fs::write(&files[0], &two).expect("written");
    fs::write(&files[1], &one).expect("written");
    let sandbox = sandbox_in(folder.path());
    for digest in &digests {
        assert!(!is_loaded(&sandbox, digest).await, "{digest}");
        cases.add("refused");
    }
    fs::write(&files[0], &one).expect("written");
    fs::remove_file(&files[1]).expect("removed");
    symlink(&files[0], &files[1]).expect("linked");
    let second = digests.iter().find(|digest| files[1].to_string_lossy().contains(*digest)).expect("its digest");
    assert!(!is_loaded(&sandbox, second).await, "a link to the machine code of another component");
    cases.add("refused");
    fs::remove_file(&files[1]).expect("removed");
    symlink("/dev/zero", &files[1]).expect("linked");
    assert!(!is_loaded(&sandbox, second).await, "a link to a device without end");
    cases.add("refused");
    fs::remove_file(&files[1]).expect("removed");
    fs::create_dir(&files[1]).expect("made");
    assert!(!is_loaded(&sandbox, second).await, "a folder");
    cases.add("refused");
    // The key of another folder signs nothing here.
    let elsewhere = tempfile::tempdir().expect("a folder");
    fill(elsewhere.path(), &[numbered(&program(), 1)]).await;
    let foreign = self::files(elsewhere.path());
    let name = foreign[0].file_name().expect("a name");
    fs::copy(&foreign[0], folder.path().join(name)).expect("copied");
    assert!(!is_loaded(&sandbox_in(folder.path()), &digests[0]).await, "machine code from another folder");
    cases.add("refused");
    fs::remove_dir(&files[1]).expect("removed");
    let verdict = Alone::within(sandbox_in(folder.path()), numbered(&program(), 2), "").await.verdict().await;
    assert_eq!(verdict, "exited", "it is compiled again");
}
