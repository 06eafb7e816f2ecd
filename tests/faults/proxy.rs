//! Stands between decache and a Redis, at an address that does not change, and does to their connections what a test
//! says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What becomes of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// They lead to this port.
    To(u16),
    /// They lead to this port, and what is asked arrives so much later.
    Slow(u16, Duration),
    /// They are reset.
    Reset,
    /// Each command is answered with this line.
    Answer(&'static str),
}

/// The proxy; its connections end with it.
pub(crate) struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    /// Changes when those that are open are to be closed.
    close: watch::Sender<()>,
    /// Commands that were answered here.
    answered: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(mode);
        let (close, closes) = watch::channel(());
        let answered = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, modes, closes, answered.clone()));
        Self { port, mode, close, answered, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Closes all connections, and does this with those that come.
    pub(crate) fn set(&self, mode: Mode) {
        self.set_for_new(mode);
        self.close.send_replace(());
    }

    /// Does this with connections that come.
    pub(crate) fn set_for_new(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    modes: watch::Receiver<Mode>,
    closes: watch::Receiver<()>,
    answered: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, mut closes, answered) = (accepted.unwrap().0, closes.clone(), answered.clone());
                closes.mark_unchanged();
                let mode = *modes.borrow();
                connections.spawn(async move {
                    tokio::select! {
                        () = serve(stream, mode, &answered) => {}
                        _ = closes.changed() => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, mode: Mode, answered: &AtomicUsize) {
    stream.set_nodelay(true).ok();
    match mode {
        Mode::To(port) => forward(stream, port, Duration::ZERO).await,
        Mode::Slow(port, delay) => forward(stream, port, delay).await,
        Mode::Reset => stream.set_zero_linger().unwrap(),
        Mode::Answer(line) => answer(stream, line, answered).await,
    }
}

async fn forward(stream: TcpStream, port: u16, delay: Duration) {
    let Ok(upstream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    upstream.set_nodelay(true).ok();
    let (from_client, to_client) = stream.into_split();
    let (from_server, to_server) = upstream.into_split();
    tokio::select! {
        () = copy(from_client, to_server, delay) => {}
        () = copy(from_server, to_client, Duration::ZERO) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn answer(mut stream: TcpStream, line: &str, answered: &AtomicUsize) {
    let (mut buffer, mut asked) = (vec![0; 64 << 10], Vec::new());
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        asked.extend_from_slice(&buffer[..length]);
        while let Some(end) = end_of_command(&asked) {
            asked.drain(..end);
            answered.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(format!("-{line}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Where the first command ends: an array of byte strings, as every client of Redis sends it.
fn end_of_command(bytes: &[u8]) -> Option<usize> {
    let (words, mut at) = number(bytes, 0, b'*')?;
    for _ in 0..words {
        let (length, begins) = number(bytes, at, b'$')?;
        at = begins + length + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The number in a line that begins with `mark`, and where the next line begins.
fn number(bytes: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?;
    let end = line.windows(2).position(|window| window == b"\r\n")?;
    assert_eq!(line[0], mark, "not a command: {:?}", String::from_utf8_lossy(line));
    Some((std::str::from_utf8(&line[1..end]).unwrap().parse().unwrap(), at + end + 2))
}

#[test]
fn commands_end_where_they_end() {
    let two = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n";
    assert_eq!(end_of_command(two), Some(20));
    assert_eq!(end_of_command(&two[20..]), Some(14));
    assert!((0..20).all(|end| end_of_command(&two[..end]).is_none()));
}
