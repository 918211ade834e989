//! The whole gateway in the test's process, on either engine, with a clock that the test moves; and browsers that keep cookies.

use std::{collections::BTreeMap, path::Path};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use rolegate::{
    admin::{
        apply::{Applied, apply},
        plan::Metadata,
        tenant_file::TenantFile,
    },
    app::{App, Clock, Migrations, Parts, Random},
    config::Config,
    db::{Db, PoolSize},
    dns::Dns,
    domain::actor::Actor,
    http, jobs, keys,
    saml::IdpMetadata,
};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::{
    NOW,
    engines::{Engine, Fresh},
    idp,
};

/// Where the gateway believes to be reached.
pub const PUBLIC_URL: &str = "https://rolegate.example";

pub struct Gateway {
    pub app: App,
    router: Router,
    /// Dropped after the pools above are of no use any more.
    database: Fresh,
    home: TempDir,
}

impl Gateway {
    pub async fn open(engine: Engine) -> Self {
        let (database, home) = (engine.fresh().await, TempDir::new().unwrap());
        let variables =
            [("DATABASE_URL", database.address.as_str()), ("DATA_DIR", home.path().to_str().unwrap()), ("PUBLIC_URL", PUBLIC_URL)];
        let variables = variables.map(|(name, value)| (format!("ROLEGATE_{name}"), value.to_owned()));
        let config = Config::resolve(None, variables, &|_| unreachable!("no password file")).unwrap();
        let app = App::open_with(config, Migrations::Leave, Clock::fixed(NOW), Random::System).await.unwrap();
        Self { router: http::router(app.clone()), app, database, home }
    }

    /// The same gateway, which asks this DNS server.
    pub fn asking(mut self, dns: Dns) -> Self {
        self.configure(|parts| parts.dns = dns);
        self
    }

    /// Another node on the same database: it has caches of its own.
    pub fn node(&self) -> App {
        let config = (*self.app.config).clone();
        App::assemble(self.app.db.clone(), self.app.keys.clone(), config, self.app.clock.clone(), Random::System)
    }

    /// Applies the text of a tenant file; connections that name a file of metadata get that of the tests' identity provider.
    pub async fn apply(&self, text: &str) -> Applied {
        self.apply_with(text, |_| idp::metadata()).await
    }

    /// As [`Gateway::apply`], with the metadata of each connection by its slug.
    pub async fn apply_with(&self, text: &str, metadata_of: impl Fn(&str) -> IdpMetadata) -> Applied {
        let file = TenantFile::parse(Path::new("tenant.toml"), text).unwrap_or_else(|error| panic!("{error}"));
        let metadata: Metadata = file
            .connections
            .iter()
            .filter(|connection| connection.idp_metadata.is_some())
            .map(|connection| (connection.slug.value.clone(), metadata_of(connection.slug.value.as_str())))
            .collect();
        let mut occasion = self.app.occasion(Actor::HostOperator, "test");
        let mut mint = || keys::secret(self.app.random.bytes());
        apply(&self.app.db, &mut occasion, &mut mint, &file, &metadata).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Changes the wiring before anything is asked of it.
    pub fn configure(&mut self, change: impl FnOnce(&mut Parts)) {
        self.app = self.app.changed(change);
        self.router = http::router(self.app.clone());
    }

    /// Does what the jobs of a running gateway do after commits.
    pub async fn settle(&self) {
        jobs::round(&self.app).await.unwrap();
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }

    /// The database once more, after a server of the test has closed it.
    pub async fn reopen(&self) -> Db {
        Db::open(&self.database.address, PoolSize(2)).await.unwrap()
    }

    /// Where the data and the master key are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the database is.
    pub fn address(&self) -> &str {
        &self.database.address
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser { gateway: self, cookies: BTreeMap::new() }
    }

    /// A browser that signed in by one of the links that `apply` made.
    pub async fn browser_by_link(&self, applied: &Applied, email: &str) -> Browser<'_> {
        let link = applied.links.iter().find(|link| link.email == email).unwrap_or_else(|| panic!("there is no link for {email}"));
        let mut browser = self.browser();
        let answer = browser.post_form("/sign-in/link", &[("token", link.secret.expose())]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        browser
    }

    /// How many rows a table has.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let row: Option<(i64,)> = self.app.db.query(sql).optional().await.unwrap();
        row.unwrap().0
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }

    pub fn cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The stable code of a problem document.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// Keeps cookies as a browser does, and follows no redirects.
#[derive(Clone)]
pub struct Browser<'g> {
    pub gateway: &'g Gateway,
    pub cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", "text/html")], Vec::new()).await
    }

    pub async fn get_json(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", "application/json")], Vec::new()).await
    }

    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, &[("content-type", "application/x-www-form-urlencoded")], body.into_bytes()).await
    }

    /// A change with the session's token, read from `/me`.
    pub async fn post_json(&mut self, path: &str, body: &Value) -> Answer {
        let token = self.csrf_token().await;
        let headers = [("content-type", "application/json"), ("x-csrf-token", token.as_str())];
        self.send(Method::POST, path, &headers, serde_json::to_vec(body).unwrap()).await
    }

    pub async fn csrf_token(&mut self) -> String {
        let me = self.get_json("/me").await;
        if me.status == StatusCode::OK { me.json()["csrf_token"].as_str().unwrap().to_owned() } else { String::new() }
    }

    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let line: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, line.join("; "));
        }
        let answer = self.gateway.send(request.body(Body::from(body)).unwrap()).await;
        for cookie in answer.cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}
