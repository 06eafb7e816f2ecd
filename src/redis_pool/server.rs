//! Which Redis answers, as it says itself.

use serde::{Deserialize, Serialize};

/// A server and its data: another one after a restart (run id) and after a failover or a full resync (replication id).
/// Empty where the server does not say, as to a user without the right to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Server {
    run_id: Box<str>,
    replication_id: Box<str>,
}

/// What a server says of itself (`INFO`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// Which server it is.
    pub server: Server,
    /// Whether it follows another server: then it is not the one to write to.
    pub is_replica: bool,
    /// Whether what it has confirmed may be lost without all being lost: it has replicas, or a file that it appends to.
    pub may_lose_the_last: bool,
    /// Whether it has taken over from another server, as far as it remembers.
    pub has_taken_over: bool,
    /// Keys that it has evicted since it was started.
    pub evicted_keys: u64,
    /// The policy under which it evicts keys when it is full, if it does.
    pub evicts: Option<Box<str>>,
    /// Whether it can become full.
    pub is_bounded: bool,
}

impl Server {
    /// Whether it says which it is.
    pub fn is_known(&self) -> bool {
        !self.run_id.is_empty()
    }

    /// Whether the same process answers, whatever became of its data.
    pub fn is_same_process(&self, other: &Self) -> bool {
        self.is_known() && self.run_id == other.run_id
    }
}

impl Info {
    /// Reads what `INFO` answers. What it does not say is as in a server that has nothing of the kind.
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let lines = text.lines().map(str::trim_end);
            lines
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let number = |name| field(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        let text_of = |name| field(name).unwrap_or_default().into();
        let earlier = field("master_replid2").unwrap_or_default();
        let policy = field("maxmemory_policy").filter(|policy| *policy != "noeviction");
        Self {
            server: Server { run_id: text_of("run_id"), replication_id: text_of("master_replid") },
            is_replica: field("role") == Some("slave"),
            may_lose_the_last: number("connected_slaves") > 0 || number("aof_enabled") > 0,
            has_taken_over: earlier.chars().any(|char| char != '0'),
            evicted_keys: number("evicted_keys"),
            evicts: policy.map(Into::into),
            is_bounded: number("maxmemory") > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aa11\r\n# Replication\r\nrole:master\r\n\
        connected_slaves:1\r\nmaster_replid:bb22\r\nmaster_replid2:0000\r\n# Stats\r\nevicted_keys:7\r\n\
        # Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n# Persistence\r\naof_enabled:0\r\n";

    #[test]
    fn a_server_is_known_by_its_run_and_its_replication() {
        let info = Info::parse(PRIMARY);
        assert!(info.server.is_known() && info.may_lose_the_last && !info.is_replica && !info.is_bounded);
        assert_eq!((info.evicted_keys, info.evicts.as_deref()), (7, Some("allkeys-lru")));
        assert!(!info.has_taken_over);
        let promoted = Info::parse(&PRIMARY.replace("bb22", "cc33").replace("0000", "bb22"));
        assert!(promoted.has_taken_over && promoted.server != info.server);
        assert!(promoted.server.is_same_process(&info.server));
    }

    #[test]
    fn a_server_that_says_nothing_is_unknown_and_no_process_is_the_same_as_it() {
        let info = Info::parse("");
        assert!(!info.server.is_known() && !info.server.is_same_process(&info.server));
        assert!(Info::parse("role:slave\r\n").is_replica);
    }
}
