//! `occurred_at`: when a read began, or a write's commit returned.

use std::time::Duration;

use serde_json::{Number, Value};

use super::EventError;
use crate::clock::Timestamp;

/// The first number that is taken as milliseconds (3 March 1973); seconds do not get there before the year 5138.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// The time an event gives, and how far it was after the arrival, as which it counts then. Less than a millisecond is
/// cut off, for reads and writes alike: what was not later stays not later.
pub(super) fn occurred_at(value: &Value, arrived: Timestamp) -> Result<(Timestamp, Duration), EventError> {
    let given = match value {
        Value::String(text) => from_text(text)?,
        Value::Number(number) => from_number(number)?,
        _ => return Err(not_a_time()),
    };
    Ok((given.min(arrived), given.since(arrived)))
}

fn from_text(text: &str) -> Result<Timestamp, EventError> {
    let time: jiff::Timestamp = text.parse().map_err(|_| not_a_time())?;
    if time < jiff::Timestamp::UNIX_EPOCH {
        return Err(before_1970());
    }
    u64::try_from(time.as_millisecond()).map(Timestamp).map_err(|_| before_1970())
}

/// Fractions of a millisecond are allowed: clocks that count in seconds give them when they are multiplied.
fn from_number(number: &Number) -> Result<Timestamp, EventError> {
    let milliseconds = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(fraction)) if fraction >= 0.0 => fraction as u64,
        _ => return Err(before_1970()),
    };
    if milliseconds < FIRST_MILLISECONDS {
        return Err(EventError(
            "occurred_at must be in milliseconds since 1970 where it is a number; this one is too small: seconds?"
                .to_owned(),
        ));
    }
    Ok(Timestamp(milliseconds))
}

fn not_a_time() -> EventError {
    EventError(
        "occurred_at must be an RFC 3339 time such as \"2026-11-22T10:00:00.123Z\", or milliseconds since 1970"
            .to_owned(),
    )
}

fn before_1970() -> EventError {
    EventError("occurred_at must not be before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp(1_763_812_800_000);

    fn time(value: &Value) -> Result<(Timestamp, Duration), String> {
        occurred_at(value, NOON).map_err(|error| error.0)
    }

    #[test]
    fn text_and_milliseconds_name_the_same_time() {
        let expected = Ok((Timestamp(1_763_805_600_123), Duration::ZERO));
        assert_eq!(time(&json!("2025-11-22T10:00:00.123Z")), expected);
        assert_eq!(time(&json!("2025-11-22T12:00:00.123+02:00")), expected);
        assert_eq!(time(&json!("2025-11-22T10:00:00.123999999Z")), expected);
        assert_eq!(time(&json!(1_763_805_600_123_u64)), expected);
        assert_eq!(time(&json!(1_763_805_600_123.75)), expected);
    }

    #[test]
    fn a_future_time_counts_as_the_arrival_and_is_told_of() {
        assert_eq!(time(&json!(NOON.0 + 1500)), Ok((NOON, Duration::from_millis(1500))));
        assert_eq!(time(&json!(1e300)).unwrap().0, NOON);
        assert_eq!(time(&json!(NOON.0)), Ok((NOON, Duration::ZERO)));
    }

    #[test]
    fn seconds_are_refused_with_a_hint() {
        for seconds in [json!(0), json!(1_763_805_600), json!(1_763_805_600.5), json!(99_999_999_999_u64)] {
            assert!(time(&seconds).unwrap_err().ends_with("seconds?"), "{seconds}");
        }
        assert!(time(&json!(100_000_000_000_u64)).is_ok());
    }

    #[test]
    fn times_before_1970_are_refused() {
        for early in [json!("1969-12-31T23:59:59.9999Z"), json!(-1), json!(-0.5), json!(i64::MIN)] {
            assert_eq!(time(&early).unwrap_err(), "occurred_at must not be before 1970", "{early}");
        }
        assert_eq!(time(&json!("1970-01-01T00:00:00Z")), Ok((Timestamp(0), Duration::ZERO)));
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for wrong in [json!("yesterday"), json!("2025-11-22T10:00:00"), json!("1763805600123"), json!(true)] {
            assert!(time(&wrong).unwrap_err().contains("RFC 3339"), "{wrong}");
        }
    }
}
