//! A new master key, also one whose coming was cut off.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::StatusCode;
use rolegate::{
    admin::{
        rewrap::{RewrapError, Rewrapped, rewrap},
        sp_key::{self, Sealing, SpKeyError},
    },
    db::{self, Db, PoolSize, seal},
    domain::{actor::Actor, connection::Connection},
    keys::{Keys, pair::KeyPlace},
    policy::access::authorize,
    saml::{Certificate, issuer::IssuerKey},
};
use rstest::rstest;

use crate::common::{NOW, engines::Engine, installation::Gateway};

const TENANT: &str = "[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = 'owner-member'\nsettings = { min_owners = 1 }\n[[owners]]\n\
    email = 'o@acme.example'\nname = 'O'\n[[connections]]\nslug = 'acme-okta'\n[connections.saml]\nenabled = true\nidp_metadata = 'idp.xml'\n";

fn nonce() -> [u8; 12] {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    [NEXT.fetch_add(1, Ordering::Relaxed); 12]
}

async fn connection(gateway: &Gateway) -> Connection {
    db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap().connection
}

async fn add(gateway: &Gateway, keys: &Keys, key: &IssuerKey) -> Result<(), SpKeyError> {
    let connection = connection(gateway).await;
    let model = db::model::load_model(&gateway.app.db, connection.tenant).await.unwrap();
    let grant = authorize(&Actor::HostOperator, &model, connection.organization).unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    let sealing = Sealing { keys, nonce: nonce() };
    sp_key::add(&grant, &gateway.app.db, &mut occasion, &connection, &rolegate::provision::Precondition::None, &sealing, key.pair())
        .await
        .map(|_| ())
}

/// How many of the connection's private keys these keys open.
async fn opened(gateway: &Gateway, keys: &Keys) -> usize {
    let connection = connection(gateway).await;
    let rows = db::sp_key::list_sp_keys(&gateway.app.db, connection.tenant, connection.id).await.unwrap();
    let opens = |row: &&db::sp_key::SpKeyRow| {
        let place = KeyPlace { tenant: connection.tenant, connection: connection.id, id: row.id };
        keys.open_private_key(place, &row.sealed, Certificate::from_der(&row.certificate_der).unwrap()).is_some()
    };
    rows.iter().filter(opens).count()
}

async fn run(gateway: &Gateway, present: &Keys, next: &Keys) -> Result<Rewrapped, RewrapError> {
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "rewrap");
    rewrap(&gateway.app.db, present, next, &mut occasion, &mut nonce).await
}

#[rstest]
#[tokio::test]
async fn private_keys_and_the_audit_chain_outlive_the_master_key(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(TENANT).await;
    let (present, next) = (gateway.app.keys.clone(), Keys::new([9; 32]));
    let (first, second) = (IssuerKey::ec("a", NOW).unwrap(), IssuerKey::rsa("b", NOW).unwrap());
    add(&gateway, &present, &first).await.unwrap();
    add(&gateway, &present, &second).await.unwrap();
    gateway.settle().await;
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &next).await), (2, 0));

    assert!(matches!(run(&gateway, &present, &present).await, Err(RewrapError::SameKey)));
    assert!(matches!(run(&gateway, &Keys::new([8; 32]), &next).await, Err(RewrapError::OtherKey)));
    assert_eq!(run(&gateway, &present, &next).await.unwrap(), Rewrapped { keys: 2, was_done: false });
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &next).await), (0, 2));
    let check = db::installation::find_key_check(&gateway.app.db).await.unwrap().unwrap();
    assert!(next.gives(&check) && !present.gives(&check));
    assert_eq!(run(&gateway, &present, &next).await.unwrap(), Rewrapped { keys: 0, was_done: true });

    // The chain goes on with the key that it began with, which only the new master key opens.
    let sealed = db::installation::find_chain_key(&gateway.app.db).await.unwrap().unwrap();
    assert!(present.clone().with_chain(&sealed).is_none());
    let with_chain = next.clone().with_chain(&sealed).unwrap();
    let tenant = connection(&gateway).await.tenant;
    while seal::seal(&gateway.app.db, tenant, &with_chain.chain()).await.unwrap().left {}
    let verdict = seal::verify(&gateway.app.db, tenant, &with_chain.chain(), None).await.unwrap();
    assert!(verdict.broken.is_none() && verdict.unsealed == 0, "{verdict:?}");
    assert_eq!(gateway.count("select count(*) from audit where action = 'master_key.changed'").await, 1);

    // A node that still has the old key seals nothing under it.
    assert!(matches!(add(&gateway, &present, &IssuerKey::ec("c", NOW).unwrap()).await, Err(SpKeyError::OtherMasterKey)));
    // And once more.
    let third = Keys::new([7; 32]);
    assert_eq!(run(&gateway, &with_chain, &third).await.unwrap().keys, 2);
    let sealed = db::installation::find_chain_key(&gateway.app.db).await.unwrap().unwrap();
    assert!(seal::verify(&gateway.app.db, tenant, &third.with_chain(&sealed).unwrap().chain(), None).await.unwrap().broken.is_none());
}

#[rstest]
#[tokio::test]
async fn a_change_that_was_cut_off_goes_on_and_the_old_key_counts_until_its_end(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(TENANT).await;
    let (present, next) = (gateway.app.keys.clone(), Keys::new([9; 32]));
    add(&gateway, &present, &IssuerKey::ec("a", NOW).unwrap()).await.unwrap();
    add(&gateway, &present, &IssuerKey::ec("b", NOW).unwrap()).await.unwrap();
    // A row that cannot be opened stops it half way.
    let good: Option<(String,)> = gateway.app.db.query("select sealed from sp_key where state = 'next'").optional().await.unwrap();
    set_sealed(&gateway, "broken").await;
    let stopped = run(&gateway, &present, &next).await.unwrap_err();
    assert!(matches!(stopped, RewrapError::Unreadable { .. }), "{stopped}");
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &next).await), (1, 0), "the old key counts");
    set_sealed(&gateway, &good.unwrap().0).await;
    assert_eq!(run(&gateway, &present, &next).await.unwrap().keys, 2);
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &next).await), (0, 2));
    assert_eq!(gateway.count("select count(*) from audit where action = 'master_key.change_begun'").await, 1, "begun once");
}

/// What somebody else does between two steps of a change: their own change to the third key, from its beginning.
async fn begin_another(address: &str, present: &Keys, third: &Keys) {
    let db = Db::open(address, PoolSize(1)).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(db::installation::begin_key_change(&mut tx, &third.check(), &third.seal_chain_of(present, nonce())).await.unwrap());
    tx.commit().await.unwrap();
    db.close().await;
}

/// As [`run`], and right before the first private key is sealed anew, something else happens.
async fn run_disturbed(
    gateway: &Gateway,
    present: &Keys,
    next: &Keys,
    disturb: impl AsyncFn(String) + Clone + Send + 'static,
) -> Result<Rewrapped, RewrapError> {
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "rewrap");
    let (address, mut drawn) = (gateway.address().to_owned(), 0);
    let mut disturbed = move || {
        drawn += 1;
        if drawn == 2 {
            let (address, disturb) = (address.clone(), disturb.clone());
            let work = move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(disturb(address));
            std::thread::spawn(work).join().unwrap();
        }
        nonce()
    };
    rewrap(&gateway.app.db, present, next, &mut occasion, &mut disturbed).await
}

#[rstest]
#[tokio::test]
async fn of_two_changes_at_a_time_one_goes_on_and_no_key_is_lost(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(TENANT).await;
    let (present, next, third) = (gateway.app.keys.clone(), Keys::new([9; 32]), Keys::new([8; 32]));
    add(&gateway, &present, &IssuerKey::ec("a", NOW).unwrap()).await.unwrap();
    add(&gateway, &present, &IssuerKey::ec("b", NOW).unwrap()).await.unwrap();
    gateway.settle().await;

    // Another key: the change that was begun first is given up, and says so.
    let keys = (present.clone(), third.clone());
    let begin = async move |address: String| begin_another(&address, &keys.0, &keys.1).await;
    let overtaken = run_disturbed(&gateway, &present, &next, begin).await.unwrap_err();
    assert!(matches!(overtaken, RewrapError::Overtaken), "{overtaken}");
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &next).await), (2, 0), "the present key counts");

    // The same key: who comes second finds it done.
    let keys = (present.clone(), third.clone());
    let whole = async move |address: String| {
        let db = Db::open(&address, PoolSize(1)).await.unwrap();
        let mut occasion = crate::common::occasion(9);
        assert_eq!(rewrap(&db, &keys.0, &keys.1, &mut occasion, &mut nonce).await.unwrap().keys, 2);
        db.close().await;
    };
    let second = run_disturbed(&gateway, &present, &third, whole).await.unwrap();
    assert_eq!(second, Rewrapped { keys: 0, was_done: true });
    assert_eq!((opened(&gateway, &present).await, opened(&gateway, &third).await), (0, 2));
    let sealed = db::installation::find_chain_key(&gateway.app.db).await.unwrap().unwrap();
    let chain = third.with_chain(&sealed).expect("the key of the chain is under the key that won").chain();
    let tenant = connection(&gateway).await.tenant;
    while seal::seal(&gateway.app.db, tenant, &chain).await.unwrap().left {}
    assert!(seal::verify(&gateway.app.db, tenant, &chain, None).await.unwrap().broken.is_none());
}

#[rstest]
#[tokio::test]
async fn a_node_with_the_former_master_key_says_so_and_is_not_ready(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(TENANT).await;
    add(&gateway, &gateway.app.keys, &IssuerKey::ec("a", NOW).unwrap()).await.unwrap();
    assert_eq!(gateway.browser().get("/health/ready").await.status, StatusCode::OK);
    run(&gateway, &gateway.app.keys, &Keys::new([9; 32])).await.unwrap();
    let ready = gateway.browser().get("/health/ready").await;
    assert_eq!((ready.status, ready.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert!(ready.text().contains("restart it with the new one"), "{}", ready.text());
    let metadata = gateway.browser().get("/connections/acme-okta/saml/metadata").await;
    assert_eq!(metadata.status, StatusCode::SERVICE_UNAVAILABLE, "{}", metadata.text());
    assert_eq!(metadata.headers["retry-after"], "1");
}

async fn set_sealed(gateway: &Gateway, sealed: &str) {
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update sp_key set sealed = $1 where state = 'next'").bind(sealed.to_owned()).run().await.unwrap();
    tx.commit().await.unwrap();
}
