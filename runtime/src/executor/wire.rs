//! What two processes of one program say to each other, in frames: four bytes of length, then postcard. The parent's is
//! trusted; what the child says may come from a guest that took it over, so it is short, and checked where it is used.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

use crate::journal::Terms;
use crate::manifest::Limits;
use crate::sandbox::{AskedAnswer, AskedError, AskedRequest, Execution};
use crate::store::{Channel, ChildState, Inbox, JournalEntry, Lease, Recorded, StoreError};

/// The longest frame of a child: the largest entry or body, and what is around it.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The longest frame of a parent: machine code.
pub const MAX_PARENT_FRAME_BYTES: usize = 512 * 1024 * 1024;

/// What a child is to execute. The machine code comes in a frame of its own before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    pub lease: Lease,
    pub terms: Terms,
    pub recorded: Vec<JournalEntry>,
    pub app: String,
    pub run: String,
    pub args: Vec<String>,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
    pub secrets: Vec<(String, String)>,
    /// As JSON: this format knows no fields that are left out.
    pub settings: String,
    pub limits: Limits,
    pub running_timeout: Option<Duration>,
    pub fuel_used: u64,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToParent {
    /// The guest is about to run.
    Ready,
    Asks(u64, Box<Question>),
    Ended(Box<Execution>),
}

/// What a parent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToChild {
    Answers(u64, Answer),
    /// Nothing new is to begin.
    Pause,
}

/// What a child cannot do itself. Each is about its own run.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    Append(Lease, JournalEntry),
    TakeEvent(Lease, u32, String),
    StartChild(Lease, u32, NewChild),
    FindChild(Lease, Uuid),
    Log(Lease, Vec<(Channel, Option<u32>, String)>),
    Request(AskedRequest),
}

/// The part of a start that a program chooses.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewChild {
    pub app: String,
    pub version: Option<u32>,
    pub input: Vec<u8>,
    pub parameters: BTreeMap<String, String>,
}

/// Each is the answer to the question of the same name.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Append(Result<Recorded, Refusal>),
    TakeEvent(Result<Inbox, Refusal>),
    StartChild(Result<(Uuid, String, i64), Refusal>),
    FindChild(Result<Box<ChildState>, Refusal>),
    Log(u64),
    Request(Result<AskedAnswer, AskedError>),
}

/// A [`StoreError`], as it goes over.
#[derive(Debug, Serialize, Deserialize)]
pub enum Refusal {
    NotFound(String),
    Conflict(String),
    LeaseLost,
    Unavailable(String),
    Fault(String),
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Refusal {
        match error {
            StoreError::NotFound(what) => Refusal::NotFound(what.clone()),
            StoreError::Conflict(why) => Refusal::Conflict(why.clone()),
            StoreError::LeaseLost => Refusal::LeaseLost,
            StoreError::Unavailable(cause) => Refusal::Unavailable(cause.to_string()),
            StoreError::Outdated(_) | StoreError::KeyReused | StoreError::Fault(_) => Refusal::Fault(error.to_string()),
        }
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> StoreError {
        match refusal {
            Refusal::NotFound(what) => StoreError::NotFound(what),
            Refusal::Conflict(why) => StoreError::Conflict(why),
            Refusal::LeaseLost => StoreError::LeaseLost,
            Refusal::Unavailable(cause) => StoreError::unavailable(cause),
            Refusal::Fault(cause) => StoreError::Fault(anyhow::anyhow!(cause)),
        }
    }
}

/// Writes a frame.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes()).await?;
    to.write_all(frame).await?;
    to.flush().await
}

/// What `message` is in a frame.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(message).map_err(io::Error::other)
}

/// What a frame says.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    postcard::from_bytes(frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a frame of at most `most` bytes. `None` at the end.
pub async fn read(from: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => _ = other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        let why = format!("a frame of {length} bytes; the most is {most}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    // Grows as the bytes come: a length alone costs nothing.
    let mut frame = Vec::new();
    if from.take(length as u64).read_to_end(&mut frame).await? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test] // V20
    async fn a_frame_is_read_as_it_was_written_and_not_beyond_its_limit() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"hello").await.expect("written");
        assert_eq!(read(&mut bytes.as_slice(), 5).await.expect("a frame").as_deref(), Some(&b"hello"[..]));
        assert!(read(&mut bytes.as_slice(), 4).await.is_err());
        assert!(read(&mut &bytes[..7], 5).await.is_err(), "it is cut short");
        assert_eq!(read(&mut &bytes[..0], 5).await.expect("the end"), None);
    }
}
