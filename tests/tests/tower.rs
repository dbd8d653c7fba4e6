//! Tower's own client works with us unmodified: each script in `tests/tower` asks a server on each store, beside which
//! there is a worker, and says itself what it expects.

use relume_tests::guests::workspace;
use relume_tests::node::Node;
use relume_tests::python;
use relume_tests::server::Server;
use tokio::process::Command;

const PLAIN: (&str, &str) = ("plain", "");
const ENV_DUMP: (&str, &str) = ("env_dump", "");
const EXIT_THREE: (&str, &str) = ("exit_three", "");
const PANIC: (&str, &str) = ("panic", "");
/// Prints, and then waits until it is cancelled.
const PRINT_AND_WAIT: (&str, &str) = ("print_and_wait", "");

#[tokio::test] // R13
async fn apps_are_created_listed_shown_and_deleted() {
    check("apps.py", &[PLAIN, ("hello", "")]).await;
}

#[tokio::test] // R13
async fn runs_are_started_followed_and_cancelled() {
    check("runs.py", &[PLAIN, EXIT_THREE, ("return_error", ""), PANIC, ENV_DUMP, PRINT_AND_WAIT]).await;
}

#[tokio::test] // R11, R13
async fn logs_are_printed_and_followed() {
    check("logs.py", &[PLAIN, ("print_odd", ""), PRINT_AND_WAIT, PANIC]).await;
}

#[tokio::test] // R13
async fn schedules_are_created_listed_updated_and_deleted() {
    check("schedules.py", &[PLAIN, ENV_DUMP]).await;
}

#[tokio::test] // R13
async fn secrets_are_created_listed_and_deleted() {
    check("secret.py", &[("env_dump", "secrets = [\"TOKEN\", \"POEM\"]\n")]).await;
}

#[tokio::test] // R3, R5, R9, R13
async fn the_generated_python_api_works() {
    check("api.py", &[PLAIN, EXIT_THREE, ("open_step", ""), PRINT_AND_WAIT]).await;
}

#[tokio::test] // R13
async fn what_we_do_not_have_is_refused_in_words() {
    check("unknown.py", &[PLAIN]).await;
}

/// Runs a script against a server on each store; `guests` are deployed there, each with its manifest.
async fn check(script: &str, guests: &[(&str, &str)]) {
    for server in [Server::sqlite(), Server::postgres()] {
        for (guest, manifest) in guests {
            server.deploy(guest, manifest).await;
        }
        let node = Node::at(server.database.clone()).await;
        let _worker = node.worker();
        let mut command = Command::new(python::program("python"));
        // Without a folder of compiled Python among the sources.
        command.arg("-B").arg(workspace().join("tests/tower").join(script));
        for variable in ["TOWER_JWT", "TOWER_ENVIRONMENT", "TOWER__RUNTIME__RUN_ID"] {
            command.env_remove(variable);
        }
        command.env("TOWER_URL", &server.url).env("TOWER_API_KEY", &server.token).kill_on_drop(true);
        let output = command.output().await.expect("Python starts");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let database = server.database.split(':').next().unwrap_or_default();
        assert!(output.status.success(), "{script} on {database}:\n{said}\n{complained}");
    }
}
