//! The colours that meet on a page, light and dark: WCAG 2.2 asks for 4.5 to 1 of text, and for 3 to 1 of what shapes tell.

use std::collections::BTreeMap;

const CSS: &str = include_str!("../../../../assets/console/console.css");

/// A foreground on a background.
const TEXT: [(&str, &str); 23] = [
    ("text", "bg"),
    ("text", "surface"),
    ("muted", "bg"),
    ("muted", "surface"),
    ("accent", "bg"),
    ("accent", "surface"),
    ("on-accent", "accent"),
    ("danger", "bg"),
    ("danger", "surface"),
    ("on-danger", "danger"),
    ("ok-text", "ok-bg"),
    ("warn-text", "warn-bg"),
    ("bad-text", "bad-bg"),
    ("idle-text", "idle-bg"),
    ("ok-text", "bg"),
    ("warn-text", "bg"),
    ("bad-text", "bg"),
    ("idle-text", "bg"),
    ("chart-0", "surface"),
    ("chart-1", "surface"),
    ("chart-2", "surface"),
    ("chart-3", "surface"),
    ("text", "bad-bg"),
];
const SHAPES: [(&str, &str); 4] =
    [("control", "bg"), ("control", "surface"), ("accent", "bad-bg"), ("accent", "idle-bg")];

/// The colours of the block that begins at `start`, by their names.
fn palette(start: &str) -> BTreeMap<&str, f64> {
    let block = CSS.split_once(start).unwrap().1.split_once('}').unwrap().0;
    let colours =
        block.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": #"));
    colours.map(|(name, hex)| (name, luminance(hex))).collect()
}

fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn ratio(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn whatever_is_to_be_read_stands_out() {
    assert!((ratio(luminance("000000"), luminance("ffffff")) - 21.0).abs() < 1e-9);
    for (theme, start) in [("light", ":root {"), ("dark", "(prefers-color-scheme: dark) {")] {
        let palette = palette(start);
        for (pairs, least) in [(&TEXT[..], 4.5), (&SHAPES[..], 3.0)] {
            for (front, back) in pairs {
                let found = ratio(palette[front], palette[back]);
                assert!(found >= least, "{theme}: {front} on {back} has {found:.2}");
            }
        }
    }
}

#[test]
fn colours_stand_in_the_palettes_alone() {
    let (_, rules) = CSS.split_once("*, *::before").unwrap();
    assert!(
        !rules.contains('#') || rules.lines().all(|line| !line.contains(": #")),
        "a colour outside of the palettes"
    );
    assert_eq!(palette(":root {").len(), palette("(prefers-color-scheme: dark) {").len());
}
