//! The document and its page, as they are served.

use axum::http::{Method, StatusCode, header};
use serde_json::json;

use crate::common::{engines::Engine, installation::Gateway};

#[tokio::test]
async fn the_document_is_served_with_the_address_and_the_cookie_of_the_installation() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let answer = gateway.browser().get_json("/api/openapi.json").await;
    assert_eq!((answer.status, &answer.headers[header::CONTENT_TYPE]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "https://rolegate.example");
    assert_eq!(document["components"]["securitySchemes"]["session"]["name"], "__Host-rolegate_session");
    let trust = &document["paths"]["/api/v1/connections/{slug}/certificates"]["post"];
    assert_eq!(trust["security"], json!([{ "session": [] }, { "api_token": [] }]));
    assert_eq!(trust["responses"]["403"]["content"]["application/problem+json"]["schema"]["$ref"], "#/components/schemas/Problem");
    insta::assert_json_snapshot!("one_operation", trust);
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let answer = gateway.browser().get("/api/docs").await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let text = answer.text();
    assert!(text.contains("Trust a certificate") && text.contains("openapi.json"), "{text}");
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<script"), "{text}");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_and_options_says_what_is() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let mut browser = gateway.browser();
    let missing = browser.get_json("/api/v1/nothing").await;
    assert_eq!((missing.status, missing.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
    let wrong = browser.send(Method::PUT, "/api/v1/events", &[], Vec::new()).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    assert_eq!(wrong.headers[header::ALLOW], "GET,HEAD");
    assert_eq!(wrong.headers[header::CONTENT_TYPE], "application/problem+json");
    let options = browser.send(Method::OPTIONS, "/api/v1/events", &[], Vec::new()).await;
    assert_eq!(
        (options.status, &options.headers[header::ALLOW], options.body.len()),
        (StatusCode::NO_CONTENT, &"GET,HEAD".parse().unwrap(), 0)
    );
    let head = browser.send(Method::HEAD, "/api/openapi.json", &[], Vec::new()).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let nobody = browser.get_json("/api/v1/events").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!(nobody.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"rolegate\"");
}
