//! What a client still sends of a body that nobody will read.
//!
//! A request is often refused before its body has come: it is too large, of the wrong type, without a key. Most clients send
//! before they listen, and closing the connection on them resets it, and the answer is lost with it. So what they send is
//! taken in and thrown away, up to a bound, before they are answered.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use super::Service;

/// How much is thrown away, in bytes. Whoever sends more may not get to know why it was refused.
const MOST: usize = 32 << 20;
/// How long a client may pause before it is answered: it does not send, or waits for the answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers a request after its body has been read to the end, by whomever.
pub(super) async fn discard(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    // Who expects `100 Continue` sends nothing until somebody reads.
    let sends_unasked = !request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(Lent { body, was_read: sends_unasked }));
    let response = next.run(Request::from_parts(parts, Body::new(Loan(Arc::clone(&body))))).await;
    let sends = {
        let lent = body.lock().unwrap_or_else(PoisonError::into_inner);
        lent.was_read && !lent.body.is_end_stream()
    };
    // A body that was too slow once is not waited for again.
    if sends && response.status() != StatusCode::REQUEST_TIMEOUT {
        // Where it takes too long, or there is too much of it, the client is answered all the same.
        timeout(service.limits.body_read, discard_rest(Loan(body))).await.ok();
    }
    response
}

async fn discard_rest(mut body: Loan) {
    let mut discarded = 0;
    while let Ok(Some(Ok(frame))) = timeout(PATIENCE, body.frame()).await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MOST {
            return;
        }
    }
}

/// A body, and whether its client sends it.
struct Lent {
    body: Body,
    was_read: bool,
}

/// The same body for the handler, which may drop it, and for whoever reads what the handler has left.
struct Loan(Arc<Mutex<Lent>>);

impl HttpBody for Loan {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lent.was_read = true;
        Pin::new(&mut lent.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
