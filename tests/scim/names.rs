//! Names that are not shown as they are written.

use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{Answer, Gateway},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn user(name: &str) -> Value {
    json!({ "schemas": [USER], "userName": name })
}

fn group(name: &str) -> Value {
    json!({ "schemas": [GROUP], "displayName": name })
}

#[track_caller]
fn assert_refused(body: &Value, words: &str) {
    assert_eq!((&body["status"], &body["scimType"]), (&json!("400"), &json!("invalidValue")), "{body}");
    assert_eq!(body["detail"], format!("{words}, which changes how text is shown: remove it."), "{body}");
}

fn bulk(operations: &[Value]) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

fn responses(answer: &Answer) -> Vec<Value> {
    answer.json()["Operations"].as_array().unwrap().iter().map(|one| one["response"].clone()).collect()
}

#[rstest]
#[tokio::test]
async fn control_and_bidirectional_characters_are_refused_by_every_way_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ann = format!("/Users/{}", gateway.post("/Users", user("ann")).await.expect(201).id());
    let staff = format!("/Groups/{}", gateway.post("/Groups", group("staff")).await.expect(201).id());
    let before = gateway.written().await;
    let replace = |path: &str, value: &str| json!([{ "op": "replace", "path": path, "value": value }]);
    let answers = [
        (gateway.post("/Users", user("a\u{202e}b")).await, "userName holds the character U+202E"),
        (
            gateway.post("/Users", json!({ "schemas": [USER], "userName": "x", "displayName": "\u{1b}[2J" })).await,
            "displayName holds the character U+001B",
        ),
        (gateway.put(&ann, user("ann\n")).await, "userName holds the character U+000A"),
        (gateway.patch(&ann, replace("displayName", "\u{2067}x")).await, "displayName holds the character U+2067"),
        (gateway.post("/Groups", group("staff\u{200e}")).await, "displayName holds the character U+200E"),
        (gateway.put(&staff, group("\u{85}staff")).await, "displayName holds the character U+0085"),
        (gateway.patch(&staff, replace("displayName", "st\taff")).await, "displayName holds the character U+0009"),
    ];
    for (answer, words) in answers {
        assert_refused(&answer.expect(400).json(), words);
    }
    let operation =
        |id: &str, (method, path): (&str, &str), data: Value| json!({ "method": method, "path": path, "bulkId": id, "data": data });
    let sent = bulk(&[
        operation("1", ("POST", "/Users"), user("a\u{202e}b")),
        operation("2", ("POST", "/Users"), user("b\u{202e}b")),
        operation("3", ("PUT", ann.as_str()), user("ann\u{7f}")),
        operation("4", ("POST", "/Groups"), group("x\u{2029}")),
    ]);
    let answer = gateway.post("/Bulk", sent).await.expect(200);
    let words = ["userName holds the character U+202E", "userName holds the character U+202E", "userName holds the character U+007F"];
    let words = words.into_iter().chain(["displayName holds the character U+2029"]);
    responses(&answer).iter().zip(words).for_each(|(body, words)| assert_refused(body, words));
    assert_eq!(gateway.written().await, before);
}

#[rstest]
#[tokio::test]
async fn joiners_of_real_names_and_padded_names_are_taken(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for name in ["علی\u{200c}رضا", "දීක්\u{200d}ෂා", " ada ", "דוד"] {
        let body = json!({ "schemas": [USER], "userName": name, "displayName": name, "name": { "formatted": name } });
        assert_eq!(gateway.post("/Users", body).await.expect(201).text("/displayName"), name);
        assert_eq!(gateway.post("/Groups", group(name)).await.expect(201).text("/displayName"), name);
    }
}

#[rstest]
#[tokio::test]
async fn a_name_from_before_stays_and_its_holder_can_be_locked_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let named = |name: &str| json!({ "schemas": [USER], "userName": "ann", "displayName": name });
    let ann = gateway.post("/Users", named("Ann Other")).await.expect(201).id();
    let staff = gateway
        .post("/Groups", json!({ "schemas": [GROUP], "displayName": "staff", "members": [{ "value": ann }] }))
        .await
        .expect(201)
        .id();
    let mut tx = gateway.db().begin().await.unwrap();
    let sql = "update identity set scim_document = replace(scim_document, 'Ann Other', $1)";
    assert_eq!(tx.query(sql).bind("Ann\u{202e}Other".to_owned()).run().await.unwrap(), 1);
    assert_eq!(tx.query("update directory_group set display_name = $1").bind("st\u{202e}aff".to_owned()).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let (ann, staff) = (format!("/Users/{ann}"), format!("/Groups/{staff}"));
    let mut leaver = named("Ann\u{202e}Other");
    leaver["active"] = json!(false);
    assert_eq!(gateway.put(&ann, leaver).await.expect(200).json()["active"], false);
    let back = json!([{ "op": "replace", "path": "active", "value": true }]);
    assert_eq!(gateway.patch(&ann, back).await.expect(200).json()["active"], true);
    gateway.put(&staff, group("st\u{202e}aff")).await.expect(200);
    assert_eq!(gateway.get(&staff).await.json().get("members"), None, "the PUT emptied the group");
    gateway.put(&staff, group("st\u{202e}af")).await.expect(400);
    gateway.put(&ann, named("Ann\u{202e}")).await.expect(400);
}
