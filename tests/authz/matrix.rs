//! Role by route for every preset: what each role of the product's presets may do to a connection and to the tenant's schema.

use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use rolegate::{
    http::{self, routes::Entry},
    policy::preset::Preset,
};
use serde_json::json;

use super::people::{holder, model, tenant};
use crate::common::{engines::Engine, idp, installation::Gateway};

/// The lists of a preset's roles are data; this is what the product makes of them at the routes that an owner's rights guard.
#[tokio::test]
async fn roles_by_routes_for_every_preset() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let routes = http::routes();
    let guarded: Vec<_> = routes.table().iter().filter(|listed| matches!(listed.entry, Entry::Read | Entry::Change)).collect();
    let mut table = String::new();
    for preset in Preset::all() {
        let applied = gateway.apply(&tenant(&preset.key, &preset.key)).await;
        let model = model(&gateway, applied.tenant).await;
        writeln!(table, "{}", preset.key).unwrap();
        for listed in &guarded {
            let root = if listed.path.starts_with("/api/v1/organizations/") { preset.key.clone() } else { format!("{}-okta", preset.key) };
            let path = listed
                .path
                .replace("{slug}", &root)
                .replace("{connection}", &format!("{}-okta", preset.key))
                .replace("{domain}", "acme.example")
                .replace("{id}", "01900000-0000-7000-8000-000000000001")
                .replace("{secret}", "01900000-0000-7000-8000-000000000002")
                .replace("{session}", "01900000-0000-7000-8000-000000000002");
            writeln!(table, "  {} {}", listed.method, listed.path).unwrap();
            for role in model.roles() {
                let mut browser = holder(&gateway, &model, Some(role.name.as_str())).await;
                let status = if listed.method == Method::GET {
                    browser.get_json(&path).await.status
                } else {
                    let csrf = browser.clone().csrf_token().await;
                    let headers = [("content-type", "application/json"), ("x-csrf-token", csrf.as_str())];
                    let body = json!({ "certificate": idp::KEY.certificate().to_pem() }).to_string().into_bytes();
                    browser.send(listed.method.clone(), &path, &headers, body).await.status
                };
                // Certificates and the secrets of connections; organizations and the attribute schema may be delegated.
                let changes = listed.method != Method::GET && listed.path.contains("/connections/{slug}");
                assert_eq!(
                    changes && status != StatusCode::FORBIDDEN,
                    changes && role.owner_class,
                    "an owner and nobody else touches certificates and secrets: {} at {listed:?} got {status}",
                    role.name
                );
                writeln!(table, "    {:40} {}", role.name.as_str(), status.as_u16()).unwrap();
            }
        }
    }
    insta::assert_snapshot!("roles_by_routes", table);
}

/// Core owner-only actions stay an owner's, whatever a custom role says.
#[tokio::test]
async fn a_custom_role_that_names_everything_rotates_nothing() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    for preset in Preset::all().iter().filter(|preset| preset.settings.custom_roles) {
        let role = "[[roles]]\nname = \"Everything\"\npermissions = [\"*:*\"]\n";
        let applied = gateway.apply(&format!("{}{role}", tenant(&preset.key, &preset.key))).await;
        let model = model(&gateway, applied.tenant).await;
        let mut browser = holder(&gateway, &model, Some("Everything")).await;
        let id = "01900000-0000-7000-8000-000000000001";
        let steps = ["activate", "retire", "remove"].map(|step| format!("keys/{id}/{step}"));
        let below = ["certificates".to_owned(), format!("certificates/{id}/retire"), "keys".to_owned()];
        for below in below.into_iter().chain(steps) {
            let path = format!("/api/v1/connections/{}-okta/{below}", preset.key);
            let answer = browser.post_json(&path, &json!({ "certificate": idp::KEY.certificate().to_pem(), "confirm": true })).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "owner_only"), "{} {below}", preset.key);
        }
    }
}
