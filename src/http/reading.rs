//! A request's events, read in whichever form they come.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};

use super::{
    Limits, Service,
    form::Form,
    incoming::{Encoding, Incoming, in_time},
    problem::Problem,
};
use crate::{
    clock::Clock,
    event::{
        Event, EventError,
        cloud::{self, Knows},
        forms::{self, Lines},
    },
};

/// Events as they came, each of them valid or not.
pub(super) type Read = Vec<Result<Event, EventError>>;

/// The events of a request.
pub(super) struct Events(pub(super) Read);

impl FromRequest<Arc<Service>> for Events {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let knows = |name: &str| service.ingest.knows(name);
        let reader = Reader { limits: &service.limits, clock: service.clock, knows: &knows };
        reader.read(request).await.map(Self)
    }
}

/// What events are read with.
pub(super) struct Reader<'a> {
    pub(super) limits: &'a Limits,
    pub(super) clock: Clock,
    pub(super) knows: Knows<'a>,
}

impl Reader<'_> {
    /// # Errors
    /// A problem where the request as a whole cannot be read.
    pub(super) async fn read(&self, request: Request) -> Result<Read, Problem> {
        let form = Form::of(request.headers())?;
        let encoding = Encoding::of(request.headers())?;
        let body = Incoming::new(request.into_body(), encoding, self.limits)?;
        if form == Form::Lines {
            return in_time(self.limits.body_read, self.lines(body)).await;
        }
        let body = in_time(self.limits.body_read, body.whole()).await?;
        let (body, arrived, most) = (forms::without_mark(&body), self.clock.now(), self.limits.events);
        Ok(match form {
            Form::Json | Form::Lines => forms::json(body, most, arrived)?,
            Form::Structured => cloud::structured(body, self.knows, arrived)?,
            Form::Batch => cloud::batch(body, most, self.knows, arrived)?,
            Form::Binary(attributes) => cloud::binary(&attributes, body, self.knows, arrived)?,
        })
    }

    /// Each event as it comes: of the body nothing is kept that has been read.
    async fn lines(&self, mut body: Incoming) -> Result<Read, Problem> {
        let mut lines = Lines::new(self.limits.events);
        while let Some(piece) = body.next().await? {
            lines.push(&piece, self.clock.now());
        }
        Ok(lines.finish(self.clock.now())?)
    }
}

/// A request's events by its headers and body, for whoever has no service: as the service would read them.
///
/// # Errors
/// Why the request as a whole cannot be read, in a sentence.
pub async fn read_events(
    headers: &[(String, String)],
    body: Vec<u8>,
    limits: &Limits,
    knows: Knows<'_>,
) -> Result<Vec<Result<Event, EventError>>, String> {
    let mut request = Request::post("/v1/events");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body)).map_err(|_| "a header is not one".to_owned())?;
    let reader = Reader { limits, clock: Clock::start(), knows };
    reader.read(request).await.map_err(Problem::into_detail)
}
