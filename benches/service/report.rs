//! The figures on paper: JSON for programs, Markdown for people, and a picture of how cost grows.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, process::Command};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::stats::Row;

/// All that a run has to say.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The day.
    date: String,
    machine: String,
    command: String,
    pub(crate) rows: Vec<Keyed>,
}

/// A row, and what programs know it by.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keyed {
    key: String,
    #[serde(flatten)]
    pub(crate) row: Row,
}

impl Report {
    /// Of what was measured just now.
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        let now = decache::clock::Clock::start().now().to_string();
        let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
        Self {
            date: now[..10].to_owned(),
            machine: machine(),
            command: format!("scripts/bench {}", arguments.join(" ")).trim_end().to_owned(),
            rows: rows.into_iter().map(|row| Keyed { key: row.key(), row }).collect(),
        }
    }

    /// Of what was measured before. A later file's figure stands where two have one of the same thing.
    pub(crate) fn read(files: &[impl AsRef<Path>]) -> Self {
        let mut whole = Self::default();
        for file in files {
            let part: Self = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            whole.rows.retain(|old| part.rows.iter().all(|new| new.key != old.key));
            let together = |old: String, new: String| match old.as_str() {
                "" => new,
                old if old.split("; ").any(|one| one == new) => old.to_owned(),
                old => format!("{old}; {new}"),
            };
            whole.date = together(whole.date, part.date);
            whole.machine = together(whole.machine, part.machine);
            whole.command = together(whole.command, part.command);
            whole.rows.extend(part.rows);
        }
        whole
    }

    /// In the order of the promises.
    pub(crate) fn sort(&mut self) {
        self.rows.sort_by_key(|Keyed { row, .. }| (row.number, row.pinned));
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap();
        bytes.push(b'\n');
        bytes
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}, {}, `{}`.\n\n", self.date, self.machine, self.command);
        text.push_str(
            "| # | work | cores | service | limit | ratio | µs CPU (limit) | µs CPU of Redis (limit) | ms p50/p99/p99.9 | MiB | promised | |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for Keyed { row, .. } in &self.rows {
            let latency = row
                .latency
                .map(|[p50, p99, p999]| format!("{p50:.2}/{p99:.2}/{p999:.2}"))
                .unwrap_or_default();
            writeln!(
                text,
                "| {} | {} | {} | {} {} | {} | {} | {} | {} | {latency} | {} | {} | {} |",
                row.number,
                row.work,
                if row.pinned { "pinned" } else { "free" },
                amount(row.service),
                row.unit,
                row.limit.map(amount).unwrap_or_default(),
                row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
                pair(row.cpu, row.cpu_of_limit),
                pair(row.cpu_of_redis, row.cpu_of_redis_for_limit),
                row.peak_mib.map(amount).unwrap_or_default(),
                row.promise,
                row.is_kept.map_or("", |kept| if kept { "kept" } else { "**missed**" }),
            )
            .unwrap();
        }
        text
    }

    /// How the ratio to the limit changes as there is more of something: a line for each that was measured at several
    /// sizes, relative to its smallest.
    pub(crate) fn plot(&self, file: &Path) {
        let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for Keyed { row, .. } in &self.rows {
            if let (Some((of, size)), Some(ratio)) = (&row.size, row.ratio) {
                lines.entry(of).or_default().push((*size as f64, ratio));
            }
        }
        lines.values_mut().for_each(|points| points.sort_by(|one, other| one.0.total_cmp(&other.0)));
        let area = SVGBackend::new(file, (800, 400)).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d((1f64..1e7).log_scale(), 0f64..1.5)
            .unwrap();
        chart
            .configure_mesh()
            .x_desc("how many there are")
            .y_desc("share of the limit, the smallest size = 1")
            .x_label_formatter(&|size| format!("{size}"))
            .draw()
            .unwrap();
        for (place, (of, points)) in lines.into_iter().enumerate() {
            let color = Palette99::pick(place).to_rgba();
            let least = points[0].1;
            let points: Vec<_> = points.into_iter().map(|(size, ratio)| (size, ratio / least)).collect();
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))
                .unwrap()
                .label(of)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .unwrap();
        area.present().unwrap();
    }
}

fn pair(ours: Option<f64>, limit: Option<f64>) -> String {
    match (ours, limit) {
        (Some(ours), Some(limit)) => format!("{ours:.2} ({limit:.2})"),
        (Some(ours), None) => format!("{ours:.2}"),
        _ => String::new(),
    }
}

/// Three digits of small numbers, all of large ones.
fn amount(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let redis = Command::new("redis-server").arg("--version").output().unwrap();
    let redis = String::from_utf8(redis.stdout).unwrap();
    let redis = redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned();
    format!("{cores} cores of {}, Redis {redis}", model.map_or("an unnamed processor", |it| it.1))
}
