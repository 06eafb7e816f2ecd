//! A Redis client that does no more than it has to: commands are bytes that are ready to be sent, answers are counted.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// Commands that are sent together.
#[derive(Default)]
pub(crate) struct Pipeline {
    bytes: Vec<u8>,
    commands: usize,
}

impl Pipeline {
    pub(crate) fn add(&mut self, words: &[&[u8]]) {
        write!(self.bytes, "*{}\r\n", words.len()).unwrap();
        for word in words {
            write!(self.bytes, "${}\r\n", word.len()).unwrap();
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.commands += 1;
    }
}

/// A connection.
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    answers: Answers,
    /// Answers that have come and that nobody has waited for yet.
    ahead: usize,
}

impl Raw {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 18], answers: Answers::default(), ahead: 0 }
    }

    /// Sends commands and waits for all their answers. An error among them ends the program.
    pub(crate) fn send(&mut self, pipeline: &Pipeline) {
        self.begin(pipeline);
        self.finish(pipeline);
    }

    /// Sends one pipeline after the other, each while the one before it is being answered.
    pub(crate) fn send_each<'a>(&mut self, pipelines: impl Iterator<Item = &'a Pipeline>) {
        let mut before: Option<&Pipeline> = None;
        for pipeline in pipelines {
            self.begin(pipeline);
            if let Some(before) = before.replace(pipeline) {
                self.finish(before);
            }
        }
        before.into_iter().for_each(|last| self.finish(last));
    }

    fn begin(&mut self, pipeline: &Pipeline) {
        self.stream.write_all(&pipeline.bytes).unwrap();
    }

    fn finish(&mut self, pipeline: &Pipeline) {
        // Answers of the next pipeline may come with this one's.
        while self.ahead < pipeline.commands {
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "redis-server hung up");
            self.ahead += self.answers.count(&self.buffer[..read]);
        }
        self.ahead -= pipeline.commands;
    }

    /// The server's own.
    pub(crate) fn process_id(&mut self) -> u32 {
        let text = self.told("server", "process_id:");
        let id = text.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
        id.trim().parse().unwrap()
    }

    /// What the server says of itself in a section, to the line with this and whatever came with it.
    pub(crate) fn told(&mut self, section: &str, until: &str) -> String {
        self.stream.write_all(format!("INFO {section}\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        // Complete when the line behind it has begun.
        while !text.split_once(until).is_some_and(|(_, behind)| behind.contains('\n')) {
            let read = self.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "redis-server hung up");
            text.push_str(std::str::from_utf8(&self.buffer[..read]).unwrap());
        }
        text
    }

    pub(crate) fn one(&mut self, words: &[&[u8]]) {
        let mut pipeline = Pipeline::default();
        pipeline.add(words);
        self.send(&pipeline);
    }
}

/// Counts whole answers in a stream of bytes.
#[derive(Default)]
struct Answers {
    line: Vec<u8>,
    /// Bytes of a string that are yet to come, with its end of line.
    skip: usize,
    /// Elements of an array, and of those around it, that are yet to come.
    open: Vec<usize>,
}

impl Answers {
    fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
                whole += if self.skip == 0 { self.ended() } else { 0 };
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                break;
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            whole += self.line_ended();
        }
        whole
    }

    fn line_ended(&mut self) -> usize {
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).unwrap().trim_end();
        let number = || text[1..].parse::<i64>().unwrap();
        match line[0] {
            b'-' => panic!("redis-server: {text}"),
            b'$' if number() >= 0 => {
                self.skip = number() as usize + 2;
                0
            }
            b'*' if number() > 0 => {
                self.open.push(number() as usize);
                0
            }
            _ => self.ended(),
        }
    }

    /// A value has ended. Returns whether it was an answer, and not part of one.
    fn ended(&mut self) -> usize {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return 0;
            }
            self.open.pop();
        }
        1
    }
}
