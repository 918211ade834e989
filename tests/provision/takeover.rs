//! Accounts stay those of their people: nobody gets into another's account by a name that looks alike, that was freed, or that a
//! machine gave away.

use rolegate::{
    db::{self, DbError, identity::ScimState},
    domain::{
        account::SignInStatus,
        connection::{Correlation, Jit, SamlSettings},
    },
    provision::{ProvisionError, sign_in::Refused},
};
use rstest::rstest;
use serde_json::json;

use super::story::{ENTRA, EU, OKTA, Setting, SignIn, Story, grants, person, rule};
use crate::common::engines::Engine;

const OWNER: &str = "Organization Owner";

fn with(jit: Jit) -> Setting {
    Setting { jit, ..Setting::default() }
}

/// `externalId` is what a NameID finds.
fn by_external_id() -> Setting {
    let correlate = Some(Correlation { scim: "externalId".into(), saml: "NameID".into() });
    Setting { jit: Jit::Off, saml: SamlSettings { correlate, ..Setting::default().saml }, ..Setting::default() }
}

#[rstest]
#[case::full_width("\u{ff41}da")]
#[case::ligature("o\u{fb03}ce")]
#[tokio::test]
async fn a_name_that_only_looks_like_a_users_finds_nobody(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine, #[case] alike: &str) {
    for jit in [Jit::Off, Jit::Create] {
        let story = Story::begin_with(engine, with(jit)).await;
        let name = rolegate::domain::name::fold(alike);
        let account = story.create(OKTA, person(&name)).await.unwrap();
        for _ in 0..2 {
            let refused = story.sign_in(OKTA, alike, None).await.unwrap();
            assert!(matches!(refused, SignIn::Refused(_)), "{refused:?}");
        }
        assert_eq!(story.attention().await, ["identity.look_alike"]);
        assert_eq!(story.admitted(OKTA, &name.to_uppercase(), None).await, account, "upper and lower case are one name");
    }
}

#[rstest]
#[tokio::test]
async fn a_user_does_not_adopt_the_account_of_a_name_that_looks_alike(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let alike = story.admitted(OKTA, "\u{ff41}da", None).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_ne!(ada, alike);
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
}

#[rstest]
#[tokio::test]
async fn a_machine_does_not_adopt_an_owner(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.admitted(OKTA, "ada", None).await;
    story.grant(ada, OWNER, "acme").await.unwrap();
    for _ in 0..2 {
        let refused = story.create(OKTA, person("ada")).await;
        assert_eq!(refused.unwrap_err().to_string(), "the resource is an owner's account, which no machine takes over");
    }
    assert_eq!(story.attention().await, ["identity.owner_claimed"]);
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
}

#[rstest]
#[tokio::test]
async fn a_machine_does_not_revive_an_owner(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.grant(ada, OWNER, "acme").await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    assert!(story.create(OKTA, person("ada")).await.is_err());
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    assert!(story.attention().await.contains(&"identity.owner_claimed".to_owned()));
    // Another person may have the address.
    let other = story.create(OKTA, json!({ "userName": "ada", "externalId": "another" })).await.unwrap();
    assert_ne!(other, ada);
}

#[rstest]
#[tokio::test]
async fn a_renamed_owner_is_linked_again_only_by_a_person(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] signed_in_before: bool,
) {
    let story = Story::begin_with(engine, with(Jit::Create)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.grant(ada, OWNER, "acme").await.unwrap();
    if signed_in_before {
        assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
    }
    story.patch(OKTA, ada, json!({ "userName": "mallory" })).await.unwrap();
    for _ in 0..2 {
        let refused = story.sign_in(OKTA, "mallory", None).await.unwrap();
        assert!(matches!(refused, SignIn::Refused(_)), "{refused:?}");
    }
    assert_eq!(story.attention().await, ["identity.owner_claimed"]);
    // Who is no owner may be renamed, and signs in by the new name.
    story.execute("delete from assignment where tenant = $1").await;
    assert_eq!(story.admitted(OKTA, "mallory", None).await, ada);
}

/// Roles that this connection did not give stay with the person to whom they were given.
#[rstest]
#[tokio::test]
async fn who_was_renamed_takes_no_grants_with_the_account(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values("by a person", "by another connection")] granted: &str,
) {
    let story = Story::begin_with(engine, with(Jit::Create)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
    if granted == "by a person" {
        story.grant(ada, "Editors", "acme-eu").await.unwrap();
    } else {
        let role = story.role("Editors");
        story.publish(ENTRA, json!({ "rules": [grants(1, r#"groups.value eq "g1""#, role, EU)] })).await;
        story.link(ENTRA, ada, "ada@entra").await;
        assert_eq!(story.admitted(ENTRA, "ada@entra", Some(&["g1"])).await, ada);
    }
    story.patch(OKTA, ada, json!({ "userName": "mallory" })).await.unwrap();
    for _ in 0..2 {
        let refused = story.sign_in(OKTA, "mallory", None).await.unwrap();
        assert!(matches!(refused, SignIn::Refused(Refused::RenamedWithGrants)), "{refused:?}");
    }
    assert_eq!(story.attention().await, ["identity.renamed_with_grants"]);
    // What the connection gave itself is its own: it may give it to somebody else.
    story.execute("delete from assignment where tenant = $1").await;
    story.publish(OKTA, json!({ "default": { "roles": [story.role("Organization Member")], "apply": "always" } })).await;
    assert_eq!(story.admitted(OKTA, "mallory", None).await, ada);
}

#[rstest]
#[tokio::test]
async fn who_comes_back_under_another_name_takes_no_grants_with_the_account(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] correlated_by_external_id: bool,
) {
    let setting = if correlated_by_external_id { by_external_id() } else { with(Jit::Off) };
    let story = Story::begin_with(engine, setting).await;
    let ada = story.create(OKTA, json!({ "userName": "ada", "externalId": "E" })).await.unwrap();
    story.grant(ada, "Editors", "acme-eu").await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.create(OKTA, json!({ "userName": "mallory", "externalId": "E" })).await.unwrap(), ada);
    let name = if correlated_by_external_id { "E" } else { "mallory" };
    let refused = story.sign_in(OKTA, name, None).await.unwrap();
    assert!(matches!(refused, SignIn::Refused(Refused::RenamedWithGrants)), "{refused:?}");
    assert!(story.attention().await.contains(&"identity.renamed_with_grants".to_owned()));
    // Under the same name it is the same person.
    story.delete(OKTA, ada).await.unwrap();
    let bob = story.create(OKTA, json!({ "userName": "bob", "externalId": "B" })).await.unwrap();
    story.grant(bob, "Editors", "acme-eu").await.unwrap();
    story.delete(OKTA, bob).await.unwrap();
    assert_eq!(story.create(OKTA, json!({ "userName": "Bob", "externalId": "B" })).await.unwrap(), bob);
    assert_eq!(story.admitted(OKTA, if correlated_by_external_id { "B" } else { "bob" }, None).await, bob);
}

#[rstest]
#[tokio::test]
async fn sessions_end_with_the_subject_by_which_they_began(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
    story.link(ENTRA, ada, "ada@entra").await;
    story.session(ada, Some(OKTA)).await;
    story.session(ada, Some(ENTRA)).await;
    story.patch(OKTA, ada, json!({ "title": "here" })).await.unwrap();
    assert_eq!(story.sessions().await, 2);
    story.patch(OKTA, ada, json!({ "userName": "mallory" })).await.unwrap();
    assert_eq!(story.sessions().await, 1, "Entra still speaks of her");
}

#[rstest]
#[tokio::test]
async fn an_owner_whom_nobody_renamed_is_linked_at_the_first_sign_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, with(Jit::Off)).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.grant(ada, OWNER, "acme").await.unwrap();
    assert_eq!(story.admitted(OKTA, "ada", None).await, ada);
}

#[rstest]
#[tokio::test]
async fn a_scim_change_that_meets_a_denial_ends_the_sessions(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let deny = rule(2, r#"title eq "suspended""#, &[json!({ "deny_sign_in": { "message": "Ask the help desk." } })]);
    story.publish(OKTA, json!({ "rules": [deny] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.session(ada, Some(OKTA)).await;
    story.patch(OKTA, ada, json!({ "title": "here" })).await.unwrap();
    assert_eq!(story.sessions().await, 1);
    story.patch(OKTA, ada, json!({ "title": "suspended" })).await.unwrap();
    assert_eq!(story.sessions().await, 0);

    let bob = story.admitted(OKTA, "bob", None).await;
    story.session(bob, Some(OKTA)).await;
    assert_eq!(story.create(OKTA, json!({ "userName": "bob", "title": "suspended" })).await.unwrap(), bob);
    assert_eq!(story.sessions().await, 0);
}

#[rstest]
#[tokio::test]
async fn deactivation_and_back_gives_no_approval(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, with(Jit::CreatePending)).await;
    assert!(matches!(story.sign_in(OKTA, "ada", None).await.unwrap(), SignIn::Refused(Refused::Pending)));
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Pending);
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Pending);
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.create(OKTA, person("ada")).await.unwrap(), ada);
    assert_eq!(story.status(ada).await, SignInStatus::Pending);
}

#[rstest]
#[tokio::test]
async fn whom_a_person_blocked_no_deactivation_and_back_unblocks(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.block(ada).await;
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.create(OKTA, person("ada")).await.unwrap(), ada);
    assert_eq!(story.status(ada).await, SignInStatus::Blocked);
}

#[rstest]
#[tokio::test]
async fn an_external_id_that_sign_ins_go_by_is_one_users(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, by_external_id()).await;
    let ada = story.create(OKTA, json!({ "userName": "ada", "externalId": "E" })).await.unwrap();
    let second = story.create(OKTA, json!({ "userName": "bob", "externalId": "E" })).await;
    assert!(matches!(second, Err(ProvisionError::Taken("externalId"))), "{second:?}");
    let bob = story.create(OKTA, json!({ "userName": "bob", "externalId": "e" })).await.unwrap();
    let second = story.patch(OKTA, bob, json!({ "externalId": "E" })).await;
    assert!(matches!(second, Err(ProvisionError::Taken("externalId"))), "{second:?}");
    assert_eq!(story.admitted(OKTA, "E", None).await, ada);

    // Where sign-ins go by something else it need not be unique (RFC 7643 section 3.1 leaves that to the client).
    let story = Story::begin(engine).await;
    for name in ["ada", "bob"] {
        story.create(OKTA, json!({ "userName": name, "externalId": "E" })).await.unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn of_two_users_whom_a_sign_in_could_mean_it_means_neither(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin_with(engine, by_external_id()).await;
    story.create(OKTA, json!({ "userName": "ada", "externalId": "E" })).await.unwrap();
    story.create(OKTA, json!({ "userName": "bob", "externalId": "F" })).await.unwrap();
    // As it may be from a time when sign-ins went by the userName.
    story.execute("update identity set scim_external_id = 'E' where tenant = $1").await;
    let refused = story.sign_in(OKTA, "E", None).await.unwrap();
    assert!(matches!(refused, SignIn::Refused(Refused::SubjectElsewhere("externalId"))), "{refused:?}");
    assert_eq!(story.attention().await, ["identity.subject_elsewhere"]);
}

#[rstest]
#[tokio::test]
async fn a_user_is_not_renamed_to_somebody_who_signs_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let bob = story.admitted(OKTA, "bob", None).await;
    let refused = story.patch(OKTA, ada, json!({ "userName": "Bob" })).await;
    assert!(matches!(refused, Err(ProvisionError::Taken("userName"))), "{refused:?}");
    assert_eq!(story.admitted(OKTA, "bob", None).await, bob);
    assert_eq!(story.create(OKTA, person("bob")).await.unwrap(), bob);
}

#[rstest]
#[tokio::test]
async fn the_first_mapping_is_no_creation_of_those_who_are_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let by_saml = story.admitted(OKTA, "ada", None).await;
    let by_scim = story.create(OKTA, person("bob")).await.unwrap();
    story.publish(OKTA, json!({ "default": { "roles": [story.role("Organization Member")], "apply": "on_create" } })).await;
    story.admitted(OKTA, "ada", None).await;
    for account in [by_saml, by_scim] {
        assert_eq!(story.held(account).await, Vec::<String>::new());
    }
    let later = story.create(OKTA, person("cyd")).await.unwrap();
    assert_eq!(story.held(later).await, ["organization member at acme: default okta"]);
}

#[test]
fn not_every_unique_value_is_a_user_name() {
    let error = ProvisionError::from(DbError::Taken(sqlx::Error::RowNotFound));
    assert!(matches!(error, ProvisionError::Db(DbError::Taken(_))), "{error:?}");
}

#[rstest]
#[tokio::test]
async fn an_owner_whose_connection_is_disabled_cannot_sign_in_and_does_not_count(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let story = Story::begin(engine).await;
    let (bob, cyd) = (story.local_account("bob").await, story.local_account("cyd").await);
    let ada = story.create(ENTRA, person("ada")).await.unwrap();
    for owner in [ada, bob, cyd] {
        story.grant(owner, OWNER, "acme").await.unwrap();
    }
    story.execute("update connection set enabled = false where tenant = $1 and slug = 'entra'").await;
    let refused = story.revoke(bob, OWNER, "acme").await;
    assert!(matches!(refused, Err(ProvisionError::OwnerFloor(_))), "{refused:?}");
    story.execute("update connection set enabled = true where tenant = $1 and slug = 'entra'").await;
    assert!(story.revoke(bob, OWNER, "acme").await.unwrap());
}

#[rstest]
#[tokio::test]
async fn a_deletion_takes_nobody_out_of_another_connections_groups(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "editors", &[ada]).await.unwrap();
    story.link(ENTRA, ada, "ada@entra").await;
    let mut tx = story.db.begin().await.unwrap();
    let mut row = db::identity::identities_at(&mut tx, story.tenant, OKTA.id(), &[ada]).await.unwrap().remove(&ada).unwrap();
    (row.connection, row.scim_state) = (ENTRA.id(), ScimState::Live);
    db::identity::update_identity(&mut tx, story.tenant, &row, None).await.unwrap();
    tx.commit().await.unwrap();
    story.create_group(ENTRA, "editors", &[ada]).await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.count("select count(*) from group_member where tenant = $1").await, 1);
}

#[rstest]
#[tokio::test]
async fn nobody_is_given_by_hand_what_they_cannot_hold(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let refused = story.grant(ada, "Sign-In administrator", "acme").await;
    assert_eq!(refused.unwrap_err().to_string(), "the role is held in a context or resource: name one");
    story.execute("update role set machine_only = true where tenant = $1 and id = '00000000-0000-0000-0000-000000000384'").await;
    story.execute("update role set root_only = true where tenant = $1 and id = '00000000-0000-0000-0000-000000000385'").await;
    story.execute("update tenant set model_version = model_version + 1 where id = $1").await;
    let refused = story.grant(ada, "Editors", "acme").await;
    assert_eq!(refused.unwrap_err().to_string(), "the role is for machines");
    assert!(story.grant(ada, "Auditors", "acme-eu").await.unwrap());
    let bob = story.create(ENTRA, person("bob")).await.unwrap();
    let refused = story.grant(bob, "Auditors", "acme-eu").await;
    assert_eq!(refused.unwrap_err().to_string(), "the role needs an account at home in the root organization");
}

#[rstest]
#[tokio::test]
async fn nobody_comes_back_as_somebody_else_who_had_the_same_external_id(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let named = |name: &str| json!({ "userName": name, "externalId": "shared" });
    let (ada, ben) = (story.create(OKTA, named("ada")).await.unwrap(), story.create(OKTA, named("ben")).await.unwrap());
    story.grant(ada, "Editors", "acme").await.unwrap();
    for account in [ada, ben] {
        story.delete(OKTA, account).await.unwrap();
    }
    let eve = story.create(OKTA, named("eve")).await.unwrap();
    assert!(eve != ada && eve != ben, "of two, neither is hers");
    assert_eq!(story.create(OKTA, named("Ben")).await.unwrap(), ben);
    assert_eq!(story.held(ben).await, [""; 0]);
    let other = story.create(OKTA, named("other")).await.unwrap();
    assert!(other != ada && story.held(other).await.is_empty(), "others have the externalId too");
    assert_eq!(story.create(OKTA, named("ada")).await.unwrap(), ada);
}
