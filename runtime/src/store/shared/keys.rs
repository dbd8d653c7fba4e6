//! Tokens and secrets.

use async_trait::async_trait;
use sqlx::query_as;

use super::{Backend, Db, counted, one};
use crate::store::errors::is_taken;
use crate::store::model::*;
use crate::store::params::{listed, milliseconds, text};
use crate::store::rows::*;
use crate::store::{Keys, Result, StoreError};

#[async_trait]
impl Keys for Backend {
    async fn create_token(&self, token: NewToken) -> Result<Token> {
        let query = query_as::<Db, TokenRow>(self.statements().create_token)
            .bind(text(&token.token_id))
            .bind(text(&token.name))
            .bind(token.secret_hash)
            .bind(text(&token.scopes))
            .bind(token.valid_for.map(milliseconds))
            .bind(token.apps.as_deref().map(listed));
        match self.write(query).await {
            Ok(rows) => Ok(one(rows, || format!("token `{}`", token.token_id))?.1),
            Err(error) if is_taken(&error) => {
                Err(StoreError::Conflict(format!("token `{}` exists already", token.token_id)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn find_token(&self, token_id: &str) -> Result<(Vec<u8>, Token)> {
        let query = query_as::<Db, TokenRow>(self.statements().find_token).bind(text(token_id));
        one(self.read(query).await?, || format!("token `{token_id}`"))
    }

    async fn list_tokens(&self) -> Result<Vec<Token>> {
        let tokens = decode_all(self.read(query_as::<Db, TokenRow>(self.statements().list_tokens)).await?)?;
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    async fn revoke_token(&self, token_id: &str) -> Result<()> {
        let query = query_as::<Db, (String,)>(self.statements().revoke_token).bind(text(token_id));
        let row = self.write(query).await?.pop();
        row.map(drop).ok_or_else(|| StoreError::NotFound(format!("token `{token_id}`")))
    }

    async fn create_secret(&self, secret: NewSecret) -> Result<Secret> {
        let query = query_as::<Db, SecretRow>(self.statements().create_secret)
            .bind(text(&secret.name))
            .bind(secret.sealed)
            .bind(text(&secret.preview));
        match self.write(query).await {
            Ok(rows) => one(rows, || format!("secret `{}`", secret.name)),
            Err(error) if is_taken(&error) => {
                Err(StoreError::Conflict(format!("secret `{}` exists already", secret.name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update_secret(&self, secret: NewSecret) -> Result<Secret> {
        let query = query_as::<Db, SecretRow>(self.statements().update_secret)
            .bind(text(&secret.name))
            .bind(secret.sealed)
            .bind(text(&secret.preview));
        one(self.write(query).await?, || format!("secret `{}`", secret.name))
    }

    async fn list_secrets(&self, limit: u32, offset: u32) -> Result<Vec<Secret>> {
        let query =
            query_as::<Db, SecretRow>(self.statements().list_secrets).bind(i64::from(limit)).bind(i64::from(offset));
        decode_all(self.read(query).await?)
    }

    async fn count_secrets(&self) -> Result<u64> {
        Ok(counted(&self.read(query_as::<Db, (i64,)>(self.statements().count_secrets)).await?))
    }

    async fn load_secret(&self, name: &str) -> Result<Vec<u8>> {
        let query = query_as::<Db, (Vec<u8>,)>(self.statements().load_secret).bind(text(name));
        let row = self.read(query).await?.pop();
        row.map(|(sealed,)| sealed).ok_or_else(|| StoreError::NotFound(format!("secret `{name}`")))
    }

    async fn delete_secret(&self, name: &str) -> Result<Secret> {
        let query = query_as::<Db, SecretRow>(self.statements().delete_secret).bind(text(name));
        one(self.write(query).await?, || format!("secret `{name}`"))
    }

    async fn keep_key_pair(&self, candidate: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        if let Some(candidate) = candidate {
            self.write(query_as::<Db, (Vec<u8>,)>(self.statements().keep_key_pair).bind(candidate)).await?;
        }
        let row = self.read(query_as::<Db, (Vec<u8>,)>(self.statements().load_key_pair)).await?.pop();
        Ok(row.map(|(sealed,)| sealed))
    }
}
