//! `cargo demo`: an order goes through a shop in five steps, its worker is killed in the fourth, and the order is
//! finished by another worker. The shop's own counts say how often it was asked for each step; they are checked.
//!
//! Real processes of the real program, as an operator starts them, on the embedded database. Each command is
//! shown before it is run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use relume_tests::guests::{cargo, workspace};
use relume_tests::process::{self, Process};
use relume_tests::shop::Shop;
use tokio::time::Instant;

/// How often the shop should be asked for each step: the fourth is under way when its worker is killed.
const EXPECTED: [(&str, usize); 5] = [("reserve", 1), ("charge", 1), ("pack", 1), ("ship", 2), ("notify", 1)];
const ORDER: &str = r#"{"id": 7, "item": "lamp", "cents": 4200, "email": "ada@example.com"}"#;
/// Enough for a machine with much else to do; a step takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    println!("Relume demo: an order in five steps, and a worker that is killed in the middle of the fourth.\n");
    let component = build()?;
    let stage = Stage::new()?;

    println!("\nA server and a worker are two processes; they share only a database.");
    let server = stage.start("serve", &["--listen", "127.0.0.1:0"]);
    let token = server.wait_for_line("token: ").replace("token: ", "");
    let address = server.wait_for_line("listening on ").replace("listening on ", "");
    println!("  listening on {address}");
    println!("$ export RELUME_URL={address} RELUME_TOKEN={token}");
    let relume = |args: &[&str]| stage.ask(&address, &token, args);
    let mut worker = stage.worker();
    let shop = Shop::start();
    shop.hold("ship");

    println!("\nThe app is deployed and run. The shop at {} counts what it is asked to do.", shop.url());
    relume(&["deploy", &short(&component), "--manifest", "examples/order-pipeline/relume.toml"])?;
    relume(&["run", "order-pipeline", "-p", &format!("SHOP_URL={}", shop.url()), "--input", ORDER])?;
    asked_to_ship(&shop, 1, &worker).await?;
    // Lines are stored in batches; what is not stored when the worker is killed is lost.
    let deadline = Instant::now() + PATIENCE;
    while !stage.answer(&address, &token, &["runs", "logs", "order-pipeline#1"])?.contains("ship:") {
        ensure!(Instant::now() < deadline, "the line that `ship` printed is not in the log");
    }
    println!("\nSteps 1 to 3 are recorded. In step 4 the shop has been asked to ship, and has not answered yet:");
    relume(&["runs", "steps", "order-pipeline#1"])?;

    println!("\nNow the worker dies, without a chance to say so.");
    println!("$ kill -9 {}", worker.id());
    worker.kill();

    println!("\nAnother worker finds the run.");
    let worker = stage.worker();
    asked_to_ship(&shop, 2, &worker).await?;
    let keys: Vec<_> = shop.requests("ship").into_iter().filter_map(|request| request.idempotency_key).collect();
    ensure!(keys.len() == 2 && keys[0] == keys[1], "the two requests to ship have different keys: {keys:?}");
    println!("  It went on with step 4: the shop is asked to ship again, with the same Idempotency-Key");
    println!("  ({}), by which it can tell. Now it answers.\n", keys[0]);
    shop.release("ship");
    relume(&["runs", "logs", "order-pipeline#1", "--follow"])?;
    relume(&["runs", "show", "order-pipeline#1"])?;
    check(&shop)
}

/// Adds the target for WebAssembly where it is missing, and builds Relume and the app. The component's path.
fn build() -> Result<PathBuf> {
    let target = output(Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-wasip2"]))?;
    if !Path::new(target.trim()).is_dir() {
        println!("$ rustup target add wasm32-wasip2");
        let mut rustup = Command::new("rustup");
        rustup.args(["--quiet", "target", "add", "wasm32-wasip2"]).current_dir(workspace());
        run(&mut rustup).context("the target wasm32-wasip2 is missing, and rustup cannot add it")?;
    }
    println!("$ cargo build --package relume");
    let relume = process::binary();
    println!("$ export PATH={}:$PATH", relume.parent().context("a program is in a folder")?.display());
    println!("$ cargo build --release --target wasm32-wasip2 --package order-pipeline");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--package", "order-pipeline"]);
    cargo.args(["--config", "term.progress.when = 'always'", "--config", "term.progress.width = 80"]);
    run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    Ok(target.join("wasm32-wasip2/release/order-pipeline.wasm"))
}

/// Where the demo's processes live.
struct Stage {
    folder: tempfile::TempDir,
    /// Waits on a pipe of ours: when this process ends, however it does, it removes the folder and kills its process
    /// group, to which every process of the demo belongs.
    warden: Child,
}

impl Stage {
    fn new() -> Result<Stage> {
        let folder = tempfile::Builder::new().prefix("relume-demo-").tempdir()?;
        let script = r#"read -r _; rm -rf "$1"; kill -9 0"#;
        let mut warden = Command::new("/bin/sh");
        warden.args(["-c", script, "sh"]).arg(folder.path()).process_group(0).stdin(Stdio::piped());
        let warden = warden.spawn().context("a shell cannot be started")?;
        Ok(Stage { folder, warden })
    }

    /// Starts a process that stays, on the demo's database.
    fn start(&self, what: &str, args: &[&str]) -> Process {
        let folder = self.folder.path().display();
        let mut all = vec![what.to_owned(), "--database".into(), format!("sqlite:{folder}/relume.db")];
        all.extend(["--data-dir".into(), folder.to_string()]);
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        println!("$ relume {} &", all.join(" "));
        let mut command = Command::new(process::binary());
        command.args(all).process_group(self.warden.id().try_into().expect("the number of a process"));
        Process::spawn(command)
    }

    fn worker(&self) -> Process {
        let worker = self.start("worker", &["--allow-network", "127.0.0.1/32"]);
        worker.wait_for_line("takes up to");
        println!("  process {}", worker.id());
        worker
    }

    /// Runs a command that asks the server, and prints what it prints.
    fn ask(&self, address: &str, token: &str, args: &[&str]) -> Result<()> {
        let quote = |arg: &&str| if arg.contains([' ', '#']) { format!("'{arg}'") } else { (*arg).to_owned() };
        println!("$ relume {}", args.iter().map(quote).collect::<Vec<_>>().join(" "));
        for line in self.answer(address, token, args)?.lines() {
            println!("{}", format!("  {line}").trim_end());
        }
        Ok(())
    }

    fn answer(&self, address: &str, token: &str, args: &[&str]) -> Result<String> {
        let mut relume = Command::new(process::binary());
        relume.args(args).env("RELUME_URL", address).env("RELUME_TOKEN", token).current_dir(workspace());
        output(&mut relume)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        // It kills itself last.
        let _ = self.warden.wait();
    }
}

/// Waits until the shop was asked to ship `n` times.
async fn asked_to_ship(shop: &Shop, n: usize, worker: &Process) -> Result<()> {
    let waited = tokio::time::timeout(PATIENCE, shop.wait_for_calls("ship", n)).await;
    waited.map_err(|_| {
        let said = worker.said().join("\n");
        anyhow::anyhow!("the shop was not asked to ship {n} times within {PATIENCE:?}; the worker said:\n{said}")
    })
}

/// The shop's own counts, and whether they are what Relume promises.
fn check(shop: &Shop) -> Result<()> {
    println!("\nstep         the shop was asked");
    let mut wrong = vec![];
    for (number, (step, expected)) in (1..).zip(EXPECTED) {
        let calls = shop.calls(step);
        let note = if expected == 2 { "  (under way when its worker was killed)" } else { "" };
        println!("{number} {step:<10} {calls}{note}");
        if calls != expected {
            wrong.push(format!("for `{step}` the shop was asked {calls} times instead of {expected}"));
        }
    }
    ensure!(wrong.is_empty(), "this is not what Relume promises: {}", wrong.join("; "));
    println!("\nThe worker is gone and the order is complete: a recorded step is never executed again.");
    println!("Next: README.md has a tour of five minutes; examples/order-pipeline/src/main.rs is the app.");
    Ok(())
}

/// A path as one would type it in the workspace.
fn short(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
