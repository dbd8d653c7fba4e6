//! `tokens`: list, create, revoke.

use clap::Subcommand;
use reqwest::Method;

use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::span::parse_seconds;
use crate::api::wire::{CreateToken, TokenList, TokenOnly};

#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// List the tokens
    List,
    /// Create a token and print it, once
    Create {
        /// What it is for
        name: String,
        /// What it may do: runs:read, runs:write, apps:write or admin, which is all; more of them may be named
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The app that it may use, and no other; more of them may be named
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
        /// How long it is valid, e.g. 90d, 12h, 30m or 3600s; without it, until it is revoked
        #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
        expires: Option<u64>,
    },
    /// Revoke a token at once
    Revoke {
        /// The token's id, as `tokens list` prints it
        id: String,
    },
}

pub async fn tokens(tokens: Tokens, client: &Client, output: Output) -> Result<(), Failure> {
    match tokens {
        Tokens::List => list(client, output).await,
        Tokens::Create { name, scopes, apps, expires } => {
            let scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
            let apps = Some(apps).filter(|apps| !apps.is_empty());
            let body = CreateToken { name: Some(name), scopes, apps, expires_in_seconds: expires };
            let answer = client.post::<TokenOnly>("no token was created", "/tokens", &body).await?;
            let token = answer.body.token;
            output.data(if output.json { &answer.text } else { token.token.as_deref().unwrap_or_default() });
            Ok(())
        }
        Tokens::Revoke { id } => revoke(&id, client, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get::<TokenList>("the tokens cannot be listed", "/tokens").await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let rows = answer.body.tokens.into_iter().map(|token| {
        let expires = token.expires_at.unwrap_or_else(|| "-".into());
        let apps = token.apps.map_or_else(|| "all".into(), |apps| apps.join(" "));
        vec![token.id, token.name, token.scopes.join(" "), apps, expires, token.created_at]
    });
    output.table(&["ID", "NAME", "SCOPES", "APPS", "EXPIRES", "CREATED"], &rows.collect::<Vec<_>>());
    Ok(())
}

async fn revoke(id: &str, client: &Client, output: Output) -> Result<(), Failure> {
    let what = "no token was revoked";
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::new(what).because("that is not the id of a token").hint("`relume tokens list`").usage());
    }
    client.send(what, client.request(Method::DELETE, &format!("/tokens/{id}"))?).await?;
    output.note(&format!("{id} is revoked"));
    Ok(())
}
