//! Tokens: made, listed, revoked.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{JsonBody, QueryParams, TokenId, required};
use super::wire::{CreateToken, Token, TokenList, TokenOnly};
use super::{Api, Problem, auth};

const MAX_NAME_BYTES: usize = 100;

pub async fn list(State(api): State<Api>, query: QueryParams) -> Result<Json<TokenList>, Problem> {
    query.finish()?;
    let tokens = api.store.list_tokens().await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(Token::from).collect() }))
}

/// The only answer that holds the token's text.
pub async fn create(
    State(api): State<Api>,
    JsonBody(body): JsonBody<CreateToken>,
) -> Result<(StatusCode, Json<TokenOnly>), Problem> {
    let name = required("name", body.name)?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
        let detail = format!("a token's name is 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Problem::invalid("name", detail));
    }
    let (token, text) = auth::create_token(&*api.store, &name).await?;
    Ok((StatusCode::CREATED, Json(TokenOnly { token: Token { token: Some(text), ..token.into() } })))
}

pub async fn revoke(State(api): State<Api>, TokenId(id): TokenId) -> Result<StatusCode, Problem> {
    api.store.revoke_token(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
