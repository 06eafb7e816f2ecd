//! Pages of a list, one after the other, up to a bound.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::service::{Service, encoded};

/// The most items on a page of the service.
const PAGE: usize = 1000;

/// Items at most, where it is not said.
const LIMIT: usize = 1000;

/// How much of a list.
#[derive(Args, Debug)]
pub(super) struct Paging {
    /// Items at most.
    #[arg(long, value_name = "N", default_value_t = LIMIT, value_parser = at_least_one)]
    limit: usize,
    /// Goes on where an earlier answer ended: its `next`.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: LIMIT, cursor: None }
    }
}

/// A list, or the beginning of one.
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    /// Where it goes on.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

/// Asks for pages of `path`, which may have a query, until there are enough.
///
/// # Errors
/// As [`Service::ask`].
pub(super) async fn list(service: &Service, path: &str, paging: &Paging) -> anyhow::Result<Listed> {
    let mut listed = Listed { items: Vec::new(), next: paging.cursor.clone() };
    loop {
        let wanted = (paging.limit - listed.items.len()).min(PAGE);
        let cursor = listed.next.as_deref().map(|next| format!("&cursor={}", encoded(next)));
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = format!("{path}{sign}limit={wanted}{}", cursor.unwrap_or_default());
        let page: Page = service.get(&page).await?;
        // No page is longer than was asked for, so this ends; an empty one may still have another after it.
        let items = page.items.len();
        listed.items.extend(page.items);
        listed.next = page.next;
        if listed.next.is_none() || listed.items.len() >= paging.limit || items == 0 {
            return Ok(listed);
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}
