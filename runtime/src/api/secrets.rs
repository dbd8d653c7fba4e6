//! Secrets: kept, listed, replaced, deleted; and never told again. Source: V12.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{JsonBody, PathPart, QueryParams, check_environment, required};
use super::page::Page;
use super::wire::{ProblemBody, Secret, SecretList, SecretOnly, SecretsKey, SetSecret, words};
use super::{Api, Problem};
use crate::manifest::check_secret_name;
use crate::redact::MIN_BYTES;
use crate::store::NewSecret;
use crate::vault::{MAX_SECRET_BYTES, PublicKeyFormat, VaultError};

const MAX_PREVIEW_CHARS: usize = 100;

/// List secrets, without what they hold
#[utoipa::path(get, path = "/secrets", operation_id = "list_secrets", tag = "secrets",
    params(words::PageParams,
        ("environment" = Option<words::OnlyEnvironment>, Query), ("all" = Option<bool>, Query)),
    responses((status = 200, body = SecretList)))]
pub async fn list(State(api): State<Api>, mut query: QueryParams) -> Result<Json<SecretList>, Problem> {
    let page = Page::take(&mut query)?;
    check_environment(query.text("environment")?)?;
    // Of all environments; there is one.
    query.take("all", "`true` or `false`", |text| text.parse::<bool>().ok())?;
    query.finish()?;
    let secrets = api.store.list_secrets(page.limit(), page.offset()).await?;
    let pages = page.told(api.store.count_secrets().await?);
    Ok(Json(SecretList { secrets: secrets.into_iter().map(Secret::from).collect(), pages }))
}

/// The key with which clients may encrypt secrets
#[utoipa::path(get, path = "/secrets/key", operation_id = "describe_secrets_key", tag = "secrets", params(("format" = inline(Option<words::KeyFormat>), Query)),
    responses((status = 200, body = SecretsKey)))]
pub async fn key(State(api): State<Api>, mut query: QueryParams) -> Result<Json<SecretsKey>, Problem> {
    let format = query.take("format", "`pkcs1` or `spki`", |text| match text {
        "pkcs1" => Some(PublicKeyFormat::Pkcs1),
        "spki" => Some(PublicKeyFormat::Spki),
        _ => None,
    })?;
    query.finish()?;
    let pair = key_pair(&api).await?;
    let public_key = api.vault.public_key(&pair, format.unwrap_or(PublicKeyFormat::Pkcs1)).map_err(broken)?;
    Ok(Json(SecretsKey { public_key }))
}

/// Keep a secret
#[utoipa::path(post, path = "/secrets", operation_id = "create_secret", tag = "secrets", request_body = SetSecret,
    responses((status = 201, body = SecretOnly), (status = 409, body = ProblemBody)))]
pub async fn create(
    State(api): State<Api>,
    JsonBody(body): JsonBody<SetSecret>,
) -> Result<(StatusCode, Json<SecretOnly>), Problem> {
    let name = required("name", body.name.clone())?;
    if name == "key" {
        return Err(Problem::invalid("name", "`key` is a path of its own: give the secret another name"));
    }
    let (secret, warning) = sealed(&api, name, body).await?;
    Ok((StatusCode::CREATED, Json(SecretOnly { secret: api.store.create_secret(secret).await?.into(), warning })))
}

/// Replace a secret
#[utoipa::path(put, path = "/secrets/{name}", operation_id = "update_secret", tag = "secrets", params(("name" = words::SecretName, Path)), request_body = SetSecret,
    responses((status = 200, body = SecretOnly), (status = 404, body = ProblemBody)))]
pub async fn update(
    State(api): State<Api>,
    PathPart(name): PathPart,
    JsonBody(body): JsonBody<SetSecret>,
) -> Result<Json<SecretOnly>, Problem> {
    if body.name.as_ref().is_some_and(|named| *named != name) {
        return Err(Problem::invalid("name", "a secret keeps its name: leave it out"));
    }
    let (secret, warning) = sealed(&api, name, body).await?;
    Ok(Json(SecretOnly { secret: api.store.update_secret(secret).await?.into(), warning }))
}

/// Delete a secret
#[utoipa::path(delete, path = "/secrets/{name}", operation_id = "delete_secret", tag = "secrets",
    params(("name" = words::SecretName, Path), ("environment" = Option<words::OnlyEnvironment>, Query)),
    responses((status = 200, body = SecretOnly), (status = 404, body = ProblemBody)))]
pub async fn delete(
    State(api): State<Api>,
    PathPart(name): PathPart,
    mut query: QueryParams,
) -> Result<Json<SecretOnly>, Problem> {
    check_environment(query.text("environment")?)?;
    query.finish()?;
    Ok(Json(SecretOnly { secret: api.store.delete_secret(&name).await?.into(), warning: None }))
}

/// The secret as it is kept, and what its owner should know.
async fn sealed(api: &Api, name: String, body: SetSecret) -> Result<(NewSecret, Option<String>), Problem> {
    check_secret_name("name", &name)?;
    check_environment(body.environment)?;
    let (field, value) = match (body.value, body.encrypted_value) {
        (Some(value), None) => ("value", value.into_bytes()),
        (None, Some(encrypted)) => {
            let pair = key_pair(api).await?;
            let opened = api.vault.open_from_client(&pair, &encrypted).map_err(|error| match error {
                VaultError::NotForUs => Problem::invalid("encrypted_value", error.to_string()),
                other => broken(other),
            });
            ("encrypted_value", opened?)
        }
        (Some(_), Some(_)) => return Err(Problem::invalid("value", "`value` and `encrypted_value` are both there")),
        (None, None) => return Err(Problem::invalid("value", "`value` is missing")),
    };
    if value.len() > MAX_SECRET_BYTES || value.contains(&0) || std::str::from_utf8(&value).is_err() {
        let detail = format!("a secret is text of at most {} KiB without NUL", MAX_SECRET_BYTES >> 10);
        return Err(Problem::invalid(field, detail));
    }
    let preview = match body.preview {
        Some(preview) if preview.chars().count() > MAX_PREVIEW_CHARS => {
            return Err(Problem::invalid("preview", format!("a preview has at most {MAX_PREVIEW_CHARS} characters")));
        }
        Some(preview) if preview.contains('\0') => return Err(Problem::invalid("preview", "a preview holds no NUL")),
        Some(preview) => preview,
        None => preview(&String::from_utf8_lossy(&value)),
    };
    let sealed = api.vault.seal(&name, &value).map_err(broken)?;
    let is_short = value.trim_ascii().len() < MIN_BYTES;
    let warning = is_short.then(|| {
        format!("`{name}` is shorter than {MIN_BYTES} bytes: where an app prints or records it, it shows, as it cannot be told from ordinary text")
    });
    Ok((NewSecret { name, sealed, preview }, warning))
}

/// As Tower's clients show it: nothing of a short one, the last four characters of a longer one.
fn preview(value: &str) -> String {
    let count = value.chars().count();
    if count <= 10 {
        "XXXXXXXXXX".into()
    } else {
        format!("XXXXXX{}", value.chars().skip(count - 4).collect::<String>())
    }
}

/// The one key pair of all servers on this database, made when it is first asked for.
async fn key_pair(api: &Api) -> Result<Vec<u8>, Problem> {
    if let Some(pair) = api.store.keep_key_pair(None).await? {
        return Ok(pair);
    }
    let vault = api.vault.clone();
    let made = tokio::task::spawn_blocking(move || vault.new_key_pair()).await.map_err(|_| Problem::internal())?;
    let kept = api.store.keep_key_pair(Some(made.map_err(broken)?)).await?;
    kept.ok_or_else(Problem::internal)
}

fn broken(error: VaultError) -> Problem {
    tracing::error!(%error, "the key pair for secrets cannot be used");
    Problem::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // V12
    fn a_preview_tells_no_more_than_four_characters() {
        assert_eq!(preview("hunter2"), "XXXXXXXXXX");
        assert_eq!(preview("sk_live_1234"), "XXXXXX1234");
        assert_eq!(preview(""), "XXXXXXXXXX");
    }
}
