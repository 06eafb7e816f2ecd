//! A real redis-server for tests: on a free port of the loopback, in a folder of its own, gone with the test.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

/// How many free ports are tried: between finding one and binding it, another test may take it.
const ATTEMPTS: usize = 20;

/// A running server, or one that was stopped and keeps its port for [`RedisServer::restart`].
pub(crate) struct RedisServer {
    /// Its port on the loopback.
    pub(crate) port: u16,
    process: Option<Child>,
    folder: tempfile::TempDir,
    /// Takes the port: `--port`, or `--tls-port`.
    port_option: &'static str,
    options: Vec<OsString>,
}

impl RedisServer {
    /// Starts a server that answers when this returns.
    pub(crate) fn start() -> Self {
        Self::start_with("--port", Vec::new())
    }

    /// The same, with further options. `port_option` says what is spoken on the port.
    pub(crate) fn start_with(port_option: &'static str, options: Vec<OsString>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for redis-server");
        let mut server = Self { port: 0, process: None, folder, port_option, options };
        for _ in 0..ATTEMPTS {
            server.port = free_port();
            server.process = server.launch();
            if server.process.is_some() {
                return server;
            }
        }
        panic!("redis-server found no free port in {ATTEMPTS} attempts");
    }

    /// What a configuration says to reach it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it, at once and with all its data.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("to end redis-server");
            process.wait().expect("redis-server to end");
        }
    }

    /// Starts it again on the same port, empty. Stops it first where it runs.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = (0..ATTEMPTS).find_map(|_| self.launch());
        assert!(self.process.is_some(), "redis-server did not get its port {} back", self.port);
    }

    /// Runs a server and waits until it says that it is ready; `None` where it ended instead, as on a port in use.
    fn launch(&self) -> Option<Child> {
        let mut process = Command::new("redis-server")
            .args(["--port", "0", self.port_option, &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server (Debian package redis-server) to be installed");
        let lines = BufReader::new(process.stdout.take().expect("its log")).lines();
        let (ready, is_ready) = mpsc::channel();
        // Reads on after that, so that the server never waits for a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("Ready to accept connections") {
                    ready.send(()).ok();
                }
            }
        });
        if is_ready.recv().is_err() {
            process.wait().expect("redis-server to end");
            return None;
        }
        Some(process)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::RedisServer;

    fn ask(server: &RedisServer, command: &str, answer: &str) {
        let address = server.url().replace("redis://", "");
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(command.as_bytes()).unwrap();
        let mut received = vec![0; answer.len()];
        connection.read_exact(&mut received).unwrap();
        assert_eq!(String::from_utf8_lossy(&received), answer);
    }

    #[test]
    fn a_redis_server_answers_at_once_goes_away_and_comes_back_empty() {
        let mut server = RedisServer::start();
        ask(&server, "SET k v\r\n", "+OK\r\n");
        ask(&server, "GET k\r\n", "$1\r\nv\r\n");
        server.stop();
        assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
        server.restart();
        ask(&server, "GET k\r\n", "$-1\r\n");
    }

    #[test]
    fn two_redis_servers_run_at_once() {
        let (one, other) = (RedisServer::start(), RedisServer::start());
        assert_ne!(one.port, other.port);
        ask(&one, "SET k v\r\n", "+OK\r\n");
        ask(&other, "GET k\r\n", "$-1\r\n");
    }
}
