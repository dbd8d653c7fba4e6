//! The program's stdout and stderr: bytes that become lines of the log. A program that prints
//! faster than the log is stored waits, and one that does not wait is ended.

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::log::{Log, Stream};

/// How much one write may carry.
const WRITE_BYTES: usize = 64 * 1024;

/// One of the two streams.
#[derive(Clone)]
pub struct Lines {
    log: Log,
    stream: Stream,
    /// What the guest was told it may write.
    permitted_bytes: usize,
}

impl Lines {
    /// What is written to `stream` is kept in `log`.
    pub fn new(log: Log, stream: Stream) -> Lines {
        Lines { log, stream, permitted_bytes: 0 }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this; our world is WASI 0.2.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted_bytes {
            let message = "the program wrote to stdout or stderr more than it was told it may";
            return Err(StreamError::Trap(wasmtime::Error::msg(message)));
        }
        self.permitted_bytes -= bytes.len();
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permitted_bytes = if self.log.has_room() { WRITE_BYTES } else { 0 };
        Ok(self.permitted_bytes)
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {
        self.log.room().await;
    }
}
