//! What stands between a connection and the router: it knows whose turn it is, the client's or the service's, and lets
//! nothing in that two readers could read differently.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderName, HeaderValue, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
};
use tower::Service;

use super::{connections::Usage, console::Peer, transport::LengthSeen};
use crate::current::Current;

/// The router, for one connection.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) router: Arc<Current<Router>>,
    pub(super) usage: Arc<Usage>,
    pub(super) length_seen: LengthSeen,
    /// Where the connection comes from, as far as the system says.
    pub(super) peer: Option<Peer>,
}

impl Service<Request<Incoming>> for Guard {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if !names_one_host(&request) {
            let refused = (StatusCode::BAD_REQUEST, [close()]).into_response();
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let is_last = request.headers().contains_key(header::TRANSFER_ENCODING) && self.length_seen.get();
        if request.body().is_end_stream() {
            self.usage.work();
        }
        let usage = self.usage.clone();
        let mut request = request.map(|body| Body::new(Arriving { body, usage: usage.clone() }));
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let answer = Router::clone(&self.router.get()).call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            usage.rest();
            if is_last {
                answer.headers_mut().extend([close()]);
            }
            Ok(answer)
        })
    }
}

/// A request of HTTP/1.1 names its host once (RFC 9112, section 3.2), so that nobody on the way reads another.
fn names_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || hosts == 0 && request.version() < Version::HTTP_11
}

fn close() -> (HeaderName, HeaderValue) {
    (header::CONNECTION, HeaderValue::from_static("close"))
}

/// A body that tells when it has come whole.
struct Arriving {
    body: Incoming,
    usage: Arc<Usage>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.usage.work();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
