//! Tables for people: aligned by what characters take up in a terminal, never wrapped, one line for one item.

use comfy_table::{ContentArrangement, Table, presets};

/// Columns under their heads. Rows have as many cells as there are heads.
pub(super) fn table<const N: usize>(
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// The text without what a terminal would obey: names and ids come from outside.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() || reorders(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Whether a character changes in which order others are shown, or cannot be seen.
fn reorders(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_width_and_nothing_is_wrapped() {
        let long = "x".repeat(300);
        let lines = table(
            ["ID", "USER", "LAST"],
            [["1", "Ünal", "a"], ["22", "猫", &long]].map(|it| it.map(str::to_owned)),
        );
        assert_eq!(lines, ["ID  USER  LAST", "1   Ünal  a", &format!("22  猫    {long}")]);
    }

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        let lines = table(["USER"], [["a\u{1b}[31mb\nc\u{202e}d".to_owned()]]);
        assert_eq!(lines[1], r"a\u{1b}[31mb\nc\u{202e}d");
        assert_eq!(lines.len(), 2);
    }
}
