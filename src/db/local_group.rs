//! Groups that people keep, and all groups of a tenant as they are listed.

use super::{
    Db, DbError, SET_LIMIT, Tx, column,
    statement::{Statement, text},
};
use crate::{
    domain::{
        id::{AccountId, GroupId, OrganizationId, TenantId},
        name::Title,
        time::Timestamp,
    },
    policy::places::Places,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalGroup {
    pub id: GroupId,
    pub organization: OrganizationId,
    pub name: Title,
    pub version: i64,
}

/// A group of either kind; `connection` is the slug of whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    pub id: GroupId,
    pub organization: OrganizationId,
    pub connection: Option<String>,
    pub name: String,
    pub members: i64,
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    organization: String,
    connection: Option<String>,
    name: String,
    members: i64,
    version: i64,
}

impl Row {
    fn read(self) -> Result<ListedGroup, DbError> {
        Ok(ListedGroup {
            id: column::id("a group's id", &self.id)?,
            organization: column::id("a group's organization", &self.organization)?,
            connection: self.connection,
            name: self.name,
            members: self.members,
            version: self.version,
        })
    }
}

/// Groups of connections and local ones at these organizations, in the order of ids, after `after`; or the one of this id.
pub async fn list_groups(
    db: &Db,
    tenant: TenantId,
    places: &Places,
    id: Option<GroupId>,
    after: Option<GroupId>,
    limit: i64,
) -> Result<Vec<ListedGroup>, DbError> {
    let mut statement = Statement::new(
        "select id, organization, connection, name, members, version from (
             select g.id, c.organization, c.slug as connection, g.display_name as name, g.version,
                 (select count(*) from group_member m where m.tenant = g.tenant and m.directory_group = g.id) as members
             from directory_group g join connection c on c.tenant = g.tenant and c.id = g.connection where g.tenant = $1
             union all
             select l.id, l.organization, null as connection, l.name, l.version,
                 (select count(*) from local_group_member m where m.tenant = l.tenant and m.local_group = l.id) as members
             from local_group l where l.tenant = $1
         ) every_group where ? <> ''",
        [text(&tenant)],
    );
    if let Some(id) = id {
        statement.push(" and id = ?", [text(&id)]);
    }
    if let Some(after) = after {
        statement.push(" and id > ?", [text(&after)]);
    }
    if let Places::Only(places) = places {
        statement.push(" and organization in ", []).push_set(places.iter().map(ToString::to_string));
    }
    statement.push(" order by id limit ?", [limit.into()]);
    statement.all::<Row>(db).await?.into_iter().map(Row::read).collect()
}

pub async fn lock_local_group(tx: &mut Tx, tenant: TenantId, id: GroupId) -> Result<Option<LocalGroup>, DbError> {
    let sql = "select organization, name, version from local_group where tenant = $1 and id = $2";
    let row: Option<(String, String, i64)> = tx.lock(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    row.map(|(organization, name, version)| {
        Ok(LocalGroup {
            id,
            organization: column::id("local_group.organization", &organization)?,
            name: Title::stored("name", &name).map_err(|error| DbError::corrupt("a group's name", &error))?,
            version,
        })
    })
    .transpose()
}

/// False when the organization has a group of this name (folded).
pub async fn insert_local_group(tx: &mut Tx, tenant: TenantId, group: &LocalGroup, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into local_group (tenant, id, organization, name, name_key, version, created_at_ms, changed_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict do nothing";
    let query = tx.query(sql).bind(tenant.to_string()).bind(group.id.to_string()).bind(group.organization.to_string());
    let query = query.bind(group.name.as_str().to_owned()).bind(group.name.key()).bind(group.version).bind(now.millis());
    Ok(query.run().await? == 1)
}

/// Writes name and version of a locked group; false when the organization has another one of this name.
pub async fn update_local_group(tx: &mut Tx, tenant: TenantId, group: &LocalGroup, now: Timestamp) -> Result<bool, DbError> {
    let sql = "update local_group set name = $3, name_key = $4, version = $5, changed_at_ms = case when changed_at_ms > $6 then changed_at_ms else $6 end
        where tenant = $1 and id = $2 and not exists (select 1 from local_group other
            where other.tenant = $1 and other.organization = local_group.organization and other.name_key = $4 and other.id <> $2)";
    let query = tx.query(sql).bind(tenant.to_string()).bind(group.id.to_string()).bind(group.name.as_str().to_owned());
    Ok(query.bind(group.name.key()).bind(group.version).bind(now.millis()).run().await? == 1)
}

pub async fn delete_local_group(tx: &mut Tx, tenant: TenantId, id: GroupId) -> Result<bool, DbError> {
    let sql = "delete from local_group where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
}

/// How many were not in it before.
pub async fn add_members(tx: &mut Tx, tenant: TenantId, id: GroupId, accounts: &[AccountId], now: Timestamp) -> Result<u64, DbError> {
    let mut added = 0;
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql =
            "insert into local_group_member (tenant, local_group, account, since_ms) values {($1, $2, $3, $4)} on conflict do nothing";
        let mut query = tx.query_set(sql, chunk.len());
        for account in chunk {
            query = query.bind(tenant.to_string()).bind(id.to_string()).bind(account.to_string()).bind(now.millis());
        }
        added += query.run().await?;
    }
    Ok(added)
}

/// How many were in it before.
pub async fn remove_members(tx: &mut Tx, tenant: TenantId, id: GroupId, accounts: &[AccountId]) -> Result<u64, DbError> {
    let mut removed = 0;
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql = "delete from local_group_member where tenant = $1 and local_group = $2 and account in ({$3})";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string()).bind(id.to_string());
        removed += chunk.iter().fold(query, |query, account| query.bind(account.to_string())).run().await?;
    }
    Ok(removed)
}

/// Direct members of a group of either kind, in the order of ids, after `after`.
pub async fn list_members(
    db: &Db,
    tenant: TenantId,
    id: GroupId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<(AccountId, String)>, DbError> {
    let mut statement = Statement::new(
        "select account.id, account.user_name from account where account.tenant = ? and (
             exists (select 1 from local_group_member m where m.tenant = account.tenant and m.local_group = ? and m.account = account.id)
             or exists (select 1 from group_member m where m.tenant = account.tenant and m.directory_group = ? and m.member = account.id))",
        [text(&tenant), text(&id), text(&id)],
    );
    if let Some(after) = after {
        statement.push(" and account.id > ?", [text(&after)]);
    }
    statement.push(" order by account.id limit ?", [limit.into()]);
    let rows: Vec<(String, String)> = statement.all(db).await?;
    rows.into_iter().map(|(id, name)| Ok((column::id("account.id", &id)?, name))).collect()
}
