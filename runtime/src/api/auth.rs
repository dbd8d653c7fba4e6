//! Who asks? Every path under `/v1` needs a token, `rl_<id>_<secret>`: found by its public id,
//! and only the sha256 of its 256-bit secret is stored. Source: V16.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use super::doors::Peer;
use super::{Api, Problem, dashboard};
use crate::numbers::{Number, fixed, time};
use crate::sandbox::hex;
use crate::store::{NewToken, Store, StoreError, Token};

const PREFIX: &str = "rl_";
/// 64 bits: enough that ids do not meet by chance.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// How long a stream may outlive the token that asked for it.
const STREAM_OUTLIVES: Duration = Duration::from_secs(5);

/// The numbers of tokens.
pub fn numbers() -> Vec<Number> {
    vec![fixed("V16", "how long a stream outlives its token", time(STREAM_OUTLIVES))]
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read apps, runs, logs and schedules.
    RunsRead,
    /// Start and cancel runs.
    RunsWrite,
    /// Change apps, upload versions, change schedules and secrets.
    AppsWrite,
    /// All of that, and tokens.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::RunsRead, Scope::RunsWrite, Scope::AppsWrite, Scope::Admin];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::RunsRead => "runs:read",
            Scope::RunsWrite => "runs:write",
            Scope::AppsWrite => "apps:write",
            Scope::Admin => "admin",
        }
    }

    /// The scope that `word` names.
    pub fn from_word(word: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// What a request needs. `path` is the route, as in `/v1/apps/{app}`.
    pub fn needed(method: &Method, path: &str) -> Scope {
        if path.starts_with("/v1/tokens") {
            return Scope::Admin;
        }
        if path.starts_with("/v1/secrets") {
            return Scope::AppsWrite;
        }
        match *method {
            Method::GET | Method::HEAD => Scope::RunsRead,
            Method::POST if path.starts_with("/v1/apps/{app}/runs") => Scope::RunsWrite,
            _ => Scope::AppsWrite,
        }
    }
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The apps that it may use; `None` is every app.
    pub apps: Option<Vec<String>>,
    /// `None` is until it is revoked.
    pub valid_for: Option<Duration>,
}

impl TokenOptions {
    /// A token that may do everything until it is revoked.
    pub fn admin(name: &str) -> TokenOptions {
        TokenOptions { name: name.into(), scopes: vec![Scope::Admin], apps: None, valid_for: None }
    }
}

/// Makes a token, keeps its hash, and returns what the store knows of it and its text. The text
/// exists nowhere else.
pub async fn create_token(store: &dyn Store, options: TokenOptions) -> Result<(Token, String), StoreError> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|e| StoreError::Fault(anyhow::anyhow!("no random bytes: {e}")))?;
    let (token_id, secret) = (hex(&random[..ID_BYTES]), hex(&random[ID_BYTES..]));
    let text = format!("{PREFIX}{token_id}_{secret}");
    let secret_hash = hash(&secret);
    let TokenOptions { name, scopes, apps, valid_for } = options;
    let scopes = scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
    let token = store.create_token(NewToken { token_id, name, secret_hash, scopes, apps, valid_for }).await?;
    Ok((token, text))
}

/// What is known of the token `text`, if it is one that is neither revoked nor expired.
pub async fn find(store: &dyn Store, text: &str) -> Result<Option<Token>, StoreError> {
    let Some((token_id, secret)) = parse(text) else { return Ok(None) };
    // An id that is unknown is compared too, with what no secret has: it takes the same path as a wrong secret.
    let (stored, token) = match store.find_token(token_id).await {
        Ok((stored, token)) => (stored, Some(token)),
        Err(StoreError::NotFound(_)) => (vec![0; SECRET_BYTES], None),
        Err(e) => return Err(e),
    };
    let is_equal = bool::from(stored.ct_eq(&hash(secret)));
    Ok(token.filter(|_| is_equal))
}

/// Who asks, as far as it matters further on.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The apps that the token may use; `None` is every app.
    apps: Option<Arc<[String]>>,
}

impl Caller {
    /// The apps to which lists are limited, if they are.
    pub fn apps(&self) -> Option<Vec<String>> {
        self.apps.as_deref().map(<[String]>::to_vec)
    }

    /// Refuses another app than those of the token.
    pub fn check_app(&self, app: &str) -> Result<(), Problem> {
        match &self.apps {
            Some(apps) if !apps.iter().any(|name| name == app) => {
                let detail = format!("this token may not use the app `{app}`: it is for `{}`", apps.join("`, `"));
                let hint = "`relume tokens create NAME --app APP` makes a token for other apps";
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what is not of one app to a token of some apps.
    pub fn check_every_app(&self, what: &str) -> Result<(), Problem> {
        let Some(apps) = &self.apps else { return Ok(()) };
        let detail = format!("this token may not {what}: it is for the apps `{}` alone", apps.join("`, `"));
        let hint = "`relume tokens create NAME` without --app makes a token for every app";
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).hint(hint))
    }

    /// What a request asks for by its route and the app in its path.
    fn check(&self, method: &Method, route: &str, app: Option<&str>) -> Result<(), Problem> {
        match (app, route) {
            (Some(app), _) => self.check_app(app),
            (None, "/v1/apps") if *method == Method::POST => self.check_every_app("create apps"),
            (None, route) if route.starts_with("/v1/secrets") => self.check_every_app("use secrets"),
            (None, route) if route.starts_with("/v1/tokens") => self.check_every_app("use tokens"),
            (None, route) if route.starts_with("/v1/workers") => self.check_every_app("look at workers"),
            // Lists, which are limited, and schedules, each of which names its app.
            (None, _) => Ok(()),
        }
    }
}

/// Lets a request pass whose token is valid and may do this.
pub(super) async fn require_token(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    path: Option<MatchedPath>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let by_header = presented(request.headers());
    let Some(text) = by_header.or_else(|| dashboard::token(request.headers())) else {
        api.rates.of_refused(peer)?;
        return Err(unauthorized("this request carries no token"));
    };
    let Some(token) = find(&*api.store, text).await? else {
        api.rates.of_refused(peer)?;
        return Err(unauthorized("the token is unknown, revoked or expired"));
    };
    api.rates.of_token(&token.token_id)?;
    if by_header.is_none() {
        dashboard::check_change(request.method(), request.headers())?;
    }
    // A path that leads nowhere is told to whoever may read.
    let route = path.as_ref().map_or("", MatchedPath::as_str);
    let needed = path.as_ref().map_or(Scope::RunsRead, |path| Scope::needed(request.method(), path.as_str()));
    let mut scopes = token.scopes.split_whitespace().filter_map(Scope::from_word);
    if !scopes.any(|scope| scope == needed || scope == Scope::Admin) {
        let detail = format!("the token `{}` may not do this: it has the scopes `{}`", token.name, token.scopes);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).hint(match needed {
            Scope::Admin => "this needs the scope `admin`".to_owned(),
            other => format!("this needs the scope `{}`, or `admin`", other.as_str()),
        }));
    }
    let caller = Caller { apps: token.apps.map(Arc::from) };
    // What is no text is refused by whoever reads it, by its name.
    let params = params.ok();
    let app = params.iter().flatten().find(|(name, _)| *name == "app").map(|(_, value)| value);
    caller.check(request.method(), route, app)?;
    request.extensions_mut().insert(caller);
    let answer = next.run(request).await;
    Ok(if is_stream(&answer) { while_valid(answer, api, token.token_id) } else { answer })
}

fn is_stream(answer: &Response) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Ends an answer once its token is revoked or has expired.
fn while_valid(answer: Response, api: Api, token_id: String) -> Response {
    let invalid = Box::pin(async move {
        loop {
            sleep(STREAM_OUTLIVES).await;
            // A database that does not answer says nothing about the token.
            if let Err(StoreError::NotFound(_)) = api.store.find_token(&token_id).await {
                return;
            }
        }
    });
    answer.map(|body| Body::from_stream(body.into_data_stream().take_until(invalid)))
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .hint("send `Authorization: Bearer rl_...`; `relume tokens create NAME` makes a token")
}

/// The token in `Authorization: Bearer`, or in `X-API-Key` as Tower's clients send it.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    headers.get("x-api-key")?.to_str().ok()
}

/// A token's public id and its secret.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (token_id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let fits = token_id.len() == 2 * ID_BYTES && secret.len() == 2 * SECRET_BYTES;
    (fits && is_hex(token_id) && is_hex(secret)).then_some((token_id, secret))
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ID: &str = "0123456789abcdef";

    #[test]
    fn a_token_has_an_id_and_a_secret() {
        let secret = "a".repeat(64);
        assert_eq!(parse(&format!("rl_{ID}_{secret}")), Some((ID, secret.as_str())));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let secret = "a".repeat(64);
        for text in ["", "rl_", "rl__", &format!("rl_{ID}_"), &format!("rl_{ID}_{secret}0"), &format!("{ID}_{secret}")]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("rl_{ID}_{}", secret.to_uppercase())), None);
        assert_eq!(parse(&format!("rl_../../../../.._{secret}")), None);
    }

    #[test] // V16
    fn each_request_needs_one_scope() {
        let check = |method, path, scope| assert_eq!(Scope::needed(&method, path), scope, "{method} {path}");
        check(Method::GET, "/v1/apps/{app}/runs/{number}/logs", Scope::RunsRead);
        check(Method::POST, "/v1/apps/{app}/runs", Scope::RunsWrite);
        check(Method::POST, "/v1/apps/{app}/runs/{number}", Scope::RunsWrite);
        check(Method::POST, "/v1/apps/{app}/versions", Scope::AppsWrite);
        check(Method::DELETE, "/v1/apps/{app}", Scope::AppsWrite);
        check(Method::GET, "/v1/secrets", Scope::AppsWrite);
        check(Method::GET, "/v1/tokens", Scope::Admin);
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.as_str()), Some(scope));
        }
    }

    #[test]
    fn either_header_presents_a_token() {
        let headers = |name: &'static str, value| HeaderMap::from_iter([(name.parse().expect("a name"), value)]);
        let check = |name, value, expected| {
            assert_eq!(presented(&headers(name, HeaderValue::from_static(value))), expected, "{name}: {value}");
        };
        check("authorization", "Bearer t", Some("t"));
        check("authorization", "bearer t", Some("t"));
        check("authorization", "Basic t", None);
        check("authorization", "t", None);
        check("x-api-key", "t", Some("t"));
        assert_eq!(presented(&HeaderMap::new()), None);
    }
}
