//! Sorted lists, pages by cursor, and `/.search`.

use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{ENTRA, Gateway},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

async fn people(gateway: &Gateway) -> Vec<String> {
    let mut ids = Vec::new();
    for (name, title, family) in [("bea", "x", "Zu"), ("Anna", "", "berg"), ("cleo", "X", "Berg"), ("dora", "y", "Ahn"), ("emil", "x", "")]
    {
        let body = json!({ "schemas": [USER], "userName": name, "title": title, "name": { "familyName": family } });
        ids.push(gateway.post("/Users", body).await.expect(201).id());
        // Identifiers follow time.
        gateway.app.clock.advance_secs(1);
    }
    ids
}

#[rstest]
#[tokio::test]
async fn a_list_is_sorted_by_any_attribute(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    people(&gateway).await;
    let names = async |query: &str| gateway.get(&format!("/Users?{query}")).await.expect(200).names();
    assert_eq!(names("sortBy=userName").await, ["Anna", "bea", "cleo", "dora", "emil"]);
    assert_eq!(names("sortBy=userName&sortOrder=descending&count=2").await, ["emil", "dora"]);
    assert_eq!(names("sortBy=name.familyName").await, ["dora", "Anna", "cleo", "bea", "emil"]);
    assert_eq!(names("sortBy=name.familyName&sortOrder=descending").await, ["emil", "bea", "Anna", "cleo", "dora"]);
    assert_eq!(names("sortBy=userName&startIndex=3&count=2").await, ["cleo", "dora"]);
    assert_eq!(names("sortBy=userName&filter=title%20eq%20%22x%22&startIndex=2").await, ["cleo", "emil"]);
    assert_eq!(names("sortBy=title&sortOrder=ascending").await.last().unwrap(), "Anna");
    let page = gateway.get("/Users?sortBy=userName&startIndex=5&count=9").await.json();
    assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(5), &json!(1)));
    assert_eq!(gateway.get("/Users?sortBy=name").await.expect(400).text("/scimType"), "invalidPath");
}

async fn walk(gateway: &Gateway, query: &str) -> (Vec<String>, Vec<Value>) {
    let (mut names, mut totals, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/Users?{query}&cursor={cursor}")).await.expect(200);
        names.extend(page.names());
        let json = page.json();
        totals.push(json["totalResults"].clone());
        assert_eq!(json.get("startIndex"), None);
        match json["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return (names, totals),
        }
    }
}

#[rstest]
#[tokio::test]
async fn cursors_lead_through_every_kind_of_list(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    people(&gateway).await;
    let all = ["bea", "Anna", "cleo", "dora", "emil"];
    for count in 1..=6 {
        let (names, totals) = walk(&gateway, &format!("count={count}")).await;
        assert_eq!(names, all, "{count}");
        assert!(totals.iter().all(|total| *total == 5), "{totals:?}");
        assert_eq!(walk(&gateway, &format!("count={count}&sortBy=userName")).await.0, ["Anna", "bea", "cleo", "dora", "emil"]);
        let by_family = format!("count={count}&sortBy=name.familyName&sortOrder=descending");
        assert_eq!(walk(&gateway, &by_family).await.0, ["emil", "bea", "Anna", "cleo", "dora"]);
        assert_eq!(walk(&gateway, &format!("count={count}&filter=title%20eq%20%22X%22")).await.0, ["bea", "cleo", "emil"]);
        let exact = format!("count={count}&filter=userName%20gt%20%22bea%22");
        assert_eq!(
            walk(&gateway, &exact).await,
            (vec!["cleo".into(), "dora".into(), "emil".into()], vec![json!(3); 3_usize.div_ceil(count)])
        );
    }
    assert_eq!(walk(&gateway, "count=0").await, (vec![], vec![json!(5)]));
}

#[rstest]
#[tokio::test]
async fn who_is_deleted_while_pages_are_read_moves_nobody_else(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = people(&gateway).await;
    for query in ["count=2", "count=2&sortBy=userName"] {
        let first = gateway.get(&format!("/Users?{query}&cursor=")).await.expect(200);
        let gone = first.json()["Resources"][1]["id"].as_str().unwrap().to_owned();
        let body = gateway.get(&format!("/Users/{gone}")).await.json();
        gateway.delete(&format!("/Users/{gone}")).await.expect(204);
        let mut rest = first.names();
        let mut next = first.text("/nextCursor");
        loop {
            let page = gateway.get(&format!("/Users?{query}&cursor={next}")).await.expect(200);
            rest.extend(page.names());
            let Some(more) = page.json()["nextCursor"].as_str().map(str::to_owned) else { break };
            next = more;
        }
        assert_eq!(rest.len(), ids.len(), "{query}: nobody is missing and nobody comes twice");
        gateway.post("/Users", json!({ "schemas": [USER], "userName": body["userName"] })).await.expect(201);
    }
}

#[rstest]
#[tokio::test]
async fn a_cursor_is_good_for_its_list_and_its_time(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    people(&gateway).await;
    let cursor = gateway.get("/Users?count=2&cursor=").await.text("/nextCursor");
    let refused = async |path: &str| gateway.get(path).await.expect(400).text("/scimType");
    assert_eq!(refused(&format!("/Groups?cursor={cursor}")).await, "invalidCursor");
    assert_eq!(refused(&format!("/Users?cursor={cursor}&sortBy=userName")).await, "invalidCursor");
    assert_eq!(refused(&format!("/Users?cursor={cursor}&filter=title%20pr")).await, "invalidCursor");
    assert_eq!(refused(&format!("/Users?cursor={}", &cursor[1..])).await, "invalidCursor");
    assert_eq!(refused(&format!("/Users?cursor={}", "A".repeat(9000))).await, "invalidCursor");
    let foreign = gateway.scim_with(ENTRA, &[], "GET", &format!("/Users?cursor={cursor}"), None).await;
    assert_eq!(foreign.expect(400).text("/scimType"), "invalidCursor");
    // Another size of the page is no other list.
    assert_eq!(gateway.get(&format!("/Users?count=1&cursor={cursor}")).await.names(), ["cleo"]);
    let config = gateway.get("/ServiceProviderConfig").await.json();
    assert_eq!(config["pagination"]["cursor"], true);
    gateway.app.clock.advance_secs(config["pagination"]["cursorTimeout"].as_i64().unwrap() - 1);
    gateway.get(&format!("/Users?cursor={cursor}")).await.expect(200);
    gateway.app.clock.advance_secs(1);
    assert_eq!(refused(&format!("/Users?cursor={cursor}")).await, "expiredCursor");
}

/// `displayName` is what groups have, `userName` what users have; whoever lacks it comes last, or first when it goes down.
async fn sorted_together(gateway: &Gateway) {
    let search = async |body: Value| gateway.post("/.search", body).await.expect(200);
    let down = ["emil", "dora", "cleo", "bea", "Anna", "Staff", "x"];
    let by_name = search(json!({ "sortBy": "userName" })).await;
    assert_eq!(
        (by_name.names(), &by_name.json()["totalResults"]),
        (["Anna", "bea", "cleo", "dora", "emil", "Staff", "x"].map(str::to_owned).to_vec(), &json!(7))
    );
    assert_eq!(search(json!({ "sortBy": "displayName", "count": 3 })).await.names(), ["Staff", "x", "bea"]);
    assert_eq!(search(json!({ "sortBy": "userName", "startIndex": 5, "count": 2 })).await.names(), ["emil", "Staff"]);
    let of_groups = json!({ "sortBy": "meta.created", "sortOrder": "descending", "filter": "displayName pr" });
    assert_eq!(search(of_groups).await.names(), ["x", "Staff"]);
    for count in 1..=8 {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = search(json!({ "sortBy": "userName", "sortOrder": "descending", "cursor": cursor, "count": count })).await;
            names.extend(page.names());
            let Some(next) = page.json()["nextCursor"].as_str().map(str::to_owned) else { break };
            cursor = next;
        }
        assert_eq!(names, [&down[5..], &down[..5]].concat(), "{count}");
    }
    assert_eq!(gateway.post("/.search", json!({ "sortBy": "name" })).await.expect(400).text("/scimType"), "invalidPath");
}

#[rstest]
#[tokio::test]
async fn a_search_asks_by_its_body(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    people(&gateway).await;
    for name in ["Staff", "x"] {
        gateway.post("/Groups", json!({ "schemas": [GROUP], "displayName": name })).await.expect(201);
        gateway.app.clock.advance_secs(1);
    }
    let search = async |path: &str, body: Value| gateway.post(&format!("{path}/.search"), body).await.expect(200);
    let found = search(
        "/Users",
        json!({ "filter": "title eq \"x\"", "sortBy": "userName", "sortOrder": "descending", "count": 2, "attributes": ["userName"] }),
    )
    .await;
    assert_eq!(found.names(), ["emil", "cleo"]);
    assert_eq!(found.json()["Resources"][0].as_object().unwrap().len(), 3);
    assert_eq!(search("/Groups", json!({ "filter": "displayName sw \"s\"" })).await.names(), ["Staff"]);

    let everything = ["bea", "Anna", "cleo", "dora", "emil", "Staff", "x"];
    let all = search("", json!({})).await;
    assert_eq!((all.names(), &all.json()["totalResults"]), (everything.map(str::to_owned).to_vec(), &json!(7)));
    assert_eq!(search("", json!({ "startIndex": 4, "count": 3 })).await.names(), ["dora", "emil", "Staff"]);
    assert_eq!(search("", json!({ "startIndex": 7 })).await.names(), ["x"]);
    assert_eq!(search("", json!({ "filter": "title eq \"x\" or displayName eq \"x\"" })).await.names(), ["bea", "cleo", "emil", "x"]);
    assert_eq!(search("", json!({ "filter": "meta.resourceType eq \"Group\"" })).await.names(), ["Staff", "x"]);
    sorted_together(&gateway).await;
    for count in 1..=8 {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = search("", json!({ "cursor": cursor, "count": count })).await;
            names.extend(page.names());
            let Some(next) = page.json()["nextCursor"].as_str().map(str::to_owned) else { break };
            cursor = next;
        }
        assert_eq!(names, everything, "{count}");
    }
    gateway.get("/.search").await.expect(405);
}
