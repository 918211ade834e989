//! Credentials of connections that will expire: SCIM tokens, secrets of OAuth clients, certificates of both sides; and the warnings that
//! were given.

use super::{
    column,
    engine::{Db, DbError, Tx},
};
use crate::domain::{
    id::{ConnectionId, TenantId},
    time::Timestamp,
};

/// Days before its end at which a credential is warned of: what one side alone replaces.
pub const DAYS: [i64; 4] = [30, 14, 7, 1];
/// Of certificates, whose replacement takes two sides; the last warning is that it has expired.
pub const CERTIFICATE_DAYS: [i64; 7] = [90, 60, 30, 14, 7, 1, 0];
const DAY_SECS: i64 = 24 * 3600;

/// What ends, with the warning that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// `scim_token`, `oauth_secret`, `idp_certificate` or `sp_key`.
    pub kind: String,
    pub credential: String,
    pub expires_at: Timestamp,
    /// The nearest of [`DAYS`] or [`CERTIFICATE_DAYS`] that has been reached.
    pub days: i64,
}

impl Expiring {
    /// Certificates sign people in, and are an owner's to replace.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self.kind.as_str(), "idp_certificate" | "sp_key")
    }
}

/// The nearest warning that has been reached: nobody who looks after two weeks is told of both.
#[must_use]
pub fn reached(days: &[i64], expires_at: Timestamp, now: Timestamp) -> Option<i64> {
    days.iter().copied().rev().find(|days| expires_at <= now.plus_secs(days * DAY_SECS))
}

/// Live credentials with a warning that was not given yet, at most a thousand. Retired certificates and those of connections that are
/// switched off are nobody's worry.
pub async fn list_expiring(db: &Db, now: Timestamp) -> Result<Vec<Expiring>, DbError> {
    let sql = "with credential (tenant, connection, kind, id, expires_at_ms) as (
            select tenant, connection, 'scim_token', id, expires_at_ms from scim_token
            where revoked_at_ms is null and expires_at_ms > $1 and expires_at_ms <= $5
            union all
            select secret.tenant, secret.connection, 'oauth_secret', secret.id, secret.expires_at_ms
            from oauth_secret secret
            join oauth_client client on client.tenant = secret.tenant and client.connection = secret.connection and client.id = secret.client
            where secret.revoked_at_ms is null and client.revoked_at_ms is null and secret.expires_at_ms > $1 and secret.expires_at_ms <= $5
            union all
            select certificate.tenant, certificate.connection, 'idp_certificate', certificate.id, certificate.not_after_ms
            from idp_certificate certificate
            join connection on connection.tenant = certificate.tenant and connection.id = certificate.connection and connection.enabled
            where certificate.state <> 'retired' and certificate.not_after_ms <= $7
            union all
            select pair.tenant, pair.connection, 'sp_key', pair.id, pair.not_after_ms
            from sp_key pair
            join connection on connection.tenant = pair.tenant and connection.id = pair.connection and connection.enabled
            where pair.state <> 'retired' and pair.not_after_ms <= $7
        )
        select credential.tenant, credential.connection, credential.kind, credential.id, credential.expires_at_ms
        from credential
        where not exists (
            select 1 from expiry_alert given
            where given.tenant = credential.tenant and given.connection = credential.connection and given.credential = credential.id
                and given.days = case
                    when credential.expires_at_ms <= $1 then 0
                    when credential.expires_at_ms <= $2 then 1
                    when credential.expires_at_ms <= $3 then 7
                    when credential.expires_at_ms <= $4 then 14
                    when credential.expires_at_ms <= $5 then 30
                    when credential.expires_at_ms <= $6 then 60
                    else 90 end
        )
        order by credential.expires_at_ms limit 1000";
    let mut query = db.query(sql).bind(now.millis());
    for days in [1, 7, 14, 30, 60, 90] {
        query = query.bind(now.plus_secs(days * DAY_SECS).millis());
    }
    let rows: Vec<(String, String, String, String, i64)> = query.all().await?;
    let mut found = Vec::with_capacity(rows.len());
    for (tenant, connection, kind, credential, expires_at_ms) in rows {
        let expires_at = Timestamp::from_millis(expires_at_ms);
        let days: &[i64] = if matches!(kind.as_str(), "idp_certificate" | "sp_key") { &CERTIFICATE_DAYS } else { &DAYS };
        let Some(days) = reached(days, expires_at, now) else { continue };
        let (tenant, connection) = (column::id("a credential's tenant", &tenant)?, column::id("a credential's connection", &connection)?);
        found.push(Expiring { tenant, connection, kind, credential, expires_at, days });
    }
    Ok(found)
}

/// False when another node gave the warning.
pub async fn give(tx: &mut Tx, alert: &Expiring, now: Timestamp) -> Result<bool, DbError> {
    let sql =
        "insert into expiry_alert (tenant, connection, credential, days, given_at_ms) values ($1, $2, $3, $4, $5) on conflict do nothing";
    let query = tx.query(sql).bind(alert.tenant.to_string()).bind(alert.connection.to_string()).bind(alert.credential.clone());
    Ok(query.bind(alert.days).bind(now.millis()).run().await? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_warning_counts() {
        let end = Timestamp::from_millis(1_800_000_000_000);
        let left = |days: i64, secs: i64| reached(&DAYS, end, end.plus_secs(-days * DAY_SECS + secs));
        assert_eq!(
            [left(31, 0), left(30, 0), left(15, 0), left(14, 0), left(7, -1), left(7, 0), left(1, 0), left(0, -1)],
            [None, Some(30), Some(30), Some(14), Some(14), Some(7), Some(1), Some(1)]
        );
    }

    #[test]
    fn certificates_are_warned_of_from_ninety_days_on_and_when_they_have_expired() {
        let end = Timestamp::from_millis(1_800_000_000_000);
        let left = |days: i64| reached(&CERTIFICATE_DAYS, end, end.plus_secs(-days * DAY_SECS));
        assert_eq!(
            [91, 90, 61, 60, 30, 14, 7, 2, 1, 0, -5].map(left),
            [None, Some(90), Some(90), Some(60), Some(30), Some(14), Some(7), Some(7), Some(1), Some(0), Some(0)]
        );
    }
}
