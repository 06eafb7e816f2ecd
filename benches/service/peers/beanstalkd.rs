//! beanstalkd with its log on disk, and a client that waits for no answer before it asks on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::Speed;
use crate::events::{now, read};

/// Commands that are sent before their answers are read.
const AT_ONCE: usize = 500;

/// Adds jobs, then takes and deletes them.
pub(super) fn measure(jobs: usize, durability: &str) -> Speed {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The milliseconds between two syncs; with 0, one for every command that changes something.
    let between = if durability == "fsync" { "0" } else { "50" };
    let mut command = Command::new("beanstalkd");
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-f", between, "-b"]).arg(folder.path());
    let _server = Ended(command.stdin(Stdio::null()).spawn().unwrap());
    let mut client = Client::connect(port);
    let began = Instant::now();
    for first in (0..jobs).step_by(AT_ONCE) {
        client.put(first..(first + AT_ONCE).min(jobs));
    }
    let added = began.elapsed();
    let began = Instant::now();
    for first in (0..jobs).step_by(AT_ONCE) {
        client.finish(AT_ONCE.min(jobs - first));
    }
    let rate = |took: Duration| jobs as f64 / took.as_secs_f64();
    Speed { added: rate(added), finished: rate(began.elapsed()) }
}

/// Ends with its holder.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Client {
    reader: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(port: u16) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => panic!("beanstalkd does not answer: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::with_capacity(1 << 18, stream), line: String::new() }
    }

    fn put(&mut self, numbers: std::ops::Range<usize>) {
        let (mut bytes, count) = (Vec::new(), numbers.len());
        for number in numbers {
            let body = read(number as u64, now());
            write!(bytes, "put {} 0 60 {}\r\n{body}\r\n", number % 3, body.len()).unwrap();
        }
        self.reader.get_mut().write_all(&bytes).unwrap();
        for _ in 0..count {
            assert!(self.answer().starts_with("INSERTED "), "{}", self.line);
        }
    }

    fn finish(&mut self, count: usize) {
        self.reader.get_mut().write_all("reserve\r\n".repeat(count).as_bytes()).unwrap();
        let mut deletes = String::new();
        for _ in 0..count {
            let line = self.answer();
            let (id, bytes) = line.strip_prefix("RESERVED ").and_then(|rest| rest.split_once(' ')).unwrap();
            deletes.push_str(&format!("delete {id}\r\n"));
            let mut body = vec![0; bytes.parse::<usize>().unwrap() + 2];
            self.reader.read_exact(&mut body).unwrap();
        }
        self.reader.get_mut().write_all(deletes.as_bytes()).unwrap();
        for _ in 0..count {
            assert_eq!(self.answer(), "DELETED");
        }
    }

    fn answer(&mut self) -> &str {
        self.line.clear();
        assert!(self.reader.read_line(&mut self.line).unwrap() > 0, "beanstalkd hung up");
        self.line.trim_end()
    }
}
