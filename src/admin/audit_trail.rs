//! Looking through the audit trail, and taking it out.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError,
        audit::{AuditRow, Entry},
        audit_trail::{AuditQuery, list_trail},
    },
    domain::{actor::Occasion, model::RoleModel, time::Timestamp},
    policy::{
        access::Grant,
        action::{ExportAudit, ReadAudit},
    },
    scim::filter::{Filter, Literal, Operator},
};

/// What a filter may name.
pub const ATTRIBUTES: [&str; 6] = ["at", "actor", "subject", "subjectKind", "kind", "correlation"];

/// Rows of one page of an export.
pub const PAGE: i64 = 500;

/// Reads a filter as far as an index or one pass serves it: conditions joined by `and`.
///
/// # Errors
/// In words, with what may be written.
pub fn query_of(filter: Option<&Filter>) -> Result<AuditQuery, String> {
    let mut query = AuditQuery::default();
    if let Some(filter) = filter {
        narrow(&mut query, filter)?;
    }
    Ok(query)
}

fn narrow(query: &mut AuditQuery, filter: &Filter) -> Result<(), String> {
    const GRAMMAR: &str = "audit rows are filtered by conditions joined with `and`: at ge|gt|le|lt \"2026-03-03T00:00:00Z\", actor eq, subject eq, \
        subjectKind eq, kind eq|sw, correlation eq";
    let refused = || GRAMMAR.to_owned();
    match filter {
        Filter::And(left, right) => {
            narrow(query, left)?;
            narrow(query, right)
        }
        Filter::Compare { path, op, value: Literal::Text(value) } => match (path.name.to_ascii_lowercase().as_str(), op) {
            ("at", op) => narrow_time(query, *op, value),
            ("actor", Operator::Eq) => set(&mut query.actor, "actor", value),
            ("subject", Operator::Eq) => set(&mut query.subject, "subject", value),
            ("subjectkind", Operator::Eq) => set(&mut query.subject_kind, "subjectKind", value),
            ("kind", Operator::Eq) => set(&mut query.kind, "kind", value),
            ("kind", Operator::Sw) => set(&mut query.kind_begins, "kind", value),
            ("correlation", Operator::Eq) => set(&mut query.correlation, "correlation", value),
            _ => Err(refused()),
        },
        Filter::Compare { .. } | Filter::Or(..) | Filter::Not(_) | Filter::Present(_) | Filter::Element { .. } => Err(refused()),
    }
}

fn set(field: &mut String, name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || value.contains('\0') {
        return Err(format!("{name} is compared with a text that is not empty"));
    }
    if !field.is_empty() && field != value {
        return Err(format!("{name} is asked for twice"));
    }
    value.clone_into(field);
    Ok(())
}

fn narrow_time(query: &mut AuditQuery, op: Operator, value: &str) -> Result<(), String> {
    let at = Timestamp::parse(value).map_err(|error| error.to_string())?;
    let next = Timestamp::from_millis(at.millis().saturating_add(1));
    match op {
        Operator::Ge => query.from = query.from.max(at),
        Operator::Gt => query.from = query.from.max(next),
        Operator::Lt => query.until = query.until.min(at),
        Operator::Le => query.until = query.until.min(next),
        Operator::Eq | Operator::Ne | Operator::Co | Operator::Sw | Operator::Ew => {
            return Err("at is compared with ge, gt, le or lt".to_owned());
        }
    }
    Ok(())
}

/// Sealed rows with a number below `before`, the newest first. The grant must hold for the whole tenant.
pub async fn list(
    grant: &Grant<ReadAudit>,
    db: &Db,
    model: &RoleModel,
    query: &AuditQuery,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditRow>, DbError> {
    if grant.at() != model.organizations.root() {
        return Ok(Vec::new());
    }
    list_trail(db, model.tenant, query, before.unwrap_or(i64::MAX), limit).await
}

/// Begins an export, which is written down itself. Its pages are read with [`page`].
pub async fn begin_export(
    grant: &Grant<ExportAudit>,
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    after: i64,
) -> Result<(), DbError> {
    let entry = Entry {
        action: "audit.exported",
        target_kind: "tenant",
        target_id: model.tenant.to_string(),
        detail: json!({ "after": after, "organization": grant.at() }),
    };
    let mut tx = db.begin().await?;
    db::audit::append(&mut tx, model.tenant, occasion, &[entry]).await?;
    tx.commit().await
}

/// Rows behind `after`, the oldest first, at most [`PAGE`]. The grant must hold for the whole tenant.
pub async fn page(grant: &Grant<ExportAudit>, db: &Db, model: &RoleModel, after: i64) -> Result<Vec<AuditRow>, DbError> {
    if grant.at() != model.organizations.root() {
        return Ok(Vec::new());
    }
    db::audit::list_audit(db, model.tenant, after, PAGE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AuditQuery, String> {
        query_of(Some(&Filter::parse(text).unwrap()))
    }

    #[test]
    fn a_filter_narrows_and_what_no_index_serves_is_refused() {
        let query = read(r#"at ge "2026-03-03T00:00:00Z" and at lt "2026-03-04T00:00:00Z" and kind sw "role." and actor eq "a""#).unwrap();
        assert_eq!(
            (query.until.millis() - query.from.millis(), query.kind_begins.as_str(), query.actor.as_str()),
            (86_400_000, "role.", "a")
        );
        let shut = read(r#"at gt "2026-03-03T00:00:00Z" and at le "2026-03-03T00:00:00Z""#).unwrap();
        assert_eq!(shut.from, shut.until, "nothing is after and not after the same time");
        for wrong in [
            r#"actor eq "a" or actor eq "b""#,
            r#"not (actor eq "a")"#,
            "actor pr",
            r#"actor co "a""#,
            r#"actor eq """#,
            r#"actor eq "a" and actor eq "b""#,
            r#"at eq "2026-03-03T00:00:00Z""#,
            r#"at ge "yesterday""#,
            "kind eq 7",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
