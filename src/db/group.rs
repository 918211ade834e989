//! Groups as identity providers push them, and who is in them. Membership is rows: nothing here loads a group to change a member.

use std::collections::{BTreeMap, BTreeSet};

use super::{Db, DbError, SET_LIMIT, Target, Tx, column, engine::Query};
use crate::{
    domain::{
        id::{AccountId, ConnectionId, GroupId, TenantId},
        identity::GroupRef,
        name::fold,
        time::Timestamp,
    },
    scim::group::MemberKind,
};

/// Levels of groups within groups that are followed, up from an account or down to it; the queries below name it as 32. Beyond them a
/// group gives nobody anything.
const DEEPEST: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    pub id: GroupId,
    pub connection: ConnectionId,
    pub external_id: Option<String>,
    pub display_name: String,
    /// What rules compare: the externalId, else the displayName, of the first sight.
    pub pinned: GroupRef,
    pub version: i64,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The id of an account or of a group.
    pub member: String,
    pub kind: MemberKind,
    /// As the client sent it.
    pub display: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct GroupColumns {
    id: String,
    connection: String,
    external_id: Option<String>,
    display_name: String,
    pinned_value: String,
    pinned_display: String,
    version: i64,
    created_at_ms: i64,
    changed_at_ms: i64,
}

impl TryFrom<GroupColumns> for GroupRow {
    type Error = DbError;

    fn try_from(row: GroupColumns) -> Result<Self, DbError> {
        Ok(Self {
            id: column::id("directory_group.id", &row.id)?,
            connection: column::id("directory_group.connection", &row.connection)?,
            external_id: row.external_id,
            display_name: row.display_name,
            pinned: GroupRef { value: row.pinned_value, display: Some(row.pinned_display) },
            version: row.version,
            created_at: Timestamp::from_millis(row.created_at_ms),
            changed_at: Timestamp::from_millis(row.changed_at_ms),
        })
    }
}

pub async fn insert_group(tx: &mut Tx, tenant: TenantId, row: &GroupRow) -> Result<(), DbError> {
    tx.query(
        "insert into directory_group (tenant, id, connection, external_id, display_name, display_name_key, pinned_value, pinned_display, version, created_at_ms, changed_at_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tenant.to_string())
    .bind(row.id.to_string())
    .bind(row.connection.to_string())
    .bind(row.external_id.as_deref())
    .bind(&row.display_name)
    .bind(fold(&row.display_name))
    .bind(&row.pinned.value)
    .bind(row.pinned.display.as_deref().unwrap_or(&row.display_name))
    .bind(row.version)
    .bind(row.created_at.millis())
    .bind(row.changed_at.millis())
    .run()
    .await?;
    Ok(())
}

pub async fn lock_group(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, id: GroupId) -> Result<Option<GroupRow>, DbError> {
    let row: Option<GroupColumns> = tx
        .lock(
            "select id, connection, external_id, display_name, pinned_value, pinned_display, version, created_at_ms, changed_at_ms
             from directory_group where tenant = $1 and connection = $2 and id = $3",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_string())
        .optional()
        .await?;
    row.map(GroupRow::try_from).transpose()
}

pub async fn find_group(db: &Db, tenant: TenantId, connection: ConnectionId, id: GroupId) -> Result<Option<GroupRow>, DbError> {
    let row: Option<GroupColumns> = db
        .query(
            "select id, connection, external_id, display_name, pinned_value, pinned_display, version, created_at_ms, changed_at_ms
             from directory_group where tenant = $1 and connection = $2 and id = $3",
        )
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_string())
        .optional()
        .await?;
    row.map(GroupRow::try_from).transpose()
}

/// Writes what may change of a group that the caller has locked.
pub async fn update_group(tx: &mut Tx, tenant: TenantId, row: &GroupRow) -> Result<(), DbError> {
    tx.query("update directory_group set external_id = $3, display_name = $4, display_name_key = $5, version = $6, changed_at_ms = $7 where tenant = $1 and id = $2")
        .bind(tenant.to_string())
        .bind(row.id.to_string())
        .bind(row.external_id.as_deref())
        .bind(&row.display_name)
        .bind(fold(&row.display_name))
        .bind(row.version)
        .bind(row.changed_at.millis())
        .later()
        .await?;
    Ok(())
}

/// Deletes a group and the memberships in it. Its own in others are for [`delete_memberships`].
pub async fn delete_group(tx: &mut Tx, tenant: TenantId, id: GroupId) -> Result<(), DbError> {
    tx.query("delete from directory_group where tenant = $1 and id = $2").bind(tenant.to_string()).bind(id.to_string()).run().await?;
    Ok(())
}

/// Locks the groups of the connection that hold an account or a group directly, and says which.
pub async fn lock_holding(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, member: &str) -> Result<BTreeSet<GroupId>, DbError> {
    let sql = "select id from directory_group where tenant = $1 and connection = $2
        and id in (select directory_group from group_member where tenant = $1 and member = $3) order by id";
    let query = tx.lock(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(member);
    group_ids(query.all().await?)
}

/// Takes an account or a group out of every group of the connection; which these were.
pub async fn delete_memberships(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    member: &str,
) -> Result<BTreeSet<GroupId>, DbError> {
    let sql = "delete from group_member where tenant = $1 and member = $2
        and directory_group in (select id from directory_group where tenant = $1 and connection = $3) returning directory_group";
    let query = tx.query(sql).bind(tenant.to_string()).bind(member).bind(connection.to_string());
    group_ids(query.all().await?)
}

fn group_ids(rows: Vec<(String,)>) -> Result<BTreeSet<GroupId>, DbError> {
    rows.into_iter().map(|(id,)| column::id("group_member.directory_group", &id)).collect()
}

/// Gives groups, which the caller has locked, their next version.
pub async fn mark_changed(tx: &mut Tx, tenant: TenantId, groups: &BTreeSet<GroupId>, now: Timestamp) -> Result<(), DbError> {
    let groups: Vec<GroupId> = groups.iter().copied().collect();
    for chunk in groups.chunks(SET_LIMIT) {
        let sql = "update directory_group set version = version + 1, changed_at_ms = case when changed_at_ms > $2 then changed_at_ms else $2 end where tenant = $1 and id in ({$3})";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string()).bind(now.millis());
        bind_groups(query, chunk).later().await?;
    }
    Ok(())
}

/// Adds members; those that are there stay as they were. The ones that were new.
pub async fn insert_members(tx: &mut Tx, tenant: TenantId, group: GroupId, members: &[MemberRow]) -> Result<Vec<String>, DbError> {
    let mut added = Vec::new();
    for chunk in members.chunks(SET_LIMIT) {
        let mut query = tx.query_set(
            "insert into group_member (tenant, directory_group, member, kind, display) values {($1, $2, $3, $4, $5)} on conflict do nothing returning member",
            chunk.len(),
        );
        for row in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(group.to_string())
                .bind(&row.member)
                .bind(row.kind.as_str())
                .bind(row.display.as_deref());
        }
        added.extend(query.all::<(String,)>().await?.into_iter().map(|(member,)| member));
    }
    Ok(added)
}

/// Removes members; the ones that were there.
pub async fn delete_members(tx: &mut Tx, tenant: TenantId, group: GroupId, members: &[String]) -> Result<Vec<MemberRow>, DbError> {
    let mut removed = Vec::new();
    for chunk in members.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "delete from group_member where tenant = $1 and directory_group = $2 and member in ({$3}) returning member, kind, display",
                chunk.len(),
            )
            .bind(tenant.to_string())
            .bind(group.to_string());
        for member in chunk {
            query = query.bind(member);
        }
        for row in query.all().await? {
            removed.push(member_row(row)?);
        }
    }
    Ok(removed)
}

fn member_row((member, kind, display): (String, String, Option<String>)) -> Result<MemberRow, DbError> {
    Ok(MemberRow { member, kind: MemberKind::parse(&kind).ok_or_else(|| DbError::corrupt("group_member.kind", &kind))?, display })
}

/// Every member, for the few requests that speak of all of them (replace, remove by a filter, delete).
pub async fn list_members_locked(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<Vec<MemberRow>, DbError> {
    let rows = tx
        .query("select member, kind, display from group_member where tenant = $1 and directory_group = $2 order by member")
        .bind(tenant.to_string())
        .bind(group.to_string())
        .all()
        .await?;
    rows.into_iter().map(member_row).collect()
}

/// Which of these are members.
pub async fn members_among(tx: &mut Tx, tenant: TenantId, group: GroupId, members: &[String]) -> Result<Vec<String>, DbError> {
    let mut found = Vec::new();
    for chunk in members.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set("select member from group_member where tenant = $1 and directory_group = $2 and member in ({$3})", chunk.len())
            .bind(tenant.to_string())
            .bind(group.to_string());
        for member in chunk {
            query = query.bind(member);
        }
        found.extend(query.all::<(String,)>().await?.into_iter().map(|(member,)| member));
    }
    Ok(found)
}

/// Locks these groups and all below them, level by level: whoever nests a group holds what is below it still, and whoever changes
/// a group waits until the nesting is done.
///
/// As deep as the groups of an account are followed: 32 levels, of which the groups that hold it directly are the first.
pub async fn lock_within(tx: &mut Tx, tenant: TenantId, groups: &[GroupId]) -> Result<(), DbError> {
    let mut locked: BTreeSet<GroupId> = BTreeSet::new();
    let mut level: BTreeSet<GroupId> = groups.iter().copied().collect();
    for _ in 0..DEEPEST {
        if level.is_empty() {
            break;
        }
        let ids: Vec<GroupId> = level.into_iter().collect();
        let mut below = BTreeSet::new();
        for chunk in ids.chunks(SET_LIMIT) {
            let sql = "select id from directory_group where tenant = $1 and id in ({$2}) order by id";
            let _: Vec<(String,)> = bind_groups(tx.lock_set(sql, chunk.len()).bind(tenant.to_string()), chunk).all().await?;
            let sql = "select member from group_member where tenant = $1 and kind = 'Group' and directory_group in ({$2})";
            let rows: Vec<(String,)> = bind_groups(tx.query_set(sql, chunk.len()).bind(tenant.to_string()), chunk).all().await?;
            for (id,) in rows {
                below.insert(column::id("group_member.member", &id)?);
            }
        }
        locked.extend(ids);
        level = below.difference(&locked).copied().collect();
    }
    Ok(())
}

fn bind_groups<'t>(query: Query<'t>, groups: &[GroupId]) -> Query<'t> {
    groups.iter().fold(query, |query, group| query.bind(group.to_string()))
}

/// The members of each group of a page.
pub async fn list_members(db: &Db, tenant: TenantId, groups: &[GroupId]) -> Result<BTreeMap<GroupId, Vec<MemberRow>>, DbError> {
    let mut found: BTreeMap<GroupId, Vec<MemberRow>> = BTreeMap::new();
    for chunk in groups.chunks(SET_LIMIT) {
        let mut query = db
            .query_set(
                "select directory_group, member, kind, display from group_member where tenant = $1 and directory_group in ({$2}) order by directory_group, member",
                chunk.len(),
            )
            .bind(tenant.to_string());
        for group in chunk {
            query = query.bind(group.to_string());
        }
        for (group, member, kind, display) in query.all::<(String, String, String, Option<String>)>().await? {
            found.entry(column::id("group_member.directory_group", &group)?).or_default().push(member_row((member, kind, display))?);
        }
    }
    Ok(found)
}

/// Which of these are groups of the connection.
pub async fn known_groups(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, groups: &[GroupId]) -> Result<Vec<GroupId>, DbError> {
    let mut found = Vec::new();
    for chunk in groups.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set("select id from directory_group where tenant = $1 and connection = $2 and id in ({$3})", chunk.len())
            .bind(tenant.to_string())
            .bind(connection.to_string());
        for group in chunk {
            query = query.bind(group.to_string());
        }
        for (id,) in query.all::<(String,)>().await? {
            found.push(column::id("directory_group.id", &id)?);
        }
    }
    Ok(found)
}

/// The groups of each account as rules see them: direct ones and those that hold these, through 32 levels; a cycle is walked no farther.
///
/// SQLite does not reorder a `cross join`: without it, it may walk all memberships of the tenant instead of those of one member.
pub async fn groups_of(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Vec<GroupRef>>, DbError> {
    let mut found: BTreeMap<AccountId, Vec<GroupRef>> = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "with recursive upward (account, id, level) as (
                     select member, directory_group, 1 from group_member where tenant = $1 and member in ({$3})
                     union select upward.account, m.directory_group, upward.level + 1 from upward cross join group_member m
                         where m.tenant = $1 and m.member = upward.id and upward.level < 32
                 )
                 select found.account, g.pinned_value, g.pinned_display from (select distinct account, id from upward) found
                 join directory_group g on g.tenant = $1 and g.id = found.id and g.connection = $2
                 order by found.account, g.pinned_value, g.id",
                chunk.len(),
            )
            .bind(tenant.to_string())
            .bind(connection.to_string());
        query = bind_all(query, chunk);
        for (account, value, display) in query.all::<(String, String, String)>().await? {
            found.entry(column::id("group_member.member", &account)?).or_default().push(GroupRef { value, display: Some(display) });
        }
    }
    Ok(found)
}

/// The groups of each account, of every connection and local ones: direct ones and those that hold these, through 32 levels.
pub async fn memberships(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, BTreeSet<GroupId>>, DbError> {
    let mut source = source.into();
    let mut found: BTreeMap<AccountId, BTreeSet<GroupId>> = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql = "with recursive asked (account) as (values {($2)}),
                 upward (account, id, level) as (
                     select m.member, m.directory_group, 1 from asked cross join group_member m where m.tenant = $1 and m.member = asked.account
                     union select upward.account, m.directory_group, upward.level + 1 from upward cross join group_member m
                         where m.tenant = $1 and m.member = upward.id and upward.level < 32
                 )
                 select account, id from upward
                 union select l.account, l.local_group from asked cross join local_group_member l where l.tenant = $1 and l.account = asked.account";
        let query = source.query_set(sql, chunk.len()).bind(tenant.to_string());
        for (account, group) in bind_all(query, chunk).all::<(String, String)>().await? {
            found.entry(column::id("group_member.member", &account)?).or_default().insert(column::id("directory_group.id", &group)?);
        }
    }
    Ok(found)
}

/// The users below these groups, through nested groups too.
pub async fn users_within(tx: &mut Tx, tenant: TenantId, groups: &[GroupId]) -> Result<Vec<AccountId>, DbError> {
    let mut found = Vec::new();
    for chunk in groups.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "with recursive downward (id, level) as (
                     select id, 1 from directory_group where tenant = $1 and id in ({$2})
                     union select m.member, downward.level + 1 from downward cross join group_member m
                         where m.tenant = $1 and m.directory_group = downward.id and m.kind = 'Group' and downward.level < 32
                 )
                 select distinct m.member from downward cross join group_member m where m.tenant = $1 and m.directory_group = downward.id and m.kind = 'User' order by m.member",
                chunk.len(),
            )
            .bind(tenant.to_string());
        for group in chunk {
            query = query.bind(group.to_string());
        }
        for (id,) in query.all::<(String,)>().await? {
            found.push(column::id("group_member.member", &id)?);
        }
    }
    Ok(found)
}

fn bind_all<'t>(query: Query<'t>, accounts: &[AccountId]) -> Query<'t> {
    accounts.iter().fold(query, |query, account| query.bind(account.to_string()))
}

/// A group as a user's own resource shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectGroup {
    pub id: GroupId,
    pub display_name: String,
}

/// The direct groups of each user of a page, for the read-only `groups` attribute: those of the same connection.
pub async fn direct_groups(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Vec<DirectGroup>>, DbError> {
    let mut found: BTreeMap<AccountId, Vec<DirectGroup>> = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let query = db
            .query_set(
                "select m.member, g.id, g.display_name from group_member m join directory_group g on g.tenant = m.tenant and g.id = m.directory_group
                 where m.tenant = $1 and g.connection = $2 and m.member in ({$3}) order by m.member, g.id",
                chunk.len(),
            )
            .bind(tenant.to_string())
            .bind(connection.to_string());
        for (account, id, display_name) in bind_all(query, chunk).all::<(String, String, String)>().await? {
            found
                .entry(column::id("group_member.member", &account)?)
                .or_default()
                .push(DirectGroup { id: column::id("directory_group.id", &id)?, display_name });
        }
    }
    Ok(found)
}

/// Every group that an account is in, directly or through others, of all connections.
pub async fn list_group_ids(source: impl Into<Target<'_>>, tenant: TenantId, account: AccountId) -> Result<BTreeSet<GroupId>, DbError> {
    Ok(memberships(source, tenant, &[account]).await?.remove(&account).unwrap_or_default())
}
