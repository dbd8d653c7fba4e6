//! Who asks? Every path under `/v1` needs a token, `rl_<id>_<secret>`: found by its public id,
//! and only the sha256 of its 256-bit secret is stored. Source: V16.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Api, Problem};
use crate::sandbox::hex;
use crate::store::{NewToken, Store, StoreError, Token};

const PREFIX: &str = "rl_";
/// 64 bits: enough that ids do not meet by chance.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Makes a token, keeps its hash, and returns what the store knows of it and its text. The text
/// exists nowhere else.
pub async fn create_token(store: &dyn Store, name: &str) -> Result<(Token, String), StoreError> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|e| StoreError::Fault(anyhow::anyhow!("no random bytes: {e}")))?;
    let (token_id, secret) = (hex(&random[..ID_BYTES]), hex(&random[ID_BYTES..]));
    let text = format!("{PREFIX}{token_id}_{secret}");
    let secret_hash = hash(&secret);
    let token = store.create_token(NewToken { token_id, name: name.into(), secret_hash }).await?;
    Ok((token, text))
}

/// Whether `text` is a token that is not revoked.
pub async fn is_valid(store: &dyn Store, text: &str) -> Result<bool, StoreError> {
    let Some((token_id, secret)) = parse(text) else { return Ok(false) };
    match store.find_token(token_id).await {
        Ok((stored, _)) => Ok(stored.ct_eq(&hash(secret)).into()),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Lets a request with a valid token pass.
pub(super) async fn require_token(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(text) = presented(request.headers()) else {
        return Err(unauthorized("this request carries no token"));
    };
    if !is_valid(&*api.store, text).await? {
        return Err(unauthorized("the token is unknown or revoked"));
    }
    Ok(next.run(request).await)
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
