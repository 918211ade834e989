//! A tenant of a preset with three organizations below the root, and people in them who hold what a test says.
//!
//! ```text
//! acme ─┬─ acme-eu ── acme-eu-west
//!       └─ acme-us
//! ```

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use rolegate::{
    admin::session::{self, SignedIn},
    db::{self, account::AccountRow, assignment::NewOrigin},
    domain::{
        account::{Account, AccountKind, SignInStatus},
        actor::Actor,
        assignment::{Holding, Origin, Reach},
        id::{AccountId, OrganizationId, RoleId, ScopeId, TenantId},
        model::RoleModel,
    },
    keys,
    saml::issuer::Sign,
};
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway},
};

pub struct House {
    pub gateway: Gateway,
    pub tenant: TenantId,
}

/// A role at an organization, by their names.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    pub role: &'a str,
    pub at: &'a str,
    pub reach: Reach,
    pub may_delegate: bool,
}

/// With everything below.
pub fn held<'a>(role: &'a str, at: &'a str) -> Held<'a> {
    Held { role, at, reach: Reach::Subtree, may_delegate: false }
}

pub struct Person<'g> {
    pub id: AccountId,
    pub browser: Browser<'g>,
}

pub const CONNECTION: &str = "acme-okta";

impl House {
    pub async fn open(engine: Engine, preset: &str) -> Self {
        Self::with(engine, preset, "min_owners = 1", "").await
    }

    /// `settings` and what follows the connection, as a tenant file has them.
    pub async fn with(engine: Engine, preset: &str, settings: &str, more: &str) -> Self {
        let gateway = Gateway::open(engine).await;
        let tenant = gateway.apply(&file(preset, settings, more)).await.tenant;
        Self { gateway, tenant }
    }

    pub async fn model(&self) -> RoleModel {
        db::model::load_model(&self.gateway.app.db, self.tenant).await.unwrap()
    }

    pub async fn organization(&self, slug: &str) -> OrganizationId {
        self.model().await.organizations.find_slug(slug).unwrap_or_else(|| panic!("no organization is named {slug}")).id
    }

    pub async fn role(&self, name: &str) -> RoleId {
        self.model().await.role_named(name).unwrap_or_else(|| panic!("no role is named {name}")).id
    }

    /// Somebody at home at an organization, or nowhere, with a session.
    pub async fn person(&self, name: &str, home: Option<&str>, holds: &[Held<'_>]) -> Person<'_> {
        let (app, model) = (&self.gateway.app, self.model().await);
        let mut occasion = app.occasion(Actor::HostOperator, "test");
        let id: AccountId = occasion.ids.make();
        let place = |slug: &str| model.organizations.find_slug(slug).unwrap().id;
        let account = Account {
            id,
            user_name: name.to_owned(),
            email: Some(format!("{}@acme.example", name.replace(' ', "."))),
            display_name: None,
            kind: AccountKind::Human,
            home_organization: home.map(place),
            status: SignInStatus::Active,
        };
        let row =
            AccountRow { account, standing: SignInStatus::Active, profile_connection: None, has_local_credential: true, from_file: false };
        let mut tx = app.db.begin().await.unwrap();
        db::account::insert_accounts(&mut tx, self.tenant, &[&row], occasion.now).await.unwrap();
        for held in holds {
            let role = model.role_named(held.role).unwrap_or_else(|| panic!("no role is named {}", held.role)).id;
            let holding = Holding { role, organization: place(held.at), resource_scope: None, reach: held.reach };
            let assignment = occasion.ids.make();
            db::assignment::insert_assignments(&mut tx, self.tenant, &[(assignment, id, holding)], occasion.now).await.unwrap();
            let origin = NewOrigin { assignment, account: id, origin: Origin::Manual { by: None }, may_delegate: held.may_delegate };
            db::assignment::insert_origins(&mut tx, self.tenant, &[origin], occasion.now).await.unwrap();
        }
        let secret = keys::secret(app.random.bytes());
        let signed_in = SignedIn {
            id: occasion.ids.make(),
            tenant: self.tenant,
            account: id,
            connection: None,
            surface: rolegate::domain::connection::Audience::Admin,
            session_index: None,
            name_id: None,
            expires_at: occasion.now.plus_secs(3600),
            former_sessions: Vec::new(),
        };
        session::open(&mut tx, &model.settings, &mut occasion, signed_in, &secret).await.unwrap();
        tx.commit().await.unwrap();
        let cookies = BTreeMap::from([("__Host-rolegate_session".to_owned(), secret.expose().clone())]);
        Person { id, browser: Browser { gateway: &self.gateway, cookies } }
    }

    /// A context of an organization.
    pub async fn context(&self, at: &str, name: &'static str) -> ScopeId {
        let organization = self.organization(at).await;
        let id: ScopeId = self.gateway.app.occasion(Actor::HostOperator, "test").ids.make();
        let sql = "insert into resource_scope (tenant, id, organization, kind, name, created_at_ms) values ($1, $2, $3, 'context', $4, 0)";
        let mut tx = self.gateway.app.db.begin().await.unwrap();
        let query = tx.query(sql).bind(self.tenant.to_string()).bind(id.to_string()).bind(organization.to_string());
        query.bind(name).run().await.unwrap();
        db::tenant::raise_model_version(&mut tx, self.tenant).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Signs somebody in by SAML with these groups.
    pub async fn sign_in(&self, name: &str, groups: &[&str]) -> Answer {
        let mut message = idp::message(CONNECTION, name, self.gateway.app.now());
        if !groups.is_empty() {
            message.attributes.push(("groups".to_owned(), groups.iter().map(|&group| group.to_owned()).collect()));
        }
        let response = idp::signed(&message, Sign::Both);
        self.gateway.browser().post_form(&format!("/connections/{CONNECTION}/saml/acs"), &[("SAMLResponse", &response)]).await
    }

    /// The account of this user name.
    pub async fn account(&self, owner: &mut Person<'_>, name: &str) -> Value {
        let filter: String = url::form_urlencoded::byte_serialize(format!("userName eq \"{name}\"").as_bytes()).collect();
        let answer = owner.get(&format!("/api/v1/accounts?filter={filter}")).await;
        answer.json()["items"][0].clone()
    }
}

/// The file of a house.
pub fn file(preset: &str, settings: &str, more: &str) -> String {
    let organization =
        |slug: &str, parent: &str| format!("[[organizations]]\nslug = \"{slug}\"\nname = \"{slug}\"\nparent = \"{parent}\"\n");
    let tree = [organization("acme-eu", "acme"), organization("acme-us", "acme"), organization("acme-eu-west", "acme-eu")].concat();
    format!(
        r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "{preset}"
settings = {{ {settings} }}

[[owners]]
email = "owner@acme.example"
name = "First Owner"

{tree}
[[connections]]
slug = "{CONNECTION}"
organization = "acme-eu"
[connections.scim]
enabled = true
[connections.saml]
enabled = true
jit = "create"
idp_initiated = true
idp_metadata = "idp.xml"
[connections.attributes]
groups = "groups"
{more}
"#
    )
}

impl Person<'_> {
    pub async fn get(&mut self, path: &str) -> Answer {
        self.browser.get_json(path).await
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.browser.post_json(path, body).await
    }

    pub async fn patch(&mut self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, &[], body).await
    }

    pub async fn delete(&mut self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], &Value::Null).await
    }

    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let token = self.browser.csrf_token().await;
        let mut all = vec![("content-type", "application/json"), ("x-csrf-token", token.as_str())];
        all.extend(headers);
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        self.browser.send(method, path, &all, body).await
    }

    pub async fn grant(&mut self, house: &House, role: &str, to: AccountId, at: &str) -> Answer {
        let body = json!({ "account": to, "role": house.role(role).await, "organization": house.organization(at).await });
        self.post("/api/v1/assignments", &body).await
    }

    /// What `/me` permits at an organization.
    pub async fn permissions(&mut self, at: &str) -> Vec<String> {
        let me = self.get("/me").await.json();
        let places = me["permissions"].as_array().unwrap();
        let Some(here) = places.iter().find(|place| place["organization"] == at) else { return Vec::new() };
        here["permissions"].as_array().unwrap().iter().map(|pair| pair.as_str().unwrap().to_owned()).collect()
    }
}

/// The status and the stable code, empty where it is no problem document.
#[track_caller]
pub fn outcome(answer: &Answer) -> (u16, String) {
    let code = if answer.status.is_success() || answer.body.is_empty() { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

#[track_caller]
pub fn created(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}
