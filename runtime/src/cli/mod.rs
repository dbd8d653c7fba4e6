//! What can a person type? Data goes to stdout, everything else to stderr; every error says
//! what, why and what to type next.
//!
//! Exit codes: 0 the run exited, 1 something else failed, 2 usage, 3 the run crashed, 4 errored,
//! 5 was cancelled, 6 not found, 7 not authorised, 10 the server is unreachable.

mod admin;
mod again;
mod amounts;
mod apps;
mod calls;
mod client;
mod crash_test;
mod deploy;
mod doctor;
mod events;
mod exec;
mod explain;
mod failure;
mod follow;
mod local;
mod logging;
mod logs;
mod numbers;
mod output;
mod policy;
mod progress;
mod prompt;
mod retries;
mod run;
mod run_id;
mod runs;
mod schedules;
mod secrets;
mod serve;
mod show;
mod span;
mod steps;
mod stop;
mod tokens;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

use self::client::Client;
use self::failure::Failure;
use self::logging::LogFormat;
use self::output::Output;
use crate::api::openapi_document;
use crate::api::wire::{MAX_KEY_BYTES, is_idempotency_key};
use crate::executor::{self, COMMAND as EXECUTE_COMMAND, execute_from_stdin};
use crate::manifest::{Limit, Manifest};
use crate::sandbox::{COMPILE_COMMAND, compile_from_stdin};

/// Where `relume dev` keeps its things, and the other commands find its token.
const DATA_DIR: &str = ".relume";

/// Upload a WebAssembly component, invoke it, and it finishes.
#[derive(Debug, Parser)]
#[command(name = "relume", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Print the API's JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Print what apps wrote as it is, control characters included
    #[arg(long, global = true)]
    raw: bool,
    /// The server to ask
    #[arg(long, global = true, env = "RELUME_URL", default_value = "http://127.0.0.1:7300", value_name = "URL")]
    server: String,
    /// The token to show it; without it, the one that `relume dev` left in .relume/token
    #[arg(long, global = true, env = "RELUME_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// How to write the program's own log to stderr (RELUME_LOG=debug says more)
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything in one process, with an embedded database
    Dev(serve::Dev),
    /// Start a server, which takes requests and needs a worker to execute runs
    Serve(serve::Serve),
    /// Start a worker, which executes runs
    Worker(serve::Worker),
    /// Upload an app
    Deploy(deploy::Deploy),
    /// Start a run of an app
    Run(run::Start),
    /// Execute a component here, without a server
    Exec(exec::Exec),
    /// Test, here and without a server, that a program survives a crash at any moment
    Test(crash_test::CrashTest),
    /// Look at runs, cancel them, and run them again
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Tell runs something
    #[command(subcommand)]
    Events(events::Events),
    /// Look at apps, and change them
    #[command(subcommand)]
    Apps(apps::Apps),
    /// Start runs at set times
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    /// Keep what apps need and nobody else may see
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Say who may ask the server, and for what
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Look whether all is there that a server and a worker need, or at the limits in force
    Doctor(doctor::Doctor),
    /// Print a script with which a shell completes commands
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the JSON Schema of relume.toml
    Schema,
    /// Print the OpenAPI document of the server
    Openapi,
    /// Compile what comes on stdin: what this program starts itself for
    #[command(name = COMPILE_COMMAND, hide = true)]
    Compile { cpu_seconds: u32, memory_mib: u32 },
    /// Execute the guest that comes over stdin: what this program starts itself for
    #[command(name = EXECUTE_COMMAND, hide = true)]
    Execute {
        /// Only say what a process can still do that is confined for it
        #[arg(long)]
        probe: bool,
    },
}

impl Cli {
    /// What was typed. Help and errors of usage are printed, and end the program.
    pub fn from_args() -> Cli {
        // Left to itself, clap colours a dumb terminal wherever the variable CI is set.
        let color = if output::wants_plain() { ColorChoice::Never } else { ColorChoice::Auto };
        let matches = Cli::command().color(color).get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Every command that can be typed, e.g. `runs list`, and what its help says first.
pub fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&Cli::command(), "", &mut found);
    found
}

fn collect(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let name = format!("{path}{}", inner.get_name());
        if inner.has_subcommands() {
            collect(inner, &format!("{name} "), found);
        } else {
            found.push((name, inner.get_about().map(ToString::to_string).unwrap_or_default()));
        }
    }
}

/// The table of all numbers in SECURITY.md.
pub fn numbers_table() -> String {
    numbers::table()
}

/// Does what was typed.
pub fn run(cli: Cli) -> ExitCode {
    let Cli { global, command } = cli;
    // Before there are threads.
    match command {
        Command::Compile { cpu_seconds, memory_mib } => return compile_from_stdin(cpu_seconds, memory_mib),
        Command::Execute { probe: false } => return execute_from_stdin(),
        _ => {}
    }
    let is_quiet = !matches!(command, Command::Serve(_) | Command::Worker(_));
    logging::start(global.log_format, is_quiet);
    let output = Output::new(global.json, global.raw);
    let result = match Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(command, global, output));
            // A read of a terminal may still block a thread.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::new("the program's threads cannot be started").because(error)),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            failure.print(output);
            ExitCode::from(failure.exit_code)
        }
    }
}

async fn dispatch(command: Command, global: Global, output: Output) -> Result<ExitCode, Failure> {
    let client = || Client::new(&global.server, global.token.clone());
    match command {
        Command::Dev(dev) => serve::dev(dev, output).await?,
        Command::Serve(options) => serve::serve(options).await?,
        Command::Worker(options) => serve::worker(options).await?,
        Command::Deploy(options) => deploy::deploy(options, &client()?, output).await?,
        Command::Run(start) => return run::start(start, &client()?, output).await,
        Command::Exec(options) => return exec::exec(options, output).await,
        Command::Test(options) => return crash_test::crash_test(options, output).await,
        Command::Runs(runs) => return runs::runs(runs, &client()?, output).await,
        Command::Events(events) => events::events(events, &client()?, output).await?,
        Command::Apps(apps) => apps::apps(apps, &client()?, output).await?,
        Command::Tokens(tokens) => tokens::tokens(tokens, &client()?, output).await?,
        Command::Schedules(options) => schedules::schedules(options, &client()?, output).await?,
        Command::Secrets(options) => secrets::secrets(options, &client()?, output).await?,
        Command::Doctor(options) => return doctor::doctor(options, client, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "relume", &mut script);
            output.bytes(&script);
        }
        Command::Schema => {
            output.data(&format!("{:#}", Manifest::json_schema()));
        }
        Command::Execute { .. } => {
            let possible = executor::probe().map_err(|e| Failure::new("it cannot be confined").because(e))?;
            output.data(&possible.join("\n"));
        }
        // Done before.
        Command::Compile { .. } => {}
        Command::Openapi => {
            output.data(&format!("{:#}", openapi_document()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The input of a run, as `--input` takes it.
#[derive(Debug, Args)]
struct Given {
    /// JSON, @FILE, or - for stdin
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    input: Option<String>,
    /// A variable of the program's environment
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    parameters: Vec<(String, String)>,
}

/// `memory_mib=64`, and for an app `memory_mib=default`.
fn parse_limit(text: &str) -> Result<(Limit, Option<u64>), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=NUMBER, e.g. memory_mib=64")?;
    let limit = Limit::from_name(name)
        .ok_or_else(|| format!("there is no limit `{name}`; there are {}", Limit::NAMES.join(", ")))?;
    if value == "default" {
        return Ok((limit, None));
    }
    let value = value.replace('_', "").parse().map_err(|_| format!("`{value}` is not a whole number"))?;
    Ok((limit, Some(value)))
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

impl Given {
    async fn read_input(&self) -> Result<Option<Vec<u8>>, Failure> {
        match &self.input {
            Some(input) => read_given("input", input).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What was typed as JSON, @FILE, or - for stdin; `what` names it in an error.
async fn read_given(what: &str, typed: &str) -> Result<Vec<u8>, Failure> {
    if let Some(path) = typed.strip_prefix('@') {
        return tokio::fs::read(path).await.map_err(|e| {
            let failure = Failure::new(format!("the {what} file `{path}` cannot be read")).because(e);
            failure.hint("write it as @FILE, or - for stdin").usage()
        });
    }
    if typed != "-" {
        return Ok(typed.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut bytes).await;
    read.map_err(|e| Failure::new("stdin cannot be read").because(e))?;
    Ok(bytes)
}

/// JSON that was typed, as it was typed; `what` names it in an error, and `example` is how to type it.
fn as_json(what: &str, example: &str, bytes: &[u8]) -> Result<Box<RawValue>, Failure> {
    serde_json::from_slice(bytes).map_err(|e| {
        let what_is_wrong = format!("the {what} is not valid JSON");
        Failure::new(what_is_wrong).because(e).hint(example).usage()
    })
}

/// What may be typed as an `--idempotency-key`.
fn parse_key(text: &str) -> Result<String, String> {
    let wrong = || format!("a key is 1 to {MAX_KEY_BYTES} visible ASCII characters");
    is_idempotency_key(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// This program, for children that are it as well. By this name Linux finds it even when its file was replaced.
fn this_program() -> Result<PathBuf, Failure> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().map_err(|e| Failure::new("the program does not know where it is").because(e))
}

/// The data folder, for the commands that keep something.
#[derive(Debug, Args)]
struct DataDir {
    /// Where to keep the database, the token and compiled apps
    #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
    data_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
