//! The compiled form of components, kept on disk so that each is compiled once. Machine code is
//! run as it is found, so every file carries a MAC under a key that only this folder's owner can
//! read: a file that was changed is compiled again.

use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::vault::create_once;

const MAC_BYTES: usize = 32;
/// One block of the hash.
const KEY_BYTES: usize = 64;

/// A folder of compiled components.
pub struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl Cache {
    /// Opens the cache in `folder`, which is created with its key if it is not there.
    pub fn open(folder: &Path) -> io::Result<Cache> {
        fs::create_dir_all(folder)?;
        let path = folder.join("key");
        let key = match read_key(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                create_once(&path, &key)?;
                // Another process may have been first: what is on disk counts.
                read_key(&path)?
            }
            other => other?,
        };
        Ok(Cache { folder: folder.to_owned(), key })
    }

    /// The compiled form of the component `digest`, if it is there and untouched.
    pub fn load(&self, engine: &Engine, digest: &str) -> Option<Vec<u8>> {
        let name = name(engine, digest);
        let path = self.folder.join(&name);
        // A link, or a device without end, is none of ours.
        let is_ours = fs::symlink_metadata(&path).ok()?.is_file();
        let mut bytes = if is_ours { fs::read(path).ok()? } else { return None };
        let (tag, code) = bytes.split_at_checked(MAC_BYTES)?;
        if self.mac(&name, code).verify_slice(tag).is_err() {
            tracing::warn!(name, "a compiled component was changed on disk; it is compiled again");
            return None;
        }
        bytes.drain(..MAC_BYTES);
        Some(bytes)
    }

    /// Keeps the compiled form of the component `digest`.
    pub fn store(&self, engine: &Engine, digest: &str, code: &[u8]) -> io::Result<()> {
        let name = name(engine, digest);
        let tag = self.mac(&name, code).finalize().into_bytes();
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = self.folder.join(format!("{name}.{}", hex(&random)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&tag)?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&temporary, self.folder.join(&name))
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(name.as_bytes());
        mac.update(code);
        mac
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names the file by component, engine version and configuration: code of another engine is
/// never found.
fn name(engine: &Engine, digest: &str) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{}.cwasm", hex(&hasher.0.finalize()[..8]))
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(digest.first_chunk().copied().unwrap_or_default())
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    fs::File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // V15
    fn a_changed_file_is_not_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("a cache");
        let engine = Engine::default();
        cache.store(&engine, "d1", b"machine code").expect("stored");
        assert_eq!(cache.load(&engine, "d1").as_deref(), Some(&b"machine code"[..]));

        let path = folder.path().join(name(&engine, "d1"));
        let good = fs::read(&path).expect("the file");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).expect("written");
            assert_eq!(cache.load(&engine, "d1"), None, "bit {bit} was changed");
        }
        fs::write(&path, b"short").expect("written");
        assert_eq!(cache.load(&engine, "d1"), None);
    }

    #[test] // V15
    fn a_file_of_another_component_is_not_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("a cache");
        let engine = Engine::default();
        cache.store(&engine, "d1", b"machine code").expect("stored");
        let copy = folder.path().join(name(&engine, "d2"));
        fs::copy(folder.path().join(name(&engine, "d1")), copy).expect("copied");
        assert_eq!(cache.load(&engine, "d2"), None);
    }
}
