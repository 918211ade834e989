//! Evaluates again who was last evaluated with an older mapping, or whose facts changed since: in chunks, each its own transaction.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    ProvisionError, Published,
    reconcile::{Outcome, Person, reconcile},
    record::Record,
    user::lock_people,
};
use crate::{
    db::{self, DbError, Tx},
    domain::{
        actor::Occasion,
        id::{AccountId, TenantId},
        time::Timestamp,
    },
};

/// How many accounts one transaction evaluates: few enough that a request for one of them waits some tens of milliseconds at most.
pub const CHUNK: i64 = 100;

/// One chunk; how many accounts it evaluated. The work is done when that is less than [`CHUNK`]; doing it again changes nothing.
pub async fn remap_chunk(tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<i64, ProvisionError> {
    let ids = list_chunk(tx, published).await?;
    remap(tx, published, occasion, &ids).await?;
    Ok(i64::try_from(ids.len()).unwrap_or(CHUNK))
}

/// The accounts of the next chunk.
pub async fn list_chunk(tx: &mut Tx, published: &Published) -> Result<Vec<AccountId>, DbError> {
    db::evaluation::list_unmapped(tx, published.tenant(), published.connection.id, published.mapping.version, CHUNK).await
}

/// Whether nobody is left after this chunk.
#[must_use]
pub fn is_last(chunk: &[AccountId]) -> bool {
    i64::try_from(chunk.len()).is_ok_and(|count| count < CHUNK)
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
    write_homes(tx, tenant, occasion.now, people.iter().zip(&outcomes)).await?;
    let denied: Vec<AccountId> =
        people.iter().zip(&outcomes).filter(|(_, outcome)| outcome.denied.is_some()).map(|(person, _)| person.identity.account).collect();
    for (account, count) in db::session::end_sessions_of_accounts(tx, tenant, &denied).await? {
        record.note("sessions.ended", "account", &account, json!({ "count": count, "reason": "sign_in_denied" }));
    }
    let evaluated: Vec<AccountId> = people.iter().map(|person| person.identity.account).collect();
    db::evaluation::mark_mapped(tx, tenant, published.connection.id, &evaluated, published.mapping.version).await?;
    record.write(tx, tenant, occasion).await?;
    Ok(())
}

/// Home organization and kind of those whose mapping changed them.
pub(super) async fn write_homes<'p>(
    tx: &mut Tx,
    tenant: TenantId,
    now: Timestamp,
    people: impl Iterator<Item = (&'p Person, &'p Outcome)>,
) -> Result<(), DbError> {
    let mut homes: BTreeMap<_, Vec<AccountId>> = BTreeMap::new();
    for (person, _) in people.filter(|(_, outcome)| outcome.account_changed) {
        let account = &person.account.account;
        homes.entry((account.home_organization, account.kind.as_str())).or_default().push(account.id);
    }
    for ((home, kind), accounts) in homes {
        db::account::update_homes(tx, tenant, &accounts, home, kind, now).await?;
    }
    Ok(())
}
