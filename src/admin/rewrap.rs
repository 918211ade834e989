//! A new master key: what is sealed under the old one is sealed again, beside the old seal, and at the end one transaction changes from
//! one key to the other. Until then the old key opens everything, from then on the new one; between the two nothing is lost, wherever it
//! is cut off. Run again with the same new key, it goes on where it stopped.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError, Tx,
        audit::Entry,
        sp_key::{Resealed, SealedKey},
    },
    domain::actor::Occasion,
    keys::{Keys, pair::KeyPlace},
};

/// Private keys that are sealed again in one transaction.
const BATCH: i64 = 100;

#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    #[error("the present master key is not the one that the database was written with: name the right one in master_key_file")]
    OtherKey,
    #[error("the new master key is the present one: make another one, or name a file that is not there yet")]
    SameKey,
    #[error(
        "the private key {id} of connection {connection} cannot be opened with the present master key: it was changed in the database. \
         Put it back from a backup, or remove it (`rolegate keys retire`, `rolegate keys remove`), and run this again"
    )]
    Unreadable { connection: String, id: String },
    #[error("a change to yet another master key was begun meanwhile, and this one given up: nothing is lost, the present key still counts")]
    Overtaken,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// Private keys that are under the new master key now.
    pub keys: u64,
    /// An earlier run had come to the end already.
    pub was_done: bool,
}

/// Goes from one master key to the other. `nonce` draws random bits.
pub async fn rewrap(
    db: &Db,
    present: &Keys,
    next: &Keys,
    occasion: &mut Occasion,
    nonce: &mut (impl FnMut() -> [u8; 12] + Send),
) -> Result<Rewrapped, RewrapError> {
    if present.check() == next.check() {
        return Err(RewrapError::SameKey);
    }
    if !begin(db, present, next, occasion, nonce()).await? {
        return Ok(Rewrapped { keys: 0, was_done: true });
    }
    loop {
        let rows = db::sp_key::list_to_rewrap(db, BATCH).await?;
        let step = if rows.is_empty() { finish(db, next, occasion).await? } else { reseal(db, present, next, &rows, nonce).await? };
        match step {
            Step::GoOn => {}
            Step::Done(keys) => return Ok(Rewrapped { keys, was_done: false }),
            Step::DoneByAnother => return Ok(Rewrapped { keys: 0, was_done: true }),
        }
    }
}

enum Step {
    GoOn,
    /// So many keys are under the next master key.
    Done(u64),
    /// Somebody ran this at the same time, with the same key.
    DoneByAnother,
}

/// Whether the change is still the one under way, which then stays so until the transaction ends. False: it has come to its end.
async fn is_under_way(tx: &mut Tx, next: &Keys) -> Result<bool, RewrapError> {
    if db::installation::lock_key_check(tx).await?.is_some_and(|check| next.gives(&check)) {
        return Ok(false);
    }
    let under_way = db::installation::find_next_key_check(tx).await?;
    if under_way.is_some_and(|check| next.gives(&check)) { Ok(true) } else { Err(RewrapError::Overtaken) }
}

/// False when the database has changed to the new key already.
async fn begin(db: &Db, present: &Keys, next: &Keys, occasion: &mut Occasion, nonce: [u8; 12]) -> Result<bool, RewrapError> {
    let mut tx = db.begin().await?;
    let check = db::installation::lock_key_check(&mut tx).await?.unwrap_or_default();
    if next.gives(&check) {
        return Ok(false);
    }
    if !present.gives(&check) {
        return Err(RewrapError::OtherKey);
    }
    if db::installation::begin_key_change(&mut tx, &next.check(), &next.seal_chain_of(present, nonce)).await? {
        note(&mut tx, occasion, "master_key.change_begun", 0).await?;
    }
    tx.commit().await?;
    Ok(true)
}

async fn reseal(
    db: &Db,
    present: &Keys,
    next: &Keys,
    rows: &[SealedKey],
    nonce: &mut (impl FnMut() -> [u8; 12] + Send),
) -> Result<Step, RewrapError> {
    let resealed = rows.iter().map(|row| {
        let place = KeyPlace { tenant: row.tenant, connection: row.connection, id: row.id };
        let sealed_next = present.reseal_private_key(next, place, nonce(), &row.sealed);
        let unreadable = || RewrapError::Unreadable { connection: row.connection.to_string(), id: row.id.to_string() };
        Ok(Resealed { key: row.clone(), sealed_next: sealed_next.ok_or_else(unreadable)? })
    });
    // What could not be opened may have been sealed under the next key meanwhile.
    let resealed = resealed.collect::<Result<Vec<_>, RewrapError>>();
    let mut tx = db.begin().await?;
    if !is_under_way(&mut tx, next).await? {
        return Ok(Step::DoneByAnother);
    }
    db::sp_key::keep_resealed(&mut tx, &resealed?).await?;
    tx.commit().await?;
    Ok(Step::GoOn)
}

/// The change itself, unless keys were added meanwhile: they are to be sealed again first.
async fn finish(db: &Db, next: &Keys, occasion: &mut Occasion) -> Result<Step, RewrapError> {
    let mut tx = db.begin().await?;
    // Whoever adds a key locks the same row.
    if !is_under_way(&mut tx, next).await? {
        return Ok(Step::DoneByAnother);
    }
    if db::sp_key::any_to_rewrap(&mut tx).await? {
        return Ok(Step::GoOn);
    }
    let keys = db::sp_key::take_over_resealed(&mut tx).await?;
    db::installation::finish_key_change(&mut tx, &next.check()).await?;
    note(&mut tx, occasion, "master_key.changed", keys).await?;
    tx.commit().await?;
    Ok(Step::Done(keys))
}

/// The master key is every tenant's.
async fn note(tx: &mut Tx, occasion: &mut Occasion, action: &'static str, keys: u64) -> Result<(), DbError> {
    let tenants: Vec<_> = db::tenant::list_tenants(&mut *tx).await?.into_iter().map(|tenant| tenant.id).collect();
    let detail = json!({ "private_keys": keys });
    let entry = Entry { action, target_kind: "installation", target_id: "1".to_owned(), detail };
    db::audit::append_to_each(tx, &tenants, occasion, &entry).await
}
