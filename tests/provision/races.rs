//! Many at once: first sign-ins, memberships of the same people, owners who leave together.

use std::{rc::Rc, time::Duration};

use rolegate::{
    db::{
        account,
        counter::{self, GROUPS, USERS},
        evaluation, tenant,
    },
    domain::{
        connection::{Correlation, SamlSettings},
        id::AccountId,
    },
    provision::{Precondition, ProvisionError, PublishedCache, user},
    scim::{
        group::{GroupChange, MemberChange},
        resource::User,
    },
};
use rstest::rstest;
use serde_json::json;
use tokio::task::{JoinSet, LocalSet};

use super::story::{ACME, ENTRA, EU, OKTA, Setting, SignIn, Story, grants, group_member, person, scim};
use crate::common::engines::Engine;

const OWNER: &str = "Organization Owner";

/// Runs all of them at once and gives what they return, in no order.
async fn together<T: 'static>(story: &Rc<Story>, number: usize, one: impl AsyncFn(&Story, usize) -> T + Clone + 'static) -> Vec<T> {
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for at in 0..number {
        let (story, one) = (story.clone(), one.clone());
        tasks.spawn_local_on(async move { one(&story, at).await }, &local);
    }
    local.run_until(tasks.join_all()).await
}

#[rstest]
#[tokio::test]
async fn fifty_first_sign_ins_of_one_person_make_one_account(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    story.publish(OKTA, json!({ "rules": [grants(1, r#"groups.value eq "g1""#, story.role("Editors"), EU)] })).await;
    let outcomes = together(&story, 50, async |story: &Story, _| story.sign_in(OKTA, "ada", Some(&["g1"])).await.unwrap()).await;
    let mut accounts = Vec::new();
    let mut created = 0;
    for outcome in outcomes {
        let SignIn::Admitted { account, created: new } = outcome else { panic!("{outcome:?}") };
        accounts.push(account);
        created += usize::from(new);
    }
    accounts.dedup();
    assert_eq!((accounts.len(), created), (1, 1));
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, 1);
    assert_eq!(story.held(accounts[0]).await, ["editors at acme-eu: saml_rule okta 1"]);
}

#[rstest]
#[tokio::test]
async fn twenty_posts_of_one_user_name_make_one_user(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    let outcomes = together(&story, 20, async |story: &Story, _| story.create(OKTA, person("ada")).await).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(ProvisionError::Taken("userName")))));
    assert_eq!(story.count("select count(*) from account where tenant = $1").await, 1);
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 1);
}

#[rstest]
#[tokio::test]
async fn memberships_of_the_same_people_changed_at_once_end_as_the_rows_say(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    let rules = [("g0", "Editors"), ("g1", "Auditors"), ("g2", "Operators")];
    let rules = rules.iter().enumerate();
    let rules: Vec<_> =
        rules.map(|(at, (group, role))| grants(at as u128 + 1, &format!("groups.value eq \"{group}\""), story.role(role), EU)).collect();
    story.publish(OKTA, json!({ "rules": rules })).await;
    let mut people: Vec<AccountId> = Vec::new();
    for at in 0..12 {
        people.push(story.create(OKTA, person(&format!("p{at}"))).await.unwrap());
    }
    let mut groups = Vec::new();
    for at in 0..3 {
        groups.push(story.create_group(OKTA, &format!("g{at}"), &people[at..at + 3]).await.unwrap());
    }
    let (all, rows) = (people.clone(), groups.clone());
    together(&story, 60, async move |story: &Story, at| {
        let group = rows[at % 3];
        // Overlapping people, named in opposite orders.
        let mut some: Vec<AccountId> = (0..5).map(|next| all[(at * 5 + next * 7) % 10]).collect();
        if at % 2 == 0 {
            some.reverse();
        }
        let members = some.iter().map(ToString::to_string).collect();
        let outcome = match at % 6 {
            0 | 3 => story.join(OKTA, group, &some).await,
            1 => story.leave(OKTA, group, &some).await,
            2 => {
                let members = vec![MemberChange::Remove(members), MemberChange::Add(super::story::people(&some[..2]))];
                story.change_group(OKTA, group, GroupChange { members, ..GroupChange::default() }).await
            }
            4 => {
                let members = vec![MemberChange::Replace(super::story::people(&some))];
                story.change_group(OKTA, group, GroupChange { members, ..GroupChange::default() }).await
            }
            _ => story.patch(OKTA, some[0], json!({ "title": at.to_string() })).await.map(drop),
        };
        outcome.unwrap();
        // Two leave for good while others are busy with them.
        if at == 20 || at == 40 {
            story.delete(OKTA, all[10 + at / 40]).await.unwrap();
        }
    })
    .await;
    for (at, account) in people.iter().enumerate() {
        let mut expected = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let sql = "select member from group_member where tenant = $1 and directory_group = $2 and member = $3";
            let query = story.db.query(sql).bind(story.tenant.to_string()).bind(group.to_string()).bind(account.to_string());
            if query.optional::<(String,)>().await.unwrap().is_some() {
                let role = ["editors", "auditors", "operators"][number];
                expected.push(format!("{role} at acme-eu: scim_rule okta {}", number + 1));
            }
        }
        expected.sort();
        assert_eq!(story.held(*account).await, expected, "p{at}");
    }
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), USERS).await.unwrap(), 10);
    assert_eq!(counter::total(&story.db, story.tenant, OKTA.id(), GROUPS).await.unwrap(), 3);
    assert_eq!(story.begun_again.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody stood in anybody's way");
}

#[rstest]
#[tokio::test]
async fn members_deleted_at_once_each_change_their_group(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    let mut people = Vec::new();
    for at in 0..8 {
        people.push(story.create(OKTA, person(&format!("p{at}"))).await.unwrap());
    }
    let group = story.create_group(OKTA, "g", &people[..6]).await.unwrap();
    let all = people.clone();
    together(&story, 8, async move |story: &Story, at| match at {
        0..6 => story.delete(OKTA, all[at]).await.unwrap(),
        _ => story.join(OKTA, group, &all[at..=at]).await.unwrap(),
    })
    .await;
    assert_eq!(story.count("select version from directory_group where tenant = $1").await, 9);
    assert_eq!(story.count("select count(*) from group_member where tenant = $1").await, 2);
    assert_eq!(story.begun_again.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody stood in anybody's way");
}

#[rstest]
#[tokio::test]
async fn a_group_nested_while_people_join_it_forgets_nobody(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    story.publish(OKTA, json!({ "rules": [grants(1, r#"groups.value eq "outer""#, story.role("Editors"), EU)] })).await;
    let mut people = Vec::new();
    for at in 0..8 {
        people.push(story.create(OKTA, person(&format!("p{at}"))).await.unwrap());
    }
    for round in 0..4 {
        let inner = story.create_group(OKTA, &format!("inner{round}"), &[]).await.unwrap();
        let outer = story.create_group(OKTA, "outer", &[]).await.unwrap();
        let two = [people[round * 2], people[round * 2 + 1]];
        together(&story, 3, async move |story: &Story, at| {
            if at == 1 {
                let members = vec![MemberChange::Add(vec![group_member(inner)])];
                story.change_group(OKTA, outer, GroupChange { members, ..GroupChange::default() }).await.unwrap();
            } else {
                story.join(OKTA, inner, &[two[at / 2]]).await.unwrap();
            }
        })
        .await;
    }
    for account in people {
        assert_eq!(story.held(account).await, ["editors at acme-eu: scim_rule okta 1"]);
    }
}

#[rstest]
#[tokio::test]
async fn owners_revoked_at_once_never_fall_below_the_floor(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    let mut owners = Vec::new();
    for at in 0..6 {
        let owner = story.local_account(&format!("o{at}")).await;
        story.grant(owner, OWNER, "acme").await.unwrap();
        owners.push(owner);
    }
    let outcomes = together(&story, 6, async move |story: &Story, at| story.revoke(owners[at], OWNER, "acme").await).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(ProvisionError::OwnerFloor(_)))).count();
    assert_eq!((refused, outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (2, 4), "min_owners is two");
    assert_eq!(story.count("select count(*) from assignment where tenant = $1").await, 2);
}

#[rstest]
#[tokio::test]
async fn the_last_owners_deleted_at_once_leave_one_retained(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    story.publish(OKTA, json!({ "rules": [grants(1, r#"groups.value eq "owners""#, story.role(OWNER), ACME)] })).await;
    let mut owners = Vec::new();
    for at in 0..6 {
        owners.push(story.create(OKTA, person(&format!("o{at}"))).await.unwrap());
    }
    story.create_group(OKTA, "owners", &owners).await.unwrap();
    let next = [story.create(OKTA, person("n0")).await.unwrap(), story.create(OKTA, person("n1")).await.unwrap()];
    together(&story, 6, async move |story: &Story, at| story.delete(OKTA, owners[at]).await.unwrap()).await;
    assert_eq!(story.count("select count(*) from assignment_origin where tenant = $1 and kind = 'retention'").await, 1);
    assert_eq!(story.count("select count(*) from assignment where tenant = $1").await, 1);
    // Two who come together release it once.
    together(&story, 2, async move |story: &Story, at| story.create_group(OKTA, "owners", &[next[at]]).await.unwrap()).await;
    assert_eq!(story.count("select count(*) from assignment_origin where tenant = $1 and kind = 'retention'").await, 0);
    assert_eq!(story.count("select count(*) from assignment where tenant = $1").await, 2);
}

#[rstest]
#[tokio::test]
async fn who_changes_while_rules_are_published_ends_with_the_new_ones(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    story.publish(OKTA, json!({ "rules": [grants(1, "userName pr", story.role("Editors"), EU)] })).await;
    let mut people = Vec::new();
    for at in 0..20 {
        people.push(story.create(OKTA, person(&format!("p{at}"))).await.unwrap());
    }
    let all = people.clone();
    together(&story, 21, async move |story: &Story, at| {
        if at == 7 {
            let rules = json!({ "rules": [grants(2, "userName pr", story.role("Auditors"), EU)] });
            story.publish(OKTA, rules).await;
        } else {
            story.patch(OKTA, all[at % 20], json!({ "title": at.to_string() })).await.unwrap();
        }
    })
    .await;
    for account in people {
        assert_eq!(story.held(account).await, ["auditors at acme-eu: scim_rule okta 2"]);
    }
}

#[rstest]
#[tokio::test]
async fn more_people_than_are_mapped_at_once_wait_for_the_job(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin(engine).await);
    story.publish(OKTA, json!({ "rules": [grants(1, r#"groups.value eq "all""#, story.role("Editors"), EU)] })).await;
    let mut people = Vec::new();
    for at in 0..210 {
        people.push(story.create(OKTA, person(&format!("p{at}"))).await.unwrap());
    }
    let all = people.clone();
    // Whoever changes meanwhile does not take the mark off without having seen the group.
    together(&story, 31, async move |story: &Story, at| {
        if at == 5 {
            story.create_group(OKTA, "all", &all).await.unwrap();
        } else {
            story.patch(OKTA, all[at], json!({ "title": "x" })).await.unwrap();
        }
    })
    .await;
    assert!(story.held(people[209]).await.is_empty());
    story.remap(OKTA).await;
    for account in people {
        assert_eq!(story.held(account).await, ["editors at acme-eu: scim_rule okta 1"]);
    }
    let mut tx = story.db.begin().await.unwrap();
    let version = tenant::find_tenant(&mut tx, story.tenant).await.unwrap().unwrap().model_version;
    assert!(version > 0 && evaluation::list_unmapped(&mut tx, story.tenant, ENTRA.id(), 9, 1).await.unwrap().is_empty());
}

/// SQLite has one writer: nobody publishes between what a transaction reads and what it decides.
#[tokio::test]
async fn what_was_read_before_a_publication_decides_nothing_after_it() {
    let story = Story::begin(Engine::Postgres).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    let mut tx = story.db.begin().await.unwrap();
    let before = PublishedCache::default().read(&mut tx, story.tenant, OKTA.id()).await.unwrap().unwrap();
    drop(tx);
    story.publish(OKTA, json!({ "rules": [grants(1, "userName pr", story.role("Editors"), EU)] })).await;

    let mut tx = story.db.begin().await.unwrap();
    let mut occasion = story.occasion(scim(OKTA));
    let change = |before: &User| {
        let mut after = before.clone();
        after.attributes.insert("title".into(), json!("x"));
        Ok(after)
    };
    let outcome = user::change_user(&mut tx, &before, &mut occasion, ada, Precondition::None, change).await;
    assert!(matches!(outcome, Err(ProvisionError::Again)), "{outcome:?}");
}

/// `externalId` is what a NameID finds, and no unique index keeps it.
fn by_external_id() -> Setting {
    let correlate = Some(Correlation { scim: "externalId".into(), saml: "NameID".into() });
    Setting { saml: SamlSettings { correlate, ..Setting::default().saml }, ..Setting::default() }
}

#[rstest]
#[tokio::test]
async fn users_of_one_external_id_posted_or_renamed_at_once_are_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin_with(engine, by_external_id()).await);
    for round in 0..5 {
        let outcomes = together(&story, 8, async move |story: &Story, at| {
            story.create(OKTA, json!({ "userName": format!("r{round}-{at}"), "externalId": format!("x{round}") })).await
        });
        assert_eq!(outcomes.await.iter().filter(|outcome| outcome.is_ok()).count(), 1, "round {round}");
    }
    let others = together(&story, 6, async |story: &Story, at| {
        story.create(OKTA, json!({ "userName": format!("other{at}"), "externalId": format!("o{at}") })).await.unwrap()
    });
    let others = others.await;
    let renamed =
        together(&story, 6, async move |story: &Story, at| story.patch(OKTA, others[at], json!({ "externalId": "wanted" })).await);
    assert_eq!(renamed.await.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[rstest]
#[tokio::test]
async fn a_first_sign_in_beside_the_post_of_the_same_person_makes_one_account(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Rc::new(Story::begin_with(engine, by_external_id()).await);
    for round in 0..10 {
        let done = together(&story, 2, async move |story: &Story, at| {
            if at == 0 {
                story.create(OKTA, json!({ "userName": format!("u{round}"), "externalId": format!("n{round}") })).await.unwrap();
            } else {
                story.admitted(OKTA, &format!("n{round}"), None).await;
            }
        });
        done.await;
        assert_eq!(story.count("select count(*) from account where tenant = $1").await, round + 1);
    }
}

/// Whoever brings an owner has no lock of the account that is released, and must not wait for who has it: that one may wait for the owners.
#[tokio::test]
async fn an_owner_comes_while_the_retained_one_is_locked() {
    let story = Story::begin(Engine::Postgres).await;
    story.publish(OKTA, json!({ "rules": [grants(3, r#"groups.value eq "owners""#, story.role(OWNER), ACME)] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "owners", &[ada]).await.unwrap();
    story.delete(OKTA, ada).await.unwrap();
    assert_eq!(story.held(ada).await, ["organization owner at acme: retention"]);
    let bob = story.local_account("bob@acme.example").await;
    let mut busy = story.db.begin().await.unwrap();
    account::lock_accounts(&mut busy, story.tenant, &[ada]).await.unwrap();
    let granted = tokio::time::timeout(Duration::from_secs(10), story.grant(bob, OWNER, "acme")).await;
    assert!(granted.expect("nobody waits for the retained owner's account").unwrap());
    drop(busy);
    assert_eq!(story.held(ada).await, Vec::<String>::new());
}
