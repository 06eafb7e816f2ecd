//! Numbers with a meaning: durations, sizes in bytes, counts. Each refusal says what is wanted and what was found.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};
use serde_yaml::Value;

/// The longest time that any setting takes. A copy that lives longer than a year is none.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const DURATION: &str = "seconds (5, 0.5) or a time with its unit (250ms, 2s, 5m, 1h), up to 366 days";

const SIZE: &str = "bytes (1048576) or a size with its unit (64KiB, 512MiB, 1GiB)";

/// A time, zero allowed.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = Value::deserialize(deserializer)?;
    to_duration(&value).ok_or_else(|| refused(DURATION, &value))
}

/// A time above zero.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = Value::deserialize(deserializer)?;
    to_duration(&value)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| refused(&format!("more than zero {DURATION}"), &value))
}

/// A time, or nothing at all.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match value {
        Value::Null => Ok(None),
        _ => to_duration(&value).map(Some).ok_or_else(|| refused(DURATION, &value)),
    }
}

/// A number of bytes above zero.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let value = Value::deserialize(deserializer)?;
    to_size(&value).filter(|size| *size > 0).ok_or_else(|| refused(SIZE, &value))
}

/// A whole number of `what` within bounds.
pub(super) fn whole<'de, D, N>(
    what: &str,
    bounds: RangeInclusive<u64>,
    deserializer: D,
) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    let value = Value::deserialize(deserializer)?;
    let within = value.as_u64().filter(|number| bounds.contains(number));
    within
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| refused(&format!("{what} from {} to {}", bounds.start(), bounds.end()), &value))
}

pub(super) fn to_duration(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
            // Rust reads more than digits as a number: `+1`, `1e3`, `inf`.
            let number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.').then_some(number)?;
            number.parse::<f64>().ok()? * seconds_in(unit)?
        }
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST)
}

fn seconds_in(unit: &str) -> Option<f64> {
    match unit {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

fn to_size(value: &Value) -> Option<usize> {
    let bytes = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => {
            let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
            let shift = match unit {
                "KiB" => 10,
                "MiB" => 20,
                "GiB" => 30,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(1 << shift)?
        }
        _ => return None,
    };
    usize::try_from(bytes).ok()
}

/// `expected ..., found ...`: only for fields that hold no secret.
pub(super) fn refused<E: Error>(expected: &str, found: &Value) -> E {
    E::custom(format!("expected {expected}, found {}", describe(found)))
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) | Value::Tagged(_) => "a mapping".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn a_duration_is_seconds_or_has_a_unit() {
        let millis = |text| to_duration(&yaml(text)).map(|time| time.as_millis());
        let good = [
            ("0", 0),
            ("5", 5000),
            ("0.25", 250),
            ("250ms", 250),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ];
        for (text, expected) in good {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for text in [
            "-1", "5 s", "5d", "s", "1e3s", "-5s", "soon", ".nan", ".inf", "367h5", "true", "[5]", "~",
            "9000h",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_bytes_or_has_a_binary_unit() {
        for (text, expected) in [("1", 1), ("64KiB", 65_536), ("512MiB", 536_870_912), ("1GiB", 1 << 30)] {
            assert_eq!(to_size(&yaml(text)), Some(expected), "{text}");
        }
        for text in ["-1", "1.5", "64KB", "64k", "KiB", "99999999999GiB", "1.5GiB"] {
            assert_eq!(to_size(&yaml(text)), None, "{text}");
        }
    }
}
