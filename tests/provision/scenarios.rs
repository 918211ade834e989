//! What public trackers show other products failing, each a test by the number of its scenario, on both engines.

use rolegate::{
    db::counter::{self, USERS},
    domain::{
        account::{AccountKind, SignInStatus},
        connection::{Authority, Jit, MissingGroups, SamlSettings},
    },
    provision::{ProvisionError, sign_in::Refused},
    scim::group::{GroupChange, MemberChange},
};
use rstest::rstest;
use serde_json::json;

use super::story::{ACME, ENTRA, EU, OKTA, Setting, SignIn, Story, US, grants, group_member, id, people, person, rule};
use crate::common::engines::Engine;

/// Members of `editors` edit in the EU, those of `auditors` audit everything.
fn two_rules(story: &Story) -> serde_json::Value {
    json!({ "rules": [
        grants(1, r#"groups.value eq "editors""#, story.role("Editors"), EU),
        grants(2, r#"groups.value eq "auditors""#, story.role("Auditors"), ACME),
    ]})
}

const EDITORS_BY_SAML: &str = "editors at acme-eu: saml_rule okta 1";
const EDITORS_BY_SCIM: &str = "editors at acme-eu: scim_rule okta 1";
const AUDITORS_BY_SAML: &str = "auditors at acme: saml_rule okta 2";
const OWNER: &str = "Organization Owner";

fn nothing() -> Vec<String> {
    Vec::new()
}

/// Scenario 1.
#[rstest]
#[tokio::test]
async fn a_group_gone_from_the_assertion_withdraws_its_role_also_the_last_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors", "auditors"])).await;
    assert_eq!(story.held(ada).await, [AUDITORS_BY_SAML, EDITORS_BY_SAML]);

    story.admitted(OKTA, "ada", Some(&["editors"])).await;
    assert_eq!(story.held(ada).await, [EDITORS_BY_SAML]);

    story.admitted(OKTA, "ada", Some(&[])).await;
    assert_eq!(story.held(ada).await, nothing());
}

/// Scenario 1, by SCIM.
#[rstest]
#[tokio::test]
async fn leaving_a_group_withdraws_its_role_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let editors = story.create_group(OKTA, "editors", &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);

    story.leave(OKTA, editors, &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, nothing());

    story.join(OKTA, editors, &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);
    story.delete_group(OKTA, editors).await.unwrap();
    assert_eq!(story.held(ada).await, nothing());
}

/// Scenario 2.
#[rstest]
#[tokio::test]
async fn a_role_given_by_hand_survives_sign_ins_and_syncs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    assert!(story.grant(ada, "Editors", "acme-eu").await.unwrap());
    assert!(!story.grant(ada, "Editors", "acme-eu").await.unwrap(), "a second time is no news");
    assert_eq!(story.held(ada).await, ["editors at acme-eu: manual", EDITORS_BY_SAML]);

    story.admitted(OKTA, "ada", Some(&[])).await;
    story.publish(OKTA, json!({ "rules": [] })).await;
    assert_eq!(story.held(ada).await, ["editors at acme-eu: manual"]);

    assert!(story.revoke(ada, "Editors", "acme-eu").await.unwrap());
    assert_eq!(story.held(ada).await, nothing());
}

/// Scenario 3.
#[rstest]
#[tokio::test]
async fn a_response_that_says_nothing_of_groups_withdraws_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    story.admitted(OKTA, "ada", None).await;
    assert_eq!(story.held(ada).await, [EDITORS_BY_SAML]);
}

/// Scenario 3, where the connection says otherwise.
#[rstest]
#[tokio::test]
async fn missing_groups_can_mean_none_or_a_refusal(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let with = |missing_groups| Setting { saml: SamlSettings { missing_groups, ..Setting::default().saml }, ..Setting::default() };
    let story = Story::begin_with(engine, with(MissingGroups::Empty)).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    story.admitted(OKTA, "ada", None).await;
    assert_eq!(story.held(ada).await, nothing());

    let story = Story::begin_with(engine, with(MissingGroups::RefuseSignIn)).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    story.session(ada, Some(OKTA)).await;
    assert!(matches!(story.sign_in(OKTA, "ada", None).await.unwrap(), SignIn::Refused(Refused::GroupsMissing)));
    assert_eq!(story.held(ada).await, [EDITORS_BY_SAML]);
    assert_eq!(story.sessions().await, 0, "a refusal of somebody known ends their sessions");
    assert!(matches!(story.sign_in(OKTA, "eve", None).await.unwrap(), SignIn::Refused(Refused::GroupsMissing)));
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, 1, "of somebody unknown nothing is made");
}

/// Scenario 4.
#[rstest]
#[tokio::test]
async fn a_default_of_creation_is_not_given_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, json!({ "default": { "roles": [story.role("Organization Member")], "apply": "on_create" } })).await;
    let ada = story.admitted(OKTA, "ada", Some(&[])).await;
    let member = ["organization member at acme: default okta"];
    assert_eq!(story.held(ada).await, member);
    story.admitted(OKTA, "ada", Some(&[])).await;
    assert_eq!(story.held(ada).await, member, "nor is it withdrawn");

    story.publish(OKTA, json!({ "default": { "roles": [story.role("Auditors")], "apply": "on_create" } })).await;
    story.admitted(OKTA, "ada", Some(&["any"])).await;
    assert_eq!(story.held(ada).await, member, "a later default is for those who come later");
}

/// Scenario 5.
#[rstest]
#[tokio::test]
async fn two_connections_do_not_withdraw_each_others_grants(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    story.publish(ENTRA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    story.link(ENTRA, ada, "ada@entra").await;
    story.admitted(ENTRA, "ada@entra", Some(&["editors"])).await;
    let by_entra = "editors at acme-eu: saml_rule entra 1";
    assert_eq!(story.held(ada).await, [by_entra, EDITORS_BY_SAML]);

    story.admitted(OKTA, "ada", Some(&[])).await;
    assert_eq!(story.held(ada).await, [by_entra]);
    story.admitted(OKTA, "ada", Some(&["editors"])).await;
    story.admitted(ENTRA, "ada@entra", Some(&[])).await;
    assert_eq!(story.held(ada).await, [EDITORS_BY_SAML]);
}

/// Scenario 6.
#[rstest]
#[tokio::test]
async fn a_group_renamed_to_a_privileged_name_gains_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let group = story.create_group(OKTA, "lunch", &[ada]).await.unwrap();
    story.rename_group(OKTA, group, "editors").await.unwrap();
    story.publish(OKTA, two_rules(&story)).await;
    assert_eq!(story.held(ada).await, nothing());
    assert_eq!(story.attention().await, ["group.renamed"]);
}

/// Scenario 7.
#[rstest]
#[tokio::test]
async fn the_last_owner_whom_a_sync_removes_is_retained_and_cannot_sign_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let owners = grants(3, r#"groups.value eq "owners""#, story.role(OWNER), ACME);
    story.publish(OKTA, json!({ "rules": [owners] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "owners", &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, ["organization owner at acme: scim_rule okta 3"]);
    story.session(ada, Some(OKTA)).await;

    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.held(ada).await, ["organization owner at acme: retention"]);
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    assert_eq!(story.sessions().await, 0);
    let attention = story.attention().await;
    assert!(attention.contains(&"owner.retained".to_owned()) && attention.contains(&"owner.below_floor".to_owned()), "{attention:?}");

    // The transaction that brings another owner releases the retained one.
    let bob = story.local_account("bob@acme.example").await;
    story.grant(bob, OWNER, "acme").await.unwrap();
    assert_eq!(story.held(ada).await, nothing());
    assert_eq!(story.held(bob).await, ["organization owner at acme: manual"]);
}

/// Scenario 8: what a plan refuses, a sync that came all the same retains.
#[rstest]
#[tokio::test]
async fn a_rule_change_that_drops_all_owners_leaves_the_last_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let owners = grants(3, r#"groups.value eq "owners""#, story.role(OWNER), ACME);
    story.publish(OKTA, json!({ "rules": [owners] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let bob = story.create(OKTA, person("bob")).await.unwrap();
    story.create_group(OKTA, "owners", &[ada, bob]).await.unwrap();

    story.publish(OKTA, json!({ "rules": [] })).await;
    let mut left = story.held(ada).await;
    left.extend(story.held(bob).await);
    assert_eq!(left, ["organization owner at acme: retention"]);

    // Another rule makes both owners again, in one transaction: nothing is left on retention.
    story.publish(OKTA, json!({ "rules": [grants(4, r#"active eq true and groups.value eq "owners""#, story.role(OWNER), ACME)] })).await;
    for account in [ada, bob] {
        assert_eq!(story.held(account).await, ["organization owner at acme: scim_rule okta 4"]);
    }
}

/// Scenario 7, where the same transaction brings another owner.
#[rstest]
#[tokio::test]
async fn owners_who_change_places_in_one_sync_leave_nothing_retained(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let owner = |name: &str| json!({ "rules": [grants(3, &format!("groups.value eq \"{name}\""), story.role(OWNER), ACME)] });
    story.publish(OKTA, owner("ada")).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let bob = story.create(OKTA, person("bob")).await.unwrap();
    story.create_group(OKTA, "ada", &[ada]).await.unwrap();
    story.create_group(OKTA, "bob", &[bob]).await.unwrap();
    for (name, (now, before)) in [("bob", (bob, ada)), ("ada", (ada, bob))] {
        story.publish(OKTA, owner(name)).await;
        assert_eq!(story.held(now).await, ["organization owner at acme: scim_rule okta 3"]);
        assert_eq!(story.held(before).await, nothing());
    }
}

/// Scenario 9.
#[rstest]
#[tokio::test]
async fn deactivation_ends_sessions_at_once_and_keeps_grants_dormant(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "editors", &[ada]).await.unwrap();
    story.session(ada, Some(OKTA)).await;
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(story.sessions().await, 0);
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);
    assert!(matches!(story.sign_in(OKTA, "ada", Some(&["editors"])).await.unwrap(), SignIn::Refused(Refused::Inactive)));
    assert_eq!(story.status(ada).await, SignInStatus::Blocked, "a sign-in revives nobody");
}

/// Scenario 9, for somebody with a way to sign in of their own.
#[rstest]
#[tokio::test]
async fn deactivation_at_one_connection_leaves_other_ways_to_sign_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.link(ENTRA, ada, "ada@entra").await;
    story.session(ada, Some(OKTA)).await;
    story.session(ada, Some(ENTRA)).await;
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Active);
    assert_eq!(story.sessions().await, 1, "the session by the other connection goes on");
    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Active);
    assert_eq!(story.account(ada).await.profile_connection, Some(ENTRA.id()), "who still knows the account names it");
}

/// Scenario 10.
#[rstest]
#[tokio::test]
async fn a_scim_post_adopts_the_account_that_a_sign_in_made(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["editors"])).await;
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 0);

    let adopted = story.create(OKTA, person("Ada")).await.unwrap();
    assert_eq!(adopted, ada, "the same id");
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 1);
    // From now on SCIM has authority, and SCIM knows of no groups.
    assert_eq!(story.held(ada).await, nothing());
    assert_eq!(story.admitted(OKTA, "ada", Some(&["editors"])).await, ada);
    assert_eq!(story.held(ada).await, nothing());
    let again = story.create(OKTA, person("ADA")).await;
    assert!(matches!(again, Err(ProvisionError::Taken("userName"))), "{again:?}");
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 0);
}

/// Scenario 11.
#[rstest]
#[tokio::test]
async fn a_foreign_account_with_the_same_address_is_not_adopted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let owner = story.local_account("ada@acme.example").await;
    story.grant(owner, OWNER, "acme").await.unwrap();
    let by_entra = story.admitted(ENTRA, "ada@acme.example", Some(&[])).await;
    let by_scim = story.create(OKTA, json!({ "userName": "ada@acme.example", "emails": [{ "value": "ada@acme.example" }] })).await.unwrap();
    let by_saml = story.admitted(OKTA, "ada@acme.example", Some(&[])).await;
    assert_eq!(by_saml, by_scim, "within one connection they are the same person");
    assert!(by_scim != owner && by_scim != by_entra && by_entra != owner);
    assert_eq!(story.held(by_scim).await, nothing());
}

/// Scenario 12.
#[rstest]
#[tokio::test]
async fn any_one_of_several_values_matches(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, json!({ "rules": [grants(1, r#"emails.value ew "@eu.example""#, story.role("Editors"), EU)] })).await;
    let emails = json!([{ "value": "ada@us.example" }, { "value": "ada@eu.example" }]);
    let ada = story.create(OKTA, json!({ "userName": "ada", "emails": emails })).await.unwrap();
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);
}

/// Scenario 15.
#[rstest]
#[tokio::test]
async fn removing_a_rule_withdraws_exactly_its_own_origins(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let (first, second) = (grants(1, "userName pr", story.role("Editors"), EU), grants(2, "userName pr", story.role("Editors"), EU));
    let third = grants(3, "userName pr", story.role("Auditors"), US);
    story.publish(OKTA, json!({ "rules": [first, second, third] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.grant(ada, "Auditors", "acme-us").await.unwrap();
    story.publish(OKTA, json!({ "rules": [second] })).await;
    assert_eq!(story.held(ada).await, ["auditors at acme-us: manual", "editors at acme-eu: scim_rule okta 2"]);
}

/// Scenario 16.
#[rstest]
#[tokio::test]
async fn reactivation_restores_and_a_reused_address_does_not(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "editors", &[ada]).await.unwrap();
    story.grant(ada, "Auditors", "acme-us").await.unwrap();
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
    let held = ["auditors at acme-us: manual", EDITORS_BY_SCIM];
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    assert_eq!(story.held(ada).await, held);
    assert_eq!(story.status(ada).await, SignInStatus::Active);

    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.held(ada).await, ["auditors at acme-us: manual"], "by hand: dormant");
    assert_eq!(story.attention().await, ["account.deleted_with_grants"]);
    assert!(matches!(story.sign_in(OKTA, "ada", None).await.unwrap(), SignIn::Refused(Refused::Deleted)));

    let other = story.create(OKTA, json!({ "userName": "ada", "externalId": "somebody else" })).await.unwrap();
    assert_ne!(other, ada);
    assert_eq!(story.held(other).await, nothing());
    assert_eq!(story.admitted(OKTA, "ada", None).await, other, "the address is the new person's");
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
}

/// Scenario 16: the same person comes back.
#[rstest]
#[tokio::test]
async fn a_tombstone_is_revived_by_an_equal_external_id_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.grant(ada, "Auditors", "acme-us").await.unwrap();
    let before = story.patch(OKTA, ada, json!({ "title": "x" })).await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    let nameless = story.create(OKTA, json!({ "userName": "ada" })).await.unwrap();
    assert_ne!(nameless, ada);
    story.delete(OKTA, nameless).await.unwrap();

    let revived = story.create(OKTA, json!({ "userName": "ada.lovelace", "externalId": "x-ada" })).await.unwrap();
    assert_eq!(revived, ada);
    let account = story.account(ada).await;
    assert_eq!((account.account.status, account.account.user_name.as_str()), (SignInStatus::Active, "ada.lovelace"));
    assert_eq!(story.held(ada).await, ["auditors at acme-us: manual"]);
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 1);
    let after = story.patch(OKTA, ada, json!({ "title": "y" })).await.unwrap();
    assert!(after.scim.version > before.scim.version + 1, "no version is ever given twice");
}

#[rstest]
#[tokio::test]
async fn the_same_facts_by_scim_and_by_saml_give_the_same_rows(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let by_saml = story.admitted(OKTA, "ada", Some(&["editors", "auditors"])).await;
    let by_scim = story.create(OKTA, person("bob")).await.unwrap();
    story.create_group(OKTA, "editors", &[by_scim]).await.unwrap();
    story.create_group(OKTA, "auditors", &[by_scim]).await.unwrap();
    let rows = story.held(by_saml).await.into_iter().map(|line| line.replace("saml", "scim")).collect::<Vec<_>>();
    assert_eq!(rows, story.held(by_scim).await);
}

#[rstest]
#[tokio::test]
async fn a_change_of_the_correlated_attribute_releases_the_subject(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let setting = Setting { jit: Jit::Off, ..Setting::default() };
    let story = Story::begin_with(engine, setting).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
    story.patch(OKTA, ada, json!({ "userName": "ada.lovelace" })).await.unwrap();
    assert!(matches!(story.sign_in(OKTA, "ada", None).await.unwrap(), SignIn::Refused(Refused::Unknown)));
    assert_eq!(story.admitted(OKTA, "ada.lovelace", None).await, ada);
}

#[rstest]
#[tokio::test]
async fn a_subject_that_points_elsewhere_is_refused_and_told_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.local_account("ada").await;
    story.link(OKTA, ada, "bob").await;
    let bob = story.create(OKTA, person("bob")).await.unwrap();
    for _ in 0..3 {
        let refused = story.sign_in(OKTA, "bob", None).await.unwrap();
        assert!(matches!(refused, SignIn::Refused(Refused::SubjectElsewhere(_))));
    }
    assert_ne!(ada, bob);
    assert_eq!(story.attention().await, ["identity.subject_elsewhere"]);
}

#[rstest]
#[tokio::test]
async fn a_rule_that_denies_sign_in_beats_every_grant(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let deny = rule(2, r#"groups.value eq "suspended""#, &[json!({ "deny_sign_in": { "message": "Ask the help desk." } })]);
    story.publish(OKTA, json!({ "rules": [grants(1, "userName pr", story.role("Editors"), EU), deny] })).await;
    let refused = story.sign_in(OKTA, "eve", Some(&["suspended"])).await.unwrap();
    assert!(matches!(refused, SignIn::Refused(Refused::ByRule(message)) if message == "Ask the help desk."));
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, 0);

    let ada = story.admitted(OKTA, "ada", Some(&[])).await;
    story.session(ada, Some(OKTA)).await;
    assert!(matches!(story.sign_in(OKTA, "ada", Some(&["suspended"])).await.unwrap(), SignIn::Refused(Refused::ByRule(_))));
    assert_eq!(story.sessions().await, 0);
}

/// Whoever has a name is an editor, auditors audit, suspended ones stay out, and everybody is a member from the start.
fn with_denial(story: &Story) -> serde_json::Value {
    let deny = rule(3, r#"groups.value eq "suspended""#, &[json!({ "deny_sign_in": { "message": "Ask the help desk." } })]);
    let machine = rule(4, r#"groups.value eq "suspended""#, &[json!({ "set_kind": "machine" })]);
    let auditors = grants(1, r#"groups.value eq "auditors""#, story.role("Auditors"), ACME);
    let operators = grants(2, r#"groups.value eq "operators""#, story.role("Operators"), EU);
    let default = json!({ "roles": [story.role("Organization Member")], "apply": "on_create" });
    json!({ "rules": [auditors, operators, deny, machine], "default": default })
}

const AUDITOR: &str = "auditors at acme: saml_rule okta 1";
const OPERATOR: &str = "operators at acme-eu: saml_rule okta 2";
const MEMBER: &str = "organization member at acme: default okta";

async fn denied(story: &Story, groups: &[&str]) {
    let outcome = story.sign_in(OKTA, "ada", Some(groups)).await.unwrap();
    assert!(matches!(outcome, SignIn::Refused(Refused::ByRule(_))), "{outcome:?}");
}

#[rstest]
#[tokio::test]
async fn a_refused_sign_in_takes_away_and_gives_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, with_denial(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["auditors"])).await;
    assert_eq!(story.held(ada).await, [AUDITOR, MEMBER]);
    denied(&story, &["operators", "suspended"]).await;
    assert_eq!(story.held(ada).await, [MEMBER], "withdrawn: yes, added: no");
    assert_eq!(story.account(ada).await.account.kind, AccountKind::Human, "nor is she made anything else");
    // The facts are kept, and the job that comes across them comes to the same end.
    let before = story.audited().await;
    story.publish(OKTA, with_denial(&story)).await;
    denied(&story, &["operators", "suspended"]).await;
    assert_eq!((story.held(ada).await, story.audited().await), (vec![MEMBER.to_owned()], before));
    // Once the rule is gone, the same facts give what they say, without another sign-in.
    let mut without = with_denial(&story);
    without["rules"].as_array_mut().unwrap().truncate(2);
    story.publish(OKTA, without).await;
    assert_eq!(story.held(ada).await, [OPERATOR, MEMBER]);
    // And with it, who is not meant any more gets the rest at the next sign-in.
    story.publish(OKTA, with_denial(&story)).await;
    denied(&story, &["suspended"]).await;
    assert_eq!(story.held(ada).await, [MEMBER]);
    story.admitted(OKTA, "ada", Some(&["auditors"])).await;
    assert_eq!(story.held(ada).await, [AUDITOR, MEMBER]);
}

#[rstest]
#[tokio::test]
async fn a_sign_in_that_a_person_forbade_gives_nothing_either(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, with_denial(&story)).await;
    let ada = story.admitted(OKTA, "ada", Some(&["auditors"])).await;
    story.block(ada).await;
    assert!(matches!(story.sign_in(OKTA, "ada", Some(&["operators"])).await.unwrap(), SignIn::Refused(Refused::Blocked)));
    assert_eq!(story.held(ada).await, [MEMBER]);
    story.publish(OKTA, with_denial(&story)).await;
    assert_eq!(story.held(ada).await, [MEMBER]);
}

#[rstest]
#[tokio::test]
async fn who_is_refused_first_gets_at_the_first_accepted_sign_in_what_a_first_one_gives(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] is_linked: bool,
) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, with_denial(&story)).await;
    if is_linked {
        let ada = story.local_account("ada").await;
        story.link(OKTA, ada, "ada").await;
        story.session(ada, None).await;
    }
    let accounts = story.count("select count(*) from account where tenant = $1").await;
    denied(&story, &["auditors", "suspended"]).await;
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, accounts);
    assert_eq!(story.count("select count(*) from assignment where tenant = $1").await, 0);
    assert_eq!(story.sessions().await, 0);
    // The job is no first sight.
    story.publish(OKTA, with_denial(&story)).await;
    denied(&story, &["auditors", "suspended"]).await;
    assert_eq!(story.count("select count(*) from assignment where tenant = $1").await, 0);
    let ada = story.admitted(OKTA, "ada", Some(&["auditors"])).await;
    assert_eq!(story.held(ada).await, [AUDITOR, MEMBER]);
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, 1);
}

#[rstest]
#[tokio::test]
async fn whom_scim_sends_after_a_refusal_gets_what_a_first_push_gives(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, with_denial(&story)).await;
    denied(&story, &["auditors", "suspended"]).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_eq!(story.held(ada).await, [MEMBER]);
    // From now on SCIM says who she is: a refused response changes nothing of that, and nor does an accepted one.
    let auditors = story.create_group(OKTA, "auditors", &[ada]).await.unwrap();
    assert_eq!(story.held(ada).await, ["auditors at acme: scim_rule okta 1", MEMBER]);
    story.admitted(OKTA, "ada", Some(&["operators", "suspended"])).await;
    let suspended = story.create_group(OKTA, "suspended", &[ada]).await.unwrap();
    let operators = story.create_group(OKTA, "operators", &[ada]).await.unwrap();
    denied(&story, &[]).await;
    let pushed = ["auditors at acme: scim_rule okta 1", "operators at acme-eu: scim_rule okta 2", MEMBER];
    assert_eq!(story.held(ada).await, pushed, "what is pushed holds whether or not she is let in");
    for group in [auditors, suspended, operators] {
        story.leave(OKTA, group, &[ada]).await.unwrap();
    }
    assert_eq!(story.held(ada).await, [MEMBER]);
}

#[rstest]
#[tokio::test]
async fn under_union_a_refused_response_adds_nothing_to_what_scim_gave(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, Setting { authority: Authority::Union, ..Setting::default() }).await;
    story.publish(OKTA, with_denial(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "auditors", &[ada]).await.unwrap();
    denied(&story, &["operators", "suspended"]).await;
    assert_eq!(story.held(ada).await, ["auditors at acme: scim_rule okta 1", MEMBER]);
    assert_eq!(story.account(ada).await.account.kind, AccountKind::Human, "a machine by the refused response alone");
    story.admitted(OKTA, "ada", Some(&["operators"])).await;
    assert_eq!(story.held(ada).await, ["auditors at acme: scim_rule okta 1", OPERATOR, MEMBER]);
}

#[rstest]
#[tokio::test]
async fn both_protocols_count_under_union_and_saml_under_saml(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    for (authority, expected) in [
        (Authority::Union, vec!["auditors at acme: saml_rule okta 2", EDITORS_BY_SCIM]),
        (Authority::Saml, vec!["auditors at acme: saml_rule okta 2"]),
        (Authority::Scim, vec![EDITORS_BY_SCIM]),
    ] {
        let story = Story::begin_with(engine, Setting { authority, ..Setting::default() }).await;
        story.publish(OKTA, two_rules(&story)).await;
        let ada = story.create(OKTA, person("ada")).await.unwrap();
        story.create_group(OKTA, "editors", &[ada]).await.unwrap();
        story.admitted(OKTA, "ada", Some(&["auditors"])).await;
        assert_eq!(story.held(ada).await, expected, "{authority:?}");
    }
}

#[rstest]
#[tokio::test]
async fn what_changes_nothing_writes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let editors = story.create_group(OKTA, "editors", &[ada]).await.unwrap();
    let written = story.audited().await;
    assert_eq!(story.patch(OKTA, ada, json!({ "active": true })).await.unwrap().scim.version, 1);
    story.join(OKTA, editors, &[ada]).await.unwrap();
    story.rename_group(OKTA, editors, "editors").await.unwrap();
    story.publish(OKTA, two_rules(&story)).await;
    assert_eq!(story.audited().await, written);
}

/// Each group holds the one before it, and the first one a person.
#[rstest]
#[tokio::test]
async fn groups_are_followed_through_so_many_levels(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] joins_last: bool,
) {
    let story = Story::begin(engine).await;
    let rules = [(1, "g32", "Editors"), (2, "g33", "Auditors")];
    let rules = rules.map(|(number, group, role)| grants(number, &format!("groups.value eq \"{group}\""), story.role(role), EU));
    story.publish(OKTA, json!({ "rules": rules })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let members = if joins_last { vec![] } else { vec![ada] };
    let first = story.create_group(OKTA, "g1", &members).await.unwrap();
    let mut inner = first;
    for level in 2..=40 {
        let outer = story.create_group(OKTA, &format!("g{level}"), &[]).await.unwrap();
        let members = vec![MemberChange::Add(vec![group_member(inner)])];
        story.change_group(OKTA, outer, GroupChange { members, ..GroupChange::default() }).await.unwrap();
        inner = outer;
    }
    if joins_last {
        story.join(OKTA, first, &[ada]).await.unwrap();
    }
    assert_eq!(story.held(ada).await, ["editors at acme-eu: scim_rule okta 1"]);
    // Closing the ring makes them no farther and no nearer.
    let members = vec![MemberChange::Add(vec![group_member(inner)])];
    story.change_group(OKTA, first, GroupChange { members, ..GroupChange::default() }).await.unwrap();
    assert_eq!(story.held(ada).await, ["editors at acme-eu: scim_rule okta 1"]);
    story.leave(OKTA, first, &[ada]).await.unwrap();
    assert!(story.held(ada).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn members_of_nested_groups_are_in_the_outer_ones(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let inner = story.create_group(OKTA, "inner", &[ada]).await.unwrap();
    let middle = story.create_group(OKTA, "middle", &[]).await.unwrap();
    let outer = story.create_group(OKTA, "editors", &[]).await.unwrap();
    let nest = |within| vec![MemberChange::Add(vec![group_member(within)])];
    story.change_group(OKTA, middle, GroupChange { members: nest(inner), ..GroupChange::default() }).await.unwrap();
    assert_eq!(story.held(ada).await, nothing());
    story.change_group(OKTA, outer, GroupChange { members: nest(middle), ..GroupChange::default() }).await.unwrap();
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);
    // A circle is no way to stay for ever, nor for no end.
    story.change_group(OKTA, inner, GroupChange { members: nest(outer), ..GroupChange::default() }).await.unwrap();
    assert_eq!(story.held(ada).await, [EDITORS_BY_SCIM]);
    story.delete_group(OKTA, middle).await.unwrap();
    assert_eq!(story.held(ada).await, nothing());
}

#[rstest]
#[tokio::test]
async fn members_are_replaced_and_removed_in_the_order_of_the_steps(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    story.publish(OKTA, two_rules(&story)).await;
    let mut all = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        all.push(story.create(OKTA, person(name)).await.unwrap());
    }
    let group = story.create_group(OKTA, "editors", &all[..2]).await.unwrap();
    let editors = async || {
        let mut found = Vec::new();
        for account in &all {
            found.push(!story.held(*account).await.is_empty());
        }
        found
    };
    let change = async |members| story.change_group(OKTA, group, GroupChange { members, ..GroupChange::default() }).await;
    change(vec![MemberChange::Replace(people(&all[1..]))]).await.unwrap();
    assert_eq!(editors().await, [false, true, true]);
    let filter = format!("value eq \"{}\"", all[1]).parse().unwrap();
    change(vec![MemberChange::RemoveMatching(filter), MemberChange::Add(people(&all[..1]))]).await.unwrap();
    assert_eq!(editors().await, [true, false, true]);
    change(vec![MemberChange::RemoveAll, MemberChange::Add(people(&all[2..]))]).await.unwrap();
    assert_eq!(editors().await, [false, false, true]);

    let stranger = story.create(ENTRA, person("eve")).await.unwrap();
    let refused = change(vec![MemberChange::Add(people(&[all[0], stranger]))]).await;
    assert!(matches!(refused, Err(ProvisionError::UnknownMembers(unknown)) if unknown == [stranger.to_string()]), "of another connection");
    story.delete(OKTA, all[0]).await.unwrap();
    assert!(matches!(change(vec![MemberChange::Replace(people(&all[..1]))]).await, Err(ProvisionError::UnknownMembers(_))));
    assert_eq!(editors().await, [false, false, true]);
}

#[rstest]
#[tokio::test]
async fn what_a_mapping_could_not_give_is_told_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let by_template =
        json!({ "grant": { "role": story.role("Editors"), "organization": { "template": "{department | lower}" }, "reach": "subtree" } });
    story.publish(OKTA, json!({ "rules": [rule(1, "userName pr", &[by_template])] })).await;
    for (name, department) in [("ada", "acme-EU"), ("bob", "nowhere"), ("cyd", "elsewhere")] {
        story
            .create(
                OKTA,
                json!({ "userName": name, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": department } }),
            )
            .await
            .unwrap();
    }
    assert_eq!(story.attention().await, ["mapping.held_back"]);
}

#[rstest]
#[tokio::test]
async fn a_rule_can_move_homes_and_mark_machines(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let effects = vec![json!({ "set_home_organization": { "template": "acme-{title | lower}" } }), json!({ "set_kind": "machine" })];
    story.publish(OKTA, json!({ "rules": [rule(1, "title pr", &effects)] })).await;
    story.patch(OKTA, ada, json!({ "title": "EU" })).await.unwrap();
    let account = story.account(ada).await.account;
    assert_eq!((account.home_organization, account.kind), (Some(id(EU)), AccountKind::Machine));
    assert_eq!(story.count("select count(*) from membership where tenant = $1").await, 2, "of both organizations, one row each");
    let bob = story.create(OKTA, json!({ "userName": "bob", "title": "US" })).await.unwrap();
    assert_eq!(story.account(bob).await.account.home_organization, Some(id(US)));
}

#[rstest]
#[tokio::test]
async fn whom_a_person_blocked_no_sync_unblocks(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.block(ada).await;
    story.patch(OKTA, ada, json!({ "title": "x" })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    assert!(matches!(story.sign_in(OKTA, "ada", None).await.unwrap(), SignIn::Refused(Refused::Blocked)));
}

#[rstest]
#[tokio::test]
async fn an_account_by_create_pending_waits_for_a_person(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, Setting { jit: Jit::CreatePending, ..Setting::default() }).await;
    story.publish(OKTA, two_rules(&story)).await;
    for _ in 0..2 {
        assert!(matches!(story.sign_in(OKTA, "ada", Some(&["editors"])).await.unwrap(), SignIn::Refused(Refused::Pending)));
    }
    assert_eq!(story.count("select count(*) from account where tenant = $1 and status = 'pending'").await, 1);
}

#[rstest]
#[tokio::test]
async fn people_may_not_take_too_many_owners_away(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let mut owners = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        let owner = story.local_account(name).await;
        story.grant(owner, OWNER, "acme").await.unwrap();
        owners.push(owner);
    }
    story.revoke(owners[0], OWNER, "acme").await.unwrap();
    let refused = story.revoke(owners[1], OWNER, "acme").await;
    assert!(matches!(refused, Err(ProvisionError::OwnerFloor(_))), "{refused:?}");
    for owner in &owners[1..] {
        story.block(*owner).await;
    }
    story.revoke(owners[1], OWNER, "acme").await.unwrap();
    let refused = story.revoke(owners[2], OWNER, "acme").await;
    assert!(matches!(refused, Err(ProvisionError::OwnerFloor(_))), "the last one, although it cannot sign in: {refused:?}");
}
