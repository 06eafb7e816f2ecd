//! A process's connections to one server, behind the real gate: a server that is another one is looked at before it is used.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;

use super::{
    network::{Lost, Network, Outage, Step},
    site::{Machine, info},
};
use crate::{
    clause::{Clause, holds},
    clock::Timestamp,
    redis_pool::{Found, Gate, PoolError, Server, Watched},
};

/// Cloning shares it.
#[derive(Clone)]
pub(super) struct Link {
    network: Network,
    outage: Outage,
    machine: Machine,
    gate: Arc<Gate>,
    /// The server that is connected to.
    connected: Arc<Mutex<Option<u64>>>,
    /// The server that was last looked at and accepted.
    accepted: Arc<Mutex<Option<Server>>>,
    /// The marker of the index that the process knows.
    pub(super) expected: Arc<Mutex<Option<String>>>,
}

impl Link {
    pub(super) fn new(network: Network, outage: Outage, machine: Machine) -> Self {
        let (gate, accepted) = (Arc::default(), Arc::default());
        Self { network, outage, machine, gate, connected: Arc::default(), accepted, expected: Arc::default() }
    }

    /// Whether the server that is there now has been accepted.
    pub(super) fn is_current(&self) -> bool {
        *self.accepted.lock().unwrap() == Some(info(self.machine.number()).server)
    }

    pub(super) fn suspect(&self) {
        self.gate.suspect();
    }

    /// Sends steps to the server that was accepted.
    pub(super) async fn call<T: Send + 'static>(&self, steps: Vec<Step<T>>) -> Result<Vec<T>, Lost> {
        let looks = holds(Clause::LookedBeforeUse);
        if looks && self.gate.is_closed() {
            return Err(Lost);
        }
        let number = self.connect().await?;
        if looks && !self.gate.lets_through(&info(number).server) {
            return Err(Lost);
        }
        self.ask(number, steps).await
    }

    /// Sends a step to whichever server answers, and tells which it was.
    pub(super) async fn look<T: Send + 'static>(&self, step: Step<T>) -> Result<(u64, T), Lost> {
        if self.gate.is_closed() {
            self.disconnect();
        }
        let number = self.connect().await?;
        let answer = self.ask(number, vec![step]).await?.pop().ok_or(Lost)?;
        Ok((number, answer))
    }

    async fn connect(&self) -> Result<u64, Lost> {
        let open = *self.connected.lock().unwrap();
        if let Some(number) = open {
            return Ok(number);
        }
        let machine = self.machine.clone();
        let step: Step<u64> = Box::new(move || machine.number());
        let number = self.network.call(&self.outage, vec![step]).await?.pop().ok_or(Lost)?;
        self.gate.met(&info(number).server);
        *self.connected.lock().unwrap() = Some(number);
        Ok(number)
    }

    /// A connection leads to one server: when that is gone, so is the connection.
    async fn ask<T: Send + 'static>(&self, number: u64, steps: Vec<Step<T>>) -> Result<Vec<T>, Lost> {
        let bound = |step: Step<T>| -> Step<Option<T>> {
            let machine = self.machine.clone();
            Box::new(move || (machine.number() == number).then(step))
        };
        let answers = self.network.call(&self.outage, steps.into_iter().map(bound).collect()).await;
        let answers = answers.and_then(|answers| answers.into_iter().collect::<Option<Vec<T>>>().ok_or(Lost));
        answers.inspect_err(|Lost| self.disconnect())
    }

    fn disconnect(&self) {
        *self.connected.lock().unwrap() = None;
    }
}

/// Beats on a server, and looks at it.
pub(super) struct SimPulse {
    pub(super) link: Link,
    pub(super) process: String,
    /// What is asked of the server beside its beat.
    pub(super) question: Arc<dyn Fn() -> Found + Send + Sync>,
}

impl Watched for SimPulse {
    fn look(&self) -> BoxFuture<'_, Result<Found, PoolError>> {
        Box::pin(async {
            let (question, machine) = (self.question.clone(), self.link.machine.clone());
            let process = self.process.clone();
            let step: Step<Found> = Box::new(move || Found { beat: machine.beat(&process), ..question() });
            let (number, found) = self.link.look(step).await.map_err(no_answer)?;
            Ok(Found { info: info(number), ..found })
        })
    }

    fn beat(&self, at: Timestamp, replaced: bool) -> BoxFuture<'_, Result<(), PoolError>> {
        Box::pin(async move {
            let (process, machine) = (self.process.clone(), self.link.machine.clone());
            let step: Step<()> = Box::new(move || machine.write_beat(&process, at, replaced));
            let written = self.link.call(vec![step]).await.map(drop).map_err(no_answer);
            written.inspect_err(|_| self.link.machine.beat_hangs(&self.process, at))
        })
    }

    fn accept(&self, server: &Server) {
        *self.link.accepted.lock().unwrap() = Some(server.clone());
        self.link.gate.accept(server);
    }

    fn suspected(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.link.gate.suspected())
    }
}

fn no_answer(_: Lost) -> PoolError {
    PoolError::Unavailable("no answer".to_owned())
}
