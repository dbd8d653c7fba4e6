//! V12: secrets and the environment. 20 secrets are given to a program that tells them in every way it knows, and
//! then looked for wherever something is kept or shown.

use std::fmt::Write as _;

use libtest_mimic::Trial;
use relume_tests::dice::Dice;
use relume_tests::postgres::Postgres;
use relume_tests::server::answer;
use relume_tests::shop::Shop;
use relume_tests::sql;
use reqwest::Method;
use serde_json::{Value, json};

use crate::report::{Cases, test};
use crate::world::World;

/// The ways that end well, as nothing is recorded; then those that are refused, with words of the refusal; then those
/// that fail by themselves.
const PRINTS: [&str; 4] = ["print", "pieces", "cut", "http"];
const REFUSED: [(&str, &str); 11] = [
    ("result", "the result of step `tell` shows the secret `S"),
    ("result_base64", "the result of step `tell` shows the secret `S"),
    ("name", "the name of a step shows the secret `S"),
    ("given", "what step `tell` is given shows the secret `S"),
    ("event", "the name of an event shows the secret `S"),
    ("child", "the name of the app of a child shows the secret `S"),
    ("child_input", "what the start of a run of `tell-secrets` is given shows the secret `S"),
    ("child_parameter", "what the start of a run of `tell-secrets` is given shows the secret `S"),
    ("child_parameter_name", "what the start of a run of `tell-secrets` is given shows the secret `S"),
    ("output", "the output shows the secret `S"),
    ("output_base64", "the output shows the secret `S"),
];
const FAILS: [(&str, &str); 6] = [
    ("panic", "trap"),
    ("panic_debug", "trap"),
    ("error", "error"),
    ("exit", "exit"),
    ("step_error", "step_exhausted"),
    ("http_refused", "step_exhausted"),
];

pub fn tests() -> Vec<Trial> {
    vec![
        test("v12_no_canary_is_found_anywhere_on_sqlite", async |cases: &mut Cases| {
            let world = World::sqlite(&[]);
            let secrets = tell_all(&world, cases).await;
            let tables = "select name from sqlite_master where type = 'table'";
            let mut dump = String::new();
            for table in sql::lines(&world.server.database, tables).await {
                for column in
                    sql::lines(&world.server.database, &format!("select name from pragma_table_info('{table}')")).await
                {
                    let rows = format!(
                        "select case typeof(\"{column}\") when 'blob' then hex(\"{column}\") \
                         else coalesce(cast(\"{column}\" as text), '') end from \"{table}\""
                    );
                    dump.extend(sql::lines(&world.server.database, &rows).await);
                }
            }
            assert!(dump.contains("tell-secrets") && dump.contains("[secret S01]"), "a dump of everything");
            check("the dump", &dump, &secrets, cases);
            let path = world.server.database.trim_start_matches("sqlite:").to_owned();
            for file in [path.clone(), format!("{path}-wal")] {
                let bytes = std::fs::read(&file).unwrap_or_default();
                check(&file, &String::from_utf8_lossy(&bytes), &secrets, cases);
            }
        }),
        test("v12_no_canary_is_found_anywhere_on_postgres", async |cases: &mut Cases| {
            let world = World::postgres(&[]);
            let secrets = tell_all(&world, cases).await;
            let dump = Postgres::shared().dump(&world.server.database);
            assert!(dump.contains("tell-secrets") && dump.contains("[secret S01]"), "a dump of everything");
            check("the dump", &dump, &secrets, cases);
        }),
        test(
            "v12_a_program_has_the_secrets_that_its_manifest_names_and_nothing_of_the_workers_environment",
            environment,
        ),
        test("v12_a_short_secret_is_kept_with_a_warning", short),
    ]
}

/// 20 secrets of all kinds, with their names.
fn canaries() -> Vec<(String, String)> {
    let mut dice = Dice::cast();
    let mut random = || {
        (0..24).map(|_| char::from(b"0123456789abcdefghijklmnopqrstuv"[dice.below(32) as usize])).collect::<String>()
    };
    let mut kind = |n: usize| {
        let r = random();
        match n % 10 {
            1 => r,
            2 => format!("{r}\n{}\r\n  {}\n", random(), random()),
            3 => format!("\"{r}\" it's \\ {r}"),
            4 => format!("grün 🙂 {r} ñ"),
            5 => format!("-----BEGIN PRIVATE KEY-----\nMIIE{r}/+{r}\n{}==\n-----END PRIVATE KEY-----\n", random()),
            6 => format!("postgres://me:{r}@db.example/x?a=1&b=%20+"),
            7 => format!("{{\"key\": \"{r}\",\n \"other\": \"{}\"}}", random()),
            8 => r[..8].to_owned(),
            9 => format!("{r}~/+?&=<>'\t{r}"),
            _ => format!("rl_{}_{}", &r[..16], random()),
        }
    };
    (1..=20).map(|n| (format!("S{n:02}"), kind(n))).collect()
}

/// Sets the secrets, has them told in every way, and looks at all that the API and the logs show.
async fn tell_all(world: &World, cases: &mut Cases) -> Vec<(String, String)> {
    let (server, secrets, shop) = (&world.server, canaries(), Shop::start());
    for (name, value) in &secrets {
        let kept = server.post("/v1/secrets", json!({"name": name, "value": value}).to_string()).await;
        assert_eq!(kept.status, 201, "{kept:?}");
    }
    let names: Vec<_> = secrets.iter().map(|(name, _)| name).collect();
    let manifest = format!("secrets = {names:?}\nallowed_hosts = [\"{}\"]", shop.url());
    let app = server.deploy("tell_secrets", &manifest).await;
    let told = async |input: Value| world.run_with(&app, input).await;
    let all = [PRINTS.map(|how| (how, "")).as_slice(), &REFUSED].concat();
    for (how, words) in all {
        for which in [1, 3, 4, 5, 8] {
            let run = told(json!({"how": how, "which": which, "url": shop.url()})).await;
            let message = run["failure"]["message"].as_str().unwrap_or_default();
            // Tabs and lines make no app's name, nor 256 bytes a step's.
            let is_refused = message.contains(words);
            let expected = if words.is_empty() { "exited" } else { "crashed" };
            assert!(run["status"] == expected && is_refused, "{how} {which}: {run}");
            cases.add(if words.is_empty() { "told to no one" } else { "refused" });
        }
    }
    for (how, kind) in FAILS {
        let run = told(json!({"how": how, "url": "not-allowed.example"})).await;
        assert_eq!((&run["status"], &run["failure"]["kind"]), (&json!("crashed"), &json!(kind)), "{how}: {run}");
        cases.add("told to no one");
    }
    let policy = json!({"max_retries": 1, "retry_delay_seconds": 0, "use_exponential_backoff": false});
    let run = world.run(&app, json!({"input": {"how": "diverge"}, "retry_policy": policy})).await;
    assert_eq!(run["failure"]["kind"], "divergence", "{run}");
    assert!(run["failure"]["message"].as_str().is_some_and(|text| text.contains("[secret S")), "{run}");
    assert!(shop.calls("tell") > 0, "what it sends to an allowed host is its own affair");

    let mut shown = String::new();
    let list = server.get("/v1/runs?limit=100").await;
    let numbers: Vec<_> =
        list.json()["runs"].as_array().expect("runs").iter().map(|run| run["number"].clone()).collect();
    assert!(numbers.len() > 60, "{}", numbers.len());
    shown.push_str(&list.text);
    for path in ["/v1/apps", "/v1/secrets", "/v1/secrets/key", "/v1/tokens", "/v1/schedules", "/v1/openapi.json"] {
        shown.push_str(&server.get(path).await.text);
    }
    for path in ["", "/versions", "/versions/v1", "/runs"] {
        shown.push_str(&server.get(&format!("/v1/apps/{app}{path}")).await.text);
    }
    for number in numbers {
        for path in [
            "",
            "/journal",
            "/events",
            "/explain",
            "/logs",
            "/calls",
            "/logs?limit=1000",
            "/logs?format=text",
            "/logs/stream",
        ] {
            shown.push_str(&server.get(&format!("/v1/apps/{app}/runs/{number}{path}")).await.text);
        }
    }
    assert!(shown.contains("[secret S01]") && shown.contains("[secret S20]"), "what was printed is there");
    check("the API", &shown, &secrets, cases);
    // The first token is printed for the operator, once; that line is no log.
    let logged: String = world.logged().lines().filter(|line| !line.starts_with("token: ")).collect();
    assert!(logged.contains("DEBUG"), "all is logged");
    check("the log of the processes", &logged, &secrets, cases);
    check("the log of the processes", &logged, &[("the token".to_owned(), server.token.clone())], cases);
    secrets
}

fn check(place: &str, text: &str, secrets: &[(String, String)], cases: &mut Cases) {
    for (name, value) in secrets {
        for line in value.lines().map(str::trim).filter(|line| line.len() >= 8 && !line.starts_with("-----")) {
            for form in forms(line) {
                assert!(!text.contains(&form), "{name} shows in {place}, as `{form}`");
            }
        }
        cases.add("not found");
    }
}

/// The ways to write a text that the guest knows, by another hand than the program's.
fn forms(text: &str) -> Vec<String> {
    let hex = |digits: fn(u8) -> String| text.bytes().map(digits).collect::<String>();
    let percent = text.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    let mut forms = vec![text.to_owned(), text.escape_debug().to_string(), percent.collect()];
    forms.extend([
        hex(|byte| format!("{byte:02x}")),
        hex(|byte| format!("{byte:02X}")),
        hex(|byte| format!("%{byte:02X}")),
    ]);
    forms.push(serde_json::to_string(text).expect("JSON").trim_matches('"').to_owned());
    let bits = text.bytes().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").expect("a string takes it");
        bits
    });
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |six: &[u8]| char::from(digits[six.iter().fold(0, |n, bit| n << 1 | usize::from(bit - b'0'))]);
    let base64: String = bits.as_bytes().chunks_exact(6).map(digit).collect();
    forms.extend([base64.replace('+', "-").replace('/', "_"), base64]);
    forms
}

async fn environment(cases: &mut Cases) {
    for world in World::both() {
        for name in ["S01", "S02"] {
            let body = json!({"name": name, "value": format!("the value of {name}")});
            assert_eq!(world.server.post("/v1/secrets", body.to_string()).await.status, 201);
        }
        let app = world.server.deploy("env_dump", "secrets = [\"S01\"]\n[env]\nGIVEN = \"by the manifest\"").await;
        let run = world.run_with(&app, json!({})).await;
        assert_eq!(run["status"], "exited", "{run}");
        let log = answer(world.server.request(Method::GET, "/v1/apps/env-dump/runs/1/logs?format=text")).await.text;
        let mut variables: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("env ")).collect();
        variables.sort_unstable();
        assert_eq!(variables, ["GIVEN=by the manifest", "S01=[secret S01]"], "{log}");
        cases.add("not given");
    }
}

async fn short(cases: &mut Cases) {
    let world = World::sqlite(&[]);
    let kept = world.server.cli_with(&["secrets", "set", "PIN"], "1234");
    assert_eq!((kept.exit_code, kept.stdout.as_str()), (0, "PIN kept\n"), "{kept:?}");
    assert!(kept.stderr.contains("shorter than 8 bytes"), "{kept:?}");
    let kept = world.server.cli_with(&["secrets", "set", "LONG"], "12345678");
    assert_eq!((kept.exit_code, kept.stderr.as_str()), (0, ""), "{kept:?}");
    let body = json!({"name": "OTHER", "value": "abc"}).to_string();
    let answer = world.server.post("/v1/secrets", body).await.json();
    assert!(answer["warning"].as_str().is_some_and(|text| text.contains("8 bytes")), "{answer}");
    cases.add("warned");
}
