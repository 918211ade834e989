//! Archiving the audit trail: its oldest rows go to a file, with their seals, and then out of the database. The chain stays one: the file goes
//! from where the last one ended, the database on from the file's last row.

use std::io::{BufRead, Write};

use serde_json::json;

use super::audit_line::AuditLine;
use crate::{
    db::{
        Db, DbError, anchor,
        audit::{self, Entry, list_audit},
        audit_trail::last_before,
        seal::{Broken, ChainKey, Head, Walk},
    },
    domain::{actor::Occasion, id::TenantId, time::Timestamp},
};

/// Rows of one page.
const PAGE: i64 = 500;
/// Pages that one transaction prunes.
const PRUNED_AT_ONCE: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the chain is broken at number {}: {}; nothing was archived", .0.number, .0.why)]
    Broken(Broken),
    #[error("line {line} of the archive is not an audit row: {why}")]
    Line { line: usize, why: String },
    #[error("the archive cannot be written or read")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The head before its first row.
    pub from: Head,
    /// The last row of each page, so that what is pruned at once stays small.
    pub steps: Vec<Head>,
}

impl Archived {
    #[must_use]
    pub fn last(&self) -> &Head {
        self.steps.last().unwrap_or(&self.from)
    }

    #[must_use]
    pub fn rows(&self) -> i64 {
        self.last().number - self.from.number
    }
}

/// Writes the sealed rows that are older than `before`, up to the first that is not. They stay where they are.
pub async fn write(
    db: &Db,
    tenant: TenantId,
    slug: &str,
    key: &ChainKey,
    before: Timestamp,
    to: &mut impl Write,
) -> Result<Archived, ArchiveError> {
    let from = start(db, tenant, key).await?;
    let last = last_before(db, tenant, before).await?.unwrap_or(from.number);
    let mut walk = Walk::new(key, tenant, from.clone());
    let mut steps: Vec<Head> = Vec::new();
    while walk.head.number < last {
        let rows = list_audit(db, tenant, walk.head.number, PAGE.min(last - walk.head.number)).await?;
        let missing = || Broken { number: walk.head.number + 1, why: "the row is missing".to_owned() };
        if rows.is_empty() {
            return Err(ArchiveError::Broken(missing()));
        }
        for row in rows {
            walk.step(&row).map_err(ArchiveError::Broken)?;
            serde_json::to_writer(&mut *to, &AuditLine::new(slug, row)).map_err(std::io::Error::from)?;
            to.write_all(b"\n")?;
        }
        steps.push(walk.head.clone());
    }
    to.flush()?;
    Ok(Archived { from, steps })
}

async fn start(db: &Db, tenant: TenantId, key: &ChainKey) -> Result<Head, ArchiveError> {
    match anchor::find_anchor(db, tenant, key).await? {
        None => Ok(Head::none()),
        Some(anchor) if anchor.genuine => Ok(anchor.head),
        Some(anchor) => {
            let why = "where pruned rows ended was written by somebody without the key".to_owned();
            Err(ArchiveError::Broken(Broken { number: anchor.head.number, why }))
        }
    }
}

/// Follows the chain through an archive of this tenant; the head after its last row. `exported` is a head written down earlier.
pub fn read(
    key: &ChainKey,
    (tenant, slug): (TenantId, &str),
    from: Head,
    exported: Option<&Head>,
    archive: impl BufRead,
) -> Result<Head, ArchiveError> {
    let mut walk = Walk::new(key, tenant, from);
    if let Some(head) = exported {
        walk.expect(head.clone(), "the exported head names another seal");
    }
    for (line, text) in archive.lines().enumerate() {
        let refused = |why: String| ArchiveError::Line { line: line + 1, why };
        let row: AuditLine = serde_json::from_str(&text?).map_err(|error| refused(error.to_string()))?;
        if row.tenant != slug {
            return Err(refused(format!("the row is said to be of the tenant {:?}", row.tenant)));
        }
        let row = row.into_row().map_err(|error| refused(error.to_string()))?;
        walk.step(&row).map_err(ArchiveError::Broken)?;
    }
    Ok(walk.head)
}

/// Takes out of the database what the archive holds, and writes down that it did, with each part; how many rows.
pub async fn prune(db: &Db, tenant: TenantId, key: &ChainKey, occasion: &mut Occasion, archived: &Archived) -> Result<u64, DbError> {
    let (mut pruned, mut from) = (0, archived.from.number);
    for step in archived.steps.chunks(PRUNED_AT_ONCE).filter_map(<[Head]>::last) {
        let mut tx = db.begin().await?;
        pruned += anchor::prune(&mut tx, tenant, key, step, occasion.now).await?;
        // What is gone is written down in the transaction that takes it away, wherever this ends.
        let detail = json!({ "first": from + 1, "last": step.number, "seal": step.seal });
        let entry = Entry { action: "audit.archived", target_kind: "tenant", target_id: tenant.to_string(), detail };
        audit::append(&mut tx, tenant, occasion, &[entry]).await?;
        tx.commit().await?;
        from = step.number;
    }
    Ok(pruned)
}
