//! What connections say of accounts: one row an account and connection, with the facts of each protocol.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Db, DbError, SET_LIMIT, Tx, column, engine::Query};
use crate::domain::{
    id::{AccountId, ConnectionId, TenantId},
    identity::GroupRef,
    name::fold,
    time::Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScimState {
    /// Only SAML speaks of this person.
    None,
    Live,
    /// A tombstone: deleted over SCIM, kept so that nobody inherits its grants.
    Deleted,
}

/// The condition on an origin whose identity is `i`, by a left join: the identity exists and lets nobody sign in. It is the opposite of
/// [`IdentityRow::is_live`].
macro_rules! dormant {
    () => {
        "(i.account is not null and not (i.active and i.scim_state <> 'deleted'))"
    };
}
/// The join of an origin `o` to its identity.
macro_rules! identity_of_origin {
    () => {
        " left join identity i on i.tenant = o.tenant and i.connection = o.connection and i.account = o.account "
    };
}
pub(super) use {dormant, identity_of_origin};

/// Rows of so many columns in one statement: below SQLite's 32,766 placeholders.
const IDENTITY_LIMIT: usize = 1_500;

/// The SCIM resource as it was last written.
#[derive(Debug, Clone, PartialEq)]
pub struct ScimFacts {
    pub document: Map<String, Value>,
    pub version: i64,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

/// What the last verified SAML response said.
#[derive(Debug, Clone, PartialEq)]
pub struct SamlFacts {
    pub attributes: Map<String, Value>,
    /// `None`: no response ever said anything of groups.
    pub groups: Option<Vec<GroupRef>>,
    pub correlation_key: Option<String>,
    pub seen_at: Timestamp,
    /// The sign-in was refused, whatever the mapping said of it: until one is accepted these facts take away and give nothing.
    pub refused: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct IdentityRow {
    pub connection: ConnectionId,
    pub account: AccountId,
    pub subject: Option<String>,
    /// The correlated SCIM attribute changed since a subject was last linked.
    pub renamed: bool,
    /// SCIM `active`; true while only SAML speaks.
    pub active: bool,
    pub scim_state: ScimState,
    pub scim: Option<ScimFacts>,
    pub saml: Option<SamlFacts>,
    /// The mapping it was last evaluated with; 0: never, negative: evaluated, but its facts changed since.
    pub mapping_version: i64,
}

impl IdentityRow {
    /// Whether it lets its person sign in.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.active && self.scim_state != ScimState::Deleted
    }
}

/// What is looked up of a SCIM resource, computed from its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScimKeys {
    pub user_name: String,
    pub external_id: Option<String>,
    pub display_name: Option<String>,
    pub emails: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct IdentityColumns {
    connection: String,
    account: String,
    subject: Option<String>,
    renamed: bool,
    active: bool,
    scim_state: String,
    scim_document: Option<String>,
    scim_version: i64,
    scim_created_at_ms: Option<i64>,
    scim_changed_at_ms: Option<i64>,
    saml_document: Option<String>,
    saml_groups: Option<String>,
    saml_correlation_key: Option<String>,
    saml_seen_at_ms: Option<i64>,
    saml_refused: bool,
    mapping_version: i64,
}

impl TryFrom<IdentityColumns> for IdentityRow {
    type Error = DbError;

    fn try_from(row: IdentityColumns) -> Result<Self, DbError> {
        let scim = match (row.scim_document, row.scim_created_at_ms, row.scim_changed_at_ms) {
            (Some(document), Some(created), Some(changed)) => Some(ScimFacts {
                document: column::document("identity.scim_document", &document)?,
                version: row.scim_version,
                created_at: Timestamp::from_millis(created),
                changed_at: Timestamp::from_millis(changed),
            }),
            _ => None,
        };
        let saml = match (row.saml_document, row.saml_seen_at_ms) {
            (Some(document), Some(seen)) => Some(SamlFacts {
                attributes: column::document("identity.saml_document", &document)?,
                groups: row.saml_groups.map(|groups| column::document("identity.saml_groups", &groups)).transpose()?,
                correlation_key: row.saml_correlation_key,
                seen_at: Timestamp::from_millis(seen),
                refused: row.saml_refused,
            }),
            _ => None,
        };
        Ok(Self {
            connection: column::id("identity.connection", &row.connection)?,
            account: column::id("identity.account", &row.account)?,
            subject: row.subject,
            renamed: row.renamed,
            active: row.active,
            scim_state: column::word("identity.scim_state", &row.scim_state)?,
            scim,
            saml,
            mapping_version: row.mapping_version,
        })
    }
}

/// Inserts rows, each with what its resource is looked up by. Where a user name or a subject is taken at its connection, a later
/// statement or [`Tx::settle`] says so with [`DbError::Taken`].
pub async fn insert_identities(tx: &mut Tx, tenant: TenantId, rows: &[(&IdentityRow, Option<&ScimKeys>)]) -> Result<(), DbError> {
    let sql = "insert into identity (tenant, connection, account, subject, active, scim_state, scim_document, scim_user_name_key, scim_external_id, scim_display_name_key, scim_version,
            scim_created_at_ms, scim_changed_at_ms, saml_document, saml_groups, saml_correlation_key, saml_seen_at_ms, mapping_version, renamed, saml_refused)
        values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)}";
    for chunk in rows.chunks(IDENTITY_LIMIT) {
        let query = chunk.iter().fold(tx.query_set(sql, chunk.len()), |query, (row, keys)| bind_facts(query, tenant, row, *keys));
        query.later().await?;
    }
    let with_keys: Vec<_> = rows.iter().filter_map(|(row, keys)| Some((*row, (*keys)?))).collect();
    insert_emails(tx, tenant, &with_keys).await
}

/// Writes every fact of a row whose account the caller has locked. A user name that somebody else has is [`DbError::Taken`].
/// A tombstone keeps the time of its last change: that of the deletion.
pub async fn update_identity(tx: &mut Tx, tenant: TenantId, row: &IdentityRow, keys: Option<&ScimKeys>) -> Result<(), DbError> {
    let query = tx.query(
        "update identity set subject = $4, active = $5, scim_state = $6, scim_document = $7, scim_user_name_key = $8, scim_external_id = $9, scim_display_name_key = $10, scim_version = $11,
             scim_created_at_ms = $12, scim_changed_at_ms = $13, scim_deleted_at_ms = case when $6 = 'deleted' then $13 end,
             saml_document = $14, saml_groups = $15, saml_correlation_key = $16, saml_seen_at_ms = $17, mapping_version = $18, renamed = $19, saml_refused = $20
         where tenant = $1 and connection = $2 and account = $3",
    );
    bind_facts(query, tenant, row, keys).run().await.map(drop)
}

/// Writes what a response said, where nothing that the row is found by is another one than before: SQLite writes every index that a
/// statement names a column of.
pub async fn update_saml_facts(tx: &mut Tx, tenant: TenantId, row: &IdentityRow) -> Result<(), DbError> {
    let sql = "update identity set saml_document = $4, saml_groups = $5, saml_seen_at_ms = $6, renamed = $7, saml_refused = $8
        where tenant = $1 and connection = $2 and account = $3";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(row.connection.to_string())
        .bind(row.account.to_string())
        .bind(row.saml.as_ref().map(|facts| column::to_document(&facts.attributes)))
        .bind(row.saml.as_ref().and_then(|facts| facts.groups.as_ref()).map(column::to_document))
        .bind(row.saml.as_ref().map(|facts| facts.seen_at.millis()))
        .bind(row.renamed)
        .bind(row.saml.as_ref().is_some_and(|facts| facts.refused))
        .later()
        .await
}

/// Replaces the e-mail values under which a SCIM resource is found.
pub async fn replace_emails(tx: &mut Tx, tenant: TenantId, row: &IdentityRow, keys: &ScimKeys) -> Result<(), DbError> {
    tx.query("delete from identity_email where tenant = $1 and connection = $2 and account = $3")
        .bind(tenant.to_string())
        .bind(row.connection.to_string())
        .bind(row.account.to_string())
        .later()
        .await?;
    insert_emails(tx, tenant, &[(row, keys)]).await
}

async fn insert_emails(tx: &mut Tx, tenant: TenantId, rows: &[(&IdentityRow, &ScimKeys)]) -> Result<(), DbError> {
    let emails: Vec<(&IdentityRow, i64, &String)> =
        rows.iter().flat_map(|(row, keys)| (0..).zip(&keys.emails).map(|(position, value)| (*row, position, value))).collect();
    for chunk in emails.chunks(SET_LIMIT) {
        let mut query = tx.query_set(
            "insert into identity_email (tenant, connection, account, position, value_key) values {($1, $2, $3, $4, $5)}",
            chunk.len(),
        );
        for (row, position, value) in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(row.connection.to_string())
                .bind(row.account.to_string())
                .bind(*position)
                .bind(fold(value));
        }
        query.later().await?;
    }
    Ok(())
}

fn bind_facts<'t>(query: Query<'t>, tenant: TenantId, row: &IdentityRow, keys: Option<&ScimKeys>) -> Query<'t> {
    query
        .bind(tenant.to_string())
        .bind(row.connection.to_string())
        .bind(row.account.to_string())
        .bind(row.subject.clone())
        .bind(row.active)
        .bind(column::to_word(row.scim_state))
        .bind(row.scim.as_ref().map(|facts| column::to_document(&facts.document)))
        .bind(keys.map(|keys| fold(&keys.user_name)))
        .bind(keys.and_then(|keys| keys.external_id.clone()))
        .bind(keys.and_then(|keys| keys.display_name.as_deref().map(fold)))
        .bind(row.scim.as_ref().map_or(0, |facts| facts.version))
        .bind(row.scim.as_ref().map(|facts| facts.created_at.millis()))
        .bind(row.scim.as_ref().map(|facts| facts.changed_at.millis()))
        .bind(row.saml.as_ref().map(|facts| column::to_document(&facts.attributes)))
        .bind(row.saml.as_ref().and_then(|facts| facts.groups.as_ref()).map(column::to_document))
        .bind(row.saml.as_ref().and_then(|facts| facts.correlation_key.clone()))
        .bind(row.saml.as_ref().map(|facts| facts.seen_at.millis()))
        .bind(row.mapping_version)
        .bind(row.renamed)
        .bind(row.saml.as_ref().is_some_and(|facts| facts.refused))
}

/// The rows of these accounts at one connection; the caller has locked the accounts.
pub async fn identities_at(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, IdentityRow>, DbError> {
    let mut found = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "select connection, account, subject, renamed, active, scim_state, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms, saml_document, saml_groups,
                     saml_correlation_key, saml_seen_at_ms, saml_refused, mapping_version
                 from identity where tenant = $1 and connection = $2 and account in ({$3})",
                chunk.len(),
            )
            .bind(tenant.to_string())
            .bind(connection.to_string());
        for account in chunk {
            query = query.bind(account.to_string());
        }
        for row in query.all::<IdentityColumns>().await? {
            let row = IdentityRow::try_from(row)?;
            found.insert(row.account, row);
        }
    }
    Ok(found)
}

/// A live identity that an account has at any other connection.
pub async fn find_live_elsewhere(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    but: ConnectionId,
) -> Result<Option<IdentityRow>, DbError> {
    let rows: Vec<IdentityColumns> = tx
        .query(
            "select connection, account, subject, renamed, active, scim_state, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms, saml_document, saml_groups,
                 saml_correlation_key, saml_seen_at_ms, saml_refused, mapping_version
             from identity where tenant = $1 and account = $2 and connection <> $3 and active and scim_state <> 'deleted'",
        )
        .bind(tenant.to_string())
        .bind(account.to_string())
        .bind(but.to_string())
        .all()
        .await?;
    // A handful at most; `order by … limit 1` would make SQLite walk the whole tenant in the order of the key.
    rows.into_iter().map(IdentityRow::try_from).collect::<Result<Vec<_>, _>>().map(|rows| rows.into_iter().min_by_key(|row| row.connection))
}

/// What an account is at each connection, in no order; the caller has locked the account.
pub async fn identities_of(tx: &mut Tx, tenant: TenantId, account: AccountId) -> Result<Vec<IdentityRow>, DbError> {
    let rows: Vec<IdentityColumns> = tx
        .query(
            "select connection, account, subject, renamed, active, scim_state, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms, saml_document, saml_groups,
                 saml_correlation_key, saml_seen_at_ms, saml_refused, mapping_version
             from identity where tenant = $1 and account = $2",
        )
        .bind(tenant.to_string())
        .bind(account.to_string())
        .all()
        .await?;
    rows.into_iter().map(IdentityRow::try_from).collect()
}

/// Frees a subject that stands on a tombstone, so that the next holder of the same address is a new person.
pub async fn release_subject(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, account: AccountId) -> Result<(), DbError> {
    tx.query("update identity set subject = null, saml_correlation_key = null where tenant = $1 and connection = $2 and account = $3")
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(account.to_string())
        .run()
        .await?;
    Ok(())
}

/// Who is at a connection, those whom SCIM speaks of before the others, after one of them: state and id go on from what the last call gave.
pub async fn list_accounts(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    after: Option<(ScimState, AccountId)>,
    limit: i64,
) -> Result<Vec<(ScimState, AccountId)>, DbError> {
    let (state, account) = after.map_or_else(Default::default, |(state, account)| (column::to_word(state), account.to_string()));
    let rows: Vec<(String, String)> = tx
        .query("select scim_state, account from identity where tenant = $1 and connection = $2 and (scim_state, account) > ($3, $4) and scim_state <> 'deleted' order by scim_state, account limit $5")
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(state)
        .bind(account)
        .bind(limit)
        .all()
        .await?;
    rows.iter().map(|(state, id)| Ok((column::word("identity.scim_state", state)?, column::id("identity.account", id)?))).collect()
}

/// Forgets what identity providers said of people whom they deleted before `before`, at most a thousand; how many it were.
/// The row stays: its account may hold grants made by hand. Nothing finds or revives it any more.
pub async fn forget_deleted(db: &Db, before: Timestamp) -> Result<u64, DbError> {
    let sql = "update identity set subject = null, scim_document = null, scim_user_name_key = null, scim_external_id = null, scim_display_name_key = null,
            scim_created_at_ms = null, scim_changed_at_ms = null, scim_deleted_at_ms = null,
            saml_document = null, saml_groups = null, saml_correlation_key = null, saml_seen_at_ms = null, saml_refused = false
        where scim_state = 'deleted' and (tenant, connection, account) in
            (select tenant, connection, account from identity where scim_deleted_at_ms < $1 order by scim_deleted_at_ms limit 1000)";
    db.query(sql).bind(before.millis()).run().await
}

/// Which of these are live SCIM users of the connection.
pub async fn known_users(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    accounts: &[AccountId],
) -> Result<Vec<AccountId>, DbError> {
    let mut found = Vec::with_capacity(accounts.len());
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "select account from identity where tenant = $1 and connection = $2 and scim_state = 'live' and account in ({$3})",
                chunk.len(),
            )
            .bind(tenant.to_string())
            .bind(connection.to_string());
        for account in chunk {
            query = query.bind(account.to_string());
        }
        for (id,) in query.all::<(String,)>().await? {
            found.push(column::id("identity.account", &id)?);
        }
    }
    Ok(found)
}

/// A SCIM resource for reading.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRow {
    pub id: AccountId,
    pub scim: ScimFacts,
}

#[derive(sqlx::FromRow)]
pub(super) struct UserColumns {
    account: String,
    scim_document: Option<String>,
    scim_version: i64,
    scim_created_at_ms: Option<i64>,
    scim_changed_at_ms: Option<i64>,
}

impl TryFrom<UserColumns> for UserRow {
    type Error = DbError;

    fn try_from(row: UserColumns) -> Result<Self, DbError> {
        let missing = || DbError::corrupt("identity", "a live SCIM resource without a document");
        Ok(Self {
            id: column::id("identity.account", &row.account)?,
            scim: ScimFacts {
                document: column::document("identity.scim_document", row.scim_document.as_deref().ok_or_else(missing)?)?,
                version: row.scim_version,
                created_at: column::time(row.scim_created_at_ms).ok_or_else(missing)?,
                changed_at: column::time(row.scim_changed_at_ms).ok_or_else(missing)?,
            },
        })
    }
}

pub async fn find_user(db: &Db, tenant: TenantId, connection: ConnectionId, id: AccountId) -> Result<Option<UserRow>, DbError> {
    let row: Option<UserColumns> = db
        .query(
            "select account, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms
             from identity where tenant = $1 and connection = $2 and account = $3 and scim_state = 'live'",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_string())
        .optional()
        .await?;
    row.map(UserRow::try_from).transpose()
}
