//! Templates that the configuration had once. Copies under them are removed with the others for as long as any may live
//! (DESIGN 7, rule 12): a note tells what an earlier process was configured with.

use std::{collections::BTreeMap, io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    notebook::Notebook,
    resource::{Resource, Resources},
    template::KeyTemplate,
};

/// The name of the note.
const NAME: &str = "templates";

/// By resource type: every template under which copies may live.
type Note = BTreeMap<Box<str>, Vec<Known>>;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Known {
    template: Box<str>,
    /// How long a copy under it lives at most.
    ttl: Duration,
    /// When the last of them has ended; `None` while it is configured.
    ends: Option<Timestamp>,
}

/// Has `resources` remove copies under what an earlier configuration named and this one does not, and takes note of this one.
/// Returns how many templates these are.
///
/// # Errors
/// The note cannot be read or written: what it said is not known.
pub fn remember(notes: &Notebook, resources: &mut Resources, now: Timestamp) -> io::Result<usize> {
    let mut retired = notes.read::<Note>(NAME)?.unwrap_or_default();
    for (resource_type, templates) in &mut retired {
        let resource = resources.get(resource_type);
        templates.retain_mut(|known| known.is_retired(resource, now));
    }
    let mut note = retired.clone();
    for (resource_type, resource) in resources.iter() {
        let known = resource.templates().iter().map(|template| Known {
            template: template.to_string().into(),
            ttl: resource.ttl,
            ends: None,
        });
        note.entry(resource_type.into()).or_default().extend(known);
    }
    notes.write(NAME, &note)?;
    let mut count = 0;
    for (resource_type, known) in &retired {
        for Known { template, ends, .. } in known {
            // A later version may have written it; then it also knows what to do about it.
            let Ok(template) = KeyTemplate::parse(template) else { continue };
            count += usize::from(resources.retire(resource_type, template, ends.unwrap_or(now)));
        }
    }
    Ok(count)
}

impl Known {
    /// Whether it is not configured any more, and a copy under it may live. Notes since when that is so.
    fn is_retired(&mut self, resource: Option<&Resource>, now: Timestamp) -> bool {
        let is_there = |resource: &Resource| {
            resource.templates().iter().any(|template| template.to_string() == *self.template)
        };
        let ends = *self.ends.get_or_insert(now.after(self.ttl));
        !resource.is_some_and(is_there) && ends > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        caches::CopyKey,
        config::resources::{ResourceConfig, ResourcesConfig},
        event::AccessToken,
    };

    const TTL: Duration = Duration::from_secs(300);

    fn posts(cache_keys: &[&str]) -> Resources {
        let posts = ResourceConfig {
            cache_keys: cache_keys.iter().map(|&key| key.to_owned()).collect(),
            variant_patterns: Vec::new(),
            ttl: TTL,
            guard: Duration::ZERO,
            horizon: Duration::from_secs(3600),
            recheck: Duration::ZERO,
            require_read_time: false,
        };
        Resources::compile(&ResourcesConfig([("Posts".to_owned(), posts)].into()), "").unwrap()
    }

    fn removed(resources: &Resources, now: Timestamp) -> Vec<String> {
        let keys = resources.get("Posts").unwrap().keys_to_remove("42", &AccessToken::new("tok-a"), now);
        keys.into_iter().map(|CopyKey(key)| key).collect()
    }

    #[test]
    fn a_template_that_was_removed_is_purged_until_its_last_copy_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notebook::in_folder(folder.path());
        let (first, second) = ("/old/{entity_id}?t={access_token}", "/new/{entity_id}?t={access_token}");
        let start = Timestamp(1_000_000);
        assert_eq!(remember(&notes, &mut posts(&[first]), start).unwrap(), 0);

        let mut changed = posts(&[second]);
        assert_eq!(remember(&notes, &mut changed, start).unwrap(), 1);
        assert_eq!(removed(&changed, start), ["/new/42?t=tok-a", "/old/42?t=tok-a"]);
        assert_eq!(removed(&changed, start.after(TTL)), ["/new/42?t=tok-a"]);

        let (soon, mut again) = (start.after(TTL / 2), posts(&[second]));
        assert_eq!(remember(&notes, &mut again, soon).unwrap(), 1, "a restart does not begin to count anew");
        assert_eq!(removed(&again, start.after(TTL)), ["/new/42?t=tok-a"]);
        assert_eq!(remember(&notes, &mut posts(&[second]), start.after(TTL)).unwrap(), 0);
        let mut back = posts(&[second, first]);
        assert_eq!(remember(&notes, &mut back, start.after(TTL)).unwrap(), 0);
        assert_eq!(removed(&back, soon).len(), 2, "what is configured again is named once");
    }
}
