//! Who a connection may mean: accounts by the subject of a sign-in and by the attributes that the two protocols have in common.

use super::{Ahead, DbError, SET_LIMIT, Tx, column, identity::ScimState};
use crate::domain::{
    id::{AccountId, ConnectionId, TenantId},
    name::fold,
};

/// Candidates that a SCIM POST may take over: a JIT account with the correlated value, and tombstones with the same externalId. Live
/// users that have the externalId too stand among them: they tell that it names nobody alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub account: AccountId,
    pub state: ScimState,
}

pub async fn list_candidates(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    correlation_key: Option<&str>,
    external_id: Option<&str>,
) -> Result<Vec<Candidate>, DbError> {
    let rows: Vec<(String, String)> = tx
        .query(
            "select account, scim_state from identity where tenant = $1 and connection = $2 and saml_correlation_key = $3 and scim_state <> 'live'
             union select account, scim_state from identity where tenant = $1 and connection = $2 and scim_external_id = $4 and scim_state <> 'none'",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(correlation_key.map(str::to_owned))
        .bind(external_id.map(str::to_owned))
        .all()
        .await?;
    rows.into_iter()
        .map(|(account, state)| {
            Ok(Candidate { account: column::id("identity.account", &account)?, state: column::word("identity.scim_state", &state)? })
        })
        .collect()
}

/// Whether the connection ever spoke of somebody of one of these values: `correlated` as sign-ins name people, `external_ids` as SCIM
/// does. Tombstones count.
pub async fn is_any_known(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    correlated: &[String],
    external_ids: &[String],
) -> Result<bool, DbError> {
    let by_sign_in = "select account from identity where tenant = $1 and connection = $2 and saml_correlation_key in ({$3}) limit 1";
    let by_scim = "select account from identity where tenant = $1 and connection = $2 and scim_external_id in ({$3}) limit 1";
    for (sql, values) in [(by_sign_in, correlated), (by_scim, external_ids)] {
        for chunk in values.chunks(SET_LIMIT) {
            let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string()).bind(connection.to_string());
            let row: Option<(String,)> = chunk.iter().fold(query, |query, value| query.bind(value.clone())).optional().await?;
            if row.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// By which attribute of the SCIM resource a SAML sign-in finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorrelatedBy {
    UserName,
    ExternalId,
}

impl CorrelatedBy {
    /// The attribute's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserName => "userName",
            Self::ExternalId => "externalId",
        }
    }
}

/// Who a verified subject may be: the account that has the subject, and the live SCIM resources that it correlates with; those of a
/// userName that is equal when folded.
pub async fn find_by_subject(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    subject: &str,
    correlated: Option<(CorrelatedBy, &str)>,
) -> Result<(Option<AccountId>, Vec<AccountId>), DbError> {
    seek_by_subject(tx, tenant, connection, subject, correlated).await?.fetch(tx).await
}

/// Who is sought by a subject and what it correlates with.
pub struct Sought(Ahead<(String, String)>);

impl Sought {
    pub async fn fetch(self, tx: &mut Tx) -> Result<(Option<AccountId>, Vec<AccountId>), DbError> {
        let mut found = (None, Vec::new());
        for (how, account) in self.0.fetch(tx).await? {
            let account = column::id("identity.account", &account)?;
            if how == "subject" { found.0 = Some(account) } else { found.1.push(account) }
        }
        Ok(found)
    }
}

/// As [`find_by_subject`], for whoever has something else to do before they look.
pub async fn seek_by_subject(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    subject: &str,
    correlated: Option<(CorrelatedBy, &str)>,
) -> Result<Sought, DbError> {
    let value_of = |attribute| correlated.filter(|(by, _)| *by == attribute).map(|(_, value)| value);
    let rows = tx
        .query(
            "select 'subject', account from identity where tenant = $1 and connection = $2 and subject = $3
             union all select 'scim', account from identity where tenant = $1 and connection = $2 and scim_user_name_key = $4 and scim_state = 'live'
             union all select 'scim', account from identity where tenant = $1 and connection = $2 and scim_external_id = $5 and scim_state = 'live'",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(subject.to_owned())
        .bind(value_of(CorrelatedBy::UserName).map(fold))
        .bind(value_of(CorrelatedBy::ExternalId).map(str::to_owned))
        .ahead()
        .await?;
    Ok(Sought(rows))
}

/// Whether an account other than `but` signs in by this value, or is the resource that a sign-in by this externalId means.
pub async fn is_correlated_elsewhere(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    but: Option<AccountId>,
    (by, key): (CorrelatedBy, &str),
) -> Result<bool, DbError> {
    let row: Option<(String,)> = tx
        .query(
            "select account from identity where tenant = $1 and connection = $2 and account <> $3 and saml_correlation_key = $4 and scim_state <> 'deleted'
             union select account from identity where tenant = $1 and connection = $2 and account <> $3 and scim_external_id = $5 and scim_state = 'live' limit 1",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(but.map(|id| id.to_string()).unwrap_or_default())
        .bind(key.to_owned())
        .bind((by == CorrelatedBy::ExternalId).then(|| key.to_owned()))
        .optional()
        .await?;
    Ok(row.is_some())
}
