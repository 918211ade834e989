//! Evaluates again who was last evaluated with an older mapping, or whose facts changed since: in chunks, each its own transaction.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ProvisionError, Published, reconcile::reconcile, record::Record, user::lock_people};
use crate::{
    db::{self, Tx},
    domain::{actor::Occasion, id::AccountId},
};

/// How many accounts one transaction evaluates: few enough that a request for one of them waits some tens of milliseconds at most.
pub const CHUNK: i64 = 100;

/// One chunk; how many accounts it evaluated. The work is done when that is less than [`CHUNK`]; doing it again changes nothing.
pub async fn remap_chunk(tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<i64, ProvisionError> {
    let ids = db::identity::list_unmapped(tx, published.tenant(), published.connection.id, published.mapping.version, CHUNK).await?;
    remap(tx, published, occasion, &ids).await?;
    Ok(i64::try_from(ids.len()).unwrap_or(CHUNK))
}

/// Evaluates these accounts now.
pub async fn remap(tx: &mut Tx, published: &Published, occasion: &mut Occasion, ids: &[AccountId]) -> Result<(), ProvisionError> {
    if ids.is_empty() {
        return Ok(());
    }
    let tenant = published.tenant();
    let mut people = lock_people(tx, published, ids).await?;
    let mut record = Record::default();
    let outcomes = reconcile(tx, published, occasion, &mut people, &mut record).await?;
    let mut homes: BTreeMap<_, Vec<AccountId>> = BTreeMap::new();
    let mut denied = Vec::new();
    for (person, outcome) in people.iter().zip(&outcomes) {
        let account = &person.account.account;
        if outcome.account_changed {
            homes.entry((account.home_organization, account.kind.as_str())).or_default().push(account.id);
        }
        if outcome.denied.is_some() {
            denied.push(account.id);
        }
    }
    for ((home, kind), accounts) in homes {
        db::account::update_homes(tx, tenant, &accounts, home, kind, occasion.now).await?;
    }
    for (account, count) in db::session::end_sessions_of_accounts(tx, tenant, &denied).await? {
        record.note("sessions.ended", "account", &account, json!({ "count": count, "reason": "sign_in_denied" }));
    }
    let evaluated: Vec<AccountId> = people.iter().map(|person| person.identity.account).collect();
    db::identity::mark_mapped(tx, tenant, published.connection.id, &evaluated, published.mapping.version).await?;
    record.write(tx, tenant, occasion).await?;
    Ok(())
}
