//! Does every command print what is written down? Each file in `tests/transcripts` is typed into a shell of its own, with
//! a `relume dev` of its own, and compared word by word with what a user without a terminal sees.
//!
//! `[exit 3]` at the end of what a command prints is its exit code; without it, that is 0. Nothing below a command means
//! that it prints nothing. In a transcript, `guests/NAME.wasm` are the test guests and the examples.
//!
//! `UPDATE=1 cargo test -p relume-tests --test transcripts` writes what is printed where it differs. Look at the
//! difference, and put `…` where something differs each time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use relume_tests::guests::{self, workspace};
use relume_tests::server::data_dir;
use relume_tests::transcript::{Part, Shell, difference, matches, parts};

macro_rules! transcripts {
    ($($name:ident: $proves:literal)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_transcript_has_a_test() {
            let mut written: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
            written.sort();
            let mut tested = vec![$(stringify!($name)),*];
            tested.sort_unstable();
            assert_eq!(written, tested, "the files in tests/transcripts, and the list in this file");
            // What each proves is for those who read this list.
            assert!([$($proves),*].iter().all(|proves| !proves.is_empty()));
        }
    };
}

transcripts! {
    again: "R31, R54"
    apps: "R3, R5, R8, R54"
    cancel: "R12, R54"
    completions: "R54"
    deploy: "R52, R54"
    doctor: "V1, V2, V3, R54"
    errors: "R54, V16"
    events: "R24, R42, R54"
    explain: "R1, R8, R54"
    help: "R54"
    json: "R54"
    logs: "R11, R54"
    retries: "R3, R5, R8, R10, R54"
    run: "R28, R44, R54"
    schedules: "R45, R54"
    secrets: "V12, R54"
    serve: "R53, R54"
    tokens: "V16, R54"
}

#[test] // R54
fn every_command_is_in_a_transcript() {
    let texts = all();
    let lines = texts.iter().flat_map(|(_, text)| text.lines()).filter(|line| line.starts_with("$ "));
    let typed: Vec<String> = lines.map(|line| format!("{line} ")).collect();
    for (command, _) in relume::cli::commands() {
        let words = format!("relume {command} ");
        let is_typed = typed.iter().any(|line| line.contains(&words) && !line.contains("--help"));
        assert!(is_typed, "no transcript types `{words}`: add it to one in tests/transcripts");
    }
}

/// The names and texts of all transcripts.
fn all() -> Vec<(String, String)> {
    let entries = fs::read_dir(workspace().join("tests/transcripts")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry of a folder is readable").path());
    let name = |path: &PathBuf| path.file_stem().expect("it has a name").to_string_lossy().into_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).expect("it is text"))).collect()
}

fn check(name: &str) {
    let path = workspace().join(format!("tests/transcripts/{name}.md"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let updates = std::env::var_os("UPDATE").is_some();
    let mut shell = shell();
    let (mut new, mut cursor) = (text.clone(), 0);
    for part in parts(&text) {
        match part {
            Part::File { path, text } => shell.write(&path, &text),
            Part::Command { typed, expected } => {
                println!("$ {typed}");
                if let Some(command) = typed.strip_suffix(" &") {
                    shell.run_in_background(command, &expected);
                    continue;
                }
                let actual = printed(&mut shell, &typed);
                if matches(&expected, &actual) {
                    continue;
                }
                assert!(updates, "{}", difference(&typed, &expected, &actual));
                let block =
                    |lines: &[String]| format!("$ {}\n", [std::slice::from_ref(&typed), lines].concat().join("\n"));
                let (old, actual) = (block(&expected), actual.iter().map(|line| blanked(line)).collect::<Vec<_>>());
                cursor += new[cursor..].find(&old).expect("the command is in the text");
                new.replace_range(cursor..cursor + old.len(), &block(&actual));
                cursor += block(&actual).len();
            }
        }
    }
    if updates {
        fs::write(&path, new).expect("it is written");
    }
}

/// A shell beside the guests, whose servers share compiled code with those of other tests.
fn shell() -> Shell {
    let shell = Shell::start();
    let folder = shell.folder();
    fs::create_dir(folder.join("guests")).expect("a folder");
    for guest in guests::names().iter().chain(&guests::examples()) {
        symlink(guests::path(guest), folder.join(format!("guests/{guest}.wasm"))).expect("a link");
    }
    fs::create_dir_all(data_dir().join("cache")).expect("a folder");
    fs::create_dir(folder.join(".relume")).expect("a folder");
    symlink(data_dir().join("cache"), folder.join(".relume/cache")).expect("a link");
    shell
}

/// What a command prints, and its exit code if that is not 0.
fn printed(shell: &mut Shell, typed: &str) -> Vec<String> {
    let (mut lines, code) = shell.run(typed);
    lines.extend(Some(format!("[exit {code}]")).filter(|_| code != 0));
    lines
}

/// A line with `…` for what differs each time: moments, digests, ids, tokens, and what was used up.
fn blanked(line: &str) -> String {
    without_amounts(&without_words(line))
}

/// What is told of how long something took and how much it needed, in JSON and in tables.
const AMOUNTS: [&str; 4] = ["\"took_ms\":", "\"fuel_used\":", "\"peak_memory_bytes\":", "\"size_bytes\":"];
const UNITS: [&str; 5] = ["ms", "k", "M", "KiB", "MiB"];
const COLUMNS: [&str; 3] = ["TOOK", "FUEL", "MEMORY"];

/// A line with `…` for amounts, and for the room that a table has behind them.
fn without_amounts(line: &str) -> String {
    let mut line = line.to_owned();
    for key in AMOUNTS {
        let parts: Vec<_> = line.split(key).map(str::to_owned).collect();
        let is_digit = |c: char| c.is_ascii_digit();
        let (first, rest) = parts.split_first().expect("there is always one");
        line = rest.iter().fold(first.clone(), |line, part| line + key + "…" + part.trim_start_matches(is_digit));
    }
    // What is counted down stands at the end.
    if let Some((before, _)) =
        line.split_once(", in ").filter(|(_, left)| left.starts_with(|c: char| c.is_ascii_digit()))
    {
        line = format!("{before}, in …");
    }
    let words: Vec<_> = line.split(' ').collect();
    let (mut blanked, mut at) = (String::new(), 0);
    while let Some(word) = words.get(at) {
        let spaces = |at: usize| words.iter().skip(at).take_while(|word| word.is_empty()).count();
        let is_amount = word.parse::<f64>().is_ok() && words.get(at + 1).is_some_and(|unit| UNITS.contains(unit));
        let is_heading = line.contains("TOOK ") && COLUMNS.contains(word);
        // Where there is no amount, it is as wide as those of other rows.
        let is_none = *word == "-" && words.get(at + 1 + spaces(at + 1)) == Some(&"-");
        at += if is_amount { 2 } else { 1 };
        if !is_amount && !is_none {
            blanked.push_str(word);
        }
        if is_amount || is_heading || is_none {
            blanked.push('…');
            at += spaces(at);
        } else {
            blanked.push(' ');
        }
    }
    let mut blanked = blanked.trim_end().to_owned();
    while blanked.contains("……") {
        blanked = blanked.replace("……", "…");
    }
    blanked
}

/// A line with `…` for words that differ each time.
fn without_words(line: &str) -> String {
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let blank = |word: &str| {
        let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
        let is_id = is_hex(word) && matches!(word.len(), 16 | 36 | 64);
        let token = word.strip_prefix("rl_").filter(|rest| rest.len() > 60);
        match (token, is_time || is_id) {
            (Some(_), _) => "rl_…".to_owned(),
            (None, true) => "…".to_owned(),
            (None, false) => word.to_owned(),
        }
    };
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') || c == ':';
    let (mut blanked, mut word) = (String::new(), String::new());
    for c in line.chars() {
        // The colon of `sha256:…` is not one of a time.
        if is_inside(c) && !(c == ':' && word == "sha256") {
            word.push(c);
            continue;
        }
        blanked.push_str(&blank(&std::mem::take(&mut word)));
        blanked.push(c);
    }
    blanked.push_str(&blank(&word));
    blanked
}
