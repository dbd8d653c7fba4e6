//! What an app is given by name: the secrets of its manifest, opened.

use crate::redact::Redactor;
use crate::run::Outcome;
use crate::store::{Store, StoreError};
use crate::vault::Vault;

/// Why an app's secrets cannot be given to it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nobody has set it.
    #[error("the manifest names the secret `{0}`, which is not set: relume secrets set {0}")]
    NotSet(String),
    /// Our key does not open it.
    #[error("the secret `{name}` could not be opened here: {cause}")]
    Sealed { name: String, cause: String },
    #[error("a secret could not be read: {0}")]
    Store(#[from] StoreError),
}

/// The secrets `names`, each with what it holds.
pub async fn open_secrets(
    store: &dyn Store,
    vault: &Vault,
    names: &[String],
) -> Result<Vec<(String, String)>, SecretError> {
    let mut secrets = Vec::with_capacity(names.len());
    for name in names {
        let sealed = match store.load_secret(name).await {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound(_)) => return Err(SecretError::NotSet(name.clone())),
            Err(error) => return Err(error.into()),
        };
        let secret = vault.open(name, &sealed).map_err(|error| error.to_string());
        match secret.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())) {
            Ok(secret) => secrets.push((name.clone(), secret)),
            Err(cause) => return Err(SecretError::Sealed { name: name.clone(), cause }),
        }
    }
    Ok(secrets)
}

/// The outcome, in whose texts no secret shows. Its output was refused if one did.
pub fn hiding(secrets: &Redactor, mut outcome: Outcome) -> Outcome {
    if let Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. } = &mut outcome {
        failure.message = secrets.text(&failure.message).into_owned();
        failure.backtrace = failure.backtrace.as_deref().map(|trace| secrets.text(trace).into_owned());
    }
    outcome
}
