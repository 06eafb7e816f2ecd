//! Whatever entities are called, none is another.

use super::*;

fn entities() -> Vec<Entity> {
    let long = |last: &str| format!("{}{last}", "k".repeat(1024 - last.len()));
    let named = [
        ("C", "A:B".to_owned()),
        ("B:C", "A".to_owned()),
        ("C:A", "B".to_owned()),
        ("Posts", "42".to_owned()),
        ("Comments", "42".to_owned()),
        ("Post", "s42".to_owned()),
        ("Posts.a", "42".to_owned()),
        ("Posts-a", "42".to_owned()),
        ("posts", "42".to_owned()),
        ("stale", "h:0".to_owned()),
    ];
    let ids = [
        "4",
        "042",
        "42 ",
        " 42",
        "42:h:0",
        "42:stale",
        "42}",
        "{42}",
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "%",
        "%25",
        "{}",
        "}",
        "{",
        "{x}",
        "}:h:0",
        "*",
        "?",
        "[ab]",
        "\\",
        "\\*",
        ".",
        "..",
        "-1",
        "0",
        "x y",
        "'",
        "\"",
        "🦀",
        "🦀🦀",
        "\u{202e}abc",
        "abc\u{200f}",
        "abc",
        "é",
        "e\u{301}",
        "ß",
        "SS",
        "tok-alice",
    ];
    let posts = ids.map(str::to_owned).into_iter().chain([long("a"), long("b"), long("🦀")]).map(post);
    let named = named.map(|(kind, id)| Entity { resource_type: kind.into(), id: id.into() });
    named.into_iter().chain(posts).collect()
}

pub(crate) async fn entities_never_collide(store: &dyn Relations) {
    let all = entities();
    let batch: Vec<_> = all.iter().enumerate().map(|(n, entity)| living(entity, &member(n))).collect();
    let recorded = store.record(&batch).await.unwrap();
    for (n, entity) in all.iter().enumerate() {
        assert_eq!(members(store, entity).await, [member(n)], "{entity:?}");
    }
    for (n, entity) in all.iter().enumerate().step_by(2) {
        store.invalidate(entity, mark(now())).await.unwrap();
        assert_eq!(store.forget(entity, &[(member(n), recorded[n].stamp)], Duration::ZERO).await.unwrap(), 1);
        while store.compact(entity).await.unwrap() {}
    }
    for (n, entity) in all.iter().enumerate() {
        let staleness = store.staleness(entity).await.unwrap();
        assert_eq!(staleness.stale.is_some(), n % 2 == 0, "{entity:?}");
        assert_eq!(members(store, entity).await.len(), n % 2, "{entity:?}");
    }
}

/// What a store keeps for a holder is not where it keeps an entity, by whatever name that comes.
pub(crate) async fn no_entity_is_a_holders(store: &dyn Relations) {
    let alice = member(1);
    record_living(store, &post("42"), &alice).await;
    let hex = alice.holder.to_string();
    for kind in ["holder", "Holder", "token", "vault"] {
        for id in [hex.clone(), format!("{hex}:token"), format!("{hex}}}:token"), "token".to_owned()] {
            let entity = Entity { resource_type: kind.into(), id: id.into() };
            let recorded = record_living(store, &entity, &member(2)).await;
            store.invalidate(&entity, mark(now())).await.unwrap();
            assert_eq!(
                store.forget(&entity, &[(member(2), recorded.stamp)], Duration::ZERO).await.unwrap(),
                1
            );
            while store.compact(&entity).await.unwrap() {}
        }
    }
    let entry = Some(Sealed(alice.holder.0.to_vec()));
    assert_eq!(store.vault(&[alice.holder]).await.unwrap(), [entry]);
    let recorded = record_living(store, &post("42"), &alice).await;
    assert_eq!(recorded.stale, None);
    assert_eq!(members(store, &post("42")).await, [alice]);
}
