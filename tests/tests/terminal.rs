//! What does a person at a terminal see? A bar while an upload goes, a line that says how a run stands, a question whose
//! answer is not shown. With `NO_COLOR`, or without a terminal, there is not one escape.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;

use relume_tests::guests;
use relume_tests::process::Process;
use relume_tests::server::Server;
use relume_tests::terminal::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

const ESCAPE: char = '\u{1b}';

fn component(guest: &str) -> &'static str {
    guests::path(guest).to_str().expect("the path is text")
}

#[test] // R54
fn an_upload_shows_a_bar_and_then_that_it_is_compiled() {
    let folder = tempfile::tempdir().expect("a folder");
    // A server that reads when the bar was seen, and answers when the line was.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut terminal = Terminal::start(folder.path(), &["deploy", component("steps")], &[("RELUME_URL", &url)]);
    let (mut connection, _) = listener.accept().expect("a caller");
    terminal.wait_for("uploading [");
    let mut reader = connection.try_clone().expect("a descriptor");
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    terminal.wait_for("compiling");
    let body = r#"{"version": {"version": "v1", "content_checksum": "00", "size_bytes": 1, "created_at": "",
        "parameters": [], "towerfile": "", "settings": {"limits": {"fuel": 1, "memory_mib": 1,
        "running_time_seconds": 1}, "env": {}, "allowed_hosts": []}}}"#;
    let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    connection.write_all(format!("{head}{body}").as_bytes()).expect("the caller is there");
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(0), "{seen:?}");
    assert!(seen.ends_with("steps v1  sha256:00\r\n"), "the answer stands alone: {seen:?}");
}

#[test] // R5, R12, R54
fn a_followed_run_says_how_it_stands_without_touching_its_lines() {
    let server = Server::sqlite();
    let _worker = Process::worker(&server.database, 15, &[]);
    assert_eq!(server.cli(&["deploy", component("return_error")]).exit_code, 0);
    let args = ["run", "return-error", "--retries", "1", "--delay", "3600", "--follow"];
    let mut terminal = Terminal::at(&server, &args, &[]);
    terminal.wait_for("return-error#1 | Error: cannot open the shop: the key is lost\r\n");
    terminal.wait_for("return-error#1 retrying, attempt 2 of 2 in ");
    assert_eq!(server.cli(&["runs", "cancel", "return-error#1"]).exit_code, 0);
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(5), "{seen:?}");
    assert!(seen.ends_with("error: return-error#1 was cancelled\r\n"), "{seen:?}");
}

#[test] // V12
fn a_secret_is_typed_unseen() {
    let server = Server::sqlite();
    let mut terminal = Terminal::at(&server, &["secrets", "set", "KEY"], &[]);
    terminal.wait_for("What `KEY` holds: ");
    terminal.types("hunter2-hunter2\n");
    let (seen, code) = terminal.end();
    assert_eq!((code, seen.contains("hunter2")), (Some(0), false), "{seen:?}");
    assert!(seen.ends_with("KEY kept\r\n"), "{seen:?}");
    assert!(server.cli(&["secrets", "list"]).stdout.contains("KEY     XXXXXXter2"));

    let mut terminal = Terminal::at(&server, &["secrets", "set", "KEY"], &[]);
    terminal.wait_for("What `KEY` holds: ");
    let shows = |keyboard: &File| tcgetattr(keyboard).expect("a terminal").local_modes.contains(LocalModes::ECHO);
    let keyboard = terminal.keyboard.try_clone().expect("a descriptor");
    assert!(!shows(&keyboard));
    kill_process(Pid::from_child(&terminal.child), Signal::INT).expect("it is our child");
    let (seen, code) = terminal.end();
    assert_eq!(code, Some(130), "{seen:?}");
    assert!(shows(&keyboard), "what is typed is seen again");
}

#[test] // R54
fn deleting_an_app_asks() {
    let server = Server::sqlite();
    assert_eq!(server.cli(&["apps", "create", "greet"]).exit_code, 0);
    for (answer, code, last) in [("\n", 1, "cause: the answer was not yes\r\n"), ("y\n", 0, "greet deleted\r\n")] {
        let mut terminal = Terminal::at(&server, &["apps", "delete", "greet"], &[]);
        terminal.wait_for("Delete `greet` with its versions, schedules and runs? [y/N] ");
        terminal.types(answer);
        let (seen, ended) = terminal.end();
        assert_eq!(ended, Some(code), "{seen:?}");
        assert!(seen.ends_with(last), "{seen:?}");
    }
}

#[test] // V19
fn plain_text_is_plain() {
    let server = Server::sqlite();
    let _worker = Process::worker(&server.database, 15, &[]);
    for args in [
        ["deploy", component("steps")].as_slice(),
        &["run", "steps", "--input", "2", "--follow"],
        &["runs", "logs", "steps#1", "--follow"],
        &["--help"],
    ] {
        let said = server.cli(args);
        assert_eq!(said.exit_code, 0, "{said:?}");
        assert!(!said.stdout.contains(ESCAPE) && !said.stderr.contains(ESCAPE), "{said:?}");
        for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            // Where it is set, some libraries take every terminal for one that shows colours.
            let (seen, code) = Terminal::at(&server, args, &[("CI", "true"), plain]).end();
            assert_eq!(code, Some(0), "{seen:?}");
            assert!(!seen.contains(ESCAPE), "{plain:?}: {seen:?}");
        }
    }
}
