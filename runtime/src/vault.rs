//! How are secrets kept? Encrypted with AES-256-GCM under a key that is not in the database: a
//! file, or the environment variable `RELUME_SECRETS_KEY`. Whoever has the key, a server or a
//! worker, has a [`Vault`]. Source: V12.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::numbers::{Number, bytes, fixed};

const KEY_BYTES: usize = 32;
/// What the key pair is sealed for; no secret can have this name.
const KEY_PAIR: &str = "key pair";
/// Larger texts are no secrets, and their environment would not fit a program.
pub const MAX_SECRET_BYTES: usize = 32 * 1024;

/// The numbers of secrets.
pub fn numbers() -> Vec<Number> {
    vec![fixed("V12", "a secret", bytes(MAX_SECRET_BYTES))]
}

/// What cannot be opened, or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Encrypted under another key, for another name, or changed.
    #[error("it was encrypted with another key than this one (RELUME_SECRETS_KEY)")]
    Locked,
    /// Not what a client with our public key sends.
    #[error("it is not encrypted with the key of `GET /v1/secrets/key`")]
    NotForUs,
    /// The library failed.
    #[error("the cryptography library failed")]
    Failed,
}

/// Seals and opens secrets.
pub struct Vault {
    key: RandomizedNonceKey,
}

/// How a public key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyFormat {
    /// `BEGIN RSA PUBLIC KEY`.
    Pkcs1,
    /// `BEGIN PUBLIC KEY`.
    Spki,
}

impl Vault {
    /// With the key that `hex` spells in 64 digits; `None` if it does not.
    pub fn with_key(hex: &str) -> Option<Vault> {
        let hex = hex.trim().as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if hex.len() != 2 * KEY_BYTES {
            return None;
        }
        let bytes = hex.chunks(2).map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok());
        let key = bytes.collect::<Option<Vec<u8>>>()?;
        Some(Vault { key: RandomizedNonceKey::new(&AES_256_GCM, &key).ok()? })
    }

    /// With the key in the file `path`, which is made if it is not there.
    pub fn with_file(path: &Path) -> io::Result<Vault> {
        if !path.exists() {
            let mut key = [0; KEY_BYTES];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            create_once(path, format!("{text}\n").as_bytes())?;
        }
        let text = fs::read_to_string(path)?;
        Vault::with_key(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the key is not 64 hexadecimal digits"))
    }

    /// Encrypts the secret `name`; what comes out can be opened under no other name.
    pub fn seal(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = secret.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name), &mut sealed).map_err(|_| VaultError::Failed)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// What was sealed as `name`.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(VaultError::Locked)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Locked)?;
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(name), &mut sealed).map_err(|_| VaultError::Locked)?;
        Ok(opened.to_vec())
    }

    /// A new key pair to which clients can encrypt secrets, sealed.
    pub fn new_key_pair(&self) -> Result<Vec<u8>, VaultError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| VaultError::Failed)?;
        let private: Pkcs8V1Der = pair.as_der().map_err(|_| VaultError::Failed)?;
        self.seal(KEY_PAIR, private.as_ref())
    }

    /// The public key of a sealed pair, as PEM.
    pub fn public_key(&self, pair: &[u8], format: PublicKeyFormat) -> Result<String, VaultError> {
        let private = self.open(KEY_PAIR, pair)?;
        let pair = KeyPair::from_pkcs8(&private).map_err(|_| VaultError::Failed)?;
        let (label, der) = match format {
            PublicKeyFormat::Pkcs1 => ("RSA PUBLIC KEY", pair.public_key().as_ref().to_vec()),
            PublicKeyFormat::Spki => {
                let der: PublicKeyX509Der = pair.public_key().as_der().map_err(|_| VaultError::Failed)?;
                ("PUBLIC KEY", der.as_ref().to_vec())
            }
        };
        let text = BASE64.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        Ok(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
    }

    /// What a client of Tower's encrypted: base64 of an AES-256 key under RSA-OAEP (SHA-256), a
    /// nonce of 12 bytes, and AES-256-GCM under that key.
    pub fn open_from_client(&self, pair: &[u8], text: &str) -> Result<Vec<u8>, VaultError> {
        let private = self.open(KEY_PAIR, pair)?;
        let private = PrivateDecryptingKey::from_pkcs8(&private).map_err(|_| VaultError::Failed)?;
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| VaultError::Failed)?;
        let bytes = BASE64.decode(text).map_err(|_| VaultError::NotForUs)?;
        let (key, rest) = bytes.split_at_checked(private.key_size_bytes()).ok_or(VaultError::NotForUs)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(VaultError::NotForUs)?;
        let mut plain = vec![0; private.min_output_size()];
        let key = private.decrypt(&OAEP_SHA256_MGF1SHA256, key, &mut plain, None).map_err(|_| VaultError::NotForUs)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::NotForUs)?);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::NotForUs)?;
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(nonce, Aad::empty(), &mut sealed).map_err(|_| VaultError::NotForUs)?;
        Ok(opened.to_vec())
    }
}

/// Writes a file that only its owner may read, unless it is there: aside, and then linked into
/// place, so that no reader meets half of it, and of two writers one wins.
pub fn create_once(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("{:016x}", u64::from_ne_bytes(suffix)));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?.write_all(contents)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(digit: &str) -> Vault {
        Vault::with_key(&digit.repeat(64)).expect("a key")
    }

    #[test] // V12
    fn a_secret_is_opened_by_its_key_and_name_alone() {
        let sealed = vault("1").seal("API_KEY", b"hunter2").expect("sealed");
        assert_eq!(vault("1").open("API_KEY", &sealed).as_deref(), Ok(&b"hunter2"[..]));
        assert_eq!(vault("2").open("API_KEY", &sealed), Err(VaultError::Locked));
        assert_eq!(vault("1").open("OTHER", &sealed), Err(VaultError::Locked));
        for length in 0..sealed.len() {
            assert_eq!(vault("1").open("API_KEY", &sealed[..length]), Err(VaultError::Locked), "{length}");
        }
        let again = vault("1").seal("API_KEY", b"hunter2").expect("sealed");
        assert_ne!(sealed, again, "a nonce is used once");
    }

    #[test] // V12
    fn a_key_is_64_digits() {
        for text in ["", "12", &"g".repeat(64), &"1".repeat(65), &"é".repeat(32)] {
            assert!(Vault::with_key(text).is_none(), "{text}");
        }
        assert!(Vault::with_key(&format!("{}\n", "aB".repeat(32))).is_some());
    }

    #[test] // V12
    fn a_file_keeps_the_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.key");
        let sealed = Vault::with_file(&path).expect("a new key").seal("A", b"x").expect("sealed");
        assert_eq!(Vault::with_file(&path).expect("the same key").open("A", &sealed).as_deref(), Ok(&b"x"[..]));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
        fs::write(&path, "short").expect("written");
        assert!(Vault::with_file(&path).is_err());
    }

    #[test] // R13
    fn what_a_client_did_not_encrypt_for_us_is_refused() {
        let vault = vault("1");
        let pair = vault.new_key_pair().expect("a pair");
        let pem = |format| vault.public_key(&pair, format).expect("a public key");
        assert!(pem(PublicKeyFormat::Pkcs1).starts_with("-----BEGIN RSA PUBLIC KEY-----\n"));
        assert!(pem(PublicKeyFormat::Spki).starts_with("-----BEGIN PUBLIC KEY-----\n"));
        for text in ["", "x", "aGVsbG8=", &BASE64.encode([7; 300])] {
            assert_eq!(vault.open_from_client(&pair, text), Err(VaultError::NotForUs), "{text}");
        }
    }
}
