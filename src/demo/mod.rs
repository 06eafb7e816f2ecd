//! `decache demo`: a service with an embedded store, an API beside it that caches per user, and users who read and edit, so
//! that there is something to see. All of it in this process, over real HTTP, in a folder that goes at the end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, Reloading},
    config::{self, ConfigError, Loaded},
    current::Current,
    http::{self, Limits, Listener},
    telemetry,
};

mod api;
mod cache;
mod faults;
mod tell;
mod users;

use api::Api;
use cache::Cache;
use faults::Faults;
use tell::Decache;
use users::Users;

/// The same users do the same in every demonstration.
const SEED: u64 = 42;
/// The API has as long to end as the service.
const DRAIN: Duration = Duration::from_secs(1);

/// A demonstration that is ready and does not run yet.
pub struct Demo {
    app: App,
    listener: TcpListener,
    api: Arc<Api>,
    faults: bool,
    told: Vec<String>,
}

impl Demo {
    /// Builds everything in `folder`. `port` is the service's; where the usual one is taken, any that is free. With `faults` the
    /// cache goes away from time to time.
    ///
    /// # Errors
    /// Where a port or the folder cannot be used.
    pub async fn start(folder: &Path, port: u16, faults: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the API")?;
        let address = listener.local_addr()?;
        let file = folder.join("decache.yaml");
        std::fs::write(&file, configuration(folder, free(port).await, address)).context("the folder")?;
        let loaded = load(&file)?;
        telemetry::init(&loaded.config.log).map_err(anyhow::Error::from_boxed)?;
        let again = file.clone();
        let read = Arc::new(move || load(&again));
        let app = App::start(loaded).await?;
        let app = app.reloading(Reloading { file: Some(file.clone()), read, asked: Arc::default() });
        let console = format!("http://{}", app.address()?);
        let api = Arc::new(Api::new(Decache::new(&console)?, Cache::default()));
        let told = told(&console, address, &file, faults);
        Ok(Self { app, listener, api, faults, told })
    }

    /// What to open and what to try, a line each.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Runs until `stop`.
    ///
    /// # Errors
    /// Where the service fails.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { app, listener, api, faults, .. } = self;
        let tasks = TaskTracker::new();
        let address = listener.local_addr()?;
        let router = Arc::new(Current::new(api::router(api.clone())));
        let limits = Limits { drain: DRAIN, ..Limits::default() };
        let listener = Listener { tcp: listener, tls: None };
        let served = http::serve(listener, router, limits, stop.clone(), &tasks);
        let users = Users::new(address, SEED)?;
        let users = stop.run_until_cancelled(users.live());
        let faults = stop.run_until_cancelled(async {
            if faults { Faults::new(api.clone()).come_and_go().await } else { std::future::pending().await }
        });
        let (ended, ..) = tokio::join!(app.run(stop.clone()), served, users, faults);
        tasks.close();
        tokio::time::timeout(DRAIN, tasks.wait()).await.ok();
        ended
    }
}

fn load(file: &Path) -> Result<Loaded, ConfigError> {
    config::load(Some(file), std::iter::empty())
}

/// The port, or 0 where something else listens there.
async fn free(port: u16) -> u16 {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(_) => port,
        Err(_) => 0,
    }
}

fn configuration(folder: &Path, port: u16, api: SocketAddr) -> String {
    let template = include_str!("decache.yaml");
    let folder = folder.display().to_string();
    template.replace("$FOLDER", &folder).replace("$PORT", &port.to_string()).replace("$API", &api.to_string())
}

fn told(console: &str, api: SocketAddr, file: &Path, faults: bool) -> Vec<String> {
    let mut lines = vec![
        format!("listening on {console}"),
        String::new(),
        format!(
            "  Open {console}/ and watch: some thirty users read and edit posts of a small API, which caches"
        ),
        format!("  each of them their own copy: curl 'http://{api}/posts/1?access_token=tok-ada'"),
        String::new(),
        "  Try this:".to_owned(),
        "  - Entity: look up Posts 1. Who holds a copy, and until when?".to_owned(),
        "  - Invalidate it. Live shows it, and the list of holders begins anew.".to_owned(),
        "  - Holder: paste the token tok-ada; see what she holds, and revoke her.".to_owned(),
        format!("  - curl -X PUT 'http://{api}/posts/1?access_token=tok-ada'   changes a post, as her."),
        format!("  - Edit {}: Configuration shows what comes of it.", file.display()),
    ];
    lines.push(match faults {
        true => "  - Wait: after 40 seconds, and every 70 from then on, the cache is away for 30. Overview and Health say so, and Jobs what waits.".to_owned(),
        false => "  - With --faults the cache goes away from time to time.".to_owned(),
    });
    lines.extend([String::new(), "  Ctrl-C ends it, and leaves nothing behind.".to_owned()]);
    lines
}
