//! A tenant that has something of everything, and every route's address and body with the real ids of it.

use std::collections::BTreeMap;

use axum::http::Method;
use rolegate::{
    db::{
        self,
        idp_metadata::{ProposalRow, ProposalState, What},
        sign_in::{SignInLogRow, SignInOutcome, Why},
    },
    domain::{actor::Actor, id::kind, model::RoleModel},
    http::routes::Listed,
};
use serde_json::{Value, json};

use super::people::holder;
use crate::common::{
    idp,
    installation::{Answer, Browser, Gateway},
};

/// In every name that the tenant has: where it is read, something of the tenant was shown.
pub const MARK: &str = "zebra";

/// Of the tenant of [`super::people::tenant`], with `custom_roles` and `self_service_org_registration`.
pub struct Things {
    /// Ids by what they are of.
    ids: BTreeMap<&'static str, String>,
    slug: String,
}

fn text(answer: &Answer, pointer: &str) -> String {
    assert!(answer.status.is_success(), "{}", answer.text());
    answer.json().pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {}", answer.text())).to_owned()
}

async fn send(browser: &mut Browser<'_>, method: Method, path: &str, body: &Value) -> Answer {
    let csrf = browser.csrf_token().await;
    let headers = [("content-type", "application/json"), ("accept", "application/json"), ("x-csrf-token", csrf.as_str())];
    browser.send(method, path, &headers, body.to_string().into_bytes()).await
}

impl Things {
    /// Made over the API by the owner, as far as it makes them.
    pub async fn plant(gateway: &Gateway, model: &RoleModel, owner: &mut Browser<'_>) -> Self {
        let slug = model.organizations.find(model.organizations.root()).unwrap().slug.to_string();
        let mut things = Self { ids: BTreeMap::new(), slug: slug.clone() };
        let mut person = holder(gateway, model, Some("Organization Member")).await;
        things.keep("account", text(&person.get_json("/me").await, "/account/id"));
        things.keep("organization", model.organizations.root().to_string());
        let connection = format!("/api/v1/connections/{slug}-okta");
        let at = format!("/api/v1/organizations/{slug}");
        let role = json!({ "name": format!("{MARK} role"), "permissions": ["service_contexts:administer"] });
        things.keep("role", text(&owner.post_json("/api/v1/roles", &role).await, "/id"));
        let other = json!({ "name": format!("{MARK} other"), "permissions": ["service_contexts:administer"] });
        things.keep("other role", text(&owner.post_json("/api/v1/roles", &other).await, "/id"));
        let made = [
            ("key", format!("{connection}/keys"), json!({}), "/id"),
            ("test", format!("{connection}/test-sign-ins"), json!({}), "/id"),
            ("scope", format!("{at}/scopes"), json!({ "kind": "sign_in", "name": format!("{MARK} shop") }), "/id"),
            (
                "group",
                "/api/v1/groups".to_owned(),
                json!({ "name": format!("{MARK} group"), "organization": things.id("organization") }),
                "/id",
            ),
            ("set", "/api/v1/role-sets".to_owned(), json!({ "name": format!("{MARK} set"), "roles": [things.id("role")] }), "/id"),
            ("token", "/api/v1/tokens".to_owned(), json!({ "name": MARK }), "/id"),
            ("app token", "/api/v1/app-tokens".to_owned(), json!({ "name": MARK }), "/id"),
            ("assignment", "/api/v1/assignments".to_owned(), things.assignment("other role"), "/id"),
            ("child", "/api/v1/organizations".to_owned(), json!({ "slug": format!("{MARK}-org"), "name": MARK, "parent": slug }), "/id"),
            ("client", format!("{connection}/oauth-clients"), json!({ "name": MARK }), "/client_id"),
        ];
        for (name, path, body, pointer) in made {
            things.keep(name, text(&owner.post_json(&path, &body).await, pointer));
        }
        let domain = owner.post_json(&format!("{at}/domains"), &json!({ "domain": format!("{MARK}.example") })).await;
        assert!(domain.status.is_success(), "{}", domain.text());
        let schema = send(owner, Method::PUT, "/api/v1/attribute-schema", &schema()).await;
        assert!(schema.status.is_success(), "{}", schema.text());
        let read = [
            ("secret", format!("{connection}/oauth-clients"), "/oauth_clients/0/secrets/0/id"),
            ("certificate", format!("{connection}/certificates"), "/certificates/0/id"),
            ("session", format!("/api/v1/accounts/{}/sessions", things.id("account")), "/sessions/0/id"),
            ("own session", "/api/v1/sessions".to_owned(), "/sessions/0/id"),
        ];
        for (name, path, pointer) in read {
            things.keep(name, text(&owner.get_json(&path).await, pointer));
        }
        things.plant_rows(gateway, model).await;
        things
    }

    /// What nobody makes over the API.
    async fn plant_rows(&mut self, gateway: &Gateway, model: &RoleModel) {
        let row = db::connection::find_connection_by_slug(&gateway.app.db, &format!("{}-okta", self.slug)).await.unwrap().unwrap();
        let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
        let mut proposal = |what, key: &str| ProposalRow {
            id: occasion.ids.make::<kind::Event>(),
            what,
            key: key.to_owned(),
            value: key.to_owned(),
            state: ProposalState::Open,
            proposed_at: occasion.now,
            decided_by: None,
            decided_at: None,
        };
        let proposals = [proposal(What::SsoUrl, "https://idp.example/zebra"), proposal(What::SloPostUrl, "https://idp.example/zebra")];
        let log = SignInLogRow {
            id: occasion.ids.make::<kind::Event>(),
            connection: row.connection.id,
            at: occasion.now,
            outcome: SignInOutcome::Refused,
            step: None,
            message: MARK.to_owned(),
            why: Why::default(),
            account: None,
        };
        let mut tx = gateway.app.db.begin().await.unwrap();
        db::idp_metadata::propose(&mut tx, model.tenant, row.connection.id, &proposals).await.unwrap();
        db::sign_in::log_sign_ins(&mut tx, &[(model.tenant, log.clone())]).await.unwrap();
        tx.commit().await.unwrap();
        self.keep("proposal", proposals[0].id.to_string());
        self.keep("other proposal", proposals[1].id.to_string());
        self.keep("log", log.id.to_string());
    }

    fn keep(&mut self, name: &'static str, id: String) {
        self.ids.insert(name, id);
    }

    pub fn id(&self, name: &str) -> &str {
        self.ids.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.values().map(String::as_str)
    }

    /// What the route's `{id}` is of.
    fn kind_of(path: &str) -> &'static str {
        let before = path.split("/{id}").next().unwrap();
        match before.rsplit('/').next().unwrap() {
            "certificates" => "certificate",
            "keys" => "key",
            "oauth-clients" => "client",
            "proposals" if path.ends_with("decline") => "other proposal",
            "proposals" => "proposal",
            "sessions" => "own session",
            "accounts" | "members" | "Users" => "account",
            "sign-in-log" => "log",
            "test-sign-ins" => "test",
            "scopes" => "scope",
            "roles" | "Roles" => "role",
            "role-sets" => "set",
            "assignments" => "assignment",
            "organizations" | "ResourceTypes" | "Schemas" => "organization",
            "groups" | "Groups" => "group",
            "tokens" => "token",
            "app-tokens" => "app token",
            other => panic!("{path}: say of what {other} has ids"),
        }
    }

    /// The address with real ids, and with the questions that take some.
    pub fn path(&self, listed: &Listed) -> String {
        let slug = match listed.path.as_str() {
            // The root is not deleted.
            "/api/v1/organizations/{slug}" if listed.method == Method::DELETE => format!("{MARK}-org"),
            // The root's own connection is not enabled for it.
            "/api/v1/organizations/{slug}/connections/{connection}" => format!("{MARK}-org"),
            path if path.starts_with("/api/v1/organizations/") => self.slug.clone(),
            _ => format!("{}-okta", self.slug),
        };
        let mut path = listed.path.clone();
        if path.contains("{id}") {
            path = path.replace("{id}", self.id(Self::kind_of(&listed.path)));
        }
        let path = path
            .replace("{slug}", &slug)
            .replace("{connection}", &format!("{}-okta", self.slug))
            .replace("{domain}", &format!("{MARK}.example"))
            .replace("{secret}", self.id("secret"))
            .replace("{session}", self.id("session"));
        let (account, role, organization) = (self.id("account"), self.id("role"), self.id("organization"));
        let question = match (listed.method.as_str(), listed.path.as_str()) {
            ("GET", "/api/v1/audit/role-at") => format!("account={account}&role={MARK}%20role&at=2026-03-03T01:00:00Z"),
            ("GET", "/api/v1/accounts/{id}/explain") => {
                format!("entity=service_contexts&action=administer&organization={organization}")
            }
            ("GET", "/api/v1/roles/{id}/lacking") => format!("organization={organization}"),
            ("GET", "/api/v1/assignments") => format!("account={account}&role={role}&organization={organization}"),
            ("GET", "/api/v1/tokens") => format!("account={account}"),
            ("GET", "/api/v1/app-tokens") => format!("organization={}", self.slug),
            ("GET", "/api/v1/reports/assignments") => format!("role={role}"),
            _ => return path,
        };
        format!("{path}?{question}")
    }

    fn assignment(&self, role: &str) -> Value {
        json!({ "account": self.id("account"), "role": self.id(role), "organization": self.id("organization") })
    }

    /// What the route takes, with real ids in it.
    pub fn body(&self, listed: &Listed) -> Value {
        let (account, role, organization) = (self.id("account"), self.id("role"), self.id("organization"));
        let path = listed.path.strip_prefix("/api/v1").unwrap_or_default();
        match (listed.method.as_str(), path) {
            ("POST", "/connections/{slug}/certificates") => json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() }),
            ("POST", "/connections/{slug}/oauth-clients") => json!({ "name": format!("{MARK} two") }),
            ("PUT", "/attribute-schema") => schema(),
            ("PUT", "/connections/{slug}/metadata") => {
                json!({ "xml": idp::metadata_xml(idp::ENTITY_ID, idp::SSO_URL, &[&idp::KEY]) })
            }
            ("POST", "/check") => {
                json!({ "account": account, "entity": "service_contexts", "action": "administer", "organization": organization })
            }
            ("POST", "/organizations") => json!({ "slug": format!("{MARK}-two"), "name": MARK, "parent": self.slug }),
            ("PATCH", "/organizations/{slug}" | "/organizations/{slug}/scopes/{id}" | "/groups/{id}") => {
                json!({ "name": format!("{MARK} renamed") })
            }
            ("POST", "/organizations/{slug}/move") => json!({ "parent": self.slug, "preview": true }),
            ("PATCH", "/organizations/{slug}/settings") => json!({ "language": "de" }),
            ("POST", "/organizations/{slug}/domains") => json!({ "domain": format!("{MARK}-two.example") }),
            ("POST", "/organizations/{slug}/scopes") => json!({ "kind": "sign_in", "name": format!("{MARK} two") }),
            ("POST", "/roles") => json!({ "name": format!("{MARK} two"), "permissions": ["service_contexts:administer"] }),
            ("PATCH", "/roles/{id}") => json!({ "description": MARK }),
            ("POST", "/roles/{id}/replacement") => json!({ "by": self.id("other role") }),
            ("POST", "/role-sets") => json!({ "name": format!("{MARK} two"), "roles": [role] }),
            ("POST", "/role-sets/{id}/assignments") => json!({ "accounts": [account], "organization": organization }),
            ("POST", "/assignments") => self.assignment("role"),
            ("POST", "/assignments/bulk") => {
                let line = json!({ "op": "revoke", "account": account, "role": self.id("other role"), "organization": organization });
                json!({ "lines": [line] })
            }
            ("POST", "/accounts/{id}/identities") => json!({ "connection": format!("{}-okta", self.slug), "subject": MARK }),
            ("POST", "/groups") => json!({ "name": format!("{MARK} two"), "organization": organization }),
            ("POST", "/groups/{id}/members") => json!({ "add": [account] }),
            ("POST", "/preset/upgrade") => json!({ "plan": "none" }),
            ("POST", "/tokens") => json!({ "name": MARK }),
            ("POST", "/app-tokens") => json!({ "name": MARK, "organization": self.slug }),
            _ => json!({}),
        }
    }
}

fn schema() -> Value {
    let attribute = json!({ "name": format!("{MARK}Code"), "type": "string", "multiValued": false });
    json!({ "id": "urn:acme:User", "name": "Acme", "attributes": [attribute] })
}
