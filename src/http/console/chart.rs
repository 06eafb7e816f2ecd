//! Charts of the last hour, as plain SVG. Shapes are stretched to the width there is; text stands beside them, as HTML.

use std::fmt::Write;

use maud::{Markup, html};

use crate::history::STEP;

/// A line: a value at each of some times, by how many seconds ago that was. `None` is a gap.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) values: Vec<(f64, Option<f64>)>,
}

/// The height of the drawing, in its own units.
const HEIGHT: f64 = 100.0;
/// How far back a chart goes, in minutes: the shortest that holds all points.
const REACHES: [u32; 4] = [2, 10, 30, 60];
/// Lines have so many colours.
const COLOURS: usize = 4;

/// A chart. `told`: a value in words.
pub(super) fn chart(title: &str, lines: &[Line], told: impl Fn(f64) -> String) -> Markup {
    let highest =
        lines.iter().flat_map(|line| line.values.iter().filter_map(|(_, value)| *value)).fold(0.0, f64::max);
    let top = rounded_up(highest);
    let ages = lines.iter().flat_map(|line| line.values.iter().map(|(ago, _)| *ago));
    let oldest = ages.fold(0.0, f64::max);
    let minutes = REACHES
        .into_iter()
        .find(|minutes| oldest <= f64::from(minutes * 60))
        .unwrap_or(REACHES[REACHES.len() - 1]);
    let reach = f64::from(minutes * 60);
    let summary = summary(lines, &told);
    html! {
        figure.chart {
            figcaption { (title) }
            @if lines.iter().all(|line| line.values.is_empty()) {
                p.muted { "Nothing to show yet: the first point comes after " (STEP.as_secs() * 2) " seconds." }
            } @else {
                div.plot {
                    div.scale aria-hidden="true" { span { (told(top)) } span { (told(0.0)) } }
                    svg role="img" aria-label={ (title) ", the last " (minutes) " minutes: " (summary) } preserveAspectRatio="none"
                        viewBox={ "0 0 " (reach) " " (HEIGHT) } {
                        @for share in [0.0, 0.5, 1.0] {
                            line.grid x1="0" x2=(reach) y1=(HEIGHT * share) y2=(HEIGHT * share) {}
                        }
                        @for (index, line) in lines.iter().enumerate() {
                            @if lines.len() == 1 { path.area d=(area(line, top, reach)) {} }
                            path class={ "line colour-" (index % COLOURS) } d=(path(line, top, reach)) {}
                        }
                    }
                    div.times aria-hidden="true" { span { (minutes) " min ago" } span { (minutes / 2) " min ago" } span { "now" } }
                }
                ul.legend {
                    @for (index, line) in lines.iter().enumerate() {
                        li { i class={ "key colour-" (index % COLOURS) } {} (line.name) " " b { (latest(line, &told)) } }
                    }
                }
            }
        }
    }
}

fn latest(line: &Line, told: impl Fn(f64) -> String) -> String {
    line.values.last().and_then(|(_, value)| *value).map_or_else(|| "–".to_owned(), told)
}

fn summary(lines: &[Line], told: impl Fn(f64) -> String) -> String {
    let tell = |line: &Line| {
        let highest = line.values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
        format!("{} now {}, at most {}", line.name, latest(line, &told), told(highest))
    };
    lines.iter().map(tell).collect::<Vec<_>>().join("; ")
}

/// 1, 2 or 5 and zeros.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * magnitude).find(|top| *top >= value * 0.999_999).unwrap_or(value)
}

/// Pieces without a gap, as points of the drawing.
fn pieces(line: &Line, top: f64, reach: f64) -> Vec<Vec<(f64, f64)>> {
    let widest = STEP.as_secs_f64() * 2.5;
    let (mut pieces, mut piece, mut before) = (Vec::new(), Vec::new(), None::<f64>);
    for (ago, value) in &line.values {
        let is_apart = before.is_some_and(|before| before - ago > widest);
        if value.is_none() || is_apart {
            pieces.push(std::mem::take(&mut piece));
        }
        if let Some(value) = value {
            let y = HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT;
            piece.push(((reach - ago).max(0.0), y));
        }
        before = Some(*ago);
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn path(line: &Line, top: f64, reach: f64) -> String {
    let mut path = String::new();
    for piece in pieces(line, top, reach) {
        for (index, (x, y)) in piece.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            // A text takes whatever is written to it.
            let _ = write!(path, "{command}{x:.0} {y:.1}");
        }
        if piece.len() == 1 {
            path.push_str("h1");
        }
    }
    path
}

fn area(line: &Line, top: f64, reach: f64) -> String {
    let mut path = String::new();
    for piece in pieces(line, top, reach) {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
        let _ = write!(path, "M{:.0} {HEIGHT}", first.0);
        for (x, y) in &piece {
            let _ = write!(path, "L{x:.0} {y:.1}");
        }
        let _ = write!(path, "L{:.0} {HEIGHT}Z", last.0);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[(f64, Option<f64>)]) -> Line {
        Line { name: "taken".to_owned(), values: values.to_vec() }
    }

    #[test]
    fn a_line_breaks_where_there_is_nothing() {
        let drawn = path(
            &line(&[
                (3600.0, Some(0.0)),
                (3590.0, Some(5.0)),
                (3580.0, None),
                (20.0, Some(10.0)),
                (0.0, Some(10.0)),
            ]),
            10.0,
            3600.0,
        );
        assert_eq!(drawn, "M0 100.0L10 50.0M3580 0.0L3600 0.0");
        assert_eq!(
            path(&line(&[(100.0, Some(1.0)), (10.0, Some(1.0))]), 1.0, 3600.0),
            "M3500 0.0h1M3590 0.0h1"
        );
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        let tops = [0.0, 0.3, 1.0, 1.1, 4.0, 51.0, 1000.0].map(rounded_up);
        assert_eq!(tops, [1.0, 0.5, 1.0, 2.0, 5.0, 100.0, 1000.0]);
    }

    #[test]
    fn whoever_does_not_see_it_is_told() {
        let told =
            chart("Events", &[line(&[(10.0, Some(4.0)), (0.0, Some(2.0))])], |value| format!("{value}/s"))
                .into_string();
        assert!(told.contains("Events, the last 2 minutes: taken now 2/s, at most 4/s"), "{told}");
        assert!(
            chart("Events", &[line(&[])], |value| value.to_string())
                .into_string()
                .contains("Nothing to show yet")
        );
    }
}
