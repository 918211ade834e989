//! One member more or less costs the same, however many there are.

use rolegate::{
    db::{
        assignment::{NewOrigin, insert_assignments, insert_origins},
        model::load_model,
    },
    domain::{
        assignment::{Holding, Origin, Reach},
        id::AccountId,
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::lists::many;
use crate::common::{
    NOW,
    engines::Engine,
    gateway::{Gateway, OKTA, id},
    statements::{Work, counted, work_of},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A group of so many of the people that [`many`] makes.
async fn group_of(gateway: &Gateway, number: u128, size: i64) -> String {
    let group = id::<()>(number).to_string();
    let (tenant, connection) = (id::<()>(1).to_string(), id::<()>(1).to_string());
    let mut tx = gateway.db().begin().await.unwrap();
    let sql = "insert into directory_group (tenant, id, connection, display_name, display_name_key, pinned_value, pinned_display, version, created_at_ms, changed_at_ms)
        values ($1, $2, $3, 'team', 'team', 'team', 'team', 1, 0, 0)";
    tx.query(sql).bind(&tenant).bind(&group).bind(&connection).run().await.unwrap();
    let sql = "insert into group_member (tenant, directory_group, member, kind)
        with recursive n (i) as (select 1 union all select i + 1 from n where i < $3)
        select $1, $2, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), 'User' from n";
    tx.query(sql).bind(&tenant).bind(&group).bind(size).run().await.unwrap();
    tx.query("analyze").run().await.unwrap();
    tx.commit().await.unwrap();
    group
}

fn person(number: u64) -> String {
    format!("00000000-0000-7000-8000-{}", 100_000_000_000_u64 + number)
}

/// What each of the changes costs: one in by path, one out by filter, the same again by a list of one.
async fn costs(gateway: &Gateway, group: &str, name: &str) -> Vec<Work> {
    let newcomer = person(5000);
    let value = json!([{ "value": newcomer }]);
    let changes = [
        json!([{ "op": "add", "path": "members", "value": value }]),
        json!([{ "op": "remove", "path": format!("members[value eq \"{newcomer}\"]") }]),
        json!([{ "op": "Add", "path": "members", "value": value }]),
        json!([{ "op": "Remove", "path": "members", "value": value }]),
    ];
    let mut costs = Vec::new();
    for (at, operations) in changes.into_iter().enumerate() {
        let (id, path) = (counted(&format!("{name}-{at}")), format!("/Groups/{group}"));
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        gateway.scim_with(OKTA, &[("x-request-id", &id)], "PATCH", &path, Some(body)).await.expect(204);
        costs.push(work_of(&id));
    }
    costs
}

#[rstest]
#[tokio::test]
async fn one_member_costs_the_same_at_ten_and_at_five_thousand(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    many(&gateway).await;
    let (ten, thousands) = (group_of(&gateway, 71, 10).await, group_of(&gateway, 72, 4999).await);
    // What is done once in a while (marks of use, what PostgreSQL asks of its types) is done here.
    costs(&gateway, &ten, &format!("{engine:?}-before")).await;
    let few = costs(&gateway, &ten, &format!("{engine:?}-ten")).await;
    let all = costs(&gateway, &thousands, &format!("{engine:?}-thousands")).await;
    assert_eq!(few, all);
    for work in few {
        assert!((10..40).contains(&work.statements.len()), "{work:?}");
        assert!((5..40).contains(&work.rows_read) && (1..20).contains(&work.rows_written), "{work:?}");
    }
}

#[rstest]
#[tokio::test]
async fn many_new_users_in_one_request_cost_as_many_statements_as_a_few(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let mut counts = Vec::new();
    for (name, size) in [("before", 3), ("few", 10), ("many", 90)] {
        let users = (0..size).map(|n| new_user(&format!("{name}-{n}"))).collect();
        counts.push(statements_of_bulk(&gateway, &format!("{engine:?}-bulk-{name}"), users).await.len());
    }
    assert_eq!(counts[1], counts[2]);
    assert!((8..30).contains(&counts[2]), "{counts:?}");
}

#[rstest]
#[tokio::test]
async fn one_who_is_known_among_new_users_is_looked_for_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let returning = json!({ "schemas": [USER], "userName": "returning", "externalId": "gone" });
    let id = gateway.post("/Users", returning.clone()).await.expect(201).id();
    gateway.delete(&format!("/Users/{id}")).await.expect(204);
    let mut users: Vec<Value> = (0..40).map(|n| new_user(&format!("new-{n}"))).collect();
    users.push(returning);
    let statements = statements_of_bulk(&gateway, &format!("{engine:?}-one-known"), users).await;
    let looks = statements.iter().filter(|sql| sql.starts_with("select account from identity")).count();
    assert_eq!(looks, 1, "{statements:?}");
}

fn new_user(name: &str) -> Value {
    json!({ "schemas": [USER], "userName": name, "externalId": name, "emails": [{ "value": format!("{name}@example.com") }] })
}

/// The statements that create these in one request; all of them are made.
async fn statements_of_bulk(gateway: &Gateway, name: &str, users: Vec<Value>) -> Vec<String> {
    let create = |(n, data)| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": data });
    let operations: Vec<Value> = users.into_iter().enumerate().map(create).collect();
    let id = counted(name);
    let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    let answer = gateway.scim_with(OKTA, &[("x-request-id", &id)], "POST", "/Bulk", Some(body)).await.expect(200).json();
    assert!(answer["Operations"].as_array().unwrap().iter().all(|one| one["status"] == "201"), "{answer}");
    work_of(&id).statements
}

/// Nobody is told of a try that is made again in parts.
#[rstest]
#[tokio::test]
async fn an_owners_account_in_a_bulk_request_is_told_of_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ada = json!({ "schemas": [USER], "userName": "ada", "externalId": "a-1" });
    let account = gateway.post("/Users", ada.clone()).await.expect(201).id();
    let mut tx = gateway.db().begin().await.unwrap();
    let model = load_model(gateway.db(), id(1)).await.unwrap();
    let role = model.role_named("Organization Owner").unwrap().id;
    let holding = Holding { role, organization: id(1), resource_scope: None, reach: Reach::Subtree };
    let (assignment, account_id) = (id(99), AccountId::parse(&account).unwrap());
    insert_assignments(&mut tx, id(1), &[(assignment, account_id, holding)], NOW).await.unwrap();
    let origin = NewOrigin { assignment, account: account_id, origin: Origin::Manual { by: None }, may_delegate: false };
    insert_origins(&mut tx, id(1), &[origin], NOW).await.unwrap();
    tx.commit().await.unwrap();
    gateway.delete(&format!("/Users/{account}")).await.expect(204);

    let create = |name: &str, user| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": user });
    let operations = [create("ada", ada), create("bert", json!({ "schemas": [USER], "userName": "bert" }))];
    let request = counted(&format!("{engine:?}-claim"));
    let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    let answer = gateway.scim_with(OKTA, &[("x-request-id", &request)], "POST", "/Bulk", Some(body)).await.expect(200).json();
    assert_eq!((&answer["Operations"][0]["status"], &answer["Operations"][1]["status"]), (&json!("409"), &json!("201")), "{answer}");
    let work = work_of(&request);
    assert_eq!(work.statements.iter().filter(|sql| sql.starts_with("insert into attention")).count(), 1, "{work:?}");
}
