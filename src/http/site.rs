//! What browsers say of where a request comes from, and whose the name is that they ask us by. Programs say nothing of the first.

use std::net::IpAddr;

use axum::http::{HeaderMap, header, uri::Authority};

/// Whose page has sent a request, as far as browsers tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Site {
    /// One of ours.
    Own,
    /// Nobody's: it was typed in, or is a bookmark.
    Typed,
    /// Another site's.
    Other,
    /// It is kept secret, as by a page that keeps its referrer to itself, or by one in a sandbox.
    Hidden,
    /// It is not said: no browser, or an old one.
    Untold,
}

pub(super) fn site(headers: &HeaderMap) -> Site {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), _) => Site::Own,
        (Some("none"), _) => Site::Typed,
        (Some(_), _) => Site::Other,
        (None, None) => Site::Untold,
        (None, Some("null")) => Site::Hidden,
        (None, Some(origin)) => {
            let from = origin.split_once("://").map(|(_, authority)| authority);
            match from.is_some_and(|from| host(headers).eq_ignore_ascii_case(from)) {
                true => Site::Own,
                false => Site::Other,
            }
        }
    }
}

/// Whether the name that we are asked by may be somebody's domain, which they may have lead to us so that their pages and
/// we are one site (DNS rebinding). It is none where it is an address, this machine, or a name of the local network.
pub(super) fn is_asked_by_a_domain(headers: &HeaderMap) -> bool {
    let host = host(headers);
    !host.is_empty() && !is_nobodys_domain(host)
}

/// The port that a browser asks, where it is not the usual one.
pub(super) fn port(headers: &HeaderMap) -> Option<u16> {
    host(headers).parse::<Authority>().ok()?.port_u16()
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn is_nobodys_domain(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_somebodys_domain_is_not_ours() {
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.1.2.3",
            "localhost:8080",
            "LOCALHOST",
            "decache:8080",
            "a.localhost",
        ] {
            assert!(is_nobodys_domain(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example.:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a b",
            "127.1.evil",
        ] {
            assert!(!is_nobodys_domain(host), "{host}");
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_is_ours_where_the_browser_says_so_or_its_origin_is_the_host_that_it_asks() {
        let of =
            |pairs: &[(&'static str, &str)]| site(&headers(&[&[("host", "decache:8080")], pairs].concat()));
        assert_eq!(of(&[]), Site::Untold);
        assert_eq!(of(&[("origin", "null")]), Site::Hidden);
        assert_eq!(of(&[("sec-fetch-site", "none")]), Site::Typed);
        assert_eq!(of(&[("origin", "https://Decache:8080")]), Site::Own);
        assert_eq!(of(&[("origin", "null"), ("sec-fetch-site", "same-origin")]), Site::Own);
        for other in [
            vec![("origin", "http://evil.example")],
            vec![("origin", "http://decache:80")],
            vec![("origin", "decache:8080")],
            vec![("origin", "http://decache:8080"), ("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(of(&other), Site::Other, "{other:?}");
        }
    }

    #[test]
    fn a_port_is_told_where_it_is_not_the_usual_one() {
        let of = |host: &str| port(&headers(&[("host", host)]));
        assert_eq!(
            [of("decache:8080"), of("[::1]:81"), of("decache"), of("a b")],
            [Some(8080), Some(81), None, None]
        );
    }
}
