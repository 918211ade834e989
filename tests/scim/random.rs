//! Filters in memory and filters in the database find the same, on random people and random filters.

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rolegate::scim::{filter::Filter, schema::Schemas};
use rstest::rstest;
use serde_json::{Map, Value, json};

use crate::common::{engines::Engine, gateway::Gateway};

const PEOPLE: usize = 40;
/// `PROPTEST_CASES`, as `make fuzz` sets it, or these.
const FILTERS: usize = 300;
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Few letters, so that texts meet: of both cases, composed and decomposed, beyond the basic plane, and what SQL would take for its own.
fn text() -> BoxedStrategy<String> {
    proptest::string::string_regex("[aAbBÄäßİ%_'\"\\\\ \u{301}\u{ffff}\u{1F600}]{0,4}").unwrap().boxed()
}

fn person() -> impl Strategy<Value = Value> {
    let email = (text(), proptest::sample::select(vec!["work", "home"]), any::<bool>());
    let optional = || proptest::option::of(text());
    (
        text(),
        (optional(), optional(), optional(), optional(), optional()),
        proptest::option::of(any::<bool>()),
        proptest::collection::vec(email, 0..3),
    )
        .prop_map(|(name, (external, display, title, family, department), active, emails)| {
            let mut map = Map::new();
            let mut put = |key: &str, value: Value| {
                if !value.is_null() {
                    map.insert(key.to_owned(), value);
                }
            };
            put("userName", json!(format!("{name}.")));
            put("externalId", json!(external));
            put("displayName", json!(display));
            put("title", json!(title));
            put("name", family.map_or(Value::Null, |family| json!({ "familyName": family })));
            put(ENTERPRISE, department.map_or(Value::Null, |department| json!({ "department": department })));
            put("active", json!(active));
            let emails: Vec<Value> = emails.into_iter().map(|(value, kind, _)| json!({ "value": value, "type": kind })).collect();
            put("emails", json!(emails));
            Value::Object(map)
        })
}

fn filter(ids: Vec<String>) -> impl Strategy<Value = String> {
    let attribute = proptest::sample::select(vec![
        "id",
        "userName",
        "externalId",
        "displayName",
        "title",
        "active",
        "name.familyName",
        "department",
        "emails",
        "emails.value",
        "emails.type",
        "emails[type eq \"work\"].value",
        "meta.created",
        "nothing",
    ]);
    let operator = proptest::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]);
    let literal = prop_oneof![
        6 => text().prop_map(|text| json!(text).to_string()),
        2 => proptest::sample::select(ids).prop_map(|id| json!(id).to_string()),
        1 => Just("true".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("7".to_owned()),
        1 => Just("\"2026-03-03T01:06:50Z\"".to_owned()),
    ];
    let inner = (proptest::sample::select(vec!["value", "type"]), operator.clone(), text())
        .prop_map(|(name, op, text)| format!("{name} {op} {}", json!(text)))
        .boxed();
    let element = (inner.clone(), proptest::sample::select(vec!["and", "or", "and not"]), inner)
        .prop_map(|(a, word, b)| if word == "and not" { format!("emails[{a} and not ({b})]") } else { format!("emails[{a} {word} {b}]") });
    let leaf = prop_oneof![
        8 => (attribute.clone(), operator, literal).prop_map(|(path, op, value)| format!("{path} {op} {value}")),
        1 => attribute.prop_map(|path| format!("{path} pr")),
        1 => element,
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

fn runner() -> TestRunner {
    let config = Config::default();
    // Long runs look further each time, a test's run always at the same.
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return TestRunner::new(config);
    }
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

#[rstest]
#[tokio::test]
async fn a_filter_finds_the_same_in_memory_and_in_the_database(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let mut runner = runner();
    let mut ids = Vec::new();
    while ids.len() < PEOPLE {
        let person = person().new_tree(&mut runner).unwrap().current();
        let answer = gateway.post("/Users", person).await;
        // Two may have been given one name.
        if answer.status.as_u16() != 409 {
            ids.push(answer.expect(201).id());
        }
        gateway.app.clock.advance_secs(1);
    }
    let all = gateway.get("/Users?count=1000").await.expect(200).json();
    let all = all["Resources"].as_array().unwrap();
    let schema = &Schemas::standard().user;
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(FILTERS);
    let mut found = 0;
    for _ in 0..wanted {
        let text = filter(ids.clone()).new_tree(&mut runner).unwrap().current();
        let filter = Filter::parse(&text).unwrap();
        if filter.check(schema).is_err() {
            gateway.filter("/Users", &text).await.expect(400);
            continue;
        }
        let expected: Vec<&Value> =
            all.iter().filter(|document| filter.matches(document.as_object().unwrap(), schema)).map(|document| &document["id"]).collect();
        let list = gateway.filter("/Users", &text).await.expect(200).json();
        let listed: Vec<&Value> = list["Resources"].as_array().unwrap().iter().map(|document| &document["id"]).collect();
        assert_eq!(listed, expected, "{text}");
        found += expected.len();
    }
    assert!(found > wanted, "the filters find somebody");
}
