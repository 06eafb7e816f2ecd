//! How often somebody may try to sign in. Counted by where they come from, in a fixed number of places that addresses share by
//! a hash that nobody outside knows: so it takes no memory to try, and nobody keeps one certain other from signing in.

use std::{net::IpAddr, time::Duration};

use crate::{
    clock::Tick,
    config::rate::Rate,
    http::rate::{Meter, UsedUp},
};

/// Attempts that one place has in a minute.
const RATE: Rate = Rate { requests: 10, per: Duration::from_secs(60) };
const PLACES: usize = 512;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Peer(pub(in crate::http) IpAddr);

pub(super) struct Attempts {
    seed: u64,
    meters: Vec<Meter>,
}

impl Attempts {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, meters: (0..PLACES).map(|_| Meter::new(RATE)).collect() }
    }

    /// Counts an attempt, where there may be one.
    pub(super) fn count(&self, peer: Option<Peer>, now: Tick) -> Result<(), UsedUp> {
        self.meters[self.place(peer)].count(now).map(drop)
    }

    fn place(&self, peer: Option<Peer>) -> usize {
        let network = match peer.map(|Peer(address)| address) {
            None => Vec::new(),
            Some(IpAddr::V4(address)) => address.octets().to_vec(),
            // Who has one address of a /64 has all of them.
            Some(IpAddr::V6(address)) => address.octets()[..8].to_vec(),
        };
        let hash = blake3::hash(&[&self.seed.to_le_bytes()[..], &network].concat());
        usize::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_runs_out_and_others_do_not() {
        let attempts = Attempts::new(7);
        let peer = |text: &str| Some(Peer(text.parse().unwrap()));
        let now = Tick::default();
        let tried = (0..100).take_while(|_| attempts.count(peer("192.0.2.1"), now).is_ok()).count();
        assert_eq!(tried, 10);
        assert!(attempts.count(peer("192.0.2.2"), now).is_ok());
        assert!(attempts.count(peer("192.0.2.1"), now.after(Duration::from_secs(6))).is_ok());
        let (one, other) = (peer("2001:db8::1"), peer("2001:db8::2"));
        assert_eq!(attempts.place(one), attempts.place(other), "they are one network");
    }
}
