//! Medians, percentiles, and the table.

use serde::{Deserialize, Deserializer, Serialize};

/// An alias, or serde would have a unit borrowed from the JSON.
pub(crate) type Unit = &'static str;

/// A measured line of the table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Which promise it is about (docs/performance.md).
    pub(crate) number: u32,
    pub(crate) work: String,
    /// Whether each program had cores of its own.
    pub(crate) pinned: bool,
    #[serde(deserialize_with = "kept_for_good")]
    pub(crate) unit: Unit,
    pub(crate) service: f64,
    /// What a program did that does no more than it has to.
    pub(crate) limit: Option<f64>,
    /// Service by limit, the median of the rounds; where there is no limit, the figure itself is promised.
    pub(crate) ratio: Option<f64>,
    /// CPU time per item, in microseconds.
    pub(crate) cpu: Option<f64>,
    pub(crate) cpu_of_limit: Option<f64>,
    pub(crate) cpu_of_redis: Option<f64>,
    pub(crate) cpu_of_redis_for_limit: Option<f64>,
    /// p50, p99 and p99.9, in milliseconds.
    pub(crate) latency: Option<[f64; 3]>,
    pub(crate) peak_mib: Option<f64>,
    /// In words.
    pub(crate) promise: String,
    pub(crate) is_kept: Option<bool>,
    /// Of what there is so much, and how much, where it is one of several sizes.
    pub(crate) size: Option<(String, u64)>,
}

impl Row {
    /// What programs know it by, in the JSON: its words and its cores.
    pub(crate) fn key(&self) -> String {
        let words: Vec<String> = self
            .work
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        format!("{}.{}", words.join("-"), if self.pinned { "pinned" } else { "free" })
    }
}

/// There are few units, and a program that reads them ends soon.
fn kept_for_good<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    Ok(String::deserialize(deserializer)?.leak())
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of sorted microseconds, in milliseconds.
pub(crate) fn per_mille(micros: &[u32], share: usize) -> f64 {
    let index = (micros.len() * share / 1000).min(micros.len() - 1);
    f64::from(micros[index]) / 1000.0
}

pub(crate) fn print<'a>(rows: impl Iterator<Item = &'a Row>) {
    println!(
        "{:>3} {:<44} {:>6} {:>11} {:>11} {:>6} {:>8} {:>8} {:>8} {:>8} {:>22} {:>7}  promise",
        "",
        "work",
        "cores",
        "service",
        "limit",
        "ratio",
        "us CPU",
        "limit",
        "Redis",
        "limit",
        "ms p50/p99/p99.9",
        "MiB"
    );
    for row in rows {
        let number = |value: Option<f64>, places: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
        };
        let latency = row.latency.map_or_else(|| "-".to_owned(), |[a, b, c]| format!("{a:.2}/{b:.2}/{c:.2}"));
        let kept = row.is_kept.map_or("", |kept| if kept { "kept" } else { "MISSED" });
        println!(
            "{:>3} {:<44} {:>6} {:>11} {:>11} {:>6} {:>8} {:>8} {:>8} {:>8} {:>22} {:>7}  {} {kept}",
            row.number,
            row.work,
            if row.pinned { "pinned" } else { "free" },
            format!("{:.0} {}", row.service, row.unit),
            number(row.limit, 0),
            number(row.ratio, 2),
            number(row.cpu, 2),
            number(row.cpu_of_limit, 2),
            number(row.cpu_of_redis, 2),
            number(row.cpu_of_redis_for_limit, 2),
            latency,
            number(row.peak_mib, 0),
            row.promise,
        );
    }
}
