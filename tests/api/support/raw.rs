//! Requests that no well-behaved client sends, byte by byte.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::TestApp;

/// Only a connection that is never answered and never closed takes this long.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

impl TestApp {
    /// Connects to it.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Sends these bytes on a connection of their own. Returns all that comes until it is closed.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut connection = self.connect().await;
        // Fails where the answer is given, and the connection closed, before all has been sent.
        connection.write_all(request).await.ok();
        until_closed(&mut connection).await
    }
}

/// All that comes until the connection is closed.
pub(crate) async fn until_closed(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end, too.
    timeout(DEADLINE, connection.read_to_end(&mut answer)).await.expect("the connection is closed").ok();
    String::from_utf8(answer).unwrap()
}
