//! How a fan-out of several pages lets others go first.

use tokio::time::Instant;

use super::*;
use crate::hooks::precedence::{PATIENCE, Rank};

/// Three pages of members, which is as many as a turn has in tests.
const HOLDERS: usize = 600;

impl Kit {
    async fn record_many(&self) {
        let recording = |n| {
            let token = AccessToken::new(format!("tok-{n}"));
            let holder = self.hooks.keys.holder_id(&token);
            Recording {
                entity: post(),
                member: Member { holder, variant: None },
                expires_at: self.hooks.clock.now().after(Duration::from_secs(300)),
                vault: self.hooks.keys.seal(holder, &VaultEntry { token, user_id: None }),
                names_holder: false,
            }
        };
        let recordings: Vec<_> = (0..HOLDERS).map(recording).collect();
        self.hooks.relations.record(&recordings).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn between_pages_a_fan_out_waits_for_a_more_urgent_one_and_for_nothing_else() {
    let kit = Kit::new(Duration::ZERO).await;
    for (priority, waits) in [(0, 2), (1, 0), (2, 0)] {
        kit.record_many().await;
        let _other = kit.hooks.precedence.begin(Rank { priority, is_long: false });
        let began = Instant::now();
        kit.is_done(&first(Job { priority: 1, ..kit.update() })).await;
        assert_eq!(
            (began.elapsed(), kit.members().await),
            (PATIENCE * waits, 0),
            "beside priority {priority}"
        );
    }
}
