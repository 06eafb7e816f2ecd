//! What happens in a world: reads, writes, crashes, outages, at times that the dice say.

use std::{sync::Arc, time::Duration};

use super::{
    api::Wanted,
    kinds::{Kind, Mishap},
    network::Outage,
    scene::entity,
    trace::note,
    world::{HORIZON, PHASE, TOKENS, World},
};
use crate::event::Entity;

impl World {
    /// Lets something happen within the phase.
    pub(super) fn happen(self: &Arc<Self>) {
        let at = self.dice.millis(0..=PHASE);
        match self.dice.number(0..=99) {
            0..=5 if !self.scene.calm => self.crash(at),
            6..=9 if !self.scene.calm => self.fail(at),
            10..=19 => self.write(at, self.dice.pick(&self.scene.written)),
            20..=31 => self.race(at),
            32..=41 if self.scene.revoked > 0 => self.revoke(at),
            _ => self.read(at, self.wanted()),
        }
    }

    /// Life after a loss: reads of whatever there is, and a write.
    pub(super) fn go_on(self: &Arc<Self>) {
        for _ in 0..12 {
            self.read(self.dice.millis(0..=PHASE), self.wanted());
        }
        self.write(self.dice.millis(0..=PHASE), self.dice.pick(&self.scene.written));
    }

    /// What a world of a kind is bent on, once in a phase, and at last a few reads that nothing comes after.
    pub(super) fn happen_as(self: &Arc<Self>, kind: &'static Kind) {
        let dice = &self.dice;
        let entity = &self.scene.written[0];
        let began = kind.early.saturating_add_signed(dice.signed(0..=20));
        let from = |by: i64| Duration::from_millis(began.saturating_add_signed(by));
        let mut written = 0;
        if !kind.unwritten {
            self.write(from(written), entity);
        }
        for gap in kind.writes {
            written += dice.signed(gap.clone());
            self.write(from(written), entity);
        }
        for revoked in kind.revocations {
            self.revoke_one(from(dice.signed(revoked.clone())));
        }
        for like in kind.reads {
            for _ in 0..like.count {
                let wanted = Wanted { like: Some(like), ..self.wanted() };
                self.read(from(dice.signed(like.begin.clone())), wanted);
            }
        }
        let strikes = |mishap: &&Mishap| dice.chance(mishap.per_mille);
        if let Some(Mishap { after, lasts, .. }) = kind.crash.as_ref().filter(strikes) {
            self.die(from(dice.signed(after.clone())), dice.millis(lasts.clone()));
        }
        if let Some(Mishap { after, lasts, .. }) = kind.outage.as_ref().filter(strikes) {
            self.go_away(&self.store.outage, from(dice.signed(after.clone())), dice.millis(lasts.clone()));
        }
        if let Some(Mishap { after, lasts, .. }) = kind.caches_away.as_ref().filter(strikes) {
            let (at, length) = (from(dice.signed(after.clone())), dice.millis(lasts.clone()));
            self.caches.iter().for_each(|cache| self.go_away(&cache.outage, at, length));
        }
        for blow in kind.blows {
            self.strike(blow, from(dice.signed(blow.after.clone())));
        }
        for _ in 0..2 {
            self.read(Duration::from_millis(kind.late) + dice.millis(0..=100), self.wanted());
        }
    }

    /// A write, and reads that begin about when it is committed; at times whoever has to tell of them dies.
    fn race(self: &Arc<Self>, at: Duration) {
        let dice = &self.dice;
        let entity = dice.pick(&self.scene.written);
        let hot = Wanted { entity: entity.clone(), ..self.wanted() };
        self.write(at, entity);
        for _ in 0..dice.number(1..=3) {
            self.read(at + dice.millis(0..=14), hot.clone());
        }
        if !self.scene.calm && dice.chance(350) {
            self.crash(at + dice.millis(5..=45));
        }
    }

    /// A holder is revoked, and reads about then.
    fn revoke(self: &Arc<Self>, at: Duration) {
        let (dice, token) = (&self.dice, self.revoke_one(at));
        for _ in 0..dice.number(0..=3) {
            self.read(at + dice.millis(0..=14), Wanted { token, ..self.wanted() });
        }
        if !self.scene.calm && dice.chance(250) {
            self.crash(at + dice.millis(5..=45));
        }
    }

    fn revoke_one(self: &Arc<Self>, at: Duration) -> &'static str {
        let token = TOKENS[self.dice.number(0..=self.scene.revoked - 1) as usize];
        let api = self.api();
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            api.revoke(token).await;
        });
        token
    }

    fn read(self: &Arc<Self>, at: Duration, wanted: Wanted) {
        let api = self.api();
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            api.read(wanted).await;
        });
    }

    fn write(self: &Arc<Self>, at: Duration, written: &Entity) {
        let (api, author) = (self.api(), self.dice.number(7..=self.scene.authors));
        // A feed changes with the posts in it alone.
        let (changed, author) = match &*written.resource_type {
            "Feeds" => (entity("Posts", 1), written.id.parse().unwrap()),
            _ => (written.clone(), author),
        };
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            api.write(changed, author).await;
        });
    }

    /// A process dies, for a moment or for about as long as an invalidation is remembered.
    fn crash(self: &Arc<Self>, at: Duration) {
        let dice = &self.dice;
        let long = dice.chance(500) && (self.scene.has("Notes") || self.scene.has("Items"));
        let down = if long { dice.millis(HORIZON - 50..=HORIZON + 140) } else { dice.millis(1..=60) };
        self.die(at, down);
    }

    fn die(self: &Arc<Self>, at: Duration, down: Duration) {
        let process = self.dice.pick(&self.processes).clone();
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            process.crash();
            tokio::time::sleep(down).await;
            process.start().await;
        });
    }

    /// The store or a cache is away for a while.
    fn fail(self: &Arc<Self>, at: Duration) {
        let outages: Vec<Outage> = self.outages();
        self.go_away(self.dice.pick(&outages), at, self.dice.millis(10..=150));
    }

    fn go_away(&self, outage: &Outage, at: Duration, length: Duration) {
        let (outage, trace) = (outage.clone(), self.trace.clone());
        self.actors.spawn(async move {
            tokio::time::sleep(at).await;
            note!(trace, "a store or cache is away");
            outage.set(true);
            tokio::time::sleep(length).await;
            outage.set(false);
        });
    }
}
