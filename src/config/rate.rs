//! `auth.keys[].rate:` how many requests a client may make.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::quantity;

/// The most requests that a rate may name: one each microsecond, which is what clocks count.
const MOST: u64 = 1_000_000;

/// So many requests in so much time, all at once or evenly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At least one.
    #[serde(deserialize_with = "requests")]
    pub requests: u32,
    /// Whole seconds, at least one: the headers that tell of it count in these.
    #[serde(deserialize_with = "whole_seconds")]
    pub per: Duration,
}

fn requests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    quantity::whole("requests", 1..=MOST, deserializer)
}

fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let time = quantity::some_duration(deserializer)?;
    if time.subsec_nanos() == 0 { Ok(time) } else { Err(D::Error::custom("expected whole seconds")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_some_requests_in_whole_seconds() {
        let read = |text| serde_yaml::from_str::<Rate>(text).ok();
        let rate = |requests, seconds| Some(Rate { requests, per: Duration::from_secs(seconds) });
        assert_eq!(read("{ requests: 100, per: 1s }"), rate(100, 1));
        assert_eq!(read("{ requests: 1, per: 2m }"), rate(1, 120));
        for text in [
            "{ requests: 0, per: 1s }",
            "{ requests: 1, per: 0 }",
            "{ requests: 1, per: 1500ms }",
            "{ requests: 1 }",
            "{ requests: 1, per: 1s, burst: 2 }",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
