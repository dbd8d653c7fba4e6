//! The README holds: the tour's commands are typed into a shell one after the other and print what stands below them,
//! its links lead somewhere, its reference is true, and the demo ends well.

use std::fs;
use std::process::Command;

use relume::manifest::{Limit, Manifest, Spec};
use relume_tests::guests::workspace;
use relume_tests::transcript::{Part, Shell, difference, matches, parts};

/// The chapter whose blocks are typed.
const TOUR: &str = "## A tour in five minutes";

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let mut shell = Shell::start();
    for part in parts(&chapter(TOUR)) {
        match part {
            Part::File { path, text } => shell.write(&path, &text),
            Part::Command { typed, expected } => check(&mut shell, &typed, &expected),
        }
    }
}

#[test] // R20, R30, R40
fn the_demo_shows_an_order_that_survives_the_death_of_its_worker() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).current_dir(workspace()).output().expect("the demo starts");
    let (said, complained) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{said}\n{complained}");
    for line in ["kill -9", "1 reserve    1", "2 charge     1", "3 pack       1", "4 ship       2", "5 notify     1"] {
        assert!(said.contains(line), "`{line}` is not in:\n{said}");
    }
}

#[test]
fn the_reference_is_a_manifest_and_shows_the_default_limits() {
    let chapter = chapter("## relume.toml");
    let block = chapter.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of TOML");
    let manifest = Manifest::parse(block).expect("it is a manifest");
    for limit in Limit::ALL {
        let Spec { name, default, .. } = limit.spec();
        assert_eq!(manifest.limits.get(limit), Some(default), "{name}");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for link in readme().split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(link.starts_with("https://") || workspace().join(link).exists(), "the README links to `{link}`");
    }
}

#[test] // R54
fn the_table_of_commands_is_complete() {
    let chapter = chapter("## Commands");
    let rows = chapter.lines().filter_map(|line| line.strip_prefix("| `relume ")).map(|row| {
        let (command, rest) = row.split_once('`').expect("a command ends");
        let inner: Vec<_> = rest.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        let full = |inner: &&str| format!("{command} {inner}");
        if inner.is_empty() { vec![command.to_owned()] } else { inner.iter().map(full).collect() }
    });
    let written: Vec<String> = rows.flatten().collect();
    let known: Vec<String> = relume::cli::commands().into_iter().map(|(name, _)| name).collect();
    assert_eq!(written, known, "the table in the README, and what can be typed");
}

fn readme() -> String {
    fs::read_to_string(workspace().join("README.md")).expect("there is a README")
}

/// The text from a heading to the next of its rank.
fn chapter(heading: &str) -> String {
    let readme = readme();
    let after = readme.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no chapter `{heading}`"));
    after.split("\n## ").next().unwrap_or_default().to_owned()
}

/// Nothing below a command means that its output does not matter. A command may fail if an error stands below it.
fn check(shell: &mut Shell, typed: &str, expected: &[String]) {
    println!("$ {typed}");
    if let Some(command) = typed.strip_suffix(" &") {
        return shell.run_in_background(command, expected);
    }
    let (actual, code) = shell.run(typed);
    let is_right = expected.is_empty() || matches(expected, &actual);
    assert!(is_right, "{}", difference(typed, expected, &actual));
    let may_fail = expected.iter().any(|line| line.starts_with("error:"));
    assert!(code == 0 || may_fail, "`{typed}` ended with {code}:\n{}", actual.join("\n"));
}
