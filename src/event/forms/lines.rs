//! `application/x-ndjson`: an event on each line, taken as the lines come.

use crate::{
    clock::Timestamp,
    event::{
        Event, EventError,
        forms::{BodyError, without_mark},
    },
};

/// The longest line, in bytes. It bounds what is kept of a line whose end has not come yet.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Takes a body apart piece by piece. Of what was read it keeps the events, and at most one line that is not at its end.
///
/// A line that is no event costs that one event and no other, also where it is cut off or too long. Blank lines are
/// passed over, and do not count.
pub struct Lines {
    limit: usize,
    /// Lines that are not blank, also those that are too many.
    found: usize,
    events: Vec<Result<Event, EventError>>,
    /// The beginning of a line whose end is in the next piece.
    begun: Vec<u8>,
    /// The rest of the line is passed over: it is too long.
    too_long: bool,
}

impl Lines {
    /// Takes at most `limit` events.
    pub fn new(limit: usize) -> Self {
        Self { limit, found: 0, events: Vec::new(), begun: Vec::new(), too_long: false }
    }

    /// Takes the next piece of the body, which `arrived` then.
    pub fn push(&mut self, piece: &[u8], arrived: Timestamp) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = match part.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (part, false),
            };
            if ends && self.begun.is_empty() && !self.too_long && part.len() <= MAX_LINE_BYTES {
                self.line(part, arrived);
                continue;
            }
            self.begin(part);
            if ends {
                self.end(arrived);
            }
        }
    }

    /// The events, in their order. The last line needs no line break.
    ///
    /// # Errors
    /// [`BodyError`]: no event at all, or too many.
    pub fn finish(mut self, arrived: Timestamp) -> Result<Vec<Result<Event, EventError>>, BodyError> {
        self.end(arrived);
        match self.found {
            0 => Err(BodyError::NoLine),
            found if found > self.limit => Err(BodyError::TooMany { found, limit: self.limit }),
            _ => Ok(self.events),
        }
    }

    fn begin(&mut self, part: &[u8]) {
        if self.too_long || self.begun.len() + part.len() > MAX_LINE_BYTES {
            self.too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(part);
        }
    }

    fn end(&mut self, arrived: Timestamp) {
        let line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.too_long) {
            let detail = format!("the line is too long: an event may have {MAX_LINE_BYTES} bytes");
            self.take(|| Err(EventError(detail)));
        } else {
            self.line(&line, arrived);
        }
        self.begun = line;
        self.begun.clear();
    }

    fn line(&mut self, line: &[u8], arrived: Timestamp) {
        let line = if self.found == 0 { without_mark(line) } else { line }.trim_ascii();
        if !line.is_empty() {
            self.take(|| Event::parse(line, arrived));
        }
    }

    /// Where there are too many, none is kept any more, and all are counted.
    fn take(&mut self, event: impl FnOnce() -> Result<Event, EventError>) {
        self.found += 1;
        if self.found <= self.limit {
            self.events.push(event());
        } else {
            self.events = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_812_800_000);
    const READ: &str = r#"{"action_type":"Read","resource_type":"Posts","entity_id":42}"#;

    /// Whether each event was taken, from a body in pieces of this size.
    fn taken(body: &str, size: usize) -> Result<Vec<bool>, BodyError> {
        let mut lines = Lines::new(3);
        body.as_bytes().chunks(size).for_each(|piece| lines.push(piece, NOW));
        lines.finish(NOW).map(|events| events.iter().map(Result::is_ok).collect())
    }

    #[test]
    fn a_body_is_the_same_events_in_whatever_pieces_it_comes() {
        for (body, expected) in [
            (format!("{READ}\n{READ}\n"), vec![true, true]),
            (format!("{READ}\r\n{READ}\r\n"), vec![true, true]),
            (format!("{READ}\n{READ}"), vec![true, true]),
            (format!("\n\r\n  \n{READ}\n\n\t\n{READ}\n\n"), vec![true, true]),
            (format!("{READ}\n{{\"action_type\":\n{READ}\n"), vec![true, false, true]),
            (format!("{READ}\n{}", &READ[..30]), vec![true, false]),
            (format!("[{READ}]\nnull\n{READ} {READ}\n"), vec![false, false, false]),
            ("\u{feff}{}\n\u{0}".to_owned(), vec![false, false]),
        ] {
            for size in [1, 2, 7, 61, 62, 63, 64, 10_000] {
                assert_eq!(taken(&body, size).unwrap(), expected, "{size}: {body:?}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_alone_and_not_kept() {
        let padded = |bytes: usize| format!("{}{READ}", " ".repeat(bytes - READ.len()));
        let body = format!("{READ}\n{}\n{}\n", padded(MAX_LINE_BYTES + 1), padded(MAX_LINE_BYTES));
        for size in [4096, MAX_LINE_BYTES, body.len()] {
            assert_eq!(taken(&body, size).unwrap(), [true, false, true], "{size}");
        }
        let endless = padded(3 * MAX_LINE_BYTES);
        assert_eq!(taken(&endless, 65_536).unwrap(), [false], "the last line has no end");
        let mut lines = Lines::new(3);
        lines.push(endless.as_bytes(), NOW);
        assert_eq!(lines.begun.capacity(), 0);
    }

    #[test]
    fn a_body_without_an_event_is_refused() {
        for body in ["", "\n", " \r\n\t\n"] {
            assert_eq!(taken(body, 1), Err(BodyError::NoLine), "{body:?}");
        }
    }

    #[test]
    fn more_lines_than_the_limit_are_counted_and_not_kept() {
        assert_eq!(taken("1\n2\n3\n", 1).unwrap().len(), 3);
        assert_eq!(taken("1\n2\n\n3\n4\n5", 2), Err(BodyError::TooMany { found: 5, limit: 3 }));
    }
}
