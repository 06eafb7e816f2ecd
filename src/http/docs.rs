//! `GET /docs`: the contract in a reader that browsers show, whole from this binary. The reader is Swagger UI
//! (`assets/swagger-ui`); the page's policy lets it ask nobody but this service.

use std::sync::LazyLock;

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{Redirect, Response},
};

use super::{
    file::{File, Stored},
    problem::{Kind, Problem},
};

/// The reader brings small images of its own as `data:`. What it writes into `style` attributes is set by script, which
/// no policy minds.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, then what it loads.
static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    [
        File::new("", "text/html; charset=utf-8", Stored::Plain(include_bytes!("docs/page.html"))),
        File::new("page.js", JAVASCRIPT, Stored::Plain(include_bytes!("docs/page.js"))),
        File::new(
            "swagger-ui-bundle.js",
            JAVASCRIPT,
            Stored::Gzipped(include_bytes!("../../assets/swagger-ui/swagger-ui-bundle.js.gz")),
        ),
        File::new(
            "swagger-ui.css",
            "text/css; charset=utf-8",
            Stored::Gzipped(include_bytes!("../../assets/swagger-ui/swagger-ui.css.gz")),
        ),
    ]
});
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    confined(FILES[0].answer(&headers))
}

/// Leads to the page. Relative, for a proxy may have put something before our paths.
pub(super) async fn without_slash() -> Redirect {
    Redirect::permanent("../docs")
}

/// What the page loads.
pub(super) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = name.ok().and_then(|Path(name)| FILES[1..].iter().find(|file| file.name == name));
    let unknown = || Problem::new(Kind::UnknownRoute, "`/docs` has no such file");
    Ok(confined(found.ok_or_else(unknown)?.answer(&headers)))
}

fn confined(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, StatusCode};

    use super::*;
    use crate::http::file::unpacked;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        for file in &*FILES {
            let whole = file.answer(&HeaderMap::new());
            let tag = whole.headers()[header::ETAG].clone();
            assert_eq!(whole.status(), StatusCode::OK);
            let again = |tag: HeaderValue| {
                file.answer(&[(header::IF_NONE_MATCH, tag)].into_iter().collect()).status()
            };
            assert_eq!(again(tag.clone()), StatusCode::NOT_MODIFIED);
            let listed = format!("\"x\", W/{}", tag.to_str().unwrap());
            assert_eq!(again(HeaderValue::from_str(&listed).unwrap()), StatusCode::NOT_MODIFIED);
            assert_eq!(again(HeaderValue::from_static("\"x\"")), StatusCode::OK);
        }
    }

    #[test]
    fn packed_and_unpacked_have_different_tags() {
        let refuses = headers(header::ACCEPT_ENCODING, "identity");
        let [packed, unpacked] = [&HeaderMap::new(), &refuses].map(|headers| FILES[2].answer(headers));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!unpacked.headers().contains_key(header::CONTENT_ENCODING));
        assert_ne!(packed.headers()[header::ETAG], unpacked.headers()[header::ETAG]);
    }

    #[test]
    fn the_reader_is_whole_and_what_the_package_holds() {
        use sha2::{Digest, Sha256};
        let recorded = include_str!("../../assets/swagger-ui/PACKAGE");
        for file in &FILES[2..] {
            let Stored::Gzipped(bytes) = file.stored else { panic!("{} is not packed", file.name) };
            let sum = format!("{}  {}", hex::encode(Sha256::digest(unpacked(bytes))), file.name);
            assert!(recorded.lines().any(|line| line == sum), "{sum}");
        }
    }
}
