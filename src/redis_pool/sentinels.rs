//! Finds a server by Redis Sentinel: sentinels watch a primary and its replicas, agree on a new primary where it is away, and
//! know where it is. They are asked before each new connection, and at each look at the server: one that was cut off from
//! them may still take itself for the primary, and would keep its connections.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool::managed::Manager as _;
use deadpool_redis::{
    Manager,
    redis::{
        self, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError,
        RedisResult, aio::MultiplexedConnection,
    },
};
use futures_util::{StreamExt, stream::FuturesUnordered};

/// Sentinels, and whom they are asked for.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    master: Box<str>,
    /// The server but for its address.
    server: ConnectionInfo,
    config: AsyncConnectionConfig,
    /// How long is waited for those that do not answer.
    patience: Duration,
    named: Mutex<Option<Address>>,
}

/// Host and port.
pub(super) type Address = (String, u16);

struct Sentinel {
    client: Client,
    config: AsyncConnectionConfig,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

/// What a sentinel says of the primary.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Said {
    /// Grows with each failover: who says more of them is less behind.
    epoch: u64,
    address: Address,
}

impl Sentinels {
    /// `sentinels` watch `master`. Its server is as `server` says but for the address. Nothing is connected yet.
    pub(super) fn new(
        sentinels: Vec<ConnectionInfo>,
        master: &str,
        server: ConnectionInfo,
        timeout: Duration,
    ) -> RedisResult<Self> {
        // What is left is for the connection to the server itself.
        let patience = timeout / 2;
        let config = |limit| {
            AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit))
        };
        let sentinel = |server| {
            let (client, connection) =
                (Client::open::<ConnectionInfo>(server)?, tokio::sync::Mutex::default());
            Ok(Sentinel { client, config: config(patience), connection })
        };
        Ok(Self {
            sentinels: sentinels.into_iter().map(sentinel).collect::<RedisResult<_>>()?,
            master: master.into(),
            server,
            config: config(timeout),
            patience,
            named: Mutex::default(),
        })
    }

    /// A connection to the primary, and where it is.
    pub(super) async fn connect(&self) -> RedisResult<(MultiplexedConnection, Address)> {
        let address = self.ask().await?;
        let addr = at(self.server.addr(), &address);
        let manager = Manager::new_with_config(self.server.clone().set_addr(addr), self.config.clone())?;
        Ok((manager.create().await?, address))
    }

    /// Where the primary was when it was last asked for.
    pub(super) fn is_named(&self, address: &Address) -> bool {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(address)
    }

    /// Asks all of them, and believes the one that knows of most failovers as soon as more than half have answered, or of
    /// those that have after a while.
    ///
    /// # Errors
    /// Where none knows the primary: the last one's.
    pub(super) async fn ask(&self) -> RedisResult<Address> {
        let mut asked: FuturesUnordered<_> = self.sentinels.iter().map(|it| it.ask(&self.master)).collect();
        let (mut said, mut trouble) = (Vec::new(), None);
        let enough = self.sentinels.len() / 2 + 1;
        let answers = async {
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(answer) => said.push(answer),
                    Err(error) => trouble = Some(error),
                }
                if said.len() >= enough {
                    break;
                }
            }
        };
        // Those that have answered by then have to do.
        tokio::time::timeout(self.patience, answers).await.ok();
        let Some(Said { address, .. }) = said.into_iter().max() else {
            return Err(trouble.unwrap_or_else(|| (ErrorKind::Io, "no sentinel answers").into()));
        };
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
        Ok(address)
    }
}

impl Sentinel {
    async fn ask(&self, master: &str) -> RedisResult<Said> {
        let mut connection = self.connection.lock().await;
        let asked = async {
            let link = match connection.as_mut() {
                Some(link) => link,
                None => {
                    let new = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
                    connection.insert(new)
                }
            };
            redis::cmd("SENTINEL").arg("MASTER").arg(master).query_async(link).await
        };
        let answer: RedisResult<BTreeMap<String, String>> = asked.await;
        if answer.is_err() {
            *connection = None;
        }
        read(&answer?).ok_or_else(unreadable)
    }
}

fn unreadable() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "a sentinel's answer is not understood").into()
}

fn read(fields: &BTreeMap<String, String>) -> Option<Said> {
    let address = (fields.get("ip")?.clone(), fields.get("port")?.parse().ok()?);
    Some(Said { epoch: fields.get("config-epoch")?.parse().ok()?, address })
}

/// The same, elsewhere.
fn at(server: &ConnectionAddr, (host, port): &Address) -> ConnectionAddr {
    match server {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.clone(), *port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_of_more_failovers_is_believed() {
        let said = |epoch: &str, port: &str| {
            let fields = [("ip", "10.0.0.1"), ("port", port), ("config-epoch", epoch), ("quorum", "2")];
            read(&fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap()
        };
        let last = [said("9", "6379"), said("10", "6380"), said("9", "6381")].into_iter().max();
        assert_eq!(last, Some(Said { epoch: 10, address: ("10.0.0.1".to_owned(), 6380) }));
        assert_eq!(read(&BTreeMap::new()), None);
    }

    #[test]
    fn a_server_that_is_reached_over_tls_is_so_wherever_it_goes() {
        let tls = ConnectionAddr::TcpTls { host: "a".into(), port: 1, insecure: false, tls_params: None };
        let moved = at(&tls, &("b".to_owned(), 2));
        assert!(
            matches!(moved, ConnectionAddr::TcpTls { ref host, port: 2, .. } if host == "b"),
            "{moved:?}"
        );
        assert_eq!(
            at(&ConnectionAddr::Tcp("a".into(), 1), &("b".to_owned(), 2)),
            ConnectionAddr::Tcp("b".into(), 2)
        );
    }
}
