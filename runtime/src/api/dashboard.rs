//! The dashboard: its files, and a login that a browser keeps. The cookie holds a token, which no script can read and no
//! other site can have sent; what it may do is what the token may do.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_NONE_MATCH, ORIGIN, REFERRER_POLICY,
    SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use cookie::{Cookie, SameSite};
use serde::Deserialize;

use super::doors::Peer;
use super::extract::{JsonBody, required};
use super::{Api, Problem, auth};
use crate::ui;

/// How long a browser keeps a login; a token that expires or is revoked ends it before.
const KEPT_FOR: cookie::time::Duration = cookie::time::Duration::days(30);
/// Nothing but the page's own files and this server; no script can put markup into it. Source: V18.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The dashboard's paths, outside `/v1`.
pub fn routes() -> Router<Api> {
    let to_page = || async { Redirect::to("/ui/") };
    Router::new()
        .route("/", get(to_page))
        .route("/ui", get(to_page))
        .route("/ui/", get(|headers: HeaderMap| async move { file("", &headers) }))
        .route("/ui/session", post(log_in).delete(log_out))
        .route("/ui/{*path}", get(|Path(path): Path<String>, headers: HeaderMap| async move { file(&path, &headers) }))
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = ui::file(path) else { return StatusCode::NOT_FOUND.into_response() };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.tag.as_bytes());
    let about = [
        (CONTENT_TYPE, file.content_type),
        // Asked for anew each time, and sent only if it has changed: a new server has a new page.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let tag = [(ETAG, file.tag)];
    match known {
        true => (StatusCode::NOT_MODIFIED, tag, about).into_response(),
        false => (tag, about, file.bytes).into_response(),
    }
}

#[derive(Deserialize)]
struct LogIn {
    token: Option<String>,
}

/// Keeps a token that is good in a cookie.
async fn log_in(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<LogIn>,
) -> Result<(StatusCode, HeaderMap), Problem> {
    check_same_site(&headers)?;
    let text = required("token", body.token)?;
    if auth::find(&*api.store, &text).await?.is_none() {
        api.rates.of_refused(peer)?;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "the token is unknown, revoked or expired")
            .hint("`relume tokens create NAME` makes a token")
            .field("token"));
    }
    Ok((StatusCode::NO_CONTENT, with_cookie(&headers, text, KEPT_FOR)))
}

async fn log_out(headers: HeaderMap) -> Result<(StatusCode, HeaderMap), Problem> {
    check_same_site(&headers)?;
    Ok((StatusCode::NO_CONTENT, with_cookie(&headers, String::new(), cookie::time::Duration::ZERO)))
}

fn with_cookie(headers: &HeaderMap, value: String, max_age: cookie::time::Duration) -> HeaderMap {
    let is_https = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let cookie = Cookie::build((cookie_name(headers), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_https)
        .max_age(max_age);
    // A token that was found is hexadecimal digits, which every header may hold.
    HeaderMap::from_iter(HeaderValue::try_from(cookie.to_string()).ok().map(|cookie| (SET_COOKIE, cookie)))
}

/// Browsers keep the cookies of all ports of a host together: servers on one machine have one each.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|b| b.is_ascii_digit()) => format!("relume_token_{port}"),
        _ => "relume_token".to_owned(),
    }
}

/// The token that the dashboard's cookie holds.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// Refuses a change that a cookie vouches for, unless the dashboard itself asked for it.
pub fn check_change(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() { Ok(()) } else { check_same_site(headers) }
}

/// Browsers say where a request comes from; one that does not is none of them, and has no cookie.
fn check_same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = match (header("sec-fetch-site"), header("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            header("host").is_some_and(|host| origin.split_once("://").is_some_and(|(_, from)| from == host))
        }
        (None, None) => false,
    };
    if is_same {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "other_site", "this was not asked for by the dashboard itself")
        .hint("a program sends `Authorization: Bearer rl_...` instead of a cookie"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value))).collect()
    }

    #[test] // V16
    fn the_cookie_is_found_among_others() {
        assert_eq!(token(&headers(&[("cookie", "a=b; relume_token=rl_1; c=d")])), Some("rl_1"));
        assert_eq!(token(&headers(&[("cookie", "xrelume_token=rl_1; relume_tokens=2")])), None);
        assert_eq!(token(&headers(&[])), None);
        let two = "relume_token=rl_1; relume_token_7300=rl_2";
        assert_eq!(token(&headers(&[("host", "localhost:7300"), ("cookie", two)])), Some("rl_2"));
        assert_eq!(token(&headers(&[("host", "[::1]"), ("cookie", two)])), Some("rl_1"));
    }

    #[test] // V16
    fn another_site_changes_nothing() {
        let may = |pairs: &[_]| check_change(&Method::POST, &headers(pairs)).is_ok();
        assert!(may(&[("sec-fetch-site", "same-origin")]));
        assert!(may(&[("origin", "https://relume.example:8443"), ("host", "relume.example:8443")]));
        assert!(!may(&[("sec-fetch-site", "same-site")]));
        assert!(!may(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")]));
        assert!(!may(&[("origin", "https://evil.example"), ("host", "relume.example")]));
        assert!(!may(&[("origin", "null"), ("host", "relume.example")]));
        assert!(!may(&[("host", "relume.example")]));
        assert!(check_change(&Method::GET, &headers(&[])).is_ok());
    }
}
