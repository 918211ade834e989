//! The discovery documents: what they announce works.

use rstest::rstest;
use serde_json::json;

use crate::common::{engines::Engine, gateway::Gateway};

#[rstest]
#[tokio::test]
async fn discovery_says_what_there_is(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let config = gateway.get("/ServiceProviderConfig").await.expect(200).json();
    let supported = ["patch", "bulk", "filter", "changePassword", "sort", "etag"].map(|name| config[name]["supported"].clone());
    assert_eq!(supported, [true, true, true, false, true, true].map(|value| json!(value)));
    let types = gateway.get("/ResourceTypes").await.expect(200).json();
    for kind in types["Resources"].as_array().unwrap() {
        let id = kind["id"].as_str().unwrap();
        assert_eq!(&gateway.get(&format!("/ResourceTypes/{id}")).await.expect(200).json(), kind);
        gateway.get(kind["endpoint"].as_str().unwrap()).await.expect(200);
    }
    let schemas = gateway.get("/Schemas").await.expect(200).json();
    assert_eq!(schemas["totalResults"], 3);
    for schema in schemas["Resources"].as_array().unwrap() {
        assert_eq!(&gateway.get(&format!("/Schemas/{}", schema["id"].as_str().unwrap())).await.expect(200).json(), schema);
    }
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        gateway.get(&format!("{path}?startIndex=2&count=1")).await.expect(200);
        let refused = gateway.filter(path, "id pr").await.expect(403);
        assert_eq!(refused.text("/status"), "403");
    }
    gateway.get("/Schemas/urn:nothing").await.expect(404);
    gateway.get("/ResourceTypes/Nothing").await.expect(404);
}
