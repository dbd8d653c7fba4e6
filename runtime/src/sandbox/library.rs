//! Where does machine code come from? From memory, from the cache on disk, or from the compiler, each component once at
//! a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime_wasi::p2::bindings::CommandPre;

use super::cache::{Cache, hex};
use super::compiler::Compiler;
use super::upload::{self, Refusal};
use super::{Code, Inner, Sandbox};
use crate::store::StoreError;
use crate::telemetry::CODE_LOADED;

/// Compiled components that stay in memory.
const MAX_LOADED: usize = 32;

/// Where machine code comes from.
pub struct Library {
    pub program: PathBuf,
    pub cache: Cache,
    pub compiler: Compiler,
}

/// What is known of an upload that is an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its sha256 in lower-case hexadecimal.
    pub digest: String,
    /// Whether it uses the journal.
    pub durable: bool,
    /// The interfaces it imports.
    pub imports: Vec<String>,
}

/// Why a component could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read from the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was stored, but cannot be compiled here.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Sandbox {
    /// Checks an upload and compiles it, so that its first run finds it ready.
    pub async fn inspect(&self, component: Vec<u8>) -> Result<Inspection, Refusal> {
        let (component, imports, digest) = spawn_blocking(move || {
            let imports = upload::check(&component)?;
            let digest = hex(&Sha256::digest(&component));
            Ok((component, imports, digest))
        })
        .await??;
        if self.loaded(&digest).is_none() {
            self.make_ready(&digest, async || Ok::<_, Refusal>(component)).await?;
        }
        Ok(Inspection { digest, durable: imports.iter().any(|name| upload::is_of_durable(name)), imports })
    }

    /// The compiled component `digest`: from memory, from disk, or compiled from what
    /// `component` returns.
    pub async fn load(
        &self,
        digest: &str,
        component: impl AsyncFnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Code, LoadError> {
        match self.loaded(digest) {
            Some(code) => {
                metrics::counter!(CODE_LOADED, "from" => "memory").increment(1);
                Ok(code)
            }
            None => self.make_ready(digest, async || checked(component().await?).await).await,
        }
    }

    async fn make_ready<E: From<Refusal>>(
        &self,
        digest: &str,
        component: impl AsyncFnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Code, E> {
        let turn = self.inner.turn(digest);
        let _turn = turn.lock().await;
        if let Some(code) = self.loaded(digest) {
            return Ok(code);
        }
        let (inner, name) = (self.inner.clone(), digest.to_owned());
        let code = match spawn_blocking(move || inner.load_cached(&name)).await? {
            Some(code) => {
                metrics::counter!(CODE_LOADED, "from" => "disk").increment(1);
                code
            }
            None => {
                metrics::counter!(CODE_LOADED, "from" => "compiler").increment(1);
                let library = self.inner.library.as_ref().ok_or_else(no_library)?;
                let serialized = library.compiler.compile(&component().await?).await?;
                let (inner, name) = (self.inner.clone(), digest.to_owned());
                spawn_blocking(move || inner.keep(&name, &serialized)).await.and_then(|code| code)?
            }
        };
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(0, (digest.to_owned(), code.clone()));
        loaded.truncate(MAX_LOADED);
        Ok(code)
    }

    /// The components that [`Sandbox::load`] returns at once.
    pub fn loaded_digests(&self) -> Vec<String> {
        let loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().map(|(digest, _)| digest.clone()).collect()
    }

    fn loaded(&self, digest: &str) -> Option<Code> {
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let position = loaded.iter().position(|(name, _)| name == digest)?;
        loaded[..=position].rotate_right(1);
        Some(loaded[0].1.clone())
    }

    /// The program that is `relume`; `None` in a process that is there for one guest.
    pub fn program(&self) -> Option<&Path> {
        self.inner.library.as_ref().map(|library| library.program.as_path())
    }

    /// The machine code of a component, for [`Sandbox::open`] in another process of this program.
    pub fn machine_code(&self, code: &Code) -> Result<Vec<u8>, Refusal> {
        code.command.instance_pre().component().serialize().map_err(|error| Refusal::Host(error.into()))
    }

    /// Makes machine code ready that a process of this program got from [`Sandbox::machine_code`], and nothing else.
    pub fn open(&self, machine_code: &[u8]) -> Result<Code, Refusal> {
        let component = self.inner.open(machine_code);
        component.and_then(|component| self.inner.link(&component)).map_err(|error| Refusal::Host(error.into()))
    }
}

/// What was taken once may not be any more.
async fn checked(component: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let checked = spawn_blocking(move || upload::check(&component).map(|_| component)).await;
    Ok(checked.and_then(|checked| checked)?)
}

async fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Host(error.into()))
}

fn no_library() -> Refusal {
    Refusal::Host(anyhow::anyhow!("no component is made ready in this process"))
}

impl Inner {
    /// Whoever makes the component `digest` ready holds this meanwhile.
    fn turn(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut in_work = self.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        in_work.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = in_work.get(digest).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        in_work.insert(digest.to_owned(), Arc::downgrade(&turn));
        turn
    }

    fn load_cached(&self, digest: &str) -> Option<Code> {
        let code = self.library.as_ref()?.cache.load(&self.engine, digest)?;
        let code = self.open(&code).and_then(|component| self.link(&component));
        code.inspect_err(|error| tracing::warn!(%error, digest, "a compiled component is compiled again")).ok()
    }

    /// Makes what the compiler made ready, and keeps it.
    fn keep(&self, digest: &str, serialized: &[u8]) -> Result<Code, Refusal> {
        let component = self.open(serialized).map_err(|error| Refusal::Host(error.into()))?;
        let does_not_link = |error: wasmtime::Error| Refusal::UnknownImports(vec![format!("{error:#}")]);
        let code = self.link(&component).map_err(does_not_link)?;
        let Some(library) = &self.library else { return Ok(code) };
        if let Err(error) = library.cache.store(&self.engine, digest, serialized) {
            tracing::warn!(%error, digest, "a compiled component could not be kept on disk");
        }
        Ok(code)
    }

    fn open(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes carry our MAC for this component and engine, or come from a child of ours that runs
        // nothing but the compiler, or from the parent of the child that this is: they are what `Engine::precompile_component` made on this machine.
        #[allow(unsafe_code, reason = "the one place where machine code is loaded")]
        unsafe {
            Component::deserialize(&self.engine, code)
        }
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Code> {
        let imports = component.component_type();
        let is_durable = imports.imports(&self.engine).any(|(name, _)| upload::is_of_durable(name));
        Ok(Code { command: CommandPre::new(self.linker.instantiate_pre(component)?)?, is_durable })
    }
}
