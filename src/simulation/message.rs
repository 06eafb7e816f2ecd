//! What is sent to a process, and how it gets there.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    network::{Lost, Network, Outage},
    process::Process,
};
use crate::secret::HolderId;

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// With one event.
    Event(String),
    /// A holder is to lose all that they hold.
    Revoke(HolderId),
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(json) => f.write_str(json),
            Self::Revoke(holder) => write!(f, "revocation of {holder}"),
        }
    }
}

/// Takes a request to a process over the network.
pub(super) async fn send(network: &Network, process: &Arc<Process>, message: Message) -> Result<(), Lost> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let (process, sender) = (process.clone(), network.clone());
    network.flying.spawn(async move {
        let up = Outage::default();
        sender.delay().await;
        if sender.loses(&up) {
            return;
        }
        let result = process.serve(message).await;
        sender.delay().await;
        if !sender.loses(&up) {
            // Whoever has asked may be gone.
            let _ = answer.send(result);
        }
    });
    let answered = tokio::time::timeout(Duration::from_millis(150), answered).await;
    answered.map_err(|_| Lost)?.map_err(|_| Lost)?
}
