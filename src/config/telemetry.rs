//! `telemetry:` where traces go.

use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Deserializer, de::Error};

use super::quantity;

/// What is told to others.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Traces; none where this is missing.
    pub otlp: Option<OtlpConfig>,
}

/// A collector that speaks OTLP over HTTP.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// Its address, without the `/v1/traces` that is added to it.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: String,
    /// How many of the requests are traced that have no `traceparent`, from 0 to 1.
    #[serde(default, deserialize_with = "ratio")]
    pub ratio: f64,
    /// The longest that a request to it may take.
    #[serde(default = "default_timeout", deserialize_with = "quantity::some_duration")]
    pub timeout: Duration,
}

impl OtlpConfig {
    /// Where traces are posted.
    pub fn traces(&self) -> Uri {
        // A checked endpoint with a plain path is one.
        format!("{}/v1/traces", self.endpoint).parse().unwrap_or_default()
    }
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_one = url::Url::parse(&text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let base = text.trim_end_matches('/');
    if is_one && format!("{base}/v1/traces").parse::<Uri>().is_ok() {
        return Ok(base.to_owned());
    }
    // It may hold a password.
    Err(D::Error::custom("expected http://host:4318 or https://host:4318, without user, query and fragment"))
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let ratio = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err(D::Error::custom("expected a number from 0 to 1"))
    }
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_a_password() {
        let read = |text: &str| serde_yaml::from_str::<OtlpConfig>(&format!("endpoint: '{text}'")).ok();
        assert_eq!(read("http://collector:4318/").unwrap().traces(), "http://collector:4318/v1/traces");
        assert_eq!(read("https://host/otlp").unwrap().traces(), "https://host/otlp/v1/traces");
        for text in ["collector:4318", "ftp://host", "http://u:p@host", "http://host?a=b", "", "http://"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_from_nought_to_one() {
        let read = |ratio: &str| {
            serde_yaml::from_str::<OtlpConfig>(&format!("{{ endpoint: 'http://h', ratio: {ratio} }}")).ok()
        };
        assert_eq!(["0", "0.25", "1"].map(|it| read(it).unwrap().ratio), [0.0, 0.25, 1.0]);
        assert_eq!(["-0.1", "1.1", ".nan"].map(read), [None, None, None]);
    }
}
