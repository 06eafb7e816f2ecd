//! What the pages load, whole from this binary.

use std::sync::LazyLock;

use axum::{
    extract::{Path, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
};

use crate::http::{
    file::{File, Stored},
    problem::{Kind, Problem},
};

static FILES: LazyLock<[File; 3]> = LazyLock::new(|| {
    [
        File::new(
            "console.css",
            "text/css; charset=utf-8",
            Stored::Plain(include_bytes!("../../../assets/console/console.css")),
        ),
        File::new(
            "console.js",
            "text/javascript; charset=utf-8",
            Stored::Plain(include_bytes!("../../../assets/console/console.js")),
        ),
        File::new(
            "icon.svg",
            "image/svg+xml",
            Stored::Plain(include_bytes!("../../../assets/console/icon.svg")),
        ),
    ]
});

/// One of them.
pub(super) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = name.ok().and_then(|Path(name)| FILES.iter().find(|file| file.name == name));
    let unknown = || Problem::new(Kind::UnknownRoute, "the console has no such file");
    Ok(found.ok_or_else(unknown)?.answer(&headers))
}
