//! Which numbers bound what others can make grow, wait or loop, and who said each of them? `doctor --limits`, and the table
//! in SECURITY.md.

use std::path::Path;

use serde_json::json;

use super::client::Client;
use super::deploy::ManifestFile;
use super::failure::{Failure, not_an_app};
use super::output::Output;
use crate::api::wire::{AppLimits, EffectiveLimit, effective_limits};
use crate::manifest::{Asked, Limit, Limits, SomeLimits, Spec, check_app_name};
use crate::numbers::{Number, bytes, count};
use crate::policy::Policy;
use crate::{api, journal, log, manifest, sandbox, store, vault, worker};

/// Prints all of them: with the limits of an app as the server knows it, or of a manifest here.
pub async fn print(
    app: Option<&str>,
    manifest: Option<&Path>,
    policy: &Policy,
    client: impl FnOnce() -> Result<Client, Failure>,
    output: Output,
) -> Result<(), Failure> {
    let limits = match app {
        Some(app) => of_app(app, &client()?).await?,
        None => {
            let manifest = manifest.map(|path| ManifestFile::find(Some(path), None)).transpose()?.flatten();
            let manifest = manifest.map(|file| file.manifest.limits).unwrap_or_default();
            effective_limits(&Limits::in_force(&Asked { manifest, ..Asked::default() }, &policy.limits))
        }
    };
    let numbers = all(&limits, policy);
    if output.json {
        let told = numbers.iter().map(|number| {
            let Number { source, about, value, from } = number;
            json!({"row": source, "about": about, "value": value, "from": from})
        });
        output.data(&json!({"limits": limits, "numbers": told.collect::<Vec<_>>()}).to_string());
        return Ok(());
    }
    let rows = numbers.into_iter().map(|number| vec![number.source.into(), number.value, number.from, number.about]);
    output.table(&["ROW", "VALUE", "FROM", "OF"], &rows.collect::<Vec<_>>());
    Ok(())
}

async fn of_app(app: &str, client: &Client) -> Result<Vec<EffectiveLimit>, Failure> {
    let what = format!("the limits of `{app}` cannot be shown");
    check_app_name("app", app).map_err(|e| not_an_app(&what, e))?;
    Ok(client.get::<AppLimits>(&what, &format!("/apps/{app}/limits")).await?.body.limits)
}

/// The limits that are in force, and what nobody can set, by row.
fn all(limits: &[EffectiveLimit], policy: &Policy) -> Vec<Number> {
    let mut all: Vec<_> = limits.iter().filter_map(of_limit).collect();
    all.extend(sandbox::numbers(policy));
    for numbers in [manifest::numbers(), journal::numbers(), log::numbers(), store::numbers(), vault::numbers()] {
        all.extend(numbers);
    }
    all.extend(worker::numbers());
    all.extend(api::numbers(policy));
    all.sort_by_key(|number| row(number.source));
    all
}

/// V2 before V11, and the requirements behind the threats.
fn row(source: &str) -> (bool, u32) {
    (!source.starts_with('V'), source[1..].parse().unwrap_or(u32::MAX))
}

fn of_limit(told: &EffectiveLimit) -> Option<Number> {
    // A server that is newer may have more.
    let limit = Limit::from_name(&told.name)?;
    let Spec { name, about, source, .. } = limit.spec();
    let about = format!("{about} (`limits.{name}`)");
    Some(Number { source, about, value: with_unit(limit, told.value), from: told.source.clone() })
}

fn with_unit(limit: Limit, value: u64) -> String {
    match limit.spec().name.rsplit('_').next() {
        Some("mib") => bytes(value.saturating_mul(1 << 20)),
        Some("kib") => bytes(value.saturating_mul(1 << 10)),
        Some("seconds") => format!("{} s", count(value)),
        _ => count(value),
    }
}

/// The table in SECURITY.md: what is in force where nobody set anything, and how far an operator lets it be set.
pub fn table() -> String {
    let limits = effective_limits(&Limits::in_force(&Asked::default(), &SomeLimits::default()));
    let most = |number: &Number| {
        let named = Limit::ALL.into_iter().find(|l| number.about.ends_with(&format!("(`limits.{}`)", l.spec().name)));
        named.map_or_else(|| number.from.clone(), |limit| format!("to {}", with_unit(limit, limit.spec().max)))
    };
    let mut table = String::from("| row | of | value | can be set |\n|---|---|---|---|\n");
    for number in all(&limits, &Policy::default()) {
        let can_be_set = match most(&number).as_str() {
            "built in" => "no".to_owned(),
            "default" => "in the policy".to_owned(),
            other => other.to_owned(),
        };
        table.push_str(&format!("| {} | {} | {} | {can_be_set} |\n", number.source, number.about, number.value));
    }
    table
}
