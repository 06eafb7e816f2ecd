//! What goes wrong, one after the other, while users are at work.

use crate::{stage::Stage, users::Users};

/// Requests that are made while a Redis is held up.
const HELD_UP: u64 = 30;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillDecache(usize),
    StopDecache(usize),
    KillBothDecaches,
    KillApi(usize),
    RestartIndex,
    RestartCache,
    HoldUpIndex,
    HoldUpCache,
}

use Fault::*;

const FAULTS: [Fault; 12] = [
    KillDecache(0),
    HoldUpIndex,
    KillDecache(1),
    RestartIndex,
    KillApi(0),
    StopDecache(0),
    HoldUpCache,
    KillBothDecaches,
    RestartCache,
    KillApi(1),
    KillDecache(0),
    StopDecache(1),
];

/// Spreads all faults over so many requests; each as often as it takes for about 500 requests between two.
pub(crate) async fn inject(stage: &mut Stage, users: &Users, requests: u64) {
    let count = (requests / 500).max(FAULTS.len() as u64);
    for (number, fault) in (1..).zip(FAULTS.iter().cycle()).take_while(|(number, _)| *number < count) {
        users.over(number * requests / count).await;
        play(*fault, stage, users, requests).await;
    }
}

async fn play(fault: Fault, stage: &mut Stage, users: &Users, requests: u64) {
    let a_while_later = (users.so_far() + HELD_UP).min(requests);
    match fault {
        KillDecache(number) => stage.kill_decache(number).await,
        StopDecache(number) => stage.stop_decache(number).await,
        KillBothDecaches => {
            stage.kill_decache(0).await;
            stage.kill_decache(1).await;
        }
        KillApi(number) => stage.kill_api(number).await,
        RestartIndex => stage.index.restart().await,
        RestartCache => stage.cache.restart().await,
        HoldUpIndex => {
            stage.index.pause();
            users.over(a_while_later).await;
            stage.index.resume();
        }
        HoldUpCache => {
            stage.cache.pause();
            users.over(a_while_later).await;
            stage.cache.resume();
        }
    }
}
