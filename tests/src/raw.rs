//! HTTP by hand: the bytes of a request as they are, and what comes back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server is listened to that may say nothing.
const MOMENT: Duration = Duration::from_millis(20);

/// What came back: `None` where the server closed without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    pub status: Option<u16>,
    pub text: String,
}

/// A connection to the server at `http://ADDRESS`.
///
/// # Panics
/// When nobody listens.
pub async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.expect("the server listens")
}

/// Sends these bytes and no more, and reads until the server closes.
///
/// # Panics
/// When it does neither answer nor close.
pub async fn send(url: &str, request: &[u8]) -> RawAnswer {
    let mut stream = connect(url).await;
    // A server that has heard enough closes early.
    let _ = stream.write_all(request).await;
    read(&mut stream).await
}

/// Sends these bytes, which may be half a request or several, and reads what comes for a moment: a server that waits
/// for more is left.
///
/// # Panics
/// When nobody listens.
pub async fn send_and_leave(url: &str, request: &[u8]) -> RawAnswer {
    let mut stream = connect(url).await;
    let _ = stream.write_all(request).await;
    let mut bytes = vec![];
    let mut buffer = [0; 4096];
    while let Ok(Ok(received)) = timeout(MOMENT, stream.read(&mut buffer)).await
        && received > 0
    {
        bytes.extend_from_slice(&buffer[..received]);
    }
    RawAnswer::from(&bytes[..])
}

/// Reads what the server says until it closes.
///
/// # Panics
/// When it does not.
pub async fn read(stream: &mut TcpStream) -> RawAnswer {
    let mut bytes = vec![];
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server answers and closes");
    // A connection that is reset has said what it had to say.
    let _ = read;
    RawAnswer::from(&bytes[..])
}

impl From<&[u8]> for RawAnswer {
    fn from(bytes: &[u8]) -> RawAnswer {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        RawAnswer { status, text }
    }
}
