//! `deploy`: a file becomes a version of an app.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};

use super::client::Client;
use super::failure::Failure;
use super::output::Output;
use super::progress::Progress;
use crate::api::wire::{AppVersion, VersionOnly};
use crate::manifest::{Manifest, check_app_name};
use crate::sandbox::MAX_COMPONENT_BYTES;

const MANIFEST: &str = "relume.toml";
/// What is sent at once, so that a bar moves.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Args)]
pub struct Deploy {
    /// The component; without it, the one that the manifest names
    component: Option<PathBuf>,
    /// The manifest; without it, relume.toml beside the component or in this folder
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The app; without it, the manifest's name
    #[arg(long)]
    name: Option<String>,
    /// Let it do more than the active version may
    #[arg(long)]
    approve: bool,
}

/// Uploads, and creates the app if there is none.
pub async fn deploy(options: Deploy, client: &Client, output: Output) -> Result<(), Failure> {
    let manifest = ManifestFile::find(options.manifest.as_deref(), options.component.as_deref())?;
    let path = component_path(options.component, manifest.as_ref())?;
    let name = app_name(options.name, manifest.as_ref(), &path)?;
    let component = read_component(&path).await?;

    let what = format!("`{name}` cannot be deployed");
    let progress = Progress::upload(output, component.len() as u64);
    let mut form = Form::new().part("component", streamed(component, &progress).file_name("app.wasm"));
    if let Some(manifest) = manifest {
        form = form.part("manifest", Part::text(manifest.text).file_name(MANIFEST));
    }
    let path = format!("/apps/{name}/versions?create=true&approve={}", options.approve);
    let request = client.request(Method::POST, &path)?.multipart(form);
    let answer = client.answer::<VersionOnly>(&what, request).await;
    drop(progress);
    let answer = answer?;
    if output.json {
        output.data(&answer.text);
    } else {
        let version = answer.body.version;
        show_difference(&version, output);
        output.data(&format!("{name} {}  sha256:{}", version.version, version.content_checksum));
    }
    Ok(())
}

/// What it may do and the active version could not, and the other way round; of the first version only where a person
/// looks on.
fn show_difference(version: &AppVersion, output: Output) {
    let Some(difference) = &version.difference else { return };
    if version.version == "v1" && !output.draws {
        return;
    }
    for (sign, capabilities) in [("+", &difference.added), ("-", &difference.removed)] {
        for capability in capabilities {
            output.note(&format!("{sign} {}", capability.text));
        }
    }
}

/// The component in pieces, each told when it is taken to be sent.
fn streamed(component: Vec<u8>, progress: &Progress) -> Part {
    let (component, sent) = (Bytes::from(component), progress.counter("compiling"));
    let length = component.len();
    let pieces = (0..length).step_by(CHUNK_BYTES).map(move |start| {
        let piece = component.slice(start..length.min(start + CHUNK_BYTES));
        sent(piece.len());
        Ok::<_, std::io::Error>(piece)
    });
    Part::stream_with_length(Body::wrap_stream(stream::iter(pieces)), length as u64)
}

/// A `relume.toml` that was found.
pub struct ManifestFile {
    folder: PathBuf,
    text: String,
    pub manifest: Manifest,
}

impl ManifestFile {
    /// The one that was named, or the one beside the component, or the one in this folder if it
    /// is the component's.
    pub fn find(named: Option<&Path>, component: Option<&Path>) -> Result<Option<ManifestFile>, Failure> {
        if let Some(path) = named {
            return ManifestFile::read(path).map(Some);
        }
        let beside = component.and_then(Path::parent).map(|folder| folder.join(MANIFEST));
        if let Some(beside) = beside.filter(|path| path.is_file()) {
            return ManifestFile::read(&beside).map(Some);
        }
        let here = Path::new(MANIFEST);
        if !here.is_file() {
            return Ok(None);
        }
        let file = ManifestFile::read(here)?;
        Ok(component.is_none_or(|component| file.is_of(component)).then_some(file))
    }

    /// Whether the manifest names this component.
    fn is_of(&self, component: &Path) -> bool {
        let named = self.manifest.component.as_ref().map(|named| self.folder.join(named).canonicalize());
        named.is_some_and(|named| matches!((named, component.canonicalize()), (Ok(a), Ok(b)) if a == b))
    }

    fn read(path: &Path) -> Result<ManifestFile, Failure> {
        let wrong = |what: &str| Failure::new(format!("the manifest `{}` {what}", path.display())).usage();
        let text = std::fs::read_to_string(path).map_err(|e| wrong("cannot be read").because(e))?;
        let manifest = Manifest::parse(&text).map_err(|e| {
            wrong("is not valid")
                .because(e.to_string().trim_end())
                .hint("`relume schema` prints what a manifest may hold")
        })?;
        Ok(ManifestFile { folder: path.parent().map(Path::to_owned).unwrap_or_default(), text, manifest })
    }
}

fn component_path(given: Option<PathBuf>, manifest: Option<&ManifestFile>) -> Result<PathBuf, Failure> {
    let from_manifest = || manifest.and_then(|file| Some(file.folder.join(file.manifest.component.as_ref()?)));
    given.or_else(from_manifest).ok_or_else(|| {
        let failure =
            Failure::new("there is no component to deploy").because("none was named, here or in a relume.toml");
        failure.hint("relume deploy target/wasm32-wasip2/release/app.wasm").usage()
    })
}

/// What was typed, what the manifest says, or else the name of the file.
fn app_name(typed: Option<String>, manifest: Option<&ManifestFile>, component: &Path) -> Result<String, Failure> {
    let manifest_name = manifest.and_then(|file| file.manifest.name.clone());
    if let (Some(typed), Some(named)) = (&typed, &manifest_name)
        && typed != named
    {
        let failure = Failure::new(format!("`{typed}` cannot be deployed")).usage();
        return Err(failure.because(format!("the manifest is of the app `{named}`")).hint("leave out --name"));
    }
    let stem = || component.file_stem().map(|stem| stem.to_string_lossy().to_lowercase().replace('_', "-"));
    let name = typed.or(manifest_name).or_else(stem).unwrap_or_default();
    check_app_name("name", &name).map_err(|e| {
        Failure::new("the app needs another name").because(e.message).hint("name it with --name").usage()
    })?;
    Ok(name)
}

/// A component that is not too large to be uploaded.
pub async fn read_component(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |cause: String| {
        let failure = Failure::new(format!("the component `{}` cannot be read", path.display())).because(cause);
        failure.hint("name one, e.g. target/wasm32-wasip2/release/app.wasm").usage()
    };
    let metadata = tokio::fs::metadata(path).await.map_err(|e| wrong(e.to_string()))?;
    if metadata.len() > MAX_COMPONENT_BYTES as u64 {
        return Err(wrong(format!("it is larger than {} MiB", MAX_COMPONENT_BYTES >> 20)));
    }
    tokio::fs::read(path).await.map_err(|e| wrong(e.to_string()))
}
