//! The holders that the index may not know: a resolver names them, and their copies are deleted with the others.

use tracing::debug;

use super::{HookError, Hooks, copy_keys};
use crate::{
    caches::{CopyKey, CopyList, CopyOf, Removal},
    event::Entity,
    fan_out::{Asked, FanOut},
    relations::Member,
    resolver::{Holder, ResolverError},
    resource::Resource,
};

/// Holders whose copies are deleted together.
const AT_ONCE: usize = 512;

/// Asks for one page of holders and deletes their copies, where the index may lack some. To be called after `stale` has been
/// written, so that whoever is not named yet is judged when they are recorded. Returns whether all have been asked for.
pub(super) async fn next_page(
    hooks: &Hooks,
    entity: &Entity,
    resource: &Resource,
    removal: &mut Removal<'_>,
    fan_out: &mut FanOut,
) -> Result<bool, HookError> {
    let Some(resolver) = &hooks.resolver else { return Ok(true) };
    let (cursor, pages) = match &fan_out.resolved {
        Asked::All => return Ok(true),
        Asked::NotYet if hooks.trust.incomplete_until(hooks.clock.now()).is_none() => return Ok(true),
        Asked::NotYet => (None, 0),
        Asked::Until(_, pages) if *pages >= resolver.max_pages => {
            // From the beginning with the next attempt, after its pause.
            fan_out.resolved = Asked::NotYet;
            return Err(ResolverError::Endless.into());
        }
        Asked::Until(cursor, pages) => (Some(&**cursor), *pages),
    };
    let _turn = resolver.turn().await;
    let resolved = resolver.holders(entity, cursor).await.inspect_err(|_| {
        hooks.metrics.errors.with_label_values(&["resolver"]).inc();
    })?;
    for holders in resolved.holders.chunks(AT_ONCE) {
        let mut copies = CopyList::default();
        for holder in holders {
            let of = CopyOf { entity: entity.clone(), token: holder.token.clone() };
            copies.add(of, keys(hooks, entity, resource, holder));
        }
        let deleted = removal.delete(&copies).await;
        fan_out.tally.deleted += deleted.deleted;
        fan_out.tally.failed += deleted.failed;
    }
    hooks.metrics.resolved_holders.inc_by(resolved.holders.len() as u64);
    match removal.failure() {
        Some(failure) => {
            fan_out.incomplete = Some(failure.sentence.into());
            fan_out.waits_for.extend(failure.waits_for);
        }
        None => fan_out.tally.matched += resolved.holders.len() as u64,
    }
    fan_out.resolved = resolved.next.map_or(Asked::All, |next| Asked::Until(next, pages + 1));
    Ok(fan_out.resolved == Asked::All)
}

/// The keys of a holder's copies; none where the resolver names a copy that an event could not name either.
fn keys(hooks: &Hooks, entity: &Entity, resource: &Resource, holder: &Holder) -> Vec<CopyKey> {
    let variant = match resource.variant(entity, holder.cache_key.as_deref(), &holder.token) {
        Ok(variant) => variant,
        Err(error) => {
            debug!(%error, "the resolver names a key that is none of this entity's");
            return Vec::new();
        }
    };
    let member = Member { holder: hooks.keys.holder_id(&holder.token), variant };
    copy_keys(resource, entity, &member, &holder.token, hooks.clock.now()).unwrap_or_default()
}
