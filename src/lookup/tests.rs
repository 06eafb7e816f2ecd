use std::{collections::BTreeSet, time::Duration};

use super::{memory::Index, *};
use crate::relations::{Member, Recording, StaleMark, Stamp};

impl Index {
    /// Users of all pages, in order; `between` runs after each page.
    async fn page_through(
        &self,
        entity: &Entity,
        limit: usize,
        mut between: impl AsyncFnMut(usize),
    ) -> Vec<String> {
        let (mut users, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = self.lookup.holders(entity, cursor.as_deref(), limit).await.unwrap();
            assert!(page.items.len() <= limit);
            users.extend(page.items.iter().map(|item| item.user_id.as_deref().unwrap_or("?").to_owned()));
            pages += 1;
            assert!(pages < 1000, "paging comes to an end");
            between(pages).await;
            cursor = page.next;
            if cursor.is_none() {
                return users;
            }
        }
    }
}

fn post(id: &str) -> Entity {
    Entity { resource_type: "Posts".into(), id: id.into() }
}

#[tokio::test]
async fn an_entity_that_nobody_read_has_no_holders() {
    let index = Index::new();
    let view = index.lookup.entity(&post("42")).await.unwrap();
    assert_eq!((view.holders, view.last_invalidated), (0, None));
    let page = index.lookup.holders(&post("42"), None, 10).await.unwrap();
    assert_eq!(page, HoldersPage { items: Vec::new(), next: None });
}

#[tokio::test]
async fn an_entity_shows_its_relationships_and_its_last_invalidation() {
    let index = Index::new();
    index.record(&post("42"), "alice", None).await;
    index.record(&post("42"), "alice", Some("/posts/42?page=2&access_token={access_token}")).await;
    index.record(&post("43"), "bob", None).await;
    let mark = StaleMark { at: Timestamp(700), life: Duration::from_secs(1) };
    index.relations.invalidate(&post("42"), mark).await.unwrap();
    let view = index.lookup.entity(&post("42")).await.unwrap();
    assert_eq!(view, EntityView { holders: 2, last_invalidated: Some(Timestamp(700)), generation: 700 });
}

#[tokio::test]
async fn every_page_size_shows_each_holder_once() {
    let index = Index::new();
    let users: BTreeSet<String> = (0..37).map(|n| format!("user-{n}")).collect();
    for user in &users {
        index.record(&post("42"), user, None).await;
    }
    for limit in [1, 2, 7, 36, 37, 38, 1000] {
        let shown = index.page_through(&post("42"), limit, async |_| ()).await;
        assert_eq!(shown.len(), users.len(), "limit {limit}");
        assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), users, "limit {limit}");
    }
}

#[tokio::test]
async fn holders_that_stay_are_shown_once_while_others_come_and_go() {
    let index = Index::new();
    let mut leaving = Vec::new();
    for n in 0..60 {
        let member = index.record(&post("42"), &format!("user-{n}"), None).await;
        if n % 3 == 0 {
            leaving.push(member);
        }
    }
    let shown = index
        .page_through(&post("42"), 5, async |page| {
            index.record(&post("42"), &format!("late-{page}"), None).await;
            if let Some(member) = leaving.pop() {
                index.relations.forget(&post("42"), &[(member, Stamp(0))], Duration::ZERO).await.unwrap();
            }
        })
        .await;
    for n in (0..60).filter(|n| n % 3 != 0) {
        let times = shown.iter().filter(|user| **user == format!("user-{n}")).count();
        assert_eq!(times, 1, "user-{n}");
    }
}

#[tokio::test]
async fn paging_goes_on_where_the_last_holder_shown_has_left() {
    let index = Index::new();
    for n in 0..9 {
        index.record(&post("42"), &format!("user-{n}"), None).await;
    }
    let all = index.page_through(&post("42"), 100, async |_| ()).await;
    let first = index.lookup.holders(&post("42"), None, 4).await.unwrap();
    let last = Member { holder: first.items[3].holder, variant: None };
    index.relations.forget(&post("42"), &[(last, Stamp(0))], Duration::ZERO).await.unwrap();
    let second = index.lookup.holders(&post("42"), first.next.as_deref(), 100).await.unwrap();
    let users: Vec<_> = second.items.iter().map(|item| item.user_id.as_deref().unwrap()).collect();
    assert_eq!(users, all[4..]);
}

#[tokio::test]
async fn a_variant_shows_its_key_template_and_no_token() {
    let index = Index::new();
    let template = "/posts/42?page=2&access_token={access_token}";
    index.record(&post("42"), "alice", Some(template)).await;
    index.record(&post("42"), "alice", None).await;
    let page = index.lookup.holders(&post("42"), None, 10).await.unwrap();
    let keys: BTreeSet<_> = page.items.iter().map(|item| item.cache_key.as_deref()).collect();
    assert_eq!(keys, BTreeSet::from([None, Some(template)]));
    assert!(!format!("{page:?}").contains("tok-"));
}

#[tokio::test]
async fn a_cursor_that_no_page_of_this_entity_gave_is_refused() {
    let index = Index::new();
    for n in 0..3 {
        index.record(&post("42"), &format!("user-{n}"), None).await;
    }
    let ours = index.lookup.holders(&post("42"), None, 1).await.unwrap().next.unwrap();
    assert!(index.lookup.holders(&post("42"), Some(&ours), 1).await.is_ok());
    let mangled = ours.replace(&ours[..2], if ours.starts_with("00") { "01" } else { "00" });
    for (entity, cursor) in
        [("43", ours.as_str()), ("42", ""), ("42", "zz"), ("42", &mangled), ("42", &ours[2..])]
    {
        let answer = index.lookup.holders(&post(entity), Some(cursor), 1).await;
        assert!(matches!(answer, Err(HoldersError::Cursor)), "{entity} {cursor}");
    }
}

#[tokio::test]
async fn a_vault_entry_that_does_not_open_leaves_the_user_unnamed() {
    let index = Index::new();
    let member = Member { holder: HolderId([7; 16]), variant: None };
    let vault = Sealed(b"not ours".to_vec());
    let recording =
        Recording { entity: post("42"), member, expires_at: Timestamp(1), vault, names_holder: true };
    index.relations.record(&[recording]).await.unwrap();
    let page = index.lookup.holders(&post("42"), None, 10).await.unwrap();
    assert_eq!(page.items[0].user_id, None);
}

/// The index gives one entry a step here, so that a page ends with the steps it may take and not with its limit.
#[tokio::test]
async fn a_page_of_what_a_holder_holds_takes_a_bounded_number_of_steps_and_the_next_goes_on() {
    let index = Index::new();
    let mut expected = BTreeSet::new();
    for id in 0..100 {
        index.record(&post(&id.to_string()), "alice", None).await;
        expected.insert(id.to_string());
    }
    let alice = index.lookup.holder_id(&AccessToken::new("tok-alice"));
    let (mut shown, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = index.lookup.entities_of(alice, cursor.as_deref(), 1000).await.unwrap();
        assert!(page.items.len() < 100);
        shown.extend(page.items.iter().map(|item| item.entity.id.to_string()));
        (cursor, pages) = (page.next, pages + 1);
        if cursor.is_none() {
            break;
        }
    }
    assert!(pages > 1 && shown.len() == 100, "{pages} pages of {}", shown.len());
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), expected);
}
