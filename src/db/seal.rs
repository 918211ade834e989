//! Right after a commit: gapless numbers for audit rows and events, and the chain that seals audit rows.
//!
//! A row's seal is HMAC-SHA256 over the seal before it and every column of the row, so that nobody without the key can change, remove,
//! insert or reorder sealed rows unseen. Rows at the end could be cut off together with the head; against that, heads are exported. Rows
//! at the beginning can be archived and pruned; an anchor, under the same key, says where the rest goes on.

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    anchor::find_anchor,
    audit::AuditRow,
    column,
    engine::{Db, DbError, Target, Tx},
};
use crate::domain::{id::TenantId, secret::Secret};

/// The key of the chains, derived from the master key.
#[derive(Debug, Clone)]
pub struct ChainKey(Secret<[u8; 32]>);

impl ChainKey {
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Secret::new(key))
    }

    /// HMAC over texts, as lower-case hexadecimal.
    pub(super) fn tag(&self, texts: &[&str]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        // Lengths come first, so that no text can pass for the end of one column and the beginning of the next.
        for text in texts {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        let mut hexadecimal = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            write!(hexadecimal, "{byte:02x}").expect("writing to a string does not fail");
        }
        hexadecimal
    }
}

/// Rows taken by one transaction, so that none is long.
const BATCH: i64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealOutcome {
    /// Audit rows and events that got their number.
    pub sealed: usize,
    /// Whether there may be more.
    pub left: bool,
}

/// Where a chain stands. An exported one proves later that nothing up to it was cut off or rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub number: i64,
    pub seal: String,
}

impl Head {
    /// Before the first row.
    #[must_use]
    pub fn none() -> Self {
        Self { number: 0, seal: String::new() }
    }
}

/// As `audit verify --head` takes it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.seal)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The first number that does not hold.
    pub number: i64,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Sealed rows that hold, without those that were archived and pruned.
    pub rows: i64,
    /// The last row that was pruned; number 0 when none was.
    pub anchor: Head,
    /// Rows that wait for their seal.
    pub unsealed: i64,
    pub head: Head,
    pub broken: Option<Broken>,
}

/// Every column of an audit row but its seal.
#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    id: String,
    at_ms: i64,
    actor_kind: String,
    actor_id: Option<String>,
    action: String,
    target_kind: String,
    target_id: String,
    correlation: String,
    detail: String,
}

impl Row {
    fn seal(&self, key: &ChainKey, previous: &str, number: i64) -> String {
        key.tag(&[
            "rolegate audit 1",
            previous,
            &self.tenant,
            &number.to_string(),
            &self.id,
            &self.at_ms.to_string(),
            &self.actor_kind,
            if self.actor_id.is_some() { "some" } else { "none" },
            self.actor_id.as_deref().unwrap_or_default(),
            &self.action,
            &self.target_kind,
            &self.target_id,
            &self.correlation,
            &self.detail,
        ])
    }
}

/// Numbers and seals what was committed, in one transaction of its own. Whoever comes second waits at the heads' lock and then sees
/// what the first one left. There is no watermark: identifiers and commits have different orders.
pub async fn seal(db: &Db, tenant: TenantId, key: &ChainKey) -> Result<SealOutcome, DbError> {
    let mut tx = db.begin().await?;
    let mut heads = lock_heads(&mut tx, tenant).await?;
    let audit = seal_audit(&mut tx, tenant, key, &mut heads.audit).await?;
    let outbox = number_outbox(&mut tx, tenant, &mut heads.outbox).await?;
    if audit + outbox > 0 {
        move_heads(&mut tx, tenant, &heads).await?;
    }
    tx.commit().await?;
    let full = usize::try_from(BATCH).expect("the batch is small");
    Ok(SealOutcome { sealed: audit + outbox, left: audit == full || outbox == full })
}

async fn seal_audit(tx: &mut Tx, tenant: TenantId, key: &ChainKey, head: &mut Head) -> Result<usize, DbError> {
    let sql = "select tenant, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail
        from audit where tenant = $1 and number is null order by id limit $2";
    let mut rows: Vec<Row> = tx.query(sql).bind(tenant.to_string()).bind(BATCH).all().await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = "select at_ms from audit where tenant = $1 and number = $2";
    let last: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).bind(head.number).optional().await?;
    let mut last_ms = last.map_or(i64::MIN, |(at_ms,)| at_ms);
    let sql = "with sealed (id, number, seal, at_ms) as (values {($2, $3, $4, $5)})
        update audit set number = sealed.number, seal = sealed.seal, at_ms = sealed.at_ms
        from sealed where audit.tenant = $1 and audit.id = sealed.id";
    let mut query = tx.query_set(sql, rows.len()).bind(tenant.to_string());
    for row in &mut rows {
        // A row that was written late, or by a node whose clock is a little behind, gets the time of the row before it. The identifier
        // keeps the time at which it was made.
        last_ms = row.at_ms.max(last_ms);
        row.at_ms = last_ms;
        head.number += 1;
        head.seal = row.seal(key, &head.seal, head.number);
        query = query.bind(row.id.as_str()).bind(head.number).bind(head.seal.clone()).bind(row.at_ms);
    }
    query.run().await?;
    Ok(rows.len())
}

async fn number_outbox(tx: &mut Tx, tenant: TenantId, head: &mut Head) -> Result<usize, DbError> {
    let sql = "select id from outbox where tenant = $1 and number is null order by id limit $2";
    let rows: Vec<(String,)> = tx.query(sql).bind(tenant.to_string()).bind(BATCH).all().await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = "with numbered (id, number) as (values {($2, $3)})
        update outbox set number = numbered.number from numbered where outbox.tenant = $1 and outbox.id = numbered.id";
    let mut query = tx.query_set(sql, rows.len()).bind(tenant.to_string());
    for (id,) in &rows {
        head.number += 1;
        query = query.bind(id.as_str()).bind(head.number);
    }
    query.run().await?;
    Ok(rows.len())
}

/// Both chains of a tenant. Events are numbered alone: their head's seal stays empty.
struct Heads {
    audit: Head,
    outbox: Head,
}

async fn lock_heads(tx: &mut Tx, tenant: TenantId) -> Result<Heads, DbError> {
    let select = "select chain, number, seal from chain_head where tenant = $1 order by chain";
    let mut rows: Vec<(String, i64, String)> = tx.lock(select).bind(tenant.to_string()).all().await?;
    if rows.is_empty() {
        let sql = "insert into chain_head (tenant, chain, number, seal) values ($1, 'audit', 0, ''), ($1, 'outbox', 0, '')
            on conflict do nothing";
        tx.query(sql).bind(tenant.to_string()).run().await?;
        // Another sealer may have written them meanwhile, and moved them on.
        rows = tx.lock(select).bind(tenant.to_string()).all().await?;
    }
    let mut take = |chain: &str| {
        let at = rows.iter().position(|(name, ..)| name == chain).ok_or_else(|| DbError::corrupt("a chain's head", "it is not there"))?;
        let (_, number, seal) = rows.swap_remove(at);
        Ok::<_, DbError>(Head { number, seal })
    };
    Ok(Heads { audit: take("audit")?, outbox: take("outbox")? })
}

async fn move_heads(tx: &mut Tx, tenant: TenantId, heads: &Heads) -> Result<(), DbError> {
    let sql = "with moved (chain, number, seal) as (values {($2, $3, $4)})
        update chain_head set number = moved.number, seal = moved.seal from moved
        where chain_head.tenant = $1 and chain_head.chain = moved.chain";
    let mut query = tx.query_set(sql, 2).bind(tenant.to_string());
    for (chain, head) in [("audit", &heads.audit), ("outbox", &heads.outbox)] {
        query = query.bind(chain).bind(head.number).bind(head.seal.as_str());
    }
    query.run().await?;
    Ok(())
}

/// Tenants with rows that wait, for the job that makes up for a process that ended between commit and seal.
pub async fn tenants_to_seal(source: impl Into<Target<'_>>) -> Result<Vec<TenantId>, DbError> {
    let sql = "select tenant from audit where number is null union select tenant from outbox where number is null";
    let rows: Vec<(String,)> = source.into().query(sql).all().await?;
    rows.iter().map(|(tenant,)| column::id("an audit row's tenant", tenant)).collect()
}

/// Where the chain of audit rows stands; number 0 before the first row.
pub async fn find_head(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Head, DbError> {
    let sql = "select number, seal from chain_head where tenant = $1 and chain = 'audit'";
    let row: Option<(i64, String)> = source.into().query(sql).bind(tenant.to_string()).optional().await?;
    Ok(row.map_or_else(Head::none, |(number, seal)| Head { number, seal }))
}

/// The head of a tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantHead {
    pub tenant: TenantId,
    pub slug: String,
    pub head: Head,
}

/// The heads of the chains that have a row, by tenant, behind `after`; at most a thousand.
pub async fn list_heads(source: impl Into<Target<'_>>, after: Option<TenantId>) -> Result<Vec<TenantHead>, DbError> {
    let sql = "select tenant.id, tenant.slug, chain_head.number, chain_head.seal from chain_head
        join tenant on tenant.id = chain_head.tenant
        where chain_head.chain = 'audit' and chain_head.number > 0 and chain_head.tenant > $1
        order by chain_head.tenant limit 1000";
    let after = after.map_or_else(String::new, |tenant| tenant.to_string());
    let rows: Vec<(String, String, i64, String)> = source.into().query(sql).bind(after).all().await?;
    let read = |(tenant, slug, number, seal): (String, String, i64, String)| {
        Ok(TenantHead { tenant: column::id("a chain's tenant", &tenant)?, slug, head: Head { number, seal } })
    };
    rows.into_iter().map(read).collect()
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    #[sqlx(flatten)]
    row: Row,
    number: i64,
    seal: Option<String>,
}

impl SealedRow {
    fn of(tenant: TenantId, row: &AuditRow) -> Self {
        let AuditRow { number, id, at, actor_kind, actor_id, action, target_kind, target_id, correlation, detail, seal } = row.clone();
        let detail = column::to_document(&detail);
        let (tenant, id, at_ms) = (tenant.to_string(), id.to_string(), at.millis());
        let row = Row { tenant, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail };
        Self { row, number, seal: Some(seal) }
    }
}

/// A chain that is followed row by row.
#[derive(Debug)]
pub struct Walk<'k> {
    key: &'k ChainKey,
    tenant: TenantId,
    /// The last row that holds.
    pub head: Head,
    checks: Vec<(Head, &'static str)>,
}

impl<'k> Walk<'k> {
    /// `start` is the head of what came before.
    #[must_use]
    pub fn new(key: &'k ChainKey, tenant: TenantId, start: Head) -> Self {
        Self { key, tenant, head: start, checks: Vec::new() }
    }

    /// The row of that number must have that seal; `why` says what it means when it has not.
    pub fn expect(&mut self, head: Head, why: &'static str) {
        self.checks.push((head, why));
    }

    /// # Errors
    /// When the row is not the next one, or not the one that was sealed.
    pub fn step(&mut self, row: &AuditRow) -> Result<(), Broken> {
        self.step_sealed(&SealedRow::of(self.tenant, row))
    }

    fn step_sealed(&mut self, row: &SealedRow) -> Result<(), Broken> {
        let number = self.head.number + 1;
        let broken = |why: &str| Err(Broken { number, why: why.to_owned() });
        if row.number != number {
            return broken("the row is missing");
        }
        let seal = row.row.seal(self.key, &self.head.seal, number);
        if row.seal.as_deref() != Some(seal.as_str()) {
            return broken("the row is not the one that was sealed");
        }
        if let Some((_, why)) = self.checks.iter().find(|(check, _)| check.number == number && check.seal != seal) {
            return broken(why);
        }
        self.head = Head { number, seal };
        Ok(())
    }

    /// After the last row.
    fn end(&self) -> Option<Broken> {
        self.checks.iter().find(|(check, _)| check.number > self.head.number).map(|(check, _)| Broken {
            number: self.head.number + 1,
            why: format!("the row is missing: the chain once reached number {}", check.number),
        })
    }
}

/// Walks the chain from its first row, or from its anchor, and stops at the first that does not hold. `exported` is a head written down
/// earlier.
pub async fn verify(db: &Db, tenant: TenantId, key: &ChainKey, exported: Option<&Head>) -> Result<Verdict, DbError> {
    // Read before the rows: what is sealed meanwhile stands after it.
    let stored = find_head(db, tenant).await?;
    let anchor = find_anchor(db, tenant, key).await?;
    let start = anchor.as_ref().map_or_else(Head::none, |anchor| anchor.head.clone());
    let sql = "select count(*) from audit where tenant = $1 and number is null";
    let unsealed: Option<(i64,)> = db.query(sql).bind(tenant.to_string()).optional().await?;
    let mut walk = Walk::new(key, tenant, start.clone());
    walk.expect(stored, "the head of the chain names another seal");
    if let Some(head) = exported {
        walk.expect(head.clone(), "the exported head names another seal");
    }
    let pruned = |head: &Head| head.number == start.number && head.seal != start.seal;
    let broken = if anchor.is_some_and(|anchor| !anchor.genuine) {
        Some(Broken { number: start.number, why: "where pruned rows ended was written by somebody without the key".to_owned() })
    } else if exported.is_some_and(pruned) {
        Some(Broken { number: start.number, why: "the exported head names another seal".to_owned() })
    } else {
        follow(db, tenant, &mut walk).await?
    };
    let rows = walk.head.number - start.number;
    Ok(Verdict { rows, anchor: start, unsealed: unsealed.map_or(0, |(count,)| count), head: walk.head, broken })
}

/// Every row there is. Below the anchor, and below the first number, there is none.
async fn follow(db: &Db, tenant: TenantId, walk: &mut Walk<'_>) -> Result<Option<Broken>, DbError> {
    let mut after = i64::MIN;
    loop {
        let sql = "select tenant, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail, number, seal
            from audit where tenant = $1 and number > $2 order by number limit $3";
        let page: Vec<SealedRow> = db.query(sql).bind(tenant.to_string()).bind(after).bind(BATCH).all().await?;
        if page.is_empty() {
            return Ok(walk.end());
        }
        if let Err(broken) = page.iter().try_for_each(|row| walk.step_sealed(row)) {
            return Ok(Some(broken));
        }
        after = walk.head.number;
    }
}
