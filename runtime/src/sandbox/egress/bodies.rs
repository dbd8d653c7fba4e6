//! How much does a guest send and receive? The bodies of requests and answers are counted as they pass, so that those
//! which stream, or are given up half-way, count as far as they went; none is longer than its limit, and no answer
//! takes longer than its call may. Source: V7, V11.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::failures::{Failed, of_hyper, too_much_received};
use super::ledger::Call;

/// The bytes of an attempt's bodies. Clones count together.
#[derive(Clone, Default)]
pub struct Traffic {
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Traffic {
    /// So far, of answers' bodies and of requests'.
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The body of a request. It keeps the body's length, on which the request's headers depend.
struct Sent<B> {
    body: B,
    call: Arc<Call>,
    limit: u64,
    left: u64,
}

/// The body of the request `call`, of at most `limit` bytes.
pub fn sent<B>(body: B, call: Arc<Call>, limit: u64) -> UnsyncBoxBody<Bytes, Error>
where
    B: Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
{
    Sent { body, call, limit, left: limit }.boxed_unsync()
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Sent<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match self.left.checked_sub(length as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(self.limit))))),
            }
            self.call.sent(length);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an answer's body has left.
pub struct Allowance {
    pub bytes: u64,
    /// When it has to be over.
    pub deadline: Instant,
    /// The longest pause between two pieces, if the program asked for a limit.
    pub pause: Option<Duration>,
    /// Given back when the body is over.
    pub permit: OwnedSemaphorePermit,
}

/// The body of an answer.
struct Received<B> {
    body: B,
    call: Arc<Call>,
    limit: u64,
    left: u64,
    deadline: Instant,
    pause: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    /// `None` once the body is over.
    permit: Option<OwnedSemaphorePermit>,
}

/// The body of the answer to `call`, within what is allowed.
pub fn received<B>(body: B, call: Arc<Call>, allowance: Allowance) -> UnsyncBoxBody<Bytes, Error>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
{
    let Allowance { bytes, deadline, pause, permit } = allowance;
    let timer = Box::pin(sleep_until(next_pause(deadline, pause)));
    let (limit, left, permit) = (bytes, bytes, Some(permit));
    let mut received = Received { body, call, limit, left, deadline, pause, timer, permit };
    if received.body.is_end_stream() {
        received.end();
    }
    received.boxed_unsync()
}

fn next_pause(deadline: Instant, pause: Option<Duration>) -> Instant {
    let pause_ends = pause.and_then(|pause| Instant::now().checked_add(pause));
    pause_ends.map_or(deadline, |ends| ends.min(deadline))
}

impl<B> Received<B> {
    fn end(&mut self) {
        self.permit = None;
        self.call.end(None);
    }

    fn fail(&mut self, failed: Failed) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.permit = None;
        self.call.fail(&failed);
        Poll::Ready(Some(Err(failed.error)))
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Received<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.permit.is_none() {
            return Poll::Ready(None);
        }
        // First, as a body that always has a piece would never let it be asked.
        if self.timer.as_mut().poll(context).is_ready() {
            return self.fail(Failed::new(Error::ConnectionReadTimeout, "its body did not come in time"));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => self.fail(of_hyper(&error)),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match self.left.checked_sub(length as u64) {
                    Some(left) => self.left = left,
                    None => {
                        let failed = too_much_received(self.limit);
                        return self.fail(failed);
                    }
                }
                self.call.received(length);
                if self.pause.is_some() {
                    let next = next_pause(self.deadline, self.pause);
                    self.timer.as_mut().reset(next);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.permit.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Received<B> {
    /// What the program did not read was not received, and it did not want it.
    fn drop(&mut self) {
        self.call.end(None);
    }
}
