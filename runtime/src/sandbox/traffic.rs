//! How much did a guest send and receive? Bodies of requests and answers are counted as they
//! pass, so that those which stream, or are given up half-way, count as far as they went.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

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

    /// A request's body that counts as sent what is read from it.
    pub fn sent<B>(&self, body: B) -> UnsyncBoxBody<Bytes, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
    {
        Counted { body, bytes: self.sent.clone() }.boxed_unsync()
    }

    /// An answer's body that counts as received what is read from it.
    pub fn received<B>(&self, body: B) -> UnsyncBoxBody<Bytes, Error>
    where
        B: Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
    {
        Counted { body, bytes: self.received.clone() }.boxed_unsync()
    }
}

/// A body that counts. It keeps the body's length, on which the request's headers depend.
struct Counted<B> {
    body: B,
    bytes: Arc<AtomicU64>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    #[tokio::test]
    async fn bodies_count_as_they_pass_each_in_its_direction() {
        let traffic = Traffic::default();
        let pieces = ["one", "three"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let mut answer = traffic.received(StreamBody::new(stream::iter(pieces)));
        assert_eq!(traffic.bytes(), (0, 0));
        answer.frame().await.expect("a first piece").expect("it is readable");
        assert_eq!(traffic.bytes(), (3, 0));

        let request = traffic.sent(Full::new(Bytes::from("four")).map_err(|never| match never {}));
        assert_eq!(request.size_hint().exact(), Some(4));
        request.collect().await.expect("it is readable");
        assert_eq!(traffic.bytes(), (3, 4));

        drop(answer);
        assert_eq!(traffic.bytes(), (3, 4), "what was not read was not received");
    }
}
