//! A server as an operator starts it, and the two ways to ask it: HTTP, and the command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{self, workspace};
use crate::postgres::Postgres;
use crate::process::{Process, binary};

/// A running `relume serve`. Killed when dropped.
pub struct Server {
    pub process: Process,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The first token of its database.
    pub token: String,
    /// Names its database, for workers.
    pub database: String,
    /// An empty folder, in which its commands are typed.
    pub folder: TempDir,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Server {
    /// On a new SQLite database.
    pub fn sqlite() -> Server {
        Server::sqlite_with(&[], &[])
    }

    /// The same, with more arguments and variables of the environment.
    pub fn sqlite_with(args: &[&str], env: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite:{}", folder.path().join("relume.db").display());
        Server::start(database, folder, None, args, env)
    }

    /// On the new database that `url` names, with more arguments and variables of the environment.
    pub fn on_with(url: String, args: &[&str], env: &[(&str, &str)]) -> Server {
        Server::start(url, tempfile::tempdir().expect("a folder"), None, args, env)
    }

    /// On a new database of the shared PostgreSQL.
    pub fn postgres() -> Server {
        Server::on(Postgres::shared().database())
    }

    /// On the new database that `url` names.
    pub fn on(url: String) -> Server {
        Server::on_with(url, &[], &[])
    }

    /// One more on the same database.
    pub fn another(&self) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        Server::start(self.database.clone(), folder, Some(self.token.clone()), &[], &[])
    }

    fn start(database: String, folder: TempDir, token: Option<String>, more: &[&str], env: &[(&str, &str)]) -> Server {
        let data_dir = data_dir();
        let data_dir = data_dir.to_str().expect("the path is text");
        let args = ["serve", "--database", &database, "--listen", "127.0.0.1:0", "--data-dir", data_dir];
        let process = Process::start(&[&args, more].concat(), env);
        let line = process.wait_for_line("listening on ");
        let url = line.rsplit(' ').next().expect("an address").to_owned();
        let first = || {
            let said = process.said();
            let line = said.iter().find_map(|line| line.strip_prefix("token: "));
            line.expect("a server on a new database makes a token").to_owned()
        };
        let token = token.unwrap_or_else(first);
        // Refused only when another test was first.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([]).build().expect("a client");
        Server { process, url, token, database, folder, http }
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// `GET`, with the token.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// `POST` of a body that is sent as it is, and said to be JSON.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.request(Method::POST, path).header("content-type", "application/json").body(body)).await
    }

    /// Uploads a component, and a manifest unless it is empty; what they may do is approved.
    pub async fn upload(&self, app: &str, component: Vec<u8>, manifest: impl Into<Vec<u8>>) -> Answer {
        let mut form = Form::new().part("component", Part::bytes(component).file_name("app.wasm"));
        let manifest = manifest.into();
        if !manifest.is_empty() {
            form = form.part("manifest", Part::bytes(manifest).file_name("relume.toml"));
        }
        answer(self.request(Method::POST, &format!("/v1/apps/{app}/versions?approve=true")).multipart(form)).await
    }

    /// Creates the app of a guest's name, with hyphens, and uploads the guest.
    pub async fn deploy(&self, guest: &str, manifest: &str) -> String {
        let app = guest.replace('_', "-");
        // First, as it may have to be built: the connection would be idle for too long meanwhile.
        let component = std::fs::read(guests::path(guest)).expect("it was built");
        let created = self.post("/v1/apps", json!({"name": app}).to_string()).await;
        assert_eq!(created.status, 201, "{created:?}");
        let uploaded = self.upload(&app, component, manifest).await;
        assert_eq!(uploaded.status, 201, "{uploaded:?}");
        app
    }

    /// Starts a run and returns it.
    pub async fn start_run(&self, app: &str, body: Value) -> Value {
        let started = self.post(&format!("/v1/apps/{app}/runs"), body.to_string()).await;
        assert_eq!(started.status, 201, "{started:?}");
        started.json()["run"].clone()
    }

    /// What a command says that knows this server and its token.
    pub fn cli(&self, args: &[&str]) -> Said {
        self.cli_with(args, "")
    }

    /// The same, with `stdin`.
    pub fn cli_with(&self, args: &[&str], stdin: &str) -> Said {
        cli(self.folder.path(), args, &[("RELUME_URL", &self.url), ("RELUME_TOKEN", &self.token)], stdin)
    }
}

/// Sends a request.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("the whole answer") }
}

impl Answer {
    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The problem document that this answer is: with a status, a stable code and words for a person, and nothing in
    /// it that only its makers understand.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {problem}");
        }
        for word in ["struct ", "panicked", "sqlx", "src/"] {
            assert!(!self.text.contains(word), "`{word}` is for us alone: {problem}");
        }
        problem
    }
}

/// What `relume` says in `folder`, where nothing else is known to it.
pub fn cli(folder: &Path, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Said {
    let mut command = Command::new(binary());
    for variable in ["RELUME_URL", "RELUME_TOKEN", "RELUME_LOG", "DATABASE_URL"] {
        command.env_remove(variable);
    }
    command.args(args).envs(env.iter().copied()).env("XDG_CACHE_HOME", data_dir()).current_dir(folder);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("relume starts");
    // A command that reads no input may be gone already.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("our child");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    let exit_code = output.status.code().unwrap_or_else(|| panic!("{:?}", output.status));
    Said { exit_code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Where servers keep compiled guests, so that each is compiled once.
pub fn data_dir() -> PathBuf {
    let folder = workspace().join("target/tmp/server");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
