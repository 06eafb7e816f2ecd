//! Whether an access token stands where it must not: anywhere but in memory and in the sealed vault.

use std::{net::TcpStream, path::Path};

use reqwest::Client;

use super::TestApp;
use crate::redis_view::RedisView;

/// What every token in these tests begins with, however it is encoded.
pub(super) const TOKEN: &str = "tok-";

/// No token is in these bytes.
#[track_caller]
pub(super) fn assert_none(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(at) = text.find(TOKEN) {
        let around: String = text[at..].chars().take(40).collect();
        panic!("a token in {place}: {around:?}");
    }
}

/// No token is in the metrics, in the store, or in what the process has said. Ends the process.
pub(super) fn assert_nowhere(app: &mut TestApp) {
    // A thread of its own: a test's runtime cannot wait while it drops something.
    let looking = std::thread::scope(|scope| {
        let look = async { (metrics(&app.url, app.key).await, index(app.setup.index()).await) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        scope.spawn(move || runtime.block_on(look)).join()
    });
    let (metrics, stored) = looking.unwrap();
    app.process.kill();
    assert_none("the metrics", metrics.as_bytes());
    assert_none("the output", app.process.output().as_bytes());
    stored.iter().for_each(|bytes| assert_none("the index", bytes));
    assert_no_file_has_one(app.setup.directory());
}

/// By a client of its own, for a connection of the test's would wait for the test's runtime. Nothing where the test has
/// ended the process.
async fn metrics(url: &str, key: Option<&str>) -> String {
    let mut request = Client::builder().no_proxy().build().unwrap().get(format!("{url}/metrics"));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    match request.send().await {
        Ok(answer) => answer.text().await.unwrap(),
        Err(_) => String::new(),
    }
}

/// All that the index's Redis holds, where there is one and the test has not ended it.
async fn index(url: Option<&str>) -> Vec<Vec<u8>> {
    match url {
        Some(url) if is_there(url) => RedisView::of(url).everything().await,
        _ => Vec::new(),
    }
}

fn is_there(url: &str) -> bool {
    TcpStream::connect(url.strip_prefix("redis://").unwrap()).is_ok()
}

fn assert_no_file_has_one(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => assert_no_file_has_one(&path),
            false => assert_none("a file of its directory", &std::fs::read(&path).unwrap()),
        }
    }
}
