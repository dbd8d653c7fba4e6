//! What becomes of a body that nobody reads? A request that is refused early, for its token or its path, may still be
//! on its way: a client that is still sending does not read our answer, and a connection closed under it loses the
//! answer altogether. So the rest is read and thrown away.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};

use super::versions::MAX_UPLOAD_BYTES;

/// Enough for the largest upload over a fair line; a slower client may lose the answer.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// Reads to its end what a refused request still sends.
pub async fn drain_refused(request: Request, next: Next) -> Response {
    // Such a client sends nothing before it is asked to.
    if request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let mut rest = Shared(Arc::new(Mutex::new(body.into_data_stream())));
    let response = next.run(Request::from_parts(head, Body::from_stream(rest.clone()))).await;
    // Who was too slow has had its time.
    if response.status().is_client_error() && response.status() != StatusCode::REQUEST_TIMEOUT {
        let drain = async {
            let mut received = 0;
            while let Some(Ok(chunk)) = rest.next().await
                && received <= MAX_UPLOAD_BYTES
            {
                received += chunk.len();
            }
        };
        // Whether it came to an end or not: the answer is the same.
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }
    response
}

/// A body that is still there when the one who was to read it has left.
#[derive(Clone)]
struct Shared(Arc<Mutex<BodyDataStream>>);

impl Stream for Shared {
    type Item = <BodyDataStream as Stream>::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}
