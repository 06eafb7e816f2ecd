//! What a look at a server means: whether it is the one that it was.

use crate::{
    clock::Timestamp,
    redis_pool::{Found, Server},
    relations::Marker,
};

/// What is known of a server from the look before, or from an earlier life.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Which server it was.
    pub(super) server: Server,
    /// The last beat that it has confirmed to this life.
    pub(super) beat: Option<Timestamp>,
    /// Keys that it had evicted.
    pub(super) evicted_keys: Option<u64>,
}

/// What became of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerIs {
    /// It has all that it had.
    Same,
    /// It may have lost what it had confirmed: it was restarted, or another one is in its place.
    Other,
}

/// What became of the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum IndexIs {
    /// There never was one.
    New,
    /// Others have one, and this process never knew another.
    Joined(Marker),
    /// It is the one that is known.
    Same,
    /// It has gone.
    Gone,
    /// There is another in its place: another process has noticed a loss.
    Replaced(Marker),
}

/// Compares a server with what is known of it.
pub(super) fn of_server(known: &Known, found: &Found) -> ServerIs {
    let server = &found.info.server;
    let tells = known.server.is_known() && server.is_known();
    let went_back = match (known.beat, found.beat) {
        (Some(known), Some(found)) => found < known,
        // Beats may be evicted; but where nothing else tells, one that is missing does.
        (Some(_), None) => !tells,
        (None, _) => false,
    };
    if went_back {
        return ServerIs::Other;
    }
    let is_same = known.server == *server
        // The first replica gives its primary a new replication id. So does a failover, which is remembered.
        || (known.server.is_same_process(server) && !found.info.has_taken_over)
        // A server that says no more, or says now, which it is.
        || (!tells && known.beat.is_some());
    if is_same { ServerIs::Same } else { ServerIs::Other }
}

/// Compares the index with the one that is known.
pub(super) fn of_index(known: Option<&Marker>, found: Option<Marker>) -> IndexIs {
    match (known, found) {
        (None, None) => IndexIs::New,
        (None, Some(found)) => IndexIs::Joined(found),
        (Some(_), None) => IndexIs::Gone,
        (Some(known), Some(found)) if known.id == found.id => IndexIs::Same,
        (Some(_), Some(found)) => IndexIs::Replaced(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis_pool::Info;

    fn found(run_id: &str, replication_id: &str, beat: Option<u64>) -> Found {
        let text = format!("run_id:{run_id}\r\nmaster_replid:{replication_id}\r\nmaster_replid2:000\r\n");
        Found { info: Info::parse(&text), beat: beat.map(Timestamp), ..Found::default() }
    }

    fn known(run_id: &str, replication_id: &str, beat: Option<u64>) -> Known {
        let Found { info, beat, .. } = found(run_id, replication_id, beat);
        Known { server: info.server, beat, evicted_keys: None }
    }

    #[test]
    fn a_server_is_the_same_while_its_run_and_its_data_are() {
        let before = known("run", "data", Some(5));
        assert_eq!(of_server(&before, &found("run", "data", Some(5))), ServerIs::Same);
        assert_eq!(
            of_server(&before, &found("run", "data", None)),
            ServerIs::Same,
            "a cache evicts beats, too"
        );
        assert_eq!(of_server(&before, &found("restarted", "data", Some(5))), ServerIs::Other);
        assert_eq!(of_server(&before, &found("run", "data", Some(4))), ServerIs::Other);
    }

    #[test]
    fn a_first_replica_is_no_failover_and_a_promotion_is() {
        let before = known("run", "data", Some(5));
        let mut after = found("run", "other data", Some(5));
        assert_eq!(of_server(&before, &after), ServerIs::Same);
        after.info.has_taken_over = true;
        assert_eq!(of_server(&before, &after), ServerIs::Other);
    }

    #[test]
    fn a_server_that_does_not_say_which_it_is_is_known_by_beats_alone() {
        let before = known("", "", Some(5));
        assert_eq!(of_server(&before, &found("", "", Some(5))), ServerIs::Same);
        assert_eq!(of_server(&before, &found("", "", Some(4))), ServerIs::Other);
        assert_eq!(of_server(&before, &found("", "", None)), ServerIs::Other);
        assert_eq!(of_server(&before, &found("run", "data", Some(5))), ServerIs::Same, "it says now");
        assert_eq!(of_server(&known("run", "data", Some(5)), &found("", "", Some(5))), ServerIs::Same);
        assert_eq!(of_server(&known("run", "data", None), &found("", "", Some(5))), ServerIs::Other);
    }

    #[test]
    fn an_index_is_known_by_its_marker() {
        let (one, other) = (Marker::new(Timestamp(1), None), Marker::new(Timestamp(1), None));
        assert_eq!(of_index(None, None), IndexIs::New);
        assert_eq!(of_index(None, Some(one.clone())), IndexIs::Joined(one.clone()));
        assert_eq!(of_index(Some(&one), Some(one.clone())), IndexIs::Same);
        assert_eq!(of_index(Some(&one), None), IndexIs::Gone);
        assert_eq!(of_index(Some(&one), Some(other.clone())), IndexIs::Replaced(other));
    }
}
