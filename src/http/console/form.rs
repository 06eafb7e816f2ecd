//! What is sent by a form of ours: read strictly, bounded, and only where it holds the session's token.

use std::sync::Arc;

use axum::{
    RequestPartsExt,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use subtle::ConstantTimeEq;

use super::{
    failure::Failure,
    visitor::{Visitor, needs_own_origin},
};
use crate::http::{
    Service,
    incoming::{Encoding, Incoming, in_time},
    query::Query,
};

/// The field that holds the session's token.
pub(super) const TOKEN: &str = "form_token";

/// A form of somebody who may look.
pub(super) struct Sent {
    pub(super) visitor: Visitor,
    pub(super) fields: Query,
}

/// A form of somebody who may do something.
pub(super) struct Acted(pub(super) Sent);

impl FromRequest<Arc<Service>> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        needs_own_origin(&parts.headers)?;
        let visitor: Visitor = parts.extract_with_state(service).await?;
        let fields = fields(Request::from_parts(parts, body), service).await?;
        let offered = fields.get(TOKEN).unwrap_or_default();
        if !bool::from(offered.as_bytes().ct_eq(visitor.token.as_bytes())) {
            return Err(Failure::NotOurForm);
        }
        Ok(Self { visitor, fields })
    }
}

impl FromRequest<Arc<Service>> for Acted {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Failure> {
        let sent = Sent::from_request(request, service).await?;
        if sent.visitor.may_act { Ok(Self(sent)) } else { Err(Failure::MayOnlyLook) }
    }
}

/// The fields of a form, whosever it is.
pub(super) async fn fields(request: Request, service: &Service) -> Result<Query, Failure> {
    if !is_form(request.headers()) {
        return Err(Failure::NotOurForm);
    }
    let limits = &service.limits;
    let body = Incoming::new(request.into_body(), Encoding::Identity, limits)?;
    let bytes = in_time(limits.body_read, body.whole()).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::NotOurForm)?;
    Ok(Query::parse(text)?)
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
