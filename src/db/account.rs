//! Accounts, as rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Ahead, DbError, SET_LIMIT, Target, Tx, column,
    identity::{dormant, identity_of_origin},
};
use crate::domain::{
    account::{Account, SignInStatus},
    id::{AccountId, ConnectionId, OrganizationId, TenantId},
    name::fold,
    time::Timestamp,
};

/// An account with what only the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    pub account: Account,
    /// What people decided: let in, waiting for approval, blocked. The account's status is this while it has a way to sign in.
    pub standing: SignInStatus,
    /// Whose facts name the account; `None` for a local one.
    pub profile_connection: Option<ConnectionId>,
    /// Can sign in without any identity provider.
    pub has_local_credential: bool,
    pub from_file: bool,
}

impl AccountRow {
    /// A person's decision, which no sync undoes.
    pub fn decide(&mut self, standing: SignInStatus) {
        self.standing = standing;
        self.account.status = standing;
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct AccountColumns {
    id: String,
    user_name: String,
    email: Option<String>,
    display_name: Option<String>,
    kind: String,
    home_organization: Option<String>,
    profile_connection: Option<String>,
    status: String,
    standing: String,
    has_local_credential: bool,
    from_file: bool,
}

impl TryFrom<AccountColumns> for AccountRow {
    type Error = DbError;

    fn try_from(row: AccountColumns) -> Result<Self, DbError> {
        Ok(Self {
            account: Account {
                id: column::id("account.id", &row.id)?,
                user_name: row.user_name,
                email: row.email,
                display_name: row.display_name,
                kind: column::word("account.kind", &row.kind)?,
                home_organization: column::optional_id("account.home_organization", row.home_organization.as_deref())?,
                status: column::word("account.status", &row.status)?,
            },
            standing: column::word("account.standing", &row.standing)?,
            profile_connection: column::optional_id("account.profile_connection", row.profile_connection.as_deref())?,
            has_local_credential: row.has_local_credential,
            from_file: row.from_file,
        })
    }
}

pub async fn insert_accounts(tx: &mut Tx, tenant: TenantId, rows: &[&AccountRow], now: Timestamp) -> Result<(), DbError> {
    let sql = "insert into account (tenant, id, user_name, user_name_key, email, email_key, display_name, kind, home_organization, profile_connection, status, has_local_credential, from_file, created_at_ms, changed_at_ms, standing)
        values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)}";
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for row in chunk {
            let account = &row.account;
            query = query
                .bind(tenant.to_string())
                .bind(account.id.to_string())
                .bind(account.user_name.as_str())
                .bind(fold(&account.user_name))
                .bind(account.email.as_deref())
                .bind(account.email.as_deref().map(fold))
                .bind(account.display_name.as_deref())
                .bind(account.kind.as_str())
                .bind(account.home_organization.map(|id| id.to_string()))
                .bind(row.profile_connection.map(|id| id.to_string()))
                .bind(account.status.as_str())
                .bind(row.has_local_credential)
                .bind(row.from_file)
                .bind(now.millis())
                .bind(now.millis())
                .bind(row.standing.as_str());
        }
        query.later().await?;
    }
    Ok(())
}

/// Writes every column of a row that the caller has locked.
pub async fn update_account(tx: &mut Tx, tenant: TenantId, row: &AccountRow, now: Timestamp) -> Result<(), DbError> {
    let account = &row.account;
    tx.query(
        "update account set user_name = $3, user_name_key = $4, email = $5, email_key = $6, display_name = $7, kind = $8, home_organization = $9, profile_connection = $10, status = $11,
             has_local_credential = $12, from_file = $13, changed_at_ms = case when changed_at_ms > $14 then changed_at_ms else $14 end, standing = $15, version = version + 1
         where tenant = $1 and id = $2",
    )
    .bind(tenant.to_string())
    .bind(account.id.to_string())
    .bind(&account.user_name)
    .bind(fold(&account.user_name))
    .bind(account.email.as_deref())
    .bind(account.email.as_deref().map(fold))
    .bind(account.display_name.as_deref())
    .bind(account.kind.as_str())
    .bind(account.home_organization.map(|id| id.to_string()))
    .bind(row.profile_connection.map(|id| id.to_string()))
    .bind(account.status.as_str())
    .bind(row.has_local_credential)
    .bind(row.from_file)
    .bind(now.millis())
    .bind(row.standing.as_str())
    .later()
    .await?;
    Ok(())
}

/// Locks accounts in the order of their ids, which is the order in which all writers lock them.
pub async fn lock_accounts(tx: &mut Tx, tenant: TenantId, accounts: &[AccountId]) -> Result<BTreeMap<AccountId, AccountRow>, DbError> {
    lock_ahead(tx, tenant, accounts).await?.fetch(tx).await
}

/// Accounts that are locked before anything else is read.
pub struct Locked(Vec<Ahead<AccountColumns>>);

impl Locked {
    pub async fn fetch(self, tx: &mut Tx) -> Result<BTreeMap<AccountId, AccountRow>, DbError> {
        let mut found = BTreeMap::new();
        for rows in self.0 {
            for row in rows.fetch(tx).await? {
                let row = AccountRow::try_from(row)?;
                found.insert(row.account.id, row);
            }
        }
        Ok(found)
    }
}

/// As [`lock_accounts`], for whoever asks for something else of them before looking at them.
pub async fn lock_ahead(tx: &mut Tx, tenant: TenantId, accounts: &[AccountId]) -> Result<Locked, DbError> {
    let mut locked = Vec::new();
    let mut sorted = accounts.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for chunk in sorted.chunks(SET_LIMIT) {
        let mut query = tx
            .lock_set(
                "select id, user_name, email, display_name, kind, home_organization, profile_connection, status, standing, has_local_credential, from_file
                 from account where tenant = $1 and id in ({$2}) order by id",
                chunk.len(),
            )
            .bind(tenant.to_string());
        for account in chunk {
            query = query.bind(account.to_string());
        }
        locked.push(query.ahead().await?);
    }
    Ok(Locked(locked))
}

pub async fn find_account(source: impl Into<Target<'_>>, tenant: TenantId, account: AccountId) -> Result<Option<AccountRow>, DbError> {
    let mut source = source.into();
    let row: Option<AccountColumns> = source
        .query(
            "select id, user_name, email, display_name, kind, home_organization, profile_connection, status, standing, has_local_credential, from_file
             from account where tenant = $1 and id = $2",
        )
        .bind(tenant.to_string())
        .bind(account.to_string())
        .optional()
        .await?;
    row.map(AccountRow::try_from).transpose()
}

/// Local accounts (those that no connection names) with this e-mail address.
pub async fn find_local_account(tx: &mut Tx, tenant: TenantId, email: &str) -> Result<Option<AccountRow>, DbError> {
    let row: Option<AccountColumns> = tx
        .query(
            "select id, user_name, email, display_name, kind, home_organization, profile_connection, status, standing, has_local_credential, from_file
             from account where tenant = $1 and email_key = $2 and profile_connection is null order by id limit 1",
        )
        .bind(tenant.to_string())
        .bind(fold(email))
        .optional()
        .await?;
    row.map(AccountRow::try_from).transpose()
}

/// Local accounts that files made, in the order of their making.
pub async fn list_file_accounts(tx: &mut Tx, tenant: TenantId) -> Result<Vec<AccountRow>, DbError> {
    let rows: Vec<AccountColumns> = tx
        .query(
            "select id, user_name, email, display_name, kind, home_organization, profile_connection, status, standing, has_local_credential, from_file
             from account where tenant = $1 and from_file order by id",
        )
        .bind(tenant.to_string())
        .all()
        .await?;
    rows.into_iter().map(AccountRow::try_from).collect()
}

/// Makes accounts members of organizations. Those that were none before.
pub async fn join(
    tx: &mut Tx,
    tenant: TenantId,
    joining: &[(AccountId, OrganizationId)],
    now: Timestamp,
) -> Result<Vec<(AccountId, OrganizationId)>, DbError> {
    let mut joined = Vec::new();
    for chunk in joining.chunks(SET_LIMIT) {
        let sql = "insert into membership (tenant, account, organization, since_ms) values {($1, $2, $3, $4)}
            on conflict do nothing returning account, organization";
        let mut query = tx.query_set(sql, chunk.len());
        for (account, organization) in chunk {
            query = query.bind(tenant.to_string()).bind(account.to_string()).bind(organization.to_string()).bind(now.millis());
        }
        for (account, organization) in query.all::<(String, String)>().await? {
            joined.push((column::id("membership.account", &account)?, column::id("membership.organization", &organization)?));
        }
    }
    Ok(joined)
}

/// As [`join`], of accounts that this transaction made, so that all of them join.
pub async fn make_members(tx: &mut Tx, tenant: TenantId, joining: &[(AccountId, OrganizationId)], now: Timestamp) -> Result<(), DbError> {
    for chunk in joining.chunks(SET_LIMIT) {
        let query = tx.query_set("insert into membership (tenant, account, organization, since_ms) values {($1, $2, $3, $4)}", chunk.len());
        let query = chunk.iter().fold(query, |query, (account, organization)| {
            query.bind(tenant.to_string()).bind(account.to_string()).bind(organization.to_string()).bind(now.millis())
        });
        query.later().await?;
    }
    Ok(())
}

/// Where these are at home and what they are, for accounts that the caller has locked.
pub async fn update_homes(
    tx: &mut Tx,
    tenant: TenantId,
    accounts: &[AccountId],
    home: Option<OrganizationId>,
    kind: &'static str,
    now: Timestamp,
) -> Result<(), DbError> {
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql = "update account set home_organization = $2, kind = $3, changed_at_ms = case when changed_at_ms > $4 then changed_at_ms else $4 end, version = version + 1 where tenant = $1 and id in ({$5})";
        let mut query =
            tx.query_set(sql, chunk.len()).bind(tenant.to_string()).bind(home.map(|id| id.to_string())).bind(kind).bind(now.millis());
        for account in chunk {
            query = query.bind(account.to_string());
        }
        query.later().await?;
    }
    Ok(())
}

/// The version of an account that the caller has locked.
pub async fn find_version(tx: &mut Tx, tenant: TenantId, account: AccountId) -> Result<Option<i64>, DbError> {
    let sql = "select version from account where tenant = $1 and id = $2";
    let row: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).optional().await?;
    Ok(row.map(|(version,)| version))
}

/// What these accounts hold has changed: whoever kept it reads it again. In the order of their ids, as all who raise them.
pub async fn raise_held_versions(tx: &mut Tx, tenant: TenantId, accounts: &BTreeSet<AccountId>) -> Result<(), DbError> {
    for chunk in accounts.iter().collect::<Vec<_>>().chunks(SET_LIMIT) {
        let sql = "insert into held_version (tenant, account, version) values {($1, $2, $3)}
            on conflict (tenant, account) do update set version = held_version.version + 1";
        let query = tx.query_set(sql, chunk.len());
        chunk.iter().fold(query, |query, account| query.bind(tenant.to_string()).bind(account.to_string()).bind(1_i64)).later().await?;
    }
    Ok(())
}

/// For what changes beside the row itself, such as memberships and identities, of a locked account.
pub async fn raise_account_version(tx: &mut Tx, tenant: TenantId, account: AccountId, now: Timestamp) -> Result<(), DbError> {
    let sql = "update account set changed_at_ms = case when changed_at_ms > $3 then changed_at_ms else $3 end, version = version + 1 where tenant = $1 and id = $2";
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(now.millis()).run().await?;
    Ok(())
}

/// Marks a locked account as verified since then, or takes the mark back.
pub async fn set_verified(tx: &mut Tx, tenant: TenantId, account: AccountId, at: Option<Timestamp>, now: Timestamp) -> Result<(), DbError> {
    let sql = "update account set verified_at_ms = $3, changed_at_ms = case when changed_at_ms > $4 then changed_at_ms else $4 end, version = version + 1 where tenant = $1 and id = $2";
    let query = tx.query(sql).bind(tenant.to_string()).bind(account.to_string());
    query.bind(at.map(Timestamp::millis)).bind(now.millis()).later().await?;
    Ok(())
}

/// Whether a locked account is marked as verified.
pub async fn is_verified(tx: &mut Tx, tenant: TenantId, account: AccountId) -> Result<bool, DbError> {
    let sql = "select id from account where tenant = $1 and id = $2 and verified_at_ms is not null";
    let row: Option<(String,)> = tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).optional().await?;
    Ok(row.is_some())
}

/// Deletes a locked account with all that is its own; what others wrote of it stays in the audit trail.
pub async fn delete_account(tx: &mut Tx, tenant: TenantId, account: AccountId) -> Result<bool, DbError> {
    let sql = "delete from group_member where tenant = $1 and member = $2";
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).run().await?;
    let sql = "delete from held_version where tenant = $1 and account = $2";
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).later().await?;
    let sql = "delete from account where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).run().await? == 1)
}

/// An account that holds an owner-class role at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerRow {
    pub account: AccountId,
    /// Active, with a way to sign in (of their own, or by an enabled connection), and the role is not dormant.
    pub usable: bool,
    pub has_local_credential: bool,
}

pub async fn list_owners(tx: &mut Tx, tenant: TenantId, root: OrganizationId) -> Result<Vec<OwnerRow>, DbError> {
    let sql = concat!(
        "select s.account, max(case when ",
        dormant!(),
        " then cast(0 as bigint) else cast(1 as bigint) end) as live
        from assignment s join role r on r.tenant = s.tenant and r.id = s.role and r.owner_class
        join assignment_origin o on o.tenant = s.tenant and o.assignment = s.id",
        identity_of_origin!(),
        "where s.tenant = $1 and s.organization = $2 and s.resource_scope = '' group by s.account order by s.account"
    );
    let rows: Vec<(String, i64)> = tx.query(sql).bind(tenant.to_string()).bind(root.to_string()).all().await?;
    let live = rows.iter().map(|(id, live)| Ok::<(AccountId, bool), DbError>((column::id("account.id", id)?, *live == 1)));
    let live = live.collect::<Result<BTreeMap<_, _>, _>>()?;
    let owners = as_owners(tx, tenant, &live.keys().copied().collect::<Vec<_>>()).await?.into_values();
    // Whose role is dormant cannot use it, although another identity lets them in.
    Ok(owners.map(|owner| OwnerRow { usable: owner.usable && live.get(&owner.account) == Some(&true), ..owner }).collect())
}

/// These accounts as owners, which they may not be yet: whether they could come in.
pub async fn as_owners(tx: &mut Tx, tenant: TenantId, ids: &[AccountId]) -> Result<BTreeMap<AccountId, OwnerRow>, DbError> {
    let mut found = BTreeMap::new();
    for chunk in ids.chunks(super::SET_LIMIT) {
        let sql = "select a.id, a.status, a.has_local_credential, a.has_local_credential or exists (
                 select 1 from identity i join connection c on c.tenant = i.tenant and c.id = i.connection and c.enabled
                 where i.tenant = a.tenant and i.account = a.id and i.active and i.scim_state <> 'deleted')
             from account a where a.tenant = $1 and a.id in ({$2})";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string());
        let query = chunk.iter().fold(query, |query, id| query.bind(id.to_string()));
        for (id, status, has_local_credential, has_way_in) in query.all::<(String, String, bool, bool)>().await? {
            let account = column::id("account.id", &id)?;
            let active = column::word::<SignInStatus>("account.status", &status)? == SignInStatus::Active;
            found.insert(account, OwnerRow { account, usable: active && has_way_in, has_local_credential });
        }
    }
    Ok(found)
}
