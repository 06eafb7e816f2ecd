//! `decache explain`: what would come of events by a configuration, without a service.

use anyhow::anyhow;

use super::{
    build::{keys, limits},
    check::check,
};
use crate::{
    clock::Clock,
    config::{Config, Loaded, secret::SecretConfig},
    enrich::Enrichment,
    explain::{Explainer, Explanation, MOST_EXPLAINED},
    http,
    secret::HolderId,
};

/// Explains the events of a request, as the service would read and judge it. Nothing is made for that: where there is no
/// secret yet, holder ids are left out.
///
/// # Errors
/// Where the configuration is wrong, the secret cannot be used, or the request cannot be read.
pub async fn explain(
    loaded: &Loaded,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> anyhow::Result<Vec<Explanation>> {
    let checked = check(loaded)?;
    let Config { server, secret, .. } = &loaded.config;
    let keys = match secret {
        SecretConfig::File(file) if !file.exists() => None,
        _ => Some(keys(&loaded.config)?),
    };
    let knows = |name: &str| checked.resources.get(name).is_some();
    let limits = limits(server);
    let limits = http::Limits { events: limits.events.min(MOST_EXPLAINED), ..limits };
    let events = http::read_events(headers, body, &limits, &knows).await.map_err(|error| anyhow!(error))?;
    let holder_id = |token: &_| keys.as_ref().map_or(HolderId([0; 16]), |keys| keys.holder_id(token));
    let enrichment =
        Enrichment { rules: &checked.rules, resources: &checked.resources, holder_id: &holder_id };
    let explainer = Explainer { enrichment, at: Clock::start().accepted(), knows_secret: keys.is_some() };
    Ok(explainer.explain(events))
}
