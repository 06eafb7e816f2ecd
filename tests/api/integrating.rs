//! The snippets of docs/integrating.md, each a program with the Redis client of its language: what they cache is tracked and
//! removed, and what they owe is told.

use std::{path::Path, process::Command, time::Duration};

use crate::{
    process::poll,
    redis_server::RedisServer,
    redis_view::RedisView,
    support::{Setup, TestApp, run},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const INSTALLED: &str = "this test wants what scripts/test installs into target/: run it once";

/// How long the examples' copies live, and how long before decache knows of them.
const FULL: Duration = Duration::from_secs(300);
const PROVISIONAL: Duration = Duration::from_secs(10);

/// A program of examples/, in its language.
#[derive(Clone, Copy)]
enum Client {
    Python,
    Node,
}

impl Client {
    fn command(self) -> Command {
        let root = Path::new(ROOT);
        let (program, file) = match self {
            Self::Python => {
                (root.join("target/checkers/bin/python"), root.join("examples/python/cached_posts.py"))
            }
            Self::Node => {
                // Its module is found beside it.
                let beside = root.join("target/node-example");
                assert!(beside.join("node_modules/redis").exists(), "{INSTALLED}");
                let copy = beside.join("cached-posts.js");
                std::fs::copy(root.join("examples/node/cached-posts.js"), &copy).unwrap();
                ("node".into(), copy)
            }
        };
        assert!(!program.is_absolute() || program.exists(), "{INSTALLED}");
        let mut command = Command::new(program);
        command.arg(file);
        command
    }

    /// Does one thing after the other. Returns what it has printed, a word for each.
    async fn does(self, app: &TestApp, cache: &RedisServer, what: &[&str]) -> String {
        let mut command = self.command();
        command.args(["--redis", &cache.url(), "--decache", &app.url]).args(what);
        command.arg("--database").arg(app.setup.directory().join("posts"));
        let ended = tokio::task::spawn_blocking(move || run(command, "")).await.unwrap();
        let (code, output, error) = ended;
        assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
        output.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

async fn keeps_the_contract(client: Client) {
    let (index, cache) = (RedisServer::start(), RedisServer::start());
    let mut app = TestApp::start(Setup::redis(&index).cache("api", &cache, "")).await;
    let copies = RedisView::of(&cache.url());
    let done = client.does(&app, &cache, &["read:7:integrating", "read:7:integrating"]).await;
    assert_eq!(done, "miss hit");
    let key = "/posts/7?access_token=tok-integrating";
    let life = copies.ttl(key).await;
    assert!(
        life > PROVISIONAL && life <= FULL,
        "raised after the 202, and no longer than promised: {life:?}"
    );
    let holders = app.holders("Posts", "7").await.success(200);
    assert_eq!(holders["items"][0]["user_id"], "integrating");

    assert_eq!(client.does(&app, &cache, &["change:7:Hello"]).await, "accepted");
    poll("the copy is gone", async || copies.keys().await.is_empty().then_some(())).await;
    assert_eq!(client.does(&app, &cache, &["read:7:integrating"]).await, "miss");

    assert!(app.process.terminate().await.success());
    let done = client.does(&app, &cache, &["change:7:Unheard", "read:8:integrating"]).await;
    assert_eq!(done, "owed miss");
    let life = copies.ttl("/posts/8?access_token=tok-integrating").await;
    assert!(life <= PROVISIONAL, "what nobody knows of is gone soon: {life:?}");
    app.start_again().await;
    assert_eq!(client.does(&app, &cache, &["flush", "flush"]).await, "accepted", "once");
    let gone = async || (!copies.keys().await.contains(key)).then_some(());
    poll("the copy from before the change is gone", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_python_keeps_an_apis_part() {
    keeps_the_contract(Client::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_node_keeps_an_apis_part() {
    keeps_the_contract(Client::Node).await;
}

#[test]
fn what_the_page_shows_stands_in_the_programs() {
    let page = include_str!("../../docs/integrating.md");
    let programs = [
        ("python", include_str!("../../examples/python/cached_posts.py")),
        ("js", include_str!("../../examples/node/cached-posts.js")),
    ];
    for (language, program) in programs {
        let fence = format!("```{language}\n");
        let blocks: Vec<&str> =
            page.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
        assert!(blocks.len() > 1, "{language}");
        for block in blocks {
            assert!(program.contains(block), "{language}:\n{block}");
        }
    }
}
