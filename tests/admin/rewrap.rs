//! A new master key, also one whose coming was cut off.

use std::sync::atomic::{AtomicU8, Ordering};

use rolegate::{
    admin::{
        rewrap::{RewrapError, Rewrapped, rewrap},
        sp_key::{self, Sealing, SpKeyError},
    },
    db::{self, seal},
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
    sp_key::add(&grant, &gateway.app.db, &mut occasion, &connection, &sealing, key.pair()).await.map(|_| ())
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

async fn set_sealed(gateway: &Gateway, sealed: &str) {
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update sp_key set sealed = $1 where state = 'next'").bind(sealed.to_owned()).run().await.unwrap();
    tx.commit().await.unwrap();
}
