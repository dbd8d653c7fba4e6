//! `secrets`: list, set, delete. What a secret holds is read from stdin or typed unseen, and never from the command
//! line, which other users of the machine see.

use clap::Subcommand;
use reqwest::Method;

use super::client::{Client, segment};
use super::failure::Failure;
use super::output::Output;
use super::prompt;
use crate::api::wire::{SecretList, SecretOnly, SetSecret};

#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// List the secrets, without what they hold
    List,
    /// Keep a secret, or replace it; what it holds comes from stdin, or is asked for
    Set {
        /// Its name, that of a variable in the environment of apps that name it in relume.toml
        name: String,
        #[arg(hide = true)]
        value: Option<String>,
    },
    /// Delete a secret
    Delete {
        /// Its name
        name: String,
    },
}

pub async fn secrets(secrets: Secrets, client: &Client, output: Output) -> Result<(), Failure> {
    match secrets {
        Secrets::List => list(client, output).await,
        Secrets::Set { name, value } => set(name, value.is_some(), client, output).await,
        Secrets::Delete { name } => {
            let what = format!("the secret `{name}` was not deleted");
            let request = client.request(Method::DELETE, &format!("/secrets/{}", segment(&name)))?;
            let answer = client.answer::<SecretOnly>(&what, request).await?;
            output.data(&if output.json { answer.text } else { format!("{name} deleted") });
            Ok(())
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get::<SecretList>("the secrets cannot be listed", "/secrets?page=0").await?;
    if output.json {
        output.data(&answer.text);
        return Ok(());
    }
    let rows = answer.body.secrets.into_iter().map(|secret| vec![secret.name, secret.preview, secret.updated_at]);
    output.table(&["SECRET", "PREVIEW", "UPDATED"], &rows.collect::<Vec<_>>());
    Ok(())
}

async fn set(name: String, is_typed: bool, client: &Client, output: Output) -> Result<(), Failure> {
    let what = format!("the secret `{name}` was not kept");
    if is_typed {
        let failure = Failure::new(what).because("other users of this machine, and the shell's history, would see it");
        return Err(failure.hint(format!("relume secrets set {name} < FILE, or without a file to be asked")).usage());
    }
    let value = prompt::secret(&what, &format!("What `{name}` holds")).await?;
    if value.is_empty() {
        let failure = Failure::new(what).because("it holds nothing").usage();
        return Err(failure.hint(format!("relume secrets set {name} < FILE, or type it when asked")));
    }
    let new = SetSecret { name: Some(name.clone()), value: Some(value), ..SetSecret::default() };
    let (answer, done) = match client.post::<SecretOnly>(&what, "/secrets", &new).await {
        Err(failure) if failure.is_conflict => {
            let path = format!("/secrets/{}", segment(&name));
            (client.send_json::<SecretOnly>(&what, Method::PUT, &path, &new).await?, "replaced")
        }
        answer => (answer?, "kept"),
    };
    if let Some(warning) = &answer.body.warning {
        output.note(&format!("warning: {warning}"));
    }
    output.data(&if output.json { answer.text } else { format!("{name} {done}") });
    Ok(())
}
