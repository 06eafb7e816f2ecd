//! Paging cursors, of holders, of what one holds, and of jobs.

use std::sync::{Arc, OnceLock};

use decache::{
    clock::{Clock, Timestamp},
    event::{AccessToken, Entity},
    job::JobId,
    lookup::{HoldersError, HoldingsError, Lookup},
    relations::{Member, Recording, Relations, embedded::Embedded},
    secret::{HolderId, Keys, Secret, VaultEntry},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: usize = 7;

struct Index {
    runtime: Runtime,
    lookup: Lookup,
    entity: Entity,
    holder: HolderId,
    _folder: TempDir,
}

/// Text is refused as a cursor or gives a page; as what a cursor holds, with the right check before it, always a page.
pub(super) fn cursor(data: &[u8]) {
    static INDEX: OnceLock<Index> = OnceLock::new();
    let index = INDEX.get_or_init(Index::fill);
    if let Ok(text) = std::str::from_utf8(data) {
        index.page(text);
        index.held(text);
        if let Ok(id) = text.parse::<JobId>() {
            assert_eq!(id.to_string().parse::<JobId>().ok(), Some(id));
        }
    }
    index.page(&hex::encode([check(&index.entity, data).as_slice(), data].concat()));
    index.held(&hex::encode([check_held(index.holder, data).as_slice(), data].concat()));
}

impl Index {
    fn fill() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let (lookup, entity, holder) = runtime.block_on(async {
            let clock = Clock::start();
            let store: Arc<dyn Relations> = Arc::new(Embedded::open(folder.path(), clock).expect("a store"));
            let secret =
                Secret::from_text("a secret for fuzzing, thirty-two bytes or more").expect("a secret");
            let keys = Arc::new(Keys::derive(&secret));
            let entity = Entity::new("Posts", "42").expect("an entity");
            store.record(&recordings(&keys, &entity, clock.now())).await.expect("a store that records");
            let holder = keys.holder_id(&AccessToken::new("tok-0"));
            let lookup = Lookup::new(store, keys);
            let page = lookup.holders(&entity, None, LIMIT).await.expect("a page");
            let next = hex::decode(page.next.expect("a second page")).expect("hex");
            assert_eq!(next[..4], check(&entity, &next[4..]), "cursors have another form by now");
            let held = lookup.entities_of(holder, None, LIMIT).await.expect("a page");
            let next = hex::decode(held.next.expect("a second page")).expect("hex");
            assert_eq!(next[..4], check_held(holder, &next[4..]), "these have another form by now");
            (lookup, entity, holder)
        });
        Self { runtime, lookup, entity, holder, _folder: folder }
    }

    fn page(&self, cursor: &str) {
        let page = self.runtime.block_on(self.lookup.holders(&self.entity, Some(cursor), LIMIT));
        match page {
            Ok(page) => {
                assert!(page.items.len() <= LIMIT);
                if let Some(next) = page.next {
                    assert_ne!(next, cursor, "paging would not end");
                }
            }
            Err(HoldersError::Cursor) => {}
            Err(HoldersError::Store(error)) => panic!("{error}"),
        }
    }
}

impl Index {
    fn held(&self, cursor: &str) {
        match self.runtime.block_on(self.lookup.entities_of(self.holder, Some(cursor), LIMIT)) {
            Ok(page) => {
                assert!(page.items.len() <= LIMIT);
                assert_ne!(page.next.as_deref(), Some(cursor), "paging would not end");
            }
            Err(HoldingsError::Cursor) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn recordings(keys: &Keys, entity: &Entity, now: Timestamp) -> Vec<Recording> {
    let variants = [None, Some("/posts/42?page=2&access_token={access_token}")];
    let members = (0..20).flat_map(|user| variants.map(|variant| (user, variant)));
    let recording = |(user, variant): (usize, Option<&str>)| {
        let token = AccessToken::new(format!("tok-{user}"));
        let member = Member { holder: keys.holder_id(&token), variant: variant.map(Into::into) };
        let vault = keys.seal(member.holder, &VaultEntry { token, user_id: None });
        let expires_at = Timestamp(now.0 + 86_400_000);
        Recording { entity: entity.clone(), member, expires_at, vault, names_holder: true }
    };
    let of_all = members.map(recording);
    let of_first = (0..20).map(|id| Recording {
        entity: Entity::new("Posts", &format!("other-{id}")).expect("an entity"),
        ..recording((0, None))
    });
    of_all.chain(of_first).collect()
}

/// As `lookup::cursor` makes it: without it no random bytes would be more than refused.
fn check(entity: &Entity, field: &[u8]) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(entity.resource_type.as_bytes()).update(&[0]).update(entity.id.as_bytes());
    hasher.update(&[0]).update(field);
    let mut check = [0; 4];
    hasher.finalize_xof().fill(&mut check);
    check
}

/// As `lookup::holdings` makes it.
fn check_held(holder: HolderId, field: &[u8]) -> [u8; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"holder").update(&[0]).update(&holder.0).update(&[0]).update(field);
    let mut check = [0; 4];
    hasher.finalize_xof().fill(&mut check);
    check
}
