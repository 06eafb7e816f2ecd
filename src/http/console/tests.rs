//! Who is let in, what is refused, and what every page has. What pages show and do is tried in a browser (`tests/console`).

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};

use crate::{
    config::auth::{ApiKey, KeyHash, Scope},
    http::{
        Auth,
        tests::{Answer, App},
    },
};

mod contrast;

const PAGES: [&str; 9] = [
    "/",
    "/console/jobs",
    "/console/entity?resource_type=Posts&entity_id=42",
    "/console/holder?holder=0123456789abcdef0123456789abcdef",
    "/console/invalidate",
    "/console/explain",
    "/console/live",
    "/console/configuration",
    "/console/health",
];
const FORMS: [(&str, bool); 9] = [
    ("/console/explain", false),
    ("/console/holder", false),
    ("/console/sign-out", false),
    ("/console/invalidate", false),
    ("/console/holder/revoke", true),
    ("/console/jobs/retry", true),
    ("/console/jobs/discard", true),
    ("/console/jobs/retry-all", true),
    ("/console/jobs/discard-all", true),
];

fn keys(scopes: &[(&str, &[Scope])]) -> Auth {
    let key = |(name, scopes): &(&str, &[Scope])| ApiKey {
        name: (*name).to_owned(),
        hash: KeyHash::of(&format!("key-of-{name}")),
        scopes: scopes.iter().copied().collect(),
        rate: None,
    };
    Auth::new(scopes.iter().map(key).collect())
}

fn with_keys() -> App {
    let keys = keys(&[
        ("ingest", &[Scope::Ingest]),
        ("reader", &[Scope::Read]),
        ("operator", &[Scope::Read, Scope::Admin]),
        ("admin", &[Scope::Admin]),
    ]);
    App::with(|service| service.auth = keys)
}

/// A browser, as far as cookies and forms go.
struct Browser<'a> {
    app: &'a App,
    headers: HeaderMap,
}

impl<'a> Browser<'a> {
    fn new(app: &'a App) -> Self {
        Self { app, headers: [(header::HOST, "localhost:8080".parse().unwrap())].into_iter().collect() }
    }

    async fn signed_in(app: &'a App, name: &str) -> Self {
        let mut browser = Self::new(app);
        let answer = browser.post("/console/sign-in", &format!("key=key-of-{name}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let (pair, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Max-Age=36000; HttpOnly; SameSite=Strict");
        browser.headers.insert(header::COOKIE, pair.parse().unwrap());
        browser
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.headers_mut().extend(self.headers.clone());
        self.app.send(request).await
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, url: &str, form: &str) -> Answer {
        let request = Request::post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(form.to_owned().into()).unwrap()).await
    }

    /// What stands in its forms.
    async fn token(&self) -> String {
        let page = self.get("/console/explain").await.text;
        let (_, rest) = page.split_once(r#"name="form_token" value=""#).expect("a form");
        rest.split_once('"').unwrap().0.to_owned()
    }
}

#[tokio::test]
async fn without_a_session_every_page_leads_to_signing_in_and_no_form_does_anything() {
    let app = with_keys();
    let browser = Browser::new(&app);
    for page in PAGES {
        let answer = browser.get(page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{page}");
        assert!(answer.headers[header::LOCATION].to_str().unwrap().starts_with("/console/sign-in"), "{page}");
    }
    for (form, _) in FORMS {
        let answer = browser.post(form, "form_token=").await;
        assert_eq!(answer.headers[header::LOCATION], "/console/sign-in", "{form}");
    }
    assert_eq!(browser.get("/console/live/events").await.status, StatusCode::UNAUTHORIZED);
    let back = browser.get("/console/jobs?state=dead").await;
    assert_eq!(back.headers[header::LOCATION], "/console/sign-in?back=%2Fconsole%2Fjobs%3Fstate%3Ddead");
}

#[tokio::test]
async fn a_key_that_may_read_signs_in_and_no_other_does() {
    let app = with_keys();
    let browser = Browser::new(&app);
    for (key, status) in [
        ("key-of-ingest", StatusCode::FORBIDDEN),
        ("key-of-admin", StatusCode::FORBIDDEN),
        ("key-of-nobody", StatusCode::UNAUTHORIZED),
        ("", StatusCode::UNAUTHORIZED),
    ] {
        let answer = browser.post("/console/sign-in", &format!("key={key}")).await;
        assert_eq!((answer.status, answer.headers.get(header::SET_COOKIE)), (status, None), "{key}");
        assert!(key.is_empty() || !answer.text.contains(key), "a key is not shown again");
    }
    for name in ["reader", "operator"] {
        let browser = Browser::signed_in(&app, name).await;
        for page in PAGES {
            let answer = browser.get(page).await;
            assert_eq!(answer.status, StatusCode::OK, "{name} {page}");
            assert!(answer.text.contains(name), "{page} says who is signed in");
        }
    }
}

#[tokio::test]
async fn who_guesses_keys_has_to_wait() {
    let app = with_keys();
    let browser = Browser::new(&app);
    for _ in 0..10 {
        assert_eq!(browser.post("/console/sign-in", "key=a").await.status, StatusCode::UNAUTHORIZED);
    }
    let refused = browser.post("/console/sign-in", "key=key-of-reader").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key(header::RETRY_AFTER) && refused.text.contains("Wait a moment"));
}

#[tokio::test]
async fn a_form_without_the_sessions_token_or_of_another_site_does_nothing() {
    let app = with_keys();
    let mut browser = Browser::signed_in(&app, "operator").await;
    let other = Browser::signed_in(&app, "operator").await.token().await;
    let own = browser.token().await;
    for (form, _) in FORMS {
        for token in ["", "x", other.as_str(), &own[1..]] {
            let answer = browser.post(form, &format!("form_token={token}")).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form} {token}");
            assert!(answer.text.contains("This form is too old"), "{form}");
        }
    }
    browser.headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    for (form, _) in FORMS {
        let answer = browser.post(form, &format!("form_token={own}")).await;
        assert!(answer.text.contains("This came from another site"), "{form}");
    }
    let answer = browser.post("/console/sign-in", "key=key-of-operator").await;
    assert_eq!((answer.status, answer.headers.get(header::SET_COOKIE)), (StatusCode::FORBIDDEN, None));
}

#[tokio::test]
async fn who_may_only_look_does_nothing() {
    let app = with_keys();
    let browser = Browser::signed_in(&app, "reader").await;
    let token = browser.token().await;
    for (form, _) in FORMS.iter().filter(|(_, acts)| *acts) {
        let answer = browser.post(form, &format!("form_token={token}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
        assert!(answer.text.contains("may only look"), "{form}");
    }
    let form = format!("form_token={token}&resource_type=Posts&entity_id=42");
    assert_eq!(browser.post("/console/invalidate", &form).await.status, StatusCode::OK, "it may count");
    let confirmed = browser.post("/console/invalidate", &format!("{form}&confirmed=yes")).await;
    assert_eq!(confirmed.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn after_signing_out_the_cookie_opens_nothing() {
    let app = with_keys();
    let browser = Browser::signed_in(&app, "reader").await;
    let token = browser.token().await;
    let out = browser.post("/console/sign-out", &format!("form_token={token}")).await;
    assert!(
        out.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .starts_with("decache_session_8080=; Path=/; Max-Age=0;")
    );
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn behind_tls_the_cookie_goes_over_tls_only() {
    let app = with_keys();
    let mut browser = Browser::new(&app);
    browser.headers.insert("x-forwarded-proto", "https".parse().unwrap());
    let answer = browser.post("/console/sign-in", "key=key-of-reader").await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-decache_session_8080=") && cookie.ends_with("; Secure"), "{cookie}");
    browser.headers.insert(header::COOKIE, cookie.split(';').next().unwrap().parse().unwrap());
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn two_services_on_one_host_do_not_sign_each_others_visitors_out() {
    let (one, other) = (with_keys(), with_keys());
    let mut browser = Browser::signed_in(&one, "reader").await;
    let mut beside = Browser::new(&other);
    beside.headers.insert(header::HOST, "localhost:8081".parse().unwrap());
    let answer = beside.post("/console/sign-in", "key=key-of-reader").await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    // A browser keeps both, and sends both to either.
    let both = format!("{}; {cookie}", browser.headers[header::COOKIE].to_str().unwrap());
    for browser in [&mut browser, &mut beside] {
        browser.headers.insert(header::COOKIE, both.parse().unwrap());
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn without_keys_it_is_open_under_an_address_and_under_no_name_that_may_be_anybodys() {
    let app = App::new();
    let mut browser = Browser::new(&app);
    for page in PAGES {
        assert_eq!(browser.get(page).await.status, StatusCode::OK, "{page}");
    }
    let token = browser.token().await;
    let form = format!("form_token={token}&holder=0123456789abcdef0123456789abcdef");
    assert_eq!(browser.post("/console/holder/revoke", "form_token=x").await.status, StatusCode::FORBIDDEN);
    browser.headers.insert(header::HOST, "evil.example:8080".parse().unwrap());
    assert_eq!(browser.post("/console/holder/revoke", &form).await.status, StatusCode::FORBIDDEN);
    for page in PAGES {
        let answer = browser.get(page).await;
        assert!(
            answer.status == StatusCode::FORBIDDEN && answer.text.contains("not open under this name"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn every_answer_is_confined_and_kept_nowhere() {
    let app = with_keys();
    let signed_in = Browser::signed_in(&app, "reader").await;
    let mut answers = vec![("/console/sign-in", Browser::new(&app).get("/console/sign-in").await)];
    for page in PAGES.into_iter().chain(["/console/jobs/x", "/console/assets/console.js"]) {
        answers.push((page, signed_in.get(page).await));
    }
    answers.push(("a form", signed_in.post("/console/explain", "form_token=").await));
    for (page, answer) in answers {
        assert_eq!(answer.headers[header::CONTENT_SECURITY_POLICY], super::POLICY, "{page}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{page}");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "no-referrer", "{page}");
        let kept = if page.contains("/assets/") { "no-cache" } else { "no-store" };
        assert_eq!(answer.headers[header::CACHE_CONTROL], kept, "{page}");
        assert!(!answer.text.contains(" style=") && !answer.text.contains(" onclick"), "{page}");
    }
}

#[tokio::test]
async fn an_access_token_that_was_typed_in_is_not_shown_again() {
    let app = App::new();
    let browser = Browser::new(&app);
    let token = browser.token().await;
    let event =
        r#"{"action_type":"Read","resource_type":"Posts","entity_id":42,"access_token":"tok-secret"}"#;
    let event = super::format::encoded(event);
    let explained = browser.post("/console/explain", &format!("form_token={token}&event={event}")).await;
    assert!(
        explained.text.contains("makes the job") && !explained.text.contains("tok-secret"),
        "{}",
        explained.text
    );
    let broken = browser.post("/console/explain", &format!("form_token={token}&event=%7Btok-secret")).await;
    assert!(
        broken.text.contains("It cannot be read") && !broken.text.contains("tok-secret"),
        "{}",
        broken.text
    );
    let looked_up =
        browser.post("/console/holder", &format!("form_token={token}&access_token=tok-secret")).await;
    let location = looked_up.headers[header::LOCATION].to_str().unwrap();
    assert!(location.starts_with("/console/holder?holder=") && !location.contains("tok-secret"));
    let pasted = browser.get("/console/holder?holder=tok-secret").await;
    assert!(
        pasted.status == StatusCode::BAD_REQUEST && !pasted.text.contains("tok-secret"),
        "{}",
        pasted.text
    );
}
