//! Requests at the same time: none is refused for another's sake, and nothing is lost.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::groups::group;
use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA},
    whole,
};

/// Runs them all at once; the statuses they get.
async fn at_once(gateway: &Arc<Gateway>, requests: Vec<(&'static str, String, Value)>) -> Vec<u16> {
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|(method, path, body)| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.scim(method, &path, Some(body)).await.status.as_u16() })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_user_and_one_group_all_come_through(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Arc::new(Gateway::begin(engine).await);
    let people = (0..24).map(|n| ("POST", "/Users".to_owned(), json!({ "userName": format!("user{n}") }))).collect();
    assert_eq!(at_once(&gateway, people).await, [201; 24]);
    let listed = gateway.get("/Users").await.expect(200).json();
    let ids: Vec<String> = listed["Resources"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((&listed["totalResults"], ids.len()), (&json!(24), 24));

    let team = gateway.post("/Groups", group("Team", &[])).await.expect(201).id();
    let add = |id: &String| json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": id }] }] });
    let joins = ids.iter().map(|id| ("PATCH", format!("/Groups/{team}"), add(id))).collect();
    assert_eq!(at_once(&gateway, joins).await, [204; 24]);
    assert_eq!(gateway.get(&format!("/Groups/{team}")).await.json()["members"].as_array().unwrap().len(), 24);

    let phone = |n: usize| json!({ "Operations": [{ "op": "add", "path": "phoneNumbers", "value": [{ "value": format!("+{n}") }] }] });
    let phones = (0..24).map(|n| ("PATCH", format!("/Users/{}", ids[0]), phone(n))).collect();
    assert_eq!(at_once(&gateway, phones).await, [200; 24]);
    let user = gateway.get(&format!("/Users/{}", ids[0])).await;
    assert_eq!((user.json()["phoneNumbers"].as_array().unwrap().len(), user.header("etag")), (24, "W/\"25\""));
    whole::check(gateway.db()).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_once_and_a_version_wins_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Arc::new(Gateway::begin(engine).await);
    let same = (0..12).map(|_| ("POST", "/Users".to_owned(), json!({ "userName": "Anna" }))).collect();
    let mut statuses = at_once(&gateway, same).await;
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 11][..]));

    let id = gateway.get("/Users").await.text("/Resources/0/id");
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let (gateway, path) = (gateway.clone(), format!("/Users/{id}"));
            let body = json!({ "userName": "Anna", "title": format!("{n}") });
            tokio::spawn(async move { gateway.scim_with(OKTA, &[("if-match", "W/\"1\"")], "PUT", &path, Some(body)).await.status.as_u16() })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[412; 11][..]));
    whole::check(gateway.db()).await;
}
