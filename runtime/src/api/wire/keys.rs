//! The shapes of tokens and secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Pages, time, words};
use crate::store;

/// `POST /v1/tokens`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for: 1 to 100 characters without control characters.
    #[schema(
        nullable = false,
        required = true,
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    pub name: Option<String>,
    /// What it may do; `admin` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<words::TokenScope>>, min_items = 1)]
    pub scopes: Option<Vec<String>>,
    /// The apps that it may use; every app unless given. Such a token is not `admin`, and uses neither secrets nor tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<words::AppName>>, min_items = 1, max_items = 100)]
    pub apps: Option<Vec<String>>,
    /// 1 to 315360000, which is ten years; until it is revoked unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 315360000)]
    pub expires_in_seconds: Option<u64>,
}

/// A token; its text is there once, in the answer to its creation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    #[schema(value_type = Vec<words::TokenScope>)]
    pub scopes: Vec<String>,
    /// The apps that it may use; null is every app.
    #[schema(required = true, value_type = Option<Vec<words::AppName>>)]
    pub apps: Option<Vec<String>>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(required = true, format = DateTime)]
    pub expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
}

impl From<store::Token> for Token {
    fn from(token: store::Token) -> Token {
        Token {
            id: token.token_id,
            name: token.name,
            scopes: token.scopes.split_whitespace().map(str::to_owned).collect(),
            apps: token.apps,
            created_at: time(token.created_at),
            expires_at: token.expires_at.map(time),
            token: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenOnly {
    pub token: Token,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    pub tokens: Vec<Token>,
}

/// `POST /v1/secrets`, and `PUT /v1/secrets/{name}`. One of `value` and `encrypted_value` is there.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// As a variable of the environment is named. In the path of a `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::SecretName>)]
    pub name: Option<String>,
    /// The secret: text of at most 32 KiB without NUL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32768, pattern = "^[^\\u0000]*$")]
    pub value: Option<String>,
    /// The same, encrypted with the key of `GET /v1/secrets/key` as Tower's clients do: base64 of an AES-256 key under
    /// RSA-OAEP with SHA-256, a nonce of 12 bytes, and AES-256-GCM under that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_value: Option<String>,
    /// What is shown of it; made from `value` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100, pattern = "^[^\\u0000]*$")]
    pub preview: Option<String>,
    /// `default`, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::OnlyEnvironment>)]
    pub environment: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// A secret, without what it holds: that is never told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    #[schema(value_type = words::SecretName)]
    pub name: String,
    pub environment: String,
    pub preview: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl From<store::Secret> for Secret {
    fn from(secret: store::Secret) -> Secret {
        Secret {
            name: secret.name,
            environment: "default".into(),
            preview: secret.preview,
            created_at: time(secret.created_at),
            updated_at: time(secret.updated_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretOnly {
    pub secret: Secret,
    /// What to know of it, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub warning: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    pub secrets: Vec<Secret>,
    pub pages: Pages,
}

/// The key with which clients encrypt secrets.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretsKey {
    /// PEM.
    pub public_key: String,
}

/// An environment. There is one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    pub name: String,
    pub is_deletable: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentList {
    pub environments: Vec<Environment>,
    pub pages: Pages,
}
