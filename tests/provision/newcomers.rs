//! Many new people by a few statements are the same people as one after the other.

use rolegate::{
    db,
    domain::{actor::Occasion, id::AccountId},
    provision::{self, ProvisionError, Published},
};
use rstest::rstest;
use serde_json::{Value, json};

use super::story::{ACME, EU, Idp, OKTA, Story, grants, person, rule, scim, user};
use crate::common::engines::Engine;

/// `None` when they have to be created one by one.
async fn create_together(story: &Story, idp: Idp, bodies: &[Value]) -> Result<Option<Vec<AccountId>>, ProvisionError> {
    let work = async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| {
        let users = bodies.iter().cloned().map(user).collect();
        provision::user::create_users(tx, published, occasion, users).await
    };
    let rows = story.at(idp, scim(idp), work).await?;
    Ok(rows.map(|rows| rows.iter().map(|row| row.id).collect()))
}

/// Some blocked, some in another organization, some refused, some with roles by rules.
fn people() -> Vec<Value> {
    let one = |n: usize| {
        let mut person = person(&format!("p{n}"));
        person["externalId"] = json!(format!("x{n}"));
        person["active"] = json!(!n.is_multiple_of(5));
        person["title"] = json!(["editor", "EU", "guest"][n % 3]);
        person["emails"] = json!([{ "value": format!("p{n}@acme.example") }, { "value": format!("q{n}@acme.example") }]);
        person
    };
    (0..40).map(one).collect()
}

fn mapping(story: &Story) -> Value {
    json!({
        "default": { "roles": [story.role("Organization Member")], "apply": "on_create" },
        "rules": [
            grants(1, r#"title eq "editor""#, story.role("Editors"), ACME),
            grants(2, r#"title eq "EU""#, story.role("Auditors"), EU),
            rule(3, r#"title eq "EU""#, &[json!({ "set_home_organization": { "template": "acme-{title | lower}" } })]),
            rule(4, r#"title eq "guest""#, &[json!({ "deny_sign_in": { "message": "Guests do not sign in here." } })]),
        ]
    })
}

async fn told(story: &Story, accounts: &[AccountId]) -> Vec<(String, Vec<String>, Option<String>)> {
    let mut told = Vec::new();
    for account in accounts {
        let row = story.account(*account).await;
        let at = format!("{:?} {:?} {:?}", row.account.status, row.standing, row.account.home_organization);
        told.push((at, story.held(*account).await, row.account.email));
    }
    told
}

#[rstest]
#[tokio::test]
async fn together_or_one_after_the_other_they_are_the_same(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (singly, together) = (Story::begin(engine).await, Story::begin(engine).await);
    let mut one_by_one = Vec::new();
    for story in [&singly, &together] {
        story.publish(OKTA, mapping(story)).await;
    }
    for body in people() {
        one_by_one.push(singly.create(OKTA, body).await.unwrap());
    }
    let at_once = create_together(&together, OKTA, &people()).await.unwrap().unwrap();
    let expected = told(&singly, &one_by_one).await;
    assert!(expected.iter().any(|(_, held, _)| held.iter().any(|held| held.contains("editors"))));
    let moved = expected
        .iter()
        .filter(|(at, _, _)| at.ends_with(&format!("Some({})", together.holding("Editors", "acme-eu").organization)))
        .count();
    assert_eq!(moved, 13, "those whose title names it are at home there");
    assert_eq!(told(&together, &at_once).await, expected);
    assert_eq!(together.audited().await, singly.audited().await);
    let counts = [
        "select count(*) from identity where scim_state = 'live' and mapping_version > 0",
        "select count(*) from identity_email",
        "select count(*) from membership",
        "select count(*) from outbox",
        "select cast(sum(value) as bigint) from counter",
    ];
    for sql in counts {
        let count = singly.count(sql).await;
        assert!(count >= 40, "{sql}: {count}");
        assert_eq!(together.count(sql).await, count, "{sql}");
    }
}

#[rstest]
#[case::signed_in_before(person("ada"))]
#[case::deleted_before(json!({ "userName": "new", "externalId": "gone" }))]
#[case::twice(json!({ "userName": "another", "externalId": "x1" }))]
#[tokio::test]
async fn who_may_be_known_is_looked_at_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine, #[case] known: Value) {
    let story = Story::begin(engine).await;
    story.admitted(OKTA, "ada", None).await;
    let gone = story.create(OKTA, json!({ "userName": "old", "externalId": "gone" })).await.unwrap();
    story.delete(OKTA, gone).await.unwrap();
    let audited = story.audited().await;
    let mut bodies = people();
    bodies.truncate(3);
    assert_eq!(create_together(&story, OKTA, &[bodies.clone(), vec![known]].concat()).await.unwrap(), None);
    assert_eq!(story.audited().await, audited, "nothing was done");
    assert_eq!(create_together(&story, OKTA, &bodies).await.unwrap().map(|made| made.len()), Some(3));
}

#[rstest]
#[tokio::test]
async fn a_name_that_is_taken_stops_all_of_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.create(OKTA, person("P2")).await.unwrap();
    let before = story.count("select count(*) from account").await;
    let refused = create_together(&story, OKTA, &people()).await.unwrap_err();
    assert!(matches!(refused, ProvisionError::Taken("userName")), "{refused}");
    assert_eq!(story.count("select count(*) from account").await, before);
}
