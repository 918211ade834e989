//! `If-Match` and `ETag`: a change that was made with an older version in mind is not made.

use axum::http::{Method, StatusCode, header};
use rolegate::http::{self, operation::Version, routes::Listed};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    authz::{
        people::{holder, model, tenant},
        things::Things,
    },
    common::{
        dump::{assert_same, dump},
        engines::Engine,
        idp,
        installation::{Answer, Browser, Gateway},
    },
};

use super::common::send;

/// A tenant that can have something of everything, and has it; with an owner.
async fn house(engine: Engine) -> (Gateway, Things) {
    let gateway = Gateway::open(engine).await;
    let settings = "min_owners = 1, custom_roles = true, self_service_org_registration = true";
    let applied = gateway.apply(&tenant("acme", "owner-member").replace("min_owners = 1", settings)).await;
    let model = model(&gateway, applied.tenant).await;
    let things = Things::plant(&gateway, &model, &mut holder(&gateway, &model, Some("Organization Owner")).await).await;
    (gateway, things)
}

async fn owner(gateway: &Gateway) -> Browser<'_> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some("Organization Owner")).await
}

#[track_caller]
fn tag(answer: &Answer) -> String {
    assert!(answer.status.is_success(), "{}", answer.text());
    answer.headers[header::ETAG].to_str().unwrap().to_owned()
}

fn is_stale(answer: &Answer) -> bool {
    answer.status == StatusCode::PRECONDITION_FAILED && answer.code() == "precondition_failed"
}

#[rstest]
#[tokio::test]
async fn what_is_documented_to_take_a_version_makes_no_change_to_another_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, things) = house(engine).await;
    let mut owner = owner(&gateway).await;
    let routes = http::routes();
    let conditional =
        |listed: &&Listed| listed.documented.as_ref().is_some_and(|documented| documented.operation.version == Version::Asked);
    let mut seen = 0;
    let before = dump(gateway.address(), &["session"]).await;
    for listed in routes.table().iter().filter(conditional) {
        let (path, body) = (things.path(listed), things.body(listed).to_string());
        let stale = send(&mut owner, listed.method.clone(), &path, &[("if-match", "\"987654321\"")], &body).await;
        assert!(is_stale(&stale), "{listed:?}: {} {}", stale.status, stale.text());
        let wrong = send(&mut owner, listed.method.clone(), &path, &[("if-match", "3")], &body).await;
        assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::BAD_REQUEST, "if_match"), "{listed:?}");
        seen += 1;
    }
    assert_same(&before, &dump(gateway.address(), &["session"]).await, "changes to another version");
    assert!(seen > 25, "{seen}");
}

/// A change, what it is sent, and where the version is read of which it is one.
struct Step {
    method: Method,
    path: String,
    body: Value,
    read: String,
}

/// The version that is read is the one that is changed; the answer has the next one, which a reader finds too.
async fn walk(owner: &mut Browser<'_>, steps: Vec<Step>) {
    for Step { method, path, body, read } in steps {
        let body = body.to_string();
        let before = tag(&owner.get_json(&read).await);
        let changed = send(owner, method.clone(), &path, &[("if-match", &before)], &body).await;
        let after = tag(&changed);
        assert_ne!(after, before, "{method} {path}");
        assert_eq!(tag(&owner.get_json(&read).await), after, "{method} {path}");
        let again = send(owner, method.clone(), &path, &[("if-match", &before)], &body).await;
        // What is gone has no version.
        assert!(is_stale(&again) || again.status == StatusCode::NOT_FOUND, "{method} {path}: {}", again.text());
        assert_eq!(tag(&owner.get_json(&read).await), after, "{method} {path}");
    }
}

#[rstest]
#[tokio::test]
async fn contexts_members_and_connections_in_use_are_changed_in_the_version_that_was_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (gateway, things) = house(engine).await;
    let mut owner = owner(&gateway).await;
    let step = |method: Method, path: String, body: Value, read: String| Step { method, path, body, read };
    let scopes = "/api/v1/organizations/acme/scopes".to_owned();
    let scope = format!("{scopes}/{}", things.id("scope"));
    let account = format!("/api/v1/accounts/{}", things.id("account"));
    let member = format!("/api/v1/organizations/zebra-org/members/{}", things.id("account"));
    let uses = "/api/v1/organizations/zebra-org/connections".to_owned();
    let used = format!("{uses}/acme-okta");
    let steps = vec![
        step(Method::POST, scopes.clone(), json!({ "kind": "sign_in", "name": "One more" }), scopes.clone()),
        step(Method::PATCH, scope.clone(), json!({ "name": "Renamed" }), scopes.clone()),
        step(Method::DELETE, scope, json!({}), scopes),
        step(Method::PUT, member.clone(), json!({}), account.clone()),
        step(Method::PUT, member.clone(), json!({ "status": "inactive" }), account.clone()),
        step(Method::DELETE, member, json!({}), account.clone()),
        step(Method::PUT, used.clone(), json!({}), uses.clone()),
        step(Method::DELETE, used, json!({}), uses),
        step(Method::POST, format!("{account}/identities"), json!({ "connection": "acme-okta", "subject": "s" }), account),
    ];
    walk(&mut owner, steps).await;
    // What is so already is another version of nothing.
    let same = send(&mut owner, Method::PATCH, "/api/v1/organizations/acme", &[], "{}").await;
    assert_eq!(tag(&same), tag(&owner.get_json("/api/v1/organizations/acme/scopes").await), "the version is the organization's");
}

#[rstest]
#[tokio::test]
async fn metadata_certificates_keys_and_members_of_groups_are_changed_in_the_version_that_was_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (gateway, things) = house(engine).await;
    let mut owner = owner(&gateway).await;
    let metadata = "/api/v1/connections/acme-okta/metadata".to_owned();
    let (certificates, keys) = (metadata.replace("metadata", "certificates"), metadata.replace("metadata", "keys"));
    let of = |what: &str, id: &str, decision: &str| metadata.replace("metadata", &format!("{what}/{}/{decision}", things.id(id)));
    let group = format!("/api/v1/groups/{}", things.id("group"));
    let step = |method: Method, path: String, body: Value, read: &str| Step { method, path, body, read: read.to_owned() };
    let proposal = |id: &str, decision: &str| format!("{metadata}/proposals/{}/{decision}", things.id(id));
    let xml = json!({ "xml": idp::metadata_xml(idp::ENTITY_ID, "https://idp.example/other", &[&idp::KEY]) });
    let steps = vec![
        step(Method::POST, proposal("proposal", "accept"), json!({}), &metadata),
        step(Method::POST, proposal("other proposal", "decline"), json!({}), &metadata),
        step(Method::PUT, metadata.clone(), xml, &metadata),
        step(Method::POST, certificates.clone(), json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() }), &certificates),
        step(Method::POST, of("certificates", "certificate", "retire"), json!({ "confirm": true }), &certificates),
        step(Method::POST, of("keys", "key", "retire"), json!({ "confirm": true }), &keys),
        step(Method::POST, of("keys", "key", "remove"), json!({ "confirm": true }), &keys),
        step(Method::POST, keys.clone(), json!({ "algorithm": "ec-p256" }), &metadata),
        step(Method::POST, format!("{group}/members"), json!({ "add": [things.id("account")] }), &group),
        step(Method::POST, format!("{group}/members"), json!({ "remove": [things.id("account")] }), &group),
    ];
    walk(&mut owner, steps).await;
    // A step that is done already writes nothing: the version stays.
    let read = tag(&owner.get_json(&certificates).await);
    let twice = send(&mut owner, Method::POST, &of("certificates", "certificate", "retire"), &[("if-match", &read)], "{}").await;
    assert_eq!((tag(&twice), tag(&owner.get_json(&certificates).await)), (read.clone(), read));
}

#[rstest]
#[tokio::test]
async fn of_two_who_read_the_same_version_one_makes_the_change(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, _things) = house(engine).await;
    let (mut one, mut two) = (owner(&gateway).await, owner(&gateway).await);
    let path = "/api/v1/organizations/acme/scopes";
    let read = tag(&one.get_json(path).await);
    let body = |name: &str| json!({ "kind": "sign_in", "name": name }).to_string();
    let headers = [("if-match", read.as_str())];
    let (mine, theirs) = (body("Mine"), body("Theirs"));
    let (a, b) = tokio::join!(send(&mut one, Method::POST, path, &headers, &mine), send(&mut two, Method::POST, path, &headers, &theirs));
    let made = [&a, &b].iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    let stale = [&a, &b].iter().filter(|answer| is_stale(answer)).count();
    assert_eq!((made, stale), (1, 1), "{} {}", a.text(), b.text());
}
