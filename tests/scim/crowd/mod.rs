//! A hundred clients push overlapping people and memberships at once, over sockets; in the end the store is exactly what the
//! acknowledged requests imply, down to the origin of every assignment.
//!
//! A few requests a client in `make test`; `ROLEGATE_TEST_CROWD_SECS=60` lets them go on for so long, with other draws each time.

mod client;
mod history;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rolegate::{
    cli::serve::serve,
    db::{Db, connection::find_connection_by_slug},
    provision::PublishedCache,
};
use rstest::rstest;
use tokio::{net::TcpListener, sync::watch, time::Instant};

use self::{
    client::{Crowd, Lot},
    history::{Implied, Members, Person},
};
use crate::{
    authz::people::scim_token,
    common::{engines::Engine, installation::Gateway, whole},
};

const CLIENTS: u64 = 100;
/// Requests of each client where no time is given.
const REQUESTS: u64 = 8;
/// Groups that rules speak of.
const TEAMS: usize = 6;

fn tenant() -> String {
    let rule = |name: &str, when: &str| {
        format!("[[connections.rules]]\nname = \"{name}\"\nwhen = '{when}'\ngrant = [{{ role = \"Organization Context Manager\" }}]\n")
    };
    let mut text = "[tenant]\nslug = \"acme\"\nname = \"Acme\"\npreset = \"owner-member\"\n[[owners]]\nemail = \"owner@acme.example\"\nname = \"Owner\"\n[[connections]]\nslug = \"acme-okta\"\n[connections.scim]\nenabled = true\nrequests_per_second = 0\n[connections.default_mapping]\nroles = [\"Organization Member\"]\napply = \"always\"\n".to_owned();
    for team in 0..TEAMS {
        text += &rule(&format!("team {team}"), &format!("groups[value eq \"team-{team}\"]"));
    }
    text += &rule("everybody of team 0", "groups[value eq \"around team 0\"]");
    text + &rule("managers", "userType eq \"manager\"")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crowd_was_told_is_what_is_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant()).await;
    let token = scim_token(&gateway, "acme-okta").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/connections/acme-okta/scim/v2", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(gateway.app.clone(), listener, stopped));

    let crowd = Arc::new(Crowd::new(base, token));
    let mut teams = Vec::new();
    for team in 0..TEAMS {
        teams.push(crowd.found(&format!("team-{team}")).await);
    }
    crowd.found_around("around team 0", &teams[0]).await;
    push(&crowd, u64::from_be_bytes(gateway.app.random.bytes())).await;
    stop.send_replace(true);
    served.await.unwrap().unwrap();

    let history = std::mem::take(&mut *crowd.history.lock().unwrap());
    let (done, sent_away) = history.told();
    assert!(done > 100 && sent_away * 4 < done, "{done} came through, {sent_away} were sent away");
    let implied = history.implied();
    assert!(!implied.users.is_empty());
    let db = gateway.reopen().await;
    implied.check(&stored(&db).await);
    check_assignments(&db, &teams, &implied).await;
    whole::check(&db).await;
    db.close().await;
}

/// `drawn` begins the draws of a run by time.
async fn push(crowd: &Arc<Crowd>, drawn: u64) {
    let secs =
        std::env::var("ROLEGATE_TEST_CROWD_SECS").ok().map(|secs| secs.parse().expect("ROLEGATE_TEST_CROWD_SECS is a number of seconds"));
    let until = secs.map(|secs| Instant::now() + Duration::from_secs(secs));
    let seed = until.map_or(0, |_| drawn);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let crowd = crowd.clone();
        clients.spawn(async move {
            let mut lot = Lot::new(seed.wrapping_add(client));
            let mut request = 0;
            while until.map_or(request < REQUESTS, |until| Instant::now() < until) {
                crowd.step(&mut lot, format!("{client}.{request}")).await;
                request += 1;
            }
        });
    }
    clients.join_all().await;
}

async fn stored(db: &Db) -> Implied {
    let mut there = Implied::default();
    let rows: Vec<(String, String, i64, String, bool, String)> = db
        .query(
            "select identity.account, scim_user_name_key, scim_version, scim_document, active, account.status
             from identity join account on account.tenant = identity.tenant and account.id = identity.account where scim_state = 'live'",
        )
        .all()
        .await
        .unwrap();
    for (id, name, version, document, active, status) in rows {
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let person = Person {
            title: document["title"].as_str().unwrap().to_owned(),
            manager: document["userType"] == "manager",
            active: document["active"] == true,
        };
        assert_eq!((active, status == "active"), (person.active, person.active), "{id}: {status}");
        there.users.insert(id, (name, version, person));
    }
    let rows: Vec<(String, i64)> =
        db.query("select id, version from directory_group where display_name <> 'around team 0'").all().await.unwrap();
    there.groups = rows.into_iter().map(|(id, version)| (id, (version..=version, Members::new()))).collect();
    let rows: Vec<(String, String)> = db.query("select directory_group, member from group_member where kind = 'User'").all().await.unwrap();
    for (group, member) in rows {
        there.groups.get_mut(&group).unwrap().1.insert(member);
    }
    there
}

/// Everybody who is left has what the mapping gives, each origin once, and nobody else has anything.
async fn check_assignments(db: &Db, teams: &[String], implied: &Implied) {
    let mut expected = BTreeSet::new();
    for (id, (_, _, person)) in &implied.users {
        expected.insert((id.clone(), "default".to_owned()));
        if person.manager {
            expected.insert((id.clone(), "managers".to_owned()));
        }
    }
    for (at, team) in teams.iter().enumerate() {
        for member in &implied.groups[team].1 {
            expected.insert((member.clone(), format!("team {at}")));
            if at == 0 {
                expected.insert((member.clone(), "everybody of team 0".to_owned()));
            }
        }
    }
    let connection = find_connection_by_slug(db, "acme-okta").await.unwrap().unwrap().connection;
    let mut tx = db.begin().await.unwrap();
    let published = PublishedCache::default().read(&mut tx, connection.tenant, connection.id).await.unwrap().unwrap();
    drop(tx);
    let names: BTreeMap<String, &str> = published.mapping.rules.iter().map(|rule| (rule.id.to_string(), rule.name.as_str())).collect();
    let rows: Vec<(String, String, String, String)> = db
        .query(
            "select assignment.account, kind, rule, role.name from assignment_origin origin
             join assignment on assignment.tenant = origin.tenant and assignment.id = origin.assignment
             join role on role.tenant = assignment.tenant and role.id = assignment.role where kind <> 'bootstrap'",
        )
        .all()
        .await
        .unwrap();
    let mut there = BTreeSet::new();
    for (account, kind, rule, role) in rows {
        let (name, given) = match kind.as_str() {
            "default" => ("default", "Organization Member"),
            "scim_rule" => (names[&rule], "Organization Context Manager"),
            other => panic!("{account} has something from {other}"),
        };
        assert_eq!(role, given);
        assert!(there.insert((account, name.to_owned())), "twice");
    }
    assert_eq!(there, expected);
    let bare: Vec<(String,)> = db
        .query(
            "select id from assignment where not exists (
                select 1 from assignment_origin o where o.tenant = assignment.tenant and o.assignment = assignment.id)",
        )
        .all()
        .await
        .unwrap();
    assert_eq!(bare, [], "assignments without an origin");
}
