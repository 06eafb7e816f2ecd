//! `POST /v1/events`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Service,
    outcome::{JobEntry, Source, entries},
    prefer::Wait,
    problem::{Kind, Problem},
    reading::Events,
};
use crate::{ingest::Receipt, queue::JobView};

#[derive(Serialize)]
struct Answer {
    accepted: usize,
    ignored: usize,
    rejected: Vec<Rejected>,
    jobs: Vec<JobEntry>,
}

#[derive(Serialize)]
struct Rejected {
    index: usize,
    detail: String,
}

/// Takes events: all that are valid, or none where the queue has no room for them.
pub(super) async fn post(
    State(service): State<Arc<Service>>,
    wait: Wait,
    Events(events): Events,
) -> Result<Response, Problem> {
    let (receipt, ended) = service.ingest.accept(events, wait.0).await?;
    let status = if ended.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = answer(&service, receipt, ended.as_deref());
    if answer.accepted == 0 && !answer.rejected.is_empty() {
        return Err(nothing_taken(&answer));
    }
    Ok((status, wait.applied(), written(&answer)?).into_response())
}

/// What a job takes up in an answer, about.
const JOB_BYTES: usize = 112;

/// The answer in JSON, in one piece of memory.
fn written(answer: &Answer) -> Result<impl IntoResponse + use<>, Problem> {
    let mut json = Vec::with_capacity(64 + answer.jobs.len() * JOB_BYTES);
    let unwritable = |_| Problem::new(Kind::Internal, "the answer cannot be written as JSON");
    serde_json::to_writer(&mut json, answer).map_err(unwritable)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json))
}

fn answer(service: &Service, receipt: Receipt, ended: Option<&[JobView]>) -> Answer {
    let rejected = receipt.rejected.into_iter();
    Answer {
        accepted: receipt.accepted,
        ignored: receipt.ignored,
        rejected: rejected.map(|it| Rejected { index: it.index, detail: it.detail }).collect(),
        jobs: entries(receipt.jobs, Source::Event, ended, &service.queue),
    }
}

/// The same answer as a problem, so that a client that looks no further than the status knows.
fn nothing_taken(answer: &Answer) -> Problem {
    let detail = match answer.rejected.as_slice() {
        [only] => only.detail.clone(),
        all => format!("none of the {} events is valid; `rejected` says why", all.len()),
    };
    let members = match serde_json::to_value(answer) {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    Problem::new(Kind::NoValidEvent, detail).with_members(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_valid_event_says_why_in_both_forms() {
        let rejected = |index, detail: &str| Rejected { index, detail: detail.to_owned() };
        let refuse =
            |rejected| nothing_taken(&Answer { accepted: 0, ignored: 0, rejected, jobs: Vec::new() });
        let problem = format!("{:?}", refuse(vec![rejected(0, "no a"), rejected(1, "no b")]));
        assert!(problem.contains("none of the 2 events is valid"), "{problem}");
        assert!(problem.contains("rejected") && problem.contains("no b"), "{problem}");
        assert!(format!("{:?}", refuse(vec![rejected(0, "no a")])).contains("detail: \"no a\""));
    }
}
