//! Real proxies with real per-user copies, with the configurations that docs/caches.md shows.

use std::{
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path as UrlPath, State},
    response::IntoResponse,
    routing::get,
};
use reqwest::Client;
use serde_json::Value;

use crate::{
    process::{Process, poll},
    support::{TestApp, read, token},
};

/// How often a proxy is started: between finding a free port and binding it, another test may take it.
const ATTEMPTS: usize = 20;

/// A block of docs/caches.md, by what its comment says.
pub(crate) fn documented(name: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/caches.md")).unwrap();
    let (_, block) = page.split_once(&format!("<!-- config: {name} -->\n```")).expect(name);
    let (_, block) = block.split_once('\n').unwrap();
    block.split_once("\n```").unwrap().0.to_owned() + "\n"
}

/// Every YAML block of docs/caches.md with a name.
pub(crate) fn documented_yaml() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/caches.md")).unwrap();
    let blocks = page.split("<!-- config: ").skip(1);
    let named = blocks.map(|block| block.split_once(" -->\n```").unwrap());
    let yaml = named.filter(|(_, block)| block.starts_with("yaml\n"));
    yaml.map(|(name, _)| (name.to_owned(), documented(name))).collect()
}

/// A part of a configuration that docs/caches.md shows, with this server in the place of the documented one.
pub(crate) fn section(name: &str, section: &str, server: (&str, &str)) -> Value {
    let yaml = documented(name).replace(server.0, server.1).replace("api.example.com", "proxied.test");
    serde_yaml::from_str::<Value>(&yaml).unwrap()[section].clone()
}

/// An API behind a proxy: it makes each response anew, and counts them.
pub(crate) struct Backend {
    pub(crate) address: String,
    made: Arc<AtomicUsize>,
    _server: tokio::task::JoinSet<()>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let made = Arc::<AtomicUsize>::default();
        let router = Router::new().route("/posts/{id}", get(post)).with_state(made.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, made, _server: server }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

async fn post(State(made): State<Arc<AtomicUsize>>, UrlPath(id): UrlPath<String>) -> impl IntoResponse {
    let number = made.fetch_add(1, Ordering::Relaxed);
    let headers = [("xkey", format!("Posts-{id}")), ("cache-control", "max-age=300".to_owned())];
    (headers, format!("response {number}"))
}

/// A proxy in front of a backend.
pub(crate) struct Proxy {
    pub(crate) address: String,
    pub(crate) backend: Backend,
    client: Client,
    process: Process,
    program: Program,
    folder: tempfile::TempDir,
}

/// Its command, for a folder, its own address and the backend's.
type Program = fn(&Path, &str, &str) -> (&'static str, Command);

impl Proxy {
    /// Varnish with the documented VCL.
    pub(crate) async fn varnish() -> Self {
        Self::start(|folder, address, backend| {
            let (host, port) = backend.split_once(':').unwrap();
            let vcl = documented("varnish.vcl");
            let vcl = vcl.replace(".host = \"127.0.0.1\"", &format!(".host = \"{host}\""));
            let vcl = vcl.replace(".port = \"8081\"", &format!(".port = \"{port}\""));
            std::fs::write(folder.join("default.vcl"), vcl).unwrap();
            let mut command = Command::new("varnishd");
            command.args(["-F", "-j", "none", "-T", "none", "-s", "malloc,16m", "-a", address, "-n"]);
            command.arg(folder.join("varnish")).arg("-f").arg(folder.join("default.vcl"));
            ("varnishd", command)
        })
        .await
    }

    /// nginx with the documented server and its module for purging.
    pub(crate) async fn nginx() -> Self {
        Self::start(|folder, address, backend| {
            let server = documented("nginx.conf").replace("127.0.0.1:8081", backend);
            let server = server.replace("127.0.0.1:8080", address);
            let server = server.replace("/var/cache/nginx/users", &folder.join("users").to_string_lossy());
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|it| format!("{it}_temp_path {};\n", folder.join(it).display()));
            let conf = format!(
                "load_module /usr/lib/nginx/modules/ngx_http_cache_purge_module.so;\n\
                 daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\n{}{server}}}\n",
                folder.display(),
                temporary.concat(),
            );
            let file = folder.join("nginx.conf");
            std::fs::write(&file, conf).unwrap();
            let mut command = Command::new("nginx");
            command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(file);
            ("nginx", command)
        })
        .await
    }

    async fn start(program: Program) -> Self {
        let (backend, client) = (Backend::start().await, Client::builder().no_proxy().build().unwrap());
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().unwrap();
            let address = free_address();
            let (name, mut command) = program(folder.path(), &address, &backend.address);
            let mut process = Process::start(name, &mut command);
            if listens(&client, &address, &mut process).await {
                return Self { address, backend, client, process, program, folder };
            }
            eprintln!("{name} has ended: {}", process.output());
        }
        panic!("no proxy in {ATTEMPTS} attempts")
    }

    /// A user reads a post through the proxy. Returns whether the backend was asked.
    pub(crate) async fn is_miss(&self, post: &str, user: &str) -> bool {
        let before = self.backend.made();
        let url = format!("http://{}/posts/{post}?access_token={}", self.address, token(user));
        self.get(&url, &[]).await;
        self.backend.made() > before
    }

    /// The same, with the token in a header.
    pub(crate) async fn is_miss_by_header(&self, post: &str, user: &str) -> bool {
        let before = self.backend.made();
        let bearer = format!("Bearer {}", token(user));
        self.get(&format!("http://{}/posts/{post}", self.address), &[("authorization", &bearer)]).await;
        self.backend.made() > before
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) {
        let mut request = self.client.get(url).header("host", "proxied.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// These users read these posts, and decache knows.
    pub(crate) async fn fill(&self, app: &TestApp, held: &[(&str, &str)]) {
        for (post, user) in held {
            assert!(self.is_miss(post, user).await);
            assert!(!self.is_miss(post, user).await, "the proxy has kept a copy");
        }
        let reads: Vec<Value> = held.iter().map(|(post, user)| read(*post, user)).collect();
        app.done(&reads.into()).await;
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, empty.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        let (name, mut command) = (self.program)(self.folder.path(), &self.address, &self.backend.address);
        self.process = Process::start(name, &mut command);
        assert!(listens(&self.client, &self.address, &mut self.process).await, "{}", self.process.output());
    }
}

/// Waits until there are responses of the backend; false where it has ended.
async fn listens(client: &Client, address: &str, process: &mut Process) -> bool {
    let url = format!("http://{address}/posts/0");
    poll("the proxy listens, or has ended", async || {
        let answers = client.get(&url).send().await.is_ok_and(|it| it.headers().contains_key("xkey"));
        if process.has_ended() { Some(false) } else { answers.then_some(true) }
    })
    .await
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
