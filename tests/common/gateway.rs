//! The gateway in the test's own process: its routes are called without a socket, its clock stands still until it is moved.
//!
//! Two tenants, `acme` with the connections `acme-okta` and `acme-entra`, `other` with `other-okta`; each connection has a token.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use rolegate::{
    app::{App, Clock, Random},
    config::Config,
    db::{self, Db, PoolSize},
    domain::{
        connection::{Audience, Authority, Connection, SamlSettings, ScimSettings},
        id::{ConnectionId, Id, OrganizationId, TenantId},
        name::{Slug, Title},
        organization::Organization,
        time::Timestamp,
    },
    http,
    keys::{self, Keys},
    policy::preset::Preset,
};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{
    NOW,
    engines::{Engine, Fresh},
};

pub const OKTA: &str = "acme-okta";
pub const ENTRA: &str = "acme-entra";
pub const OTHER: &str = "other-okta";

pub struct Gateway {
    pub app: App,
    fresh: Fresh,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {}", self.json())).to_owned()
    }

    pub fn id(&self) -> String {
        self.text("/id")
    }

    /// `userName` or `displayName` of what is listed.
    pub fn names(&self) -> Vec<String> {
        let json = self.json();
        let name = |resource: &Value| resource["userName"].as_str().or(resource["displayName"].as_str()).unwrap_or_default().to_owned();
        json["Resources"].as_array().unwrap_or_else(|| panic!("no list: {json}")).iter().map(name).collect()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }
}

impl Gateway {
    pub async fn begin(engine: Engine) -> Self {
        let fresh = engine.fresh().await;
        plant(&fresh).await;
        let app = App::assemble((*fresh).clone(), Keys::new([7; 32]), config(&fresh.address), Clock::fixed(NOW), Random::seeded(7));
        Self { app, fresh }
    }

    /// Sends a request as it is.
    pub async fn call(&self, request: Request<Body>) -> Answer {
        let response = http::router(self.app.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, bytes: to_bytes(body, usize::MAX).await.unwrap().to_vec() }
    }

    /// A SCIM request of a connection with its token and further headers.
    pub async fn scim_with(&self, slug: &str, headers: &[(&str, &str)], method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/connections/{slug}/scim/v2{path}"));
        request = request.header("authorization", format!("Bearer {}", token(slug)));
        if body.is_some() {
            request = request.header("content-type", "application/scim+json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
    }

    /// A SCIM request of `acme-okta`.
    pub async fn scim(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.scim_with(OKTA, &[], method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.scim("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.scim("POST", path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.scim("PUT", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body = serde_json::json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.scim("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.scim("DELETE", path, None).await
    }

    /// The filter is encoded.
    pub async fn filter(&self, collection: &str, filter: &str) -> Answer {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.get(&format!("{collection}?filter={filter}")).await
    }

    /// Audit rows and events that there are, to see that nothing was written.
    pub async fn written(&self) -> i64 {
        let sql = "select (select count(*) from audit) + (select count(*) from outbox) + (select count(*) from identity)
            + (select count(*) from directory_group) + (select count(*) from group_member)";
        self.fresh.query(sql).optional::<(i64,)>().await.unwrap().unwrap().0
    }

    pub fn db(&self) -> &Db {
        &self.fresh
    }

    /// Where the database is, for a process of its own.
    pub fn address(&self) -> &str {
        &self.fresh.address
    }

    /// The database once more, after a server of the test has closed it.
    pub async fn reopen(&self) -> Db {
        Db::open(self.address(), PoolSize(2)).await.unwrap()
    }
}

/// The same in every run; it is in the database by its hash.
pub fn token(slug: &str) -> String {
    keys::scim_token(keys::stretch([9; 32], u64::from(seed(slug)))).expose().clone()
}

fn seed(slug: &str) -> u8 {
    match slug {
        OKTA => 1,
        ENTRA => 2,
        OTHER => 3,
        other => panic!("no connection is named {other}"),
    }
}

fn config(address: &str) -> Config {
    let variables = [("ROLEGATE_DATABASE_URL", address), ("ROLEGATE_PUBLIC_URL", "https://gateway.example")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::resolve(None, variables, &|_| unreachable!("there is no password file")).unwrap()
}

pub fn id<Kind>(value: u128) -> Id<Kind> {
    Id::new(Uuid::from_u128(value))
}

/// Tenants, their connections and tokens.
pub async fn plant(db: &Db) {
    plant_tenant(db, 1, "acme", &[OKTA, ENTRA]).await;
    plant_tenant(db, 2, "other", &[OTHER]).await;
}

async fn plant_tenant(db: &Db, number: u128, slug: &str, connections: &[&str]) {
    let (tenant, root): (TenantId, OrganizationId) = (id(number), id(number));
    let preset = Preset::find("owner-member").unwrap();
    let mut next = number * 1000;
    let made = preset.instantiate(|| {
        next += 1;
        id(next)
    });
    let mut tx = db.begin().await.unwrap();
    let row = db::tenant::Tenant {
        id: tenant,
        slug: Slug::parse(slug).unwrap(),
        name: Title::parse("name", slug).unwrap(),
        preset: preset.key.clone(),
        preset_version: preset.version,
        settings: made.settings,
        file_settings: Some(BTreeSet::new()),
        model_version: 1,
    };
    assert!(db::tenant::insert_tenant(&mut tx, &row, NOW).await.unwrap());
    let organization = Organization { id: root, parent: None, slug: row.slug.clone(), name: row.name.clone() };
    assert!(db::organization::insert_organizations(&mut tx, tenant, &[organization], false, NOW).await.unwrap());
    let entities: Vec<_> = made.catalogue.iter().cloned().collect();
    db::role::insert_entities(&mut tx, tenant, &entities).await.unwrap();
    assert!(db::role::insert_roles(&mut tx, tenant, &made.roles, false, NOW).await.unwrap());
    for slug in connections {
        let connection: ConnectionId = id(u128::from(seed(slug)));
        let row = Connection {
            id: connection,
            tenant,
            organization: root,
            slug: Slug::parse(slug).unwrap(),
            audience: Audience::Admin,
            authority: Authority::default(),
            enabled: true,
            allow_owner_grants: false,
            // The clock stands still: a limit of the rate would never let go.
            scim: ScimSettings { enabled: true, requests_per_second: 0, ..ScimSettings::default() },
            saml: SamlSettings::default(),
            attributes: BTreeMap::new(),
            version: 1,
        };
        assert!(db::connection::insert_connection(&mut tx, &row, false, NOW).await.unwrap());
        let hash = keys::hash(&token(slug));
        db::token::insert_token(&mut tx, tenant, connection, id(u128::from(seed(slug))), &hash, NOW, expiry()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Far enough for a test and for a process with a clock of its own.
pub fn expiry() -> Timestamp {
    NOW.plus_secs(10 * 365 * 86_400)
}
