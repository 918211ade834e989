//! What a connection is for: administrators come in by a role that opens the console, and self-service administers nothing.

use axum::http::StatusCode;
use rolegate::{
    db::{self, domain::DomainRow},
    domain::{
        actor::Actor,
        assignment::{Holding, Origin, Reach},
        id::{AccountId, AssignmentId},
    },
};
use rstest::rstest;

use super::house::{SLUG, ada, assert_refused, gateway, last_in_log, me, sign_in, tenant};
use crate::common::{engines::Engine, installation::Gateway};

/// Nobody has a role but by a rule.
fn without_default(more: &str) -> String {
    tenant("", more).replace("roles = [\"Organization Member\"]", "roles = []")
}

const NETWORKS: &str = r#"
[[connections.rules]]
name = "network people"
when = 'groups[value eq "networks"]'
grant = [{ role = "Organization Member", organization = "acme" }]
"#;

#[rstest]
#[tokio::test]
async fn without_a_role_of_an_organization_nobody_comes_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&without_default(NETWORKS)).await;
    let mut browser = gateway.browser();
    assert_refused(&sign_in(&mut browser, ada(&gateway, &[])).await);
    let row = last_in_log(&gateway).await;
    assert!(row.step.as_deref() == Some("account") && row.message.contains("no role of the account opens the console"), "{}", row.message);
    // The account is known, so that somebody can give it one. One in a context is none of an organization.
    hold_in_a_context(&gateway).await;
    assert_refused(&sign_in(&mut browser, ada(&gateway, &[])).await);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
    assert_eq!(sign_in(&mut browser, ada(&gateway, &["networks"])).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get_json("/api/v1/organizations").await.status, StatusCode::OK);
    // What is taken away is taken away at once.
    assert_refused(&sign_in(&mut gateway.browser(), ada(&gateway, &[])).await);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
}

#[rstest]
#[tokio::test]
async fn whom_no_role_lets_in_keeps_what_was_begun_through_another_connection(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let portal =
        "[[connections]]\nslug = \"portal\"\naudience = \"self_service\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n";
    gateway.apply(&without_default(&format!("{NETWORKS}{portal}"))).await;
    let mut browser = gateway.browser();
    assert_eq!(sign_in(&mut browser, ada(&gateway, &["networks"])).await.status, StatusCode::SEE_OTHER);
    // As if the same account, which an owner linked to both, had begun it at the portal.
    let mut tx = gateway.app.db.begin().await.unwrap();
    let sql = "update session set surface = 'self_service', connection = (select id from connection where slug = 'portal')";
    assert_eq!(tx.query(sql).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_refused(&sign_in(&mut gateway.browser(), ada(&gateway, &[])).await);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn an_owner_who_is_none_any_more_does_not_come_in_by_a_link(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let second = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";
    let applied = gateway.apply(&tenant("", second)).await;
    let link = applied.links.iter().find(|link| link.email == "second@acme.example").unwrap();
    let sql = "delete from assignment where account in (select id from account where email = 'second@acme.example')";
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query(sql).run().await.unwrap();
    tx.commit().await.unwrap();
    let answer = gateway.browser().post_form("/sign-in/link", &[("token", link.secret.expose())]).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::FORBIDDEN, 0));
    assert_eq!(gateway.count("select count(*) from session").await, 0);
}

#[rstest]
#[tokio::test]
async fn self_service_asks_for_no_role_and_administers_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let text = without_default("").replace("slug = \"acme-okta\"\n", "slug = \"acme-okta\"\naudience = \"self_service\"\n");
    gateway.apply(&text).await;
    let mut browser = gateway.browser();
    assert_eq!(sign_in(&mut browser, ada(&gateway, &[])).await.status, StatusCode::SEE_OTHER);
    assert_eq!(me(&mut browser).await["assignments"], serde_json::json!([]));
    assert_eq!(sign_in(&mut browser, ada(&gateway, &["platform-admins"])).await.status, StatusCode::SEE_OTHER);
    assert_eq!(me(&mut browser).await["assignments"][0]["role"], "Organization Context Manager");
    let refused = browser.get_json("/api/v1/organizations/acme/scopes").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "self_service"));
    let refused = browser.post_json("/api/v1/organizations/acme/scopes", &serde_json::json!({ "kind": "sign_in", "name": "x" })).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "self_service"));
    let session = browser.get_json("/api/v1/sessions").await;
    assert_eq!(session.status, StatusCode::OK, "what is one's own stays one's own");
}

#[rstest]
#[tokio::test]
async fn a_domain_leads_to_what_is_asked_for_and_to_connections_enabled_for_its_organization(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let more = |slug: &str, organization: &str, audience: &str| {
        format!(
            "[[connections]]\nslug = \"{slug}\"\norganization = \"{organization}\"\naudience = \"{audience}\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n"
        )
    };
    let connections = [more("eu-guests", "acme-eu", "self_service"), more("staff", "acme", "admin")].concat();
    let gateway = gateway(engine, "", &connections).await;
    let find = async |slug: &str| db::connection::find_connection_by_slug(&gateway.app.db, slug).await.unwrap().unwrap().connection;
    let (guests, okta) = (find("eu-guests").await, find(SLUG).await);
    let row = DomainRow {
        tenant: guests.tenant,
        organization: guests.organization,
        domain: "eu.example".to_owned(),
        verification_token: String::new(),
        created_at: gateway.app.now(),
        verified_at: Some(gateway.app.now()),
    };
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::domain::insert_domain(&mut tx, &row).await.unwrap());
    tx.commit().await.unwrap();
    let start = async |surface: &str| {
        let answer = gateway.browser().post_form("/login", &[("email", "ada@eu.example"), ("for", surface)]).await;
        answer.location().split('/').nth(2).unwrap().to_owned()
    };
    assert_eq!(start("").await, "eu-guests", "the only one");
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::connection_use::insert_use(&mut tx, guests.tenant, guests.organization, okta.id, None, gateway.app.now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!((start("").await.as_str(), start("self_service").await.as_str()), (SLUG, "eu-guests"));
    let form = gateway.browser().get("/login?for=self_service").await.text();
    assert!(form.contains("name=\"for\" value=\"self_service\""), "{form}");
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::connection_use::delete_use(&mut tx, guests.tenant, guests.organization, okta.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(start("").await, "eu-guests");
}

async fn hold_in_a_context(gateway: &Gateway) {
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let model = db::model::load_model(&gateway.app.db, connection.tenant).await.unwrap();
    let row: Option<(String,)> =
        gateway.app.db.query("select id from account where user_name = 'ada@acme.example'").optional().await.unwrap();
    let account = AccountId::parse(&row.unwrap().0).unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    let (id, scope): (AssignmentId, _) = (occasion.ids.make(), occasion.ids.make());
    let name = rolegate::domain::name::Title::parse("name", "Guests").unwrap();
    let scope =
        rolegate::domain::organization::ResourceScope { id: scope, organization: connection.organization, kind: "sign_in".into(), name };
    let role = model.role_named("Sign-In administrator").unwrap().id;
    let holding = Holding { role, organization: scope.organization, resource_scope: Some(scope.id), reach: Reach::Organization };
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::organization::insert_scope(&mut tx, connection.tenant, &scope, occasion.now).await.unwrap();
    db::assignment::insert_assignments(&mut tx, connection.tenant, &[(id, account, holding)], occasion.now).await.unwrap();
    let origin = db::assignment::NewOrigin { assignment: id, account, origin: Origin::Manual { by: None }, may_delegate: false };
    db::assignment::insert_origins(&mut tx, connection.tenant, &[origin], occasion.now).await.unwrap();
    db::tenant::raise_model_version(&mut tx, connection.tenant).await.unwrap();
    tx.commit().await.unwrap();
}
