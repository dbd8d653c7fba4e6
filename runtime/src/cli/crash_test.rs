//! `test`: is a program safe against a crash at any moment? It is executed here, ended before and after each
//! write of its journal, and resumed; what it asks of the world and returns has to be what it was.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;
use super::local::{Local, LocalArgs};
use super::output::{Output, indented};
use crate::journal::{Crash, Tape};
use crate::log::Log;
use crate::run::{FailureKind, Outcome};
use crate::sandbox::{Effect, Effects, Execution, Interrupted};
use crate::store::JournalEntry;

const AN_HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub struct CrashTest {
    #[command(flatten)]
    program: LocalArgs,
    /// Where to end the program: before and after each write of its journal
    #[arg(long, value_enum)]
    crash_at: CrashAt,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CrashAt {
    EveryBoundary,
}

/// What is wrong with a step, or with the program between two of them.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Finding {
    /// The step that is not safe, if it is one.
    step: Option<String>,
    /// `before write 2`.
    boundary: String,
    detail: String,
}

/// An execution to its end or its crash.
struct Observed {
    entries: Vec<JournalEntry>,
    writes: u32,
    effects: Vec<Effect>,
    end: Result<Outcome, Interrupted>,
}

/// Prints each boundary and what came of it. Exit code 0 if the program is safe, 1 if not.
pub async fn crash_test(options: CrashTest, output: Output) -> Result<ExitCode, Failure> {
    let CrashAt::EveryBoundary = options.crash_at;
    let program = options.program.component.display().to_string();
    let what = format!("`{program}` cannot be tested");
    let local = Local::load(options.program, &what).await?;

    let whole = observe(&local, Duration::ZERO, None, Vec::new()).await;
    let Ok(Outcome::Exited { output: result }) = &whole.end else {
        let cause = "without a crash it already fails; see `relume exec`";
        return Err(Failure::new(what).because(format!("{cause}: {}", told(&whole.end))));
    };
    // Some services never answer the same twice, and some results tell the time; then they say nothing.
    let again = observe(&local, AN_HOUR, None, Vec::new()).await;
    let compares_result = matches!(&again.end, Ok(Outcome::Exited { output }) if output == result);

    let boundaries = (1..=whole.writes).flat_map(|write| [Crash::Before(write), Crash::After(write)]);
    let (mut tested, mut findings) = (0, Vec::new());
    for crash in boundaries {
        let found = test_boundary(&local, crash, &whole, compares_result).await;
        output.note(&format!("{:<16}  {}", boundary(crash), found.as_ref().map_or("ok", |_| "NOT SAFE")));
        findings.extend(found);
        tested += 1;
    }
    Ok(print(&program, tested, compares_result, &findings, output))
}

async fn observe(local: &Local, later: Duration, crash: Option<Crash>, recorded: Vec<JournalEntry>) -> Observed {
    let (tape, effects) = (Tape::for_test(crash), Effects::default());
    let execution = local.execute(later, recorded, tape.clone(), Log::to_nowhere(), Some(effects.clone())).await;
    let Execution { end, .. } = execution;
    Observed { entries: tape.entries(), writes: tape.writes(), effects: effects.list(), end }
}

async fn test_boundary(local: &Local, crash: Crash, whole: &Observed, compares_result: bool) -> Option<Finding> {
    let finding = |step, detail| Some(Finding { step, boundary: boundary(crash), detail });
    let first = observe(local, Duration::ZERO, Some(crash), Vec::new()).await;
    if first.end != Err(Interrupted::Crashed) {
        let detail = format!("the program took another way than without a crash: {}", told(&first.end));
        return finding(None, detail);
    }
    let second = observe(local, Duration::ZERO, None, first.entries.clone()).await;
    if let Some((seq, detail)) = asked_otherwise(&first.effects, &second.effects) {
        return finding(name_of(whole, seq), detail);
    }
    match (&second.end, &whole.end) {
        (Ok(Outcome::Exited { output: now }), Ok(Outcome::Exited { output: then })) => {
            if !compares_result || now == then {
                return None;
            }
            let shown = |output: &Option<Vec<u8>>| {
                String::from_utf8_lossy(output.as_deref().unwrap_or(b"nothing")).into_owned()
            };
            let detail =
                format!("the result differs\nwithout a crash: {}\nwith it:         {}", shown(then), shown(now));
            finding(name_of(whole, interrupted(crash, &first)), detail)
        }
        (Ok(Outcome::Failed { failure, .. }), _) if failure.kind == FailureKind::Divergence => {
            finding(None, failure.message.clone())
        }
        (end, _) => finding(name_of(whole, interrupted(crash, &first)), format!("resumed, it fails: {}", told(end))),
    }
}

/// The entry that the crash kept from being recorded, or that was recorded last.
fn interrupted(crash: Crash, first: &Observed) -> u32 {
    let recorded = u32::try_from(first.entries.len()).unwrap_or(u32::MAX);
    match crash {
        Crash::Before(_) => recorded.saturating_add(1),
        Crash::After(_) => recorded,
    }
}

/// The first step that was executed twice and the second time made a request which it had not made before.
fn asked_otherwise(first: &[Effect], second: &[Effect]) -> Option<(u32, String)> {
    let mut before: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
    for effect in first {
        before.entry(effect.step.as_deref()?).or_default().push(effect);
    }
    second.iter().find_map(|effect| {
        let key = effect.step.as_deref()?;
        let earlier = before.get(key)?;
        if earlier.contains(&effect) {
            return None;
        }
        let seq = key.rsplit('-').next()?.parse().ok()?;
        let earlier = earlier.iter().find(|earlier| earlier.url == effect.url).or(earlier.first())?;
        let detail = "executed again, it asks in other words, so the receiver cannot know it is the same request";
        Some((seq, format!("{detail}\nfirst: {}\nagain: {}", request(earlier), request(effect))))
    })
}

fn request(effect: &Effect) -> String {
    let Effect { method, url, idempotency_key, body, .. } = effect;
    let key = idempotency_key.as_deref().unwrap_or("none");
    format!("{method} {url}  Idempotency-Key: {key}  {}", String::from_utf8_lossy(body))
}

fn name_of(whole: &Observed, seq: u32) -> Option<String> {
    whole.entries.iter().find(|entry| entry.seq == seq).map(|entry| entry.name.clone())
}

fn boundary(crash: Crash) -> String {
    match crash {
        Crash::Before(write) => format!("before write {write}"),
        Crash::After(write) => format!("after write {write}"),
    }
}

fn told(end: &Result<Outcome, Interrupted>) -> String {
    match end {
        Ok(Outcome::Exited { .. }) => "it ended well".to_owned(),
        Ok(Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. }) => failure.message.clone(),
        Err(_) => "it was interrupted".to_owned(),
    }
}

fn print(program: &str, tested: u32, compares_result: bool, findings: &[Finding], output: Output) -> ExitCode {
    if output.json {
        let told = json!({ "boundaries": tested, "compares_result": compares_result, "findings": findings });
        output.data(&told.to_string());
    } else {
        for Finding { step, boundary, detail } in findings {
            match step {
                Some(step) => output.data(&format!("step `{step}` is not safe: crashed {boundary}")),
                None => output.data(&format!("the program is not safe: crashed {boundary}")),
            };
            output.data(&format!("  {}", indented(detail, 2)));
        }
        if !compares_result {
            output.note("the result was not compared: it differs from one run to the next without a crash, too");
        }
        if findings.is_empty() {
            output.data(&format!("`{program}` is safe: {tested} crashes, each resumed to the same end"));
        }
    }
    ExitCode::from(u8::from(!findings.is_empty()))
}
