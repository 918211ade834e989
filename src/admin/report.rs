//! Reports over the whole of a tenant, or of the part of it that somebody sees.

use crate::{
    db::{
        Db, DbError,
        report::{self, Counted, Held, Position},
    },
    domain::id::{RoleId, TenantId},
    policy::{access::Grant, action::ReadReports, places::Places},
};

/// How much there is of everything: a matter of the whole tenant.
pub async fn count(_grant: &Grant<ReadReports>, db: &Db, tenant: TenantId) -> Result<Counted, DbError> {
    report::count(db, tenant).await
}

/// Who holds what, counted, at the organizations where the caller may see reports.
pub async fn list_held(
    places: &Places,
    db: &Db,
    tenant: TenantId,
    role: Option<RoleId>,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Held>, DbError> {
    report::list_held(db, tenant, places, role, after, limit).await
}
