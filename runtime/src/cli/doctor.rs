//! `doctor`: is everything there that a server and a worker need? Looks, and changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::policy::PolicyArgs;
use super::{DataDir, numbers, serve, this_program};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::store;

/// A clock that is further from the database's than this confuses people; Relume itself asks the database.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    data: DataDir,
    /// The database: postgres://..., or sqlite:PATH; without it, that of the data folder
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Print every limit in force, and where each comes from
    #[arg(long)]
    limits: bool,
    /// With --limits: those of an app, as the server knows it
    #[arg(long, requires = "limits", value_name = "APP")]
    app: Option<String>,
    /// With --limits: those of a manifest
    #[arg(long, requires = "limits", conflicts_with = "app", value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// What was found, or what is wrong and what to do about it.
type Finding = Result<String, (String, String)>;

/// Looks at one thing after the other. Exit code 1 if one of them is not as it should be.
pub async fn doctor(
    options: Doctor,
    client: impl FnOnce() -> Result<Client, Failure>,
    output: Output,
) -> Result<ExitCode, Failure> {
    if options.limits {
        let policy = options.policy.read()?;
        numbers::print(options.app.as_deref(), options.manifest.as_deref(), &policy, client, output).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let data_dir = &options.data.data_dir;
    let (database, clock) = database(options.database.as_deref(), data_dir).await;
    let findings = [
        ("data folder", folder(data_dir)),
        ("cache", folder(&data_dir.join("cache"))),
        ("secrets key", secrets_key(data_dir)),
        ("policy", policy(&options.policy)),
        ("engine", engine(&options.policy)),
        ("database", database),
        ("clock", clock),
    ];
    let is_well = findings.iter().all(|(_, finding)| finding.is_ok());
    if output.json {
        let told = findings.iter().map(|(what, finding)| match finding {
            Ok(found) => json!({"check": what, "ok": true, "found": found, "hint": null}),
            Err((wrong, hint)) => json!({"check": what, "ok": false, "found": wrong, "hint": hint}),
        });
        output.data(&json!({"ok": is_well, "checks": told.collect::<Vec<_>>()}).to_string());
    } else {
        for (what, finding) in &findings {
            match finding {
                Ok(found) => output.data(&format!("ok      {what:<11}  {found}")),
                Err((wrong, hint)) => output.data(&format!("failed  {what:<11}  {wrong}\n{:21}hint: {hint}", "")),
            };
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a folder can be written to; one that is not there, whether it can be made.
fn folder(path: &Path) -> Finding {
    let wrong = |cause: String| {
        (format!("{} {cause}", path.display()), "let this user write to it, or name another with --data-dir".to_owned())
    };
    let from = if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) };
    let there = from.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(wrong(format!("cannot be made: {} is no folder", there.display())));
    }
    let file = there.join(format!(".{}", Uuid::now_v7()));
    let written = std::fs::File::create_new(&file).and_then(|_| std::fs::remove_file(&file));
    written.map_err(|error| wrong(format!("cannot be written to: {error}")))?;
    Ok(if there == from {
        format!("{} can be written to", path.display())
    } else {
        format!("{} is made by the first start", path.display())
    })
}

fn secrets_key(data_dir: &Path) -> Finding {
    let file = data_dir.join("secrets.key");
    if std::env::var_os(serve::SECRETS_KEY).is_some() {
        let vault = serve::vault(data_dir).map(|_| format!("{} holds one", serve::SECRETS_KEY));
        let wrong = format!("{} does not hold 64 hexadecimal digits", serve::SECRETS_KEY);
        return vault.map_err(|_| (wrong, format!("export {}=$(openssl rand -hex 32)", serve::SECRETS_KEY)));
    }
    let Ok(metadata) = std::fs::metadata(&file) else {
        return Ok(format!("{} is made by the first start", file.display()));
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let hint = format!("chmod 600 {}", file.display());
        return Err((format!("others than its owner may read {}", file.display()), hint));
    }
    let hint = format!("put the key back that encrypted the secrets, or set {}", serve::SECRETS_KEY);
    match serve::vault(data_dir) {
        Ok(_) => Ok(format!("{} holds one", file.display())),
        Err(_) => Err((format!("{} holds no key", file.display()), hint)),
    }
}

fn policy(args: &PolicyArgs) -> Finding {
    let found = args.read().map(|policy| match policy == crate::policy::Policy::default() {
        true => "none: what Relume allows by default".to_owned(),
        false => "is valid".to_owned(),
    });
    found.map_err(|failure| (failure.told(), "mend the file that --policy or RELUME_POLICY names".to_owned()))
}

/// Whether WebAssembly can be executed here, in a folder of its own.
fn engine(args: &PolicyArgs) -> Finding {
    let start = || {
        let folder = std::env::temp_dir().join(format!("relume-doctor-{}", Uuid::now_v7()));
        let program = this_program().map_err(|failure| anyhow::anyhow!(failure.told()))?;
        let options = SandboxOptions::new(&folder, program).policy(args.read().unwrap_or_default());
        let sandbox = Sandbox::new(options);
        std::fs::remove_dir_all(&folder)?;
        sandbox
    };
    let hint = "see which system calls and how much address space this machine grants a process";
    start().map(|_| "starts".to_owned()).map_err(|error| (format!("does not start: {error:#}"), hint.to_owned()))
}

/// Whether the database answers, and how far its clock is from ours.
async fn database(url: Option<&str>, data_dir: &Path) -> (Finding, Finding) {
    let embedded = data_dir.join("relume.db");
    if url.is_none() && !embedded.exists() {
        let made = format!("{} is made by the first start of `relume dev`", embedded.display());
        return (Ok(made), Ok("there is no database to compare it with".into()));
    }
    let url = url.map_or_else(|| format!("sqlite:{}", embedded.display()), str::to_owned);
    let asked = Instant::now();
    let answer = timeout(PATIENCE, store::clock(&url)).await;
    let hint = || "check that it runs, and the URL in --database or DATABASE_URL".to_owned();
    let named = serve::without_secrets(&url);
    let theirs = match answer {
        Ok(Ok(theirs)) => theirs,
        Ok(Err(error)) => {
            let wrong = format!("{named} does not answer: {}", serve::cause(&error));
            return (Err((wrong, hint())), Ok("there is no database to compare it with".into()));
        }
        Err(_) => {
            let wrong = format!("{named} does not answer within {} s", PATIENCE.as_secs());
            return (Err((wrong, hint())), Ok("there is no database to compare it with".into()));
        }
    };
    // It was read at some moment of the question.
    let skew = Timestamp::now().duration_since(theirs).abs();
    let uncertain = SignedDuration::try_from(asked.elapsed()).unwrap_or_default();
    let clock = if skew > MAX_SKEW + uncertain {
        let wrong = format!("is {} s from the database's", skew.as_secs());
        Err((wrong, "let both machines take their time from the same place (NTP)".to_owned()))
    } else {
        Ok(format!("is within {} s of the database's", MAX_SKEW.as_secs()))
    };
    (Ok(format!("{named} answers")), clock)
}
