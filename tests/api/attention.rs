//! What somebody should look at, through the API.

use axum::http::StatusCode;
use rolegate::{
    admin::recover,
    db::{self, tenant::find_tenant_by_slug},
    domain::{actor::Actor, secret::Secret},
};
use rstest::rstest;
use serde_json::json;

use super::common::{house, person};
use crate::common::{engines::Engine, installation::Gateway};

const PATH: &str = "/api/v1/attention";

/// The operator lets the owner in, and a group is renamed.
async fn happened(gateway: &Gateway) {
    let tenant = find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    let mut mint = || Secret::new("s".to_owned());
    recover::recover(&gateway.app.db, &tenant, &mut occasion, Some("owner@acme.example"), &mut mint).await.unwrap();
    gateway.app.clock.advance_secs(1);
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::attention::raise(&mut tx, tenant.id, &mut occasion, "group.renamed", None, None, &json!({ "name": "x" })).await.unwrap();
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn whoever_may_read_the_trail_sees_what_is_open_and_nobody_else(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let none = owner.get_json(PATH).await;
    assert_eq!((none.status, &none.json()["items"]), (StatusCode::OK, &json!([])), "{}", none.text());
    happened(&gateway).await;
    let first = owner.get_json(&format!("{PATH}?limit=1")).await.json();
    let item = &first["items"][0];
    let at = gateway.app.now().plus_secs(-1).to_string();
    assert_eq!((&item["kind"], &item["connection"], &item["at"]), (&json!("owner.recovered"), &json!(null), &json!(at)));
    assert_eq!(item["detail"], json!({ "local_credential_given": false }));
    let row: Option<(String,)> =
        gateway.app.db.query("select id from account where user_name_key = 'owner@acme.example'").optional().await.unwrap();
    assert_eq!(item["account"], json!(row.unwrap().0));
    let rest = owner.get_json(&format!("{PATH}?cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["items"][0]["kind"]), (1, &json!("group.renamed")));
    assert_eq!(rest["next_cursor"], json!(null));
    let mut member = person(&gateway, "Organization Member").await;
    assert_eq!(member.get_json(PATH).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gateway.browser().get_json(PATH).await.status, StatusCode::UNAUTHORIZED);
    // What is resolved is gone.
    let id = item["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    let tenant = find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    rolegate::admin::attention::resolve(&gateway.app.db, tenant.id, &mut occasion, rolegate::domain::id::Id::new(id)).await.unwrap();
    assert_eq!(owner.get_json(PATH).await.json()["items"].as_array().unwrap().len(), 1);
    // And who said so is on the trail.
    gateway.settle().await;
    let trail = owner.get_json("/api/v1/audit?filter=kind%20eq%20%22attention.resolved%22").await.json();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
    let line = &trail["items"][0];
    assert_eq!(line["actor"], json!({ "kind": "host_operator", "id": null }));
    assert_eq!(line["target"], json!({ "kind": "attention", "id": item["id"] }));
}
