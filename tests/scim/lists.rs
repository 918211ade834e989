//! Lists: filters, pages, what they cost.

use rolegate::{
    db::{
        Db,
        directory::{Directory, Places, ids_from_end_sql, ids_sql, list_ids_from_end, page_sql},
        filter::{Condition, Resources},
    },
    domain::id::kind,
    scim::{filter::Filter, schema::Schemas},
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};

use super::{groups::group, users::anna};
use crate::common::{
    engines::Engine,
    gateway::{ENTRA, Gateway, id},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// People who differ in everything that is filtered by, a second apart.
async fn crowd(gateway: &Gateway) -> Vec<String> {
    let people = json!([
        { "userName": "Anna@Example.com", "externalId": "A1", "displayName": "Anna", "active": true, "title": "Boss",
          "emails": [{ "value": "Anna@Work.example", "type": "work", "primary": true }, { "value": "anna@home.example", "type": "home" }],
          ENTERPRISE: { "manager": { "value": "m1" }, "department": "Sales" } },
        { "userName": "ben@example.com", "externalId": "a1", "displayName": "Ben Ärger", "active": false, "title": "boss",
          "emails": [{ "value": "ben@work.example", "type": "work" }] },
        { "userName": "ÇELIK@example.com", "displayName": "100% Çelik_", "emails": [{ "type": "home" }] },
        { "userName": "dora", "externalId": "00012", "active": true, "emails": [{ "value": "anna@work.example", "type": "home" }] },
        { "userName": "e\\f\"g", "externalId": "A", "displayName": "an", "name": { "familyName": "Fast" } },
        { "userName": "\u{1F600}x", "externalId": "\u{1F600}", "displayName": "\u{ffff}end", "active": false, "nickName": "" },
    ]);
    let mut ids = Vec::new();
    for person in people.as_array().unwrap() {
        ids.push(gateway.post("/Users", person.clone()).await.expect(201).id());
        gateway.app.clock.advance_secs(1);
    }
    ids
}

/// Comparisons of every attribute, alone, denied and combined.
fn filters(ids: &[String], attributes: &[&str], values: &[&str]) -> Vec<String> {
    let mut simple = Vec::new();
    for attribute in attributes {
        simple.push(format!("{attribute} pr"));
        for value in values.iter().copied().chain([ids[1].as_str(), &ids[2][..20]]) {
            let value = Value::from(value).to_string();
            for operator in ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"] {
                simple.push(format!("{attribute} {operator} {value}"));
            }
        }
        simple.extend(["eq null", "ne null", "eq true", "ne false", "ne 7"].map(|rest| format!("{attribute} {rest}")));
    }
    let denied: Vec<String> = simple.iter().map(|filter| format!("not ({filter})")).collect();
    // Pairs that a fixed stride chooses.
    let pairs =
        simple.iter().zip(denied.iter().cycle().skip(97)).zip(simple.iter().cycle().skip(211)).enumerate().map(|(n, ((a, b), c))| {
            let shapes = [
                format!("{a} and {b}"),
                format!("{a} or {b}"),
                format!("not ({a} and {c})"),
                format!("not ({a} or {b}) and {c}"),
                format!("{a} and ({b} or {c})"),
            ];
            shapes[n % 5].clone()
        });
    let pairs: Vec<String> = pairs.collect();
    // One of seven: each attribute meets each operator, and the suite stays quick.
    simple.into_iter().chain(denied).chain(pairs).step_by(7).collect()
}

/// The list of a filter is what a look at every document gives.
async fn agrees(gateway: &Gateway, collection: &str, filters: &[String]) {
    let schemas = Schemas::standard();
    let schema = if collection == "/Users" { &schemas.user } else { &schemas.group };
    let all = gateway.get(collection).await.expect(200).json();
    let all = all["Resources"].as_array().unwrap();
    let mut asked = 0;
    for text in filters {
        let filter = Filter::parse(text).unwrap();
        if filter.check(schema).is_err() {
            gateway.filter(collection, text).await.expect(400);
            continue;
        }
        asked += 1;
        let expected: Vec<&Value> = all.iter().filter(|document| filter.matches(document.as_object().unwrap(), schema)).collect();
        let list = gateway.filter(collection, text).await.expect(200).json();
        assert_eq!(list["Resources"].as_array().unwrap().iter().collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(list["totalResults"], expected.len(), "{text}");
    }
    assert!(asked * 2 > filters.len(), "most of the filters make sense");
}

#[rstest]
#[tokio::test]
async fn a_filter_finds_those_users_whose_documents_match(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = crowd(&gateway).await;
    let groups = gateway.post("/Groups", group("Team", &[&ids[0], &ids[3]])).await.expect(201).id();
    // Somebody else's, and a tombstone, are never seen.
    gateway.scim_with(ENTRA, &[], "POST", "/Users", Some(anna())).await.expect(201);
    let gone = gateway.post("/Users", json!({ "userName": "gone", "externalId": "A1" })).await.expect(201).id();
    gateway.delete(&format!("/Users/{gone}")).await.expect(204);

    let attributes = [
        "id",
        "userName",
        "externalId",
        "displayName",
        "active",
        "title",
        "emails",
        "emails.value",
        "emails.type",
        "meta.created",
        "meta.lastModified",
        "meta.version",
        "groups",
        "groups.value",
        "manager",
        "nothing",
    ];
    let values =
        ["anna@example.com", "A1", "a", "\u{ffff}", "ärg", "%", "_", "true", "2026-03-03T01:06:42Z", "", "\"g", "\u{1F600}", &groups];
    let mut filters = filters(&ids, &attributes, &values);
    filters.extend(
        [
            r#"emails[type eq "work" and value eq "anna@work.example"]"#,
            r#"emails[type eq "work"].value eq "ANNA@work.example""#,
            r#"emails[value co "anna" and (value ew "example" or type eq "home")]"#,
            r#"not (emails[type eq "work" and value sw "anna"])"#,
            r#"emails[not (value eq "anna@work.example")]"#,
            r#"emails[value pr and type eq "home"]"#,
            r#"emails[value ne "anna@work.example"]"#,
            r#"groups[display eq "team"]"#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "sales""#,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr",
            r#"name.familyName eq "fast" or userName eq "dora""#,
            r#"meta.resourceType eq "User" and meta.location co "acme-okta""#,
            r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#,
        ]
        .map(str::to_owned),
    );
    agrees(&gateway, "/Users", &filters).await;
}

#[rstest]
#[tokio::test]
async fn a_filter_finds_those_groups_whose_documents_match(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = crowd(&gateway).await;
    let mut outer = group("Ärzte", &[&ids[0]]);
    outer["externalId"] = "G1".into();
    let inner = gateway.post("/Groups", outer).await.expect(201).id();
    gateway.app.clock.advance_secs(1);
    gateway.post("/Groups", group("all", &[&ids[0], &ids[1], &inner])).await.expect(201);
    gateway.post("/Groups", group("All", &[])).await.expect(201);
    let attributes =
        ["id", "displayName", "externalId", "members", "members.value", "members.type", "meta.created", "meta.lastModified", "nothing"];
    let values = ["all", "ÄRZ", "G1", "g", "User", "2026-03-03T01:06:47Z", "", &inner, &ids[0]];
    let mut filters = filters(&ids, &attributes, &values);
    filters.push(format!(r#"members[value eq "{}" and type eq "User"]"#, ids[1]));
    filters.push(format!(r#"not (members[value eq "{}"])"#, ids[1]));
    agrees(&gateway, "/Groups", &filters).await;
}

#[rstest]
#[tokio::test]
async fn pages_cover_a_list_without_gap_or_overlap(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for n in 0..25 {
        gateway
            .post("/Users", json!({ "userName": format!("user{n:02}"), "title": if n % 2 == 0 { "even" } else { "odd" } }))
            .await
            .expect(201);
    }
    // Counted by a counter, by a walk over documents, by the database.
    for (filter, total) in [("", 25), ("&filter=title%20eq%20%22EVEN%22", 13), ("&filter=userName%20sw%20%22user1%22", 10)] {
        let whole = gateway.get(&format!("/Users?count=1000{filter}")).await.expect(200);
        assert_eq!((whole.json()["totalResults"].clone(), whole.names().len()), (json!(total), total));
        let mut collected = Vec::new();
        for start in (1..=25).step_by(4) {
            let page = gateway.get(&format!("/Users?startIndex={start}&count=4{filter}")).await.expect(200);
            let json = page.json();
            assert_eq!((&json["totalResults"], &json["startIndex"]), (&json!(total), &json!(start)), "{filter} from {start}");
            assert_eq!(json["itemsPerPage"], page.names().len());
            collected.extend(page.names());
        }
        assert_eq!(collected, whole.names(), "{filter}");
        let none = gateway.get(&format!("/Users?count=0{filter}")).await.expect(200).json();
        assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(total), &json!([])));
        let beyond = gateway.get(&format!("/Users?startIndex=1000{filter}")).await.expect(200).json();
        assert_eq!((&beyond["totalResults"], &beyond["Resources"]), (&json!(total), &json!([])));
    }
    let odd = gateway.get("/Users?startIndex=-5&count=-1&aadOptscim062020&&").await.expect(200).json();
    assert_eq!((&odd["startIndex"], &odd["itemsPerPage"], &odd["totalResults"]), (&json!(1), &json!(0), &json!(25)));
    let nobody = gateway.filter("/Users", r#"userName eq "nobody""#).await.expect(200).json();
    assert_eq!((&nobody["totalResults"], &nobody["Resources"]), (&json!(0), &json!([])));
}

#[rstest]
#[tokio::test]
async fn a_list_sends_what_was_chosen(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = crowd(&gateway).await;
    gateway.post("/Groups", group("Team", &[&ids[0]])).await.expect(201);
    let list = gateway.get("/Users?attributes=userName,groups.display&count=1").await.expect(200).json();
    let first = json!({ "schemas": list["Resources"][0]["schemas"], "id": ids[0], "userName": "Anna@Example.com",
        "groups": [{ "display": "Team" }] });
    assert_eq!(list["Resources"][0], first);
    let list = gateway.get("/Groups?excludedAttributes=members").await.expect(200).json();
    assert_eq!(list["Resources"][0].get("members"), None);
    let list = gateway.get("/Groups").await.expect(200).json();
    assert_eq!(list["Resources"][0]["members"][0]["value"], ids[0]);
}

/// Look-ups that identity providers do for every person, and the indexes that may answer them.
const LOOK_UPS: [(&str, &[&str]); 10] = [
    (r#"userName eq "user777@example.com""#, &["identity_by_user_name"]),
    (r#"externalId eq "ext777""#, &["identity_by_external_id"]),
    (r#"displayName eq "User 777""#, &["identity_by_display_name"]),
    (r#"displayName sw "User 777""#, &["identity_by_display_name"]),
    (r#"emails.value eq "user777@example.com""#, &["identity_email_by_value"]),
    (r#"emails[type eq "work"].value eq "user777@example.com""#, &["identity_email_by_value"]),
    (r#"id eq "00000000-0000-7000-8000-100000000777""#, &BY_ID),
    (r#"id eq "00000000-0000-7000-8000-100000000777" and manager eq "x""#, &BY_ID),
    (r#"meta.lastModified gt "1970-01-01T00:00:04.990Z""#, &["identity_by_change"]),
    ("id pr", &BY_ID),
];
const LOOK_UPS_OF_GROUPS: [(&str, &[&str]); 7] = [
    (r#"displayName eq "Group 777""#, &["directory_group_by_display_name"]),
    (r#"displayName sw "Group 777""#, &["directory_group_by_display_name"]),
    (r#"externalId eq "ext777""#, &["directory_group_by_external_id"]),
    (r#"id eq "00000000-0000-7000-8000-100000000777""#, &GROUP_BY_ID),
    (r#"members.value eq "00000000-0000-7000-8000-100000000777""#, &["group_member_by_member"]),
    (r#"meta.lastModified gt "1970-01-01T00:00:04.990Z""#, &["directory_group_by_change"]),
    ("id pr", &GROUP_BY_ID),
];
const GROUP_BY_ID: [&str; 3] = ["directory_group_listed", "directory_group_pkey", "sqlite_autoindex_directory_group_1"];
const BY_ID: [&str; 3] = ["identity_listed", "identity_pkey", "sqlite_autoindex_identity_1"];

#[rstest]
#[tokio::test]
async fn a_look_up_among_many_uses_an_index(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    many(&gateway).await;
    let users = LOOK_UPS.into_iter().map(|look_up| (Resources::Users, look_up));
    for (resources, (filter, indexes)) in users.chain(LOOK_UPS_OF_GROUPS.into_iter().map(|look_up| (Resources::Groups, look_up))) {
        let condition = Condition::of(&Filter::parse(filter).unwrap(), resources);
        // A time stands in the text: what is bound below are texts.
        let sql = page_sql(&condition, resources, false).replace("_at_ms > $3", "_at_ms > 4990");
        let plan = explain(&gateway, &sql).await;
        assert!(indexes.iter().any(|name| plan.contains(name)), "{resources:?}: {filter}: {plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("SCAN"), "{resources:?}: {filter}: {plan}");
    }
}

#[rstest]
#[tokio::test]
async fn what_a_page_passes_over_is_passed_in_an_index_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    many(&gateway).await;
    if let Db::Postgres(server) = gateway.db() {
        // As autovacuum does: only then it knows of the pages whose rows everybody sees.
        sqlx::query("vacuum analyze").execute(server.pool()).await.unwrap();
    }
    for resources in [Resources::Users, Resources::Groups] {
        let forward = ids_sql(&Condition::all(), resources);
        for sql in [forward, ids_from_end_sql(resources)] {
            let plan = explain(&gateway, &sql).await;
            assert!(plan.contains("Index Only Scan") || plan.contains("COVERING INDEX"), "{resources:?}: {plan}");
            assert!(!plan.contains("SORT") && !plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{resources:?}: {plan}");
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_page_is_the_same_from_either_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for n in 0..9 {
        gateway.post("/Users", json!({ "schemas": [USER], "userName": format!("u{n}") })).await.expect(201);
    }
    let listed = async |query: String| {
        let answer = gateway.get(&format!("/Users?{query}")).await.expect(200).json();
        let names: Vec<String> =
            answer["Resources"].as_array().into_iter().flatten().map(|one| one["userName"].as_str().unwrap().to_owned()).collect();
        (answer["totalResults"].as_u64().unwrap(), names)
    };
    let (_, all) = listed("count=100".to_owned()).await;
    assert_eq!(all.len(), 9);
    for start in 1..=11 {
        for count in [1, 2, 4, 100] {
            let expected: Vec<String> = all.iter().skip(start - 1).take(count).cloned().collect();
            assert_eq!(listed(format!("startIndex={start}&count={count}")).await, (9, expected), "{start}, {count}");
        }
    }
}

#[rstest]
#[tokio::test]
async fn who_comes_while_a_page_is_sought_from_the_end_shifts_nobody(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(gateway.post("/Users", json!({ "schemas": [USER], "userName": format!("u{n}") })).await.expect(201).id());
    }
    ids.sort();
    let directory = Directory { tenant: id(1), connection: id(1) };
    let page = async |total| {
        let found = list_ids_from_end::<kind::Account>(gateway.db(), directory, Resources::Users, total, Places { offset: 2, limit: 1 });
        found.await.unwrap().map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(page(4).await, Some(vec![ids[2].clone()]));
    assert_eq!(page(3).await, None, "one came since they were counted");
    assert_eq!(page(5).await, None, "one went since they were counted");
}

/// 5,000 people and as many groups of one of them each, written without the core.
pub async fn many(gateway: &Gateway) {
    let statements = [
        "insert into account (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
            select $1, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), 'user', 'user', 'human', 'active', false, false, 0, 0
            from n where $2 = $2",
        "insert into identity (tenant, connection, account, active, scim_state, scim_document, scim_user_name_key, scim_external_id,
                scim_display_name_key, scim_version, scim_created_at_ms, scim_changed_at_ms, mapping_version)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
            select $1, $2, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), true, 'live', '{}', 'user' || i || '@example.com',
                'ext' || i, 'user ' || i, 1, i, i, 0 from n",
        "insert into identity_email (tenant, connection, account, position, value_key)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
            select $1, $2, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), 0, 'user' || i || '@example.com' from n",
        "insert into directory_group (tenant, id, connection, external_id, display_name, display_name_key, pinned_value, pinned_display, version, created_at_ms, changed_at_ms)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
            select $1, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), $2, 'ext' || i, 'Group', 'group ' || i, 'g', 'g', 1, i, i from n",
        "insert into group_member (tenant, directory_group, member, kind)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
            select $1, '00000000-0000-7000-8000-' || cast(100000000000 + i as text), '00000000-0000-7000-8000-' || cast(100000000000 + i as text), 'User'
            from n where $2 = $2",
    ];
    let (tenant, connection) = (id::<()>(1).to_string(), id::<()>(1).to_string());
    for sql in statements {
        let mut tx = gateway.db().begin().await.unwrap();
        tx.query(sql).bind(&tenant).bind(&connection).run().await.unwrap();
        tx.commit().await.unwrap();
        // Without numbers about a table PostgreSQL checks its foreign keys by whatever index it finds first.
        let mut tx = gateway.db().begin().await.unwrap();
        tx.query("analyze").run().await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn explain(gateway: &Gateway, sql: &str) -> String {
    let span = if sql.contains(" offset $") { vec![20, 500] } else { vec![200] };
    let last =
        sql.split('$').skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().unwrap());
    let values = last.max().unwrap() - 2 - span.len();
    let places = [id::<()>(1).to_string(), id::<()>(1).to_string()];
    let places = places.into_iter().chain(vec!["user 777".to_owned(); values]);
    match gateway.db() {
        Db::Sqlite { readers, .. } => {
            let query = sqlx::query(AssertSqlSafe(format!("explain query plan {sql}")));
            let query = span.into_iter().fold(places.fold(query, sqlx::query::Query::bind), sqlx::query::Query::bind::<i64>);
            query
                .fetch_all(&mut *readers.acquire().await.unwrap())
                .await
                .unwrap()
                .iter()
                .map(|row| row.get::<String, _>("detail") + "\n")
                .collect()
        }
        Db::Postgres(server) => {
            let query = sqlx::query(AssertSqlSafe(format!("explain {sql}")));
            let query = span.into_iter().fold(places.fold(query, sqlx::query::Query::bind), sqlx::query::Query::bind::<i64>);
            query.fetch_all(server.pool()).await.unwrap().iter().map(|row| row.get::<String, _>(0) + "\n").collect()
        }
    }
}
