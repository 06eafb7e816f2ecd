//! Why a page cannot be shown, as a page that says what to do.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;

use super::{
    format::{encoded, sentence},
    layout,
};
use crate::{
    dead_letters::LetterError,
    http::{problem::Problem, rate::UsedUp},
    ingest::IngestError,
    lookup::{HoldersError, HoldingsError},
    relations::StoreError,
};

/// Why not.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody has signed in. `back`: where to go on after that.
    SignIn { back: Option<String> },
    /// Their key does not have the scope `admin`.
    MayOnlyLook,
    /// Another site has sent it.
    OtherSite,
    /// Without keys the console is reached under a name that may be anybody's.
    UnknownName,
    /// It does not hold the session's token.
    NotOurForm,
    /// There is no such page.
    NoSuchPage,
    /// No random bytes are to be had.
    NoRandomness,
    /// The API's own words for it.
    Problem(Problem),
}

impl Failure {
    fn told(&self) -> (StatusCode, &'static str, String, &'static str) {
        match self {
            Self::SignIn { .. } => (StatusCode::UNAUTHORIZED, "Sign in", String::new(), ""),
            Self::MayOnlyLook => (
                StatusCode::FORBIDDEN,
                "This key may only look",
                "What you asked for needs a key with the scope admin.".to_owned(),
                "Sign out, and sign in with such a key.",
            ),
            Self::OtherSite => (
                StatusCode::FORBIDDEN,
                "This came from another site",
                "Your browser says that a page of another site has sent this, so nothing was done.".to_owned(),
                "Open the console itself and do it there.",
            ),
            Self::UnknownName => (
                StatusCode::FORBIDDEN,
                "The console is not open under this name",
                "No API keys are configured, so the console would believe anybody; a name with a dot in it may belong to \
                 somebody whose pages would then speak for you."
                    .to_owned(),
                "Open it by its address or as localhost, or configure auth.keys and sign in.",
            ),
            Self::NotOurForm => (
                StatusCode::FORBIDDEN,
                "This form is too old",
                "It does not belong to your session, so nothing was done.".to_owned(),
                "Go back, reload the page, and send it again.",
            ),
            Self::NoSuchPage => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "The address leads nowhere.".to_owned(),
                "Begin at the overview.",
            ),
            Self::NoRandomness => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The service failed",
                "The system gave no random bytes for a session.".to_owned(),
                "See the service's log.",
            ),
            Self::Problem(problem) => {
                let (status, title, detail) = problem.told();
                (status, title, sentence(detail), next_step(status))
            }
        }
    }
}

fn next_step(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => {
            "Look for it among the jobs of what it was about: the pages Entity and Holder list them."
        }
        StatusCode::CONFLICT => "Somebody has seen to it meanwhile: look at the job again.",
        StatusCode::TOO_MANY_REQUESTS => "Wait a moment, then try again.",
        StatusCode::SERVICE_UNAVAILABLE => "The page Health says what is wrong. Then try again.",
        StatusCode::NOT_IMPLEMENTED => {
            "Set store.by_holder to true and restart; it knows of everything after the longest ttl."
        }
        _ => "Go back, change what you have typed, and try again.",
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if let Self::SignIn { back } = self {
            let back = back.map(|back| format!("?back={}", encoded(&back))).unwrap_or_default();
            return Redirect::to(&format!("/console/sign-in{back}")).into_response();
        }
        let (status, title, detail, next) = self.told();
        let page = layout::plain(
            title,
            &html! {
                h1 { (title) }
                p { (detail) }
                p { (next) }
                p { a href="/" { "Overview" } " · " a href="/console/jobs" { "Jobs" } " · " a href="/console/entity" { "Entity" } " · " a href="/console/health" { "Health" } }
            },
        );
        let retry_after = match &self {
            Self::Problem(problem) => problem.header(&header::RETRY_AFTER).cloned(),
            _ => None,
        };
        let mut response = (status, page).into_response();
        response.headers_mut().extend(retry_after.map(|after: HeaderValue| (header::RETRY_AFTER, after)));
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Each by way of the API's own mapping.
macro_rules! as_problems {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Problem(error.into())
            }
        })*
    };
}

as_problems!(IngestError, LetterError, StoreError, HoldersError, HoldingsError, UsedUp);
