//! Tables. On a phone each row is a card, in which every cell stands behind the name of its column; so each cell carries it.

use maud::{Markup, html};

/// A column by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    kind: Kind,
}

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    /// Aligned by its last digit.
    Number,
    /// Sentences.
    Wide,
    /// What the row is about.
    Head,
}

/// Columns that fit where it is not wide.
const FEW: usize = 4;

pub(super) const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

pub(super) const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number }
}

pub(super) const fn wide(name: &'static str) -> Column {
    Column { name, kind: Kind::Wide }
}

pub(super) const fn head(name: &'static str) -> Column {
    Column { name, kind: Kind::Head }
}

impl Column {
    fn class(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Text | Kind::Head => None,
            Kind::Number => Some("number"),
            Kind::Wide => Some("wide"),
        }
    }
}

/// A table that scrolls in its own box where the screen is narrow. A column in which no row has anything is left out.
pub(super) fn table<const N: usize>(
    caption: &str,
    columns: &[Column; N],
    rows: impl IntoIterator<Item = [Markup; N]>,
) -> Markup {
    let rows: Vec<[Markup; N]> = rows.into_iter().collect();
    let is_shown = |at: usize| rows.is_empty() || rows.iter().any(|row| !row[at].0.is_empty());
    let shown: Vec<usize> = (0..N).filter(|at| is_shown(*at)).collect();
    let class = if shown.len() > FEW { "scroll many" } else { "scroll" };
    html! {
        div class=(class) role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { (caption) }
                thead { tr { @for at in &shown {
                    th scope="col" class=[columns[*at].class()] { (columns[*at].name) }
                } } }
                tbody { @for row in &rows {
                    tr { @for at in &shown { (cell(&columns[*at], &row[*at])) } }
                } }
            }
        }
    }
}

/// A row with every column.
pub(super) fn row<const N: usize>(columns: &[Column; N], cells: &[Markup; N]) -> Markup {
    html! { tr { @for (column, content) in columns.iter().zip(cells) { (cell(column, content)) } } }
}

fn cell(column: &Column, content: &Markup) -> Markup {
    html! {
        @match column.kind {
            Kind::Head => th scope="row" data-label=(column.name) { (content) },
            _ => td class=[column.class()] data-label=(column.name) { (content) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_empty_in_every_row_is_left_out() {
        let columns = [head("Name"), number("Count"), wide("Error")];
        let rows = |error: &str| [["a", "1", error], ["b", "2", ""]].map(|row| row.map(|it| html! { (it) }));
        let without = table("Things", &columns, rows("")).into_string();
        assert!(
            !without.contains("Error") && without.contains(r#"<td class="number" data-label="Count">2</td>"#),
            "{without}"
        );
        let with = table("Things", &columns, rows("x")).into_string();
        assert!(with.contains(r#"<td class="wide" data-label="Error"></td>"#), "{with}");
        assert!(table("Things", &columns, []).into_string().contains("Error"), "what may come has its place");
    }
}
