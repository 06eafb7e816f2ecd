//! A server of a simulated world that can be lost, or give way to a replica that lacks the last that it confirmed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{clock::Timestamp, redis_pool::Info};

/// What every process has written last, by its name.
type Beats = BTreeMap<String, Timestamp>;

/// Which server answers. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Machine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// How many were here before it.
    number: u64,
    beats: Beats,
    /// Beats that were given up and have not arrived yet.
    late: Beats,
}

impl Machine {
    pub(super) fn number(&self) -> u64 {
        self.0.lock().unwrap().number
    }

    pub(super) fn write_beat(&self, process: &str, at: Timestamp, replaced: bool) {
        self.0.lock().unwrap().write_beat(process, at, replaced);
    }

    /// A beat was given up. It arrives after a later one was written, and just before the look after that.
    pub(super) fn beat_hangs(&self, process: &str, at: Timestamp) {
        self.0.lock().unwrap().late.insert(process.to_owned(), at);
    }

    pub(super) fn beat(&self, process: &str) -> Option<Timestamp> {
        let mut state = self.0.lock().unwrap();
        let latest = state.beats.get(process).copied();
        if let Some(late) = state.late.get(process).copied().filter(|late| Some(*late) < latest) {
            state.late.remove(process);
            state.write_beat(process, late, false);
        }
        state.beats.get(process).copied()
    }

    pub(super) fn has_beats(&self) -> bool {
        !self.0.lock().unwrap().beats.is_empty()
    }
}

impl State {
    fn write_beat(&mut self, process: &str, at: Timestamp, replaced: bool) {
        let beat = self.beats.entry(process.to_owned()).or_default();
        *beat = if replaced { at } else { at.max(*beat) };
    }
}

/// What the server of this number says of itself.
pub(super) fn info(number: u64) -> Info {
    let before = if number == 0 { "0".to_owned() } else { format!("data{}", number - 1) };
    Info::parse(&format!("run_id:run{number}\r\nmaster_replid:data{number}\r\nmaster_replid2:{before}\r\n"))
}

/// A server, its data, and its replica, where that has stopped following. Cloning shares them.
#[derive(Clone)]
pub(super) struct Site<D> {
    pub(super) data: Arc<Mutex<D>>,
    pub(super) machine: Machine,
    replica: Arc<Mutex<Option<(D, Beats)>>>,
}

impl<D: Clone> Site<D> {
    pub(super) fn new(data: D) -> Self {
        let data = Arc::new(Mutex::new(data));
        Self { data, machine: Machine::default(), replica: Arc::default() }
    }

    /// From here on its replica gets nothing. Returns whether it did until now.
    pub(super) fn stall(&self) -> bool {
        let mut replica = self.replica.lock().unwrap();
        let follows = replica.is_none();
        let beats = self.machine.0.lock().unwrap().beats.clone();
        replica.get_or_insert_with(|| (self.data.lock().unwrap().clone(), beats));
        follows
    }

    /// The replica that has stopped following takes its place; connections break.
    pub(super) fn fail_over(&self, succeed: impl FnOnce(&D, D) -> D) {
        let Some((data, beats)) = self.replica.lock().unwrap().take() else { return };
        let mut there = self.data.lock().unwrap();
        *there = succeed(&there, data);
        let mut machine = self.machine.0.lock().unwrap();
        *machine = State { number: machine.number + 1, beats, late: Beats::new() };
    }

    /// Everything in it is gone; connections break where it was restarted.
    pub(super) fn lose(&self, is_restarted: bool, begin: impl FnOnce(&D) -> D) {
        let mut there = self.data.lock().unwrap();
        *there = begin(&there);
        let mut machine = self.machine.0.lock().unwrap();
        *machine = State { number: machine.number + u64::from(is_restarted), ..State::default() };
    }
}
