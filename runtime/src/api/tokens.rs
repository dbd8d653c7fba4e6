//! Tokens: made, listed, revoked.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::auth::{Scope, TokenOptions};
use super::extract::{JsonBody, PathPart, QueryParams, required};
use super::wire::{CreateToken, ProblemBody, Token, TokenList, TokenOnly};
use super::{Api, Problem, auth};
use crate::manifest::check_app_name;

const MAX_NAME_CHARS: usize = 100;
/// Apps that a token may name.
const MAX_APPS: usize = 100;
/// Ten years.
const MAX_VALID_SECONDS: u64 = 315_360_000;

/// List the tokens that are not revoked
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
pub async fn list(State(api): State<Api>, query: QueryParams) -> Result<Json<TokenList>, Problem> {
    query.finish()?;
    let tokens = api.store.list_tokens().await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(Token::from).collect() }))
}

/// Make a token; the only answer that holds its text
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "tokens", request_body = CreateToken,
    responses((status = 201, body = TokenOnly)))]
pub async fn create(
    State(api): State<Api>,
    JsonBody(body): JsonBody<CreateToken>,
) -> Result<(StatusCode, Json<TokenOnly>), Problem> {
    let name = required("name", body.name)?;
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.contains(char::is_control) {
        let detail = format!("a token's name is 1 to {MAX_NAME_CHARS} characters without control characters");
        return Err(Problem::invalid("name", detail));
    }
    let scopes = scopes(body.scopes.unwrap_or_else(|| vec![Scope::Admin.as_str().into()]))?;
    let apps = body.apps.map(|apps| checked_apps(apps, &scopes)).transpose()?;
    let valid_for = match body.expires_in_seconds {
        Some(seconds) if !(1..=MAX_VALID_SECONDS).contains(&seconds) => {
            let detail = format!("{seconds} is out of range: it is 1 to {MAX_VALID_SECONDS}");
            return Err(Problem::invalid("expires_in_seconds", detail));
        }
        seconds => seconds.map(Duration::from_secs),
    };
    let (token, text) = auth::create_token(&*api.store, TokenOptions { name, scopes, apps, valid_for }).await?;
    Ok((StatusCode::CREATED, Json(TokenOnly { token: Token { token: Some(text), ..token.into() } })))
}

/// Revoke a token at once
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "revoke_token", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub async fn revoke(State(api): State<Api>, PathPart(id): PathPart) -> Result<StatusCode, Problem> {
    api.store.revoke_token(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn checked_apps(mut names: Vec<String>, scopes: &[Scope]) -> Result<Vec<String>, Problem> {
    if scopes.contains(&Scope::Admin) {
        let problem = Problem::invalid("apps", "a token with the scope `admin` is for every app");
        return Err(problem.hint("name its scopes, e.g. `runs:read` and `runs:write`, or no apps"));
    }
    if names.is_empty() || names.len() > MAX_APPS {
        return Err(Problem::invalid("apps", format!("{} apps are named: it is 1 to {MAX_APPS}", names.len())));
    }
    for name in &names {
        check_app_name("apps", name)?;
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn scopes(words: Vec<String>) -> Result<Vec<Scope>, Problem> {
    let known = || Scope::ALL.map(Scope::as_str).join("`, `");
    if words.is_empty() {
        return Err(Problem::invalid("scopes", format!("a token has one scope or more of `{}`", known())));
    }
    let mut scopes = Vec::new();
    for word in words {
        let scope = Scope::from_word(&word)
            .ok_or_else(|| Problem::invalid("scopes", format!("`{word}` is no scope: there are `{}`", known())))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}
