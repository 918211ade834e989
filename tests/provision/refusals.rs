//! A refused response takes away what it says no more, and gives nothing: neither at once nor when the mapping is evaluated later.

use rolegate::{
    domain::{
        account::{AccountKind, SignInStatus},
        connection::{Authority, MissingGroups, SamlSettings},
        id::AccountId,
    },
    provision::sign_in::Refused,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::story::{ACME, EU, OKTA, Setting, SignIn, Story, US, grants, person, rule};
use crate::common::engines::Engine;

/// Without groups nobody is let in.
fn needs_groups(authority: Authority) -> Setting {
    let setting = Setting::default();
    Setting { authority, saml: SamlSettings { missing_groups: MissingGroups::RefuseSignIn, ..setting.saml }, ..setting }
}

/// Auditors audit and operators operate, by their groups, and sales edit, by their department.
fn mapping(story: &Story) -> Value {
    json!({ "rules": [
        grants(1, r#"groups.value eq "auditors""#, story.role("Auditors"), ACME),
        grants(2, r#"department eq "sales""#, story.role("Editors"), EU),
        grants(4, r#"groups.value eq "operators""#, story.role("Operators"), US),
    ]})
}

/// The same, and support operates in the EU and is no human.
fn with_support(story: &Story) -> Value {
    let mut mapping = mapping(story);
    let rules = mapping["rules"].as_array_mut().unwrap();
    rules.push(grants(3, r#"department eq "support""#, story.role("Operators"), EU));
    rules.push(rule(5, r#"department eq "support""#, &[json!({ "set_kind": "machine" })]));
    mapping
}

const AUDITOR: &str = "auditors at acme: saml_rule okta 1";
const EDITOR: &str = "editors at acme-eu: saml_rule okta 2";
const SUPPORT: &str = "operators at acme-eu: saml_rule okta 3";
const PUSHED_AUDITOR: &str = "auditors at acme: scim_rule okta 1";
const PUSHED_OPERATOR: &str = "operators at acme-us: scim_rule okta 4";

async fn sign_in(story: &Story, department: &str, groups: Option<&[&str]>) -> SignIn {
    story.sign_in_as(OKTA, "ada", json!({ "userName": "ada", "department": department }), groups).await.unwrap()
}

async fn admitted(story: &Story, department: &str, groups: &[&str]) -> AccountId {
    match sign_in(story, department, Some(groups)).await {
        SignIn::Admitted { account, .. } => account,
        SignIn::Refused(why) => panic!("{why}"),
    }
}

async fn refused(story: &Story, department: &str, groups: Option<&[&str]>, why: Refused) {
    let outcome = sign_in(story, department, groups).await;
    assert!(matches!(&outcome, SignIn::Refused(refused) if *refused == why), "{outcome:?}");
}

#[rstest]
#[tokio::test]
async fn what_was_refused_for_want_of_groups_gives_nothing_later(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Authority::ScimElseSaml, Authority::Saml, Authority::Union)] authority: Authority,
) {
    let story = Story::begin_with(engine, needs_groups(authority)).await;
    story.publish(OKTA, mapping(&story)).await;
    let ada = admitted(&story, "sales", &["auditors"]).await;
    assert_eq!(story.held(ada).await, [AUDITOR, EDITOR]);
    refused(&story, "support", None, Refused::GroupsMissing).await;
    assert_eq!(story.held(ada).await, [AUDITOR], "the last groups stand, and she is no longer in sales");

    // By the facts that are left she would operate, once a rule says so. Nobody accepted them.
    let before = story.audited().await;
    story.publish(OKTA, with_support(&story)).await;
    story.publish(OKTA, with_support(&story)).await;
    assert_eq!((story.held(ada).await, story.audited().await), (vec![AUDITOR.to_owned()], before));
    assert_eq!(story.account(ada).await.account.kind, AccountKind::Human);
    // A second refusal is none the wiser.
    refused(&story, "support", None, Refused::GroupsMissing).await;
    story.publish(OKTA, with_support(&story)).await;
    assert_eq!(story.held(ada).await, [AUDITOR]);

    admitted(&story, "support", &["auditors"]).await;
    assert_eq!(story.held(ada).await, [AUDITOR, SUPPORT]);
    assert_eq!(story.account(ada).await.account.kind, AccountKind::Machine);
    // What was accepted is evaluated as ever.
    story.publish(OKTA, json!({ "rules": [] })).await;
    assert_eq!(story.held(ada).await, Vec::<String>::new());
    story.publish(OKTA, with_support(&story)).await;
    assert_eq!(story.held(ada).await, [AUDITOR, SUPPORT]);
}

#[rstest]
#[tokio::test]
async fn what_a_blocked_person_brought_gives_nothing_once_they_are_not_blocked_any_more(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let story = Story::begin_with(engine, needs_groups(Authority::default())).await;
    story.publish(OKTA, mapping(&story)).await;
    let ada = admitted(&story, "sales", &["auditors"]).await;
    story.decide(ada, SignInStatus::Blocked).await;
    refused(&story, "support", None, Refused::Blocked).await;
    story.decide(ada, SignInStatus::Active).await;
    story.publish(OKTA, with_support(&story)).await;
    assert_eq!(story.held(ada).await, [AUDITOR]);
    admitted(&story, "support", &[]).await;
    assert_eq!(story.held(ada).await, [SUPPORT]);
}

#[rstest]
#[tokio::test]
async fn what_scim_gives_is_given_whatever_was_refused(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Authority::ScimElseSaml, Authority::Scim, Authority::Union)] authority: Authority,
) {
    let story = Story::begin_with(engine, needs_groups(authority)).await;
    story.publish(OKTA, mapping(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let auditors = story.create_group(OKTA, "auditors", &[ada]).await.unwrap();
    refused(&story, "support", None, Refused::GroupsMissing).await;
    assert_eq!(story.held(ada).await, [PUSHED_AUDITOR]);

    // What is pushed, taken back and pushed again takes effect at once, by a job too; the refused department never does.
    story.create_group(OKTA, "operators", &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, [PUSHED_AUDITOR, PUSHED_OPERATOR]);
    story.leave(OKTA, auditors, &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, [PUSHED_OPERATOR]);
    story.publish(OKTA, json!({ "rules": [] })).await;
    assert_eq!(story.held(ada).await, Vec::<String>::new());
    story.join(OKTA, auditors, &[ada]).await.unwrap();
    story.publish(OKTA, with_support(&story)).await;
    assert_eq!(story.held(ada).await, [PUSHED_AUDITOR, PUSHED_OPERATOR]);
    assert_eq!(story.account(ada).await.account.kind, AccountKind::Human);

    admitted(&story, "support", &[]).await;
    let given =
        if authority == Authority::Union { vec![PUSHED_AUDITOR, SUPPORT, PUSHED_OPERATOR] } else { vec![PUSHED_AUDITOR, PUSHED_OPERATOR] };
    assert_eq!(story.held(ada).await, given);
}
