//! `dev`, `serve` and `worker`: the processes that stay.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::admin::AdminArgs;
use super::failure::Failure;
use super::output::Output;
use super::policy::PolicyArgs;
use super::stop::{Signals, until_stopped};
use super::{DataDir, this_program};
use crate::api::auth::TokenOptions;
use crate::api::{self, Api, auth};
use crate::executor::{Executor, Isolation};
use crate::policy::Policy;
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::scheduler;
use crate::store::{self, Store, StoreError};
use crate::vault::Vault;
use crate::worker::{self, Shutdown, WorkerOptions};

/// How long a worker's runs stay its own after it was last heard of.
const LEASE_SECONDS: u64 = 15;
pub const SECRETS_KEY: &str = "RELUME_SECRETS_KEY";

#[derive(Debug, Args)]
pub struct Dev {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "RELUME_LISTEN", default_value = "127.0.0.1:7300", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    work: Work,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    database: Database,
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "RELUME_LISTEN", default_value = "127.0.0.1:7300", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
pub struct Worker {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    data: DataDir,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    work: Work,
}

#[derive(Debug, Args)]
struct Database {
    /// The database: postgres://..., or sqlite:PATH
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: String,
}

#[derive(Debug, Args)]
struct Work {
    /// How many runs to execute at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096), value_name = "N")]
    slots: u16,
    #[arg(long, default_value_t = LEASE_SECONDS, value_parser = clap::value_parser!(u64).range(1..=3600), hide = true)]
    lease_seconds: u64,
    /// Where apps run: in this process, or each attempt in a process of its own that has no database, files or network
    #[arg(long, value_enum, env = "RELUME_ISOLATION", default_value_t = IsolationArg::None)]
    isolation: IsolationArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IsolationArg {
    None,
    Process,
}

impl From<IsolationArg> for Isolation {
    fn from(arg: IsolationArg) -> Isolation {
        match arg {
            IsolationArg::None => Isolation::None,
            IsolationArg::Process => Isolation::Process,
        }
    }
}

impl Work {
    fn options(&self) -> Result<WorkerOptions, Failure> {
        // For people only: nothing depends on it.
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let name = format!("{}/{}", host.trim(), std::process::id());
        if !Executor::is_possible(self.isolation.into()) {
            let failure = Failure::new("this system cannot confine the processes of guests").usage();
            return Err(failure.hint("leave out --isolation process: guests then run in the worker's own process"));
        }
        let lease = Duration::from_secs(self.lease_seconds);
        Ok(WorkerOptions { name, slots: self.slots.into(), lease, isolation: self.isolation.into() })
    }
}

/// Server and worker in one process, on the embedded database.
pub async fn dev(options: Dev, output: Output) -> Result<(), Failure> {
    let listener = listen(options.listen).await?;
    let data_dir = options.data.create()?;
    let policy = options.policy.read()?;
    let store = open(&format!("sqlite:{}", data_dir.join("relume.db").display())).await?;
    let (sandbox, vault) = (sandbox(&data_dir, &policy)?, vault(&data_dir)?);
    let (token, is_new) = dev_token(&*store, &data_dir.join("token")).await?;

    let signals = Signals::new()?;
    let (closing, shutdown) = (CancellationToken::new(), Shutdown::new());
    options.admin.start(store.clone(), closing.clone()).await?;
    let work = worker::work(store.clone(), sandbox.clone(), vault.clone(), options.work.options()?, shutdown.clone());
    let work = tokio::spawn(work);
    tokio::spawn(scheduler::watch(store.clone(), closing.clone()));
    let address = address(&listener)?;
    let server = tokio::spawn(api::serve(listener, Api::new(store, sandbox, vault, &policy.api, closing.clone())));
    output.note(&format!("listening on {address}"));
    output.note(&format!("dashboard: {address}/ui/login#token={token}"));
    if is_new {
        output.note(&format!("token: {token}"));
        output.note(&format!("       (kept in {}; commands in this folder use it)", data_dir.join("token").display()));
    }
    output.note("next:  relume deploy app.wasm --name greet && relume run greet --follow");
    let end = async {
        let worked = work.await;
        closing.cancel();
        // The server's task ends when it is closing, and does not fail.
        let _ = server.await;
        worked
    };
    let on_first = || {
        output.note("ending: runs are given back (once more to stop at once)");
        closing.cancel();
        shutdown.drain();
    };
    until_stopped(signals, end, on_first, || shutdown.stop()).await
}

/// Takes requests.
pub async fn serve(options: Serve) -> Result<(), Failure> {
    let listener = listen(options.listen).await?;
    let data_dir = options.data.create()?;
    let policy = options.policy.read()?;
    let store = open(&options.database.database).await?;
    let (sandbox, vault) = (sandbox(&data_dir, &policy)?, vault(&data_dir)?);
    if store.list_tokens().await?.is_empty() {
        let (_, text) = auth::create_token(&*store, TokenOptions::admin("first")).await?;
        eprintln!("token: {text}\n       (the first one, shown only now: set RELUME_TOKEN to it)");
    }
    let signals = Signals::new()?;
    let closing = CancellationToken::new();
    options.admin.start(store.clone(), closing.clone()).await?;
    let address = address(&listener)?;
    tokio::spawn(scheduler::watch(store.clone(), closing.clone()));
    let server = tokio::spawn(api::serve(listener, Api::new(store, sandbox, vault, &policy.api, closing.clone())));
    eprintln!("listening on {address}");
    let end = async { server.await.map(Ok) };
    until_stopped(signals, end, || closing.cancel(), || {}).await
}

/// Executes runs.
pub async fn worker(options: Worker) -> Result<(), Failure> {
    let data_dir = options.data.create()?;
    let policy = options.policy.read()?;
    let store = open(&options.database.database).await?;
    let (sandbox, vault) = (sandbox(&data_dir, &policy)?, vault(&data_dir)?);
    let signals = Signals::new()?;
    let shutdown = Shutdown::new();
    // It answers while the worker is drained, too.
    options.admin.start(store.clone(), CancellationToken::new()).await?;
    let options = options.work.options()?;
    eprintln!("worker {} takes up to {} runs at once", options.name, options.slots);
    let work = tokio::spawn(worker::work(store, sandbox, vault, options, shutdown.clone()));
    until_stopped(signals, work, || shutdown.drain(), || shutdown.stop()).await
}

impl DataDir {
    /// The folder, made for its owner alone if it is not there.
    fn create(self) -> Result<PathBuf, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir);
        made.map_err(|e| {
            let what = format!("the folder `{}` cannot be made", self.data_dir.display());
            Failure::new(what).because(e).hint("name another with --data-dir")
        })?;
        Ok(self.data_dir)
    }
}

fn sandbox(data_dir: &Path, policy: &Policy) -> Result<Sandbox, Failure> {
    let options = SandboxOptions::new(data_dir.join("cache"), this_program()?).policy(policy.clone());
    Sandbox::new(options).map_err(|e| Failure::new("the sandbox cannot be set up").because(format!("{e:#}")))
}

/// The key of secrets, which servers and workers share: from the environment, or the data folder.
pub fn vault(data_dir: &Path) -> Result<Arc<Vault>, Failure> {
    let vault = match std::env::var(SECRETS_KEY) {
        Ok(key) => Vault::with_key(&key).ok_or_else(|| {
            let failure = Failure::new("the key of secrets cannot be used");
            let failure = failure.because(format!("{SECRETS_KEY} does not hold 64 hexadecimal digits")).usage();
            failure.hint(format!("make one: export {SECRETS_KEY}=$(openssl rand -hex 32)"))
        })?,
        Err(_) => {
            let file = data_dir.join("secrets.key");
            let wrong =
                |e| Failure::new(format!("the key of secrets in `{}` cannot be used", file.display())).because(e);
            Vault::with_file(&file).map_err(wrong)?
        }
    };
    Ok(Arc::new(vault))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        let failure = Failure::new(format!("cannot listen on {address}")).because(e);
        failure.hint("name another address with --listen, e.g. --listen 127.0.0.1:0 for a free port")
    })
}

fn address(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener.local_addr().map_err(|e| Failure::new("the address is unknown").because(e))?;
    Ok(format!("http://{address}"))
}

async fn open(url: &str) -> Result<Arc<dyn Store>, Failure> {
    if !["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
        // Not shown: it may hold a password.
        let failure = Failure::new("no database is named").because("--database or DATABASE_URL holds something else");
        return Err(failure.hint("write it as postgres://USER@HOST/NAME or sqlite:PATH").usage());
    }
    store::open(url).await.map_err(|error| {
        let what = format!("the database {} cannot be opened", without_secrets(url));
        let failure = Failure::new(what).because(cause(&error));
        match error {
            StoreError::Unavailable(_) => {
                failure.hint("check that it runs, and the URL in --database or DATABASE_URL").exit_code(10)
            }
            _ => failure.hint("check the URL in --database or DATABASE_URL"),
        }
    })
}

pub fn cause(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// Host and name of a database, without user, password and options.
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("`{}`", url.split('?').next().unwrap_or_default());
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("`{scheme}://{host}`")
}

/// The token in `file` if it is valid, else a new one; and whether it is new.
async fn dev_token(store: &dyn Store, file: &Path) -> Result<(String, bool), Failure> {
    if let Ok(text) = std::fs::read_to_string(file)
        && auth::find(store, text.trim()).await?.is_some()
    {
        return Ok((text.trim().to_owned(), false));
    }
    let (_, text) = auth::create_token(store, TokenOptions::admin("dev")).await?;
    write_secret(file, &text)
        .map_err(|e| Failure::new(format!("the token cannot be kept in `{}`", file.display())).because(e))?;
    Ok((text, true))
}

/// Writes a file that only its owner may read, from the first byte on.
fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password() {
        assert_eq!(
            without_secrets("postgres://me:p@ss@db.example:5432/x?sslmode=on"),
            "`postgres://db.example:5432/x`"
        );
        assert_eq!(without_secrets("sqlite:/tmp/x.db"), "`sqlite:/tmp/x.db`");
    }
}
