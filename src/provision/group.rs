//! SCIM groups: membership changes are set operations on rows, and only those whose membership changed are mapped again.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Precondition, ProvisionError, Published, record::Record, remap::remap};
use crate::{
    db::{
        self, Tx,
        group::{GroupRow, MemberRow},
    },
    domain::{
        actor::Occasion,
        connection::UnknownMembers,
        id::{AccountId, GroupId, TenantId},
        identity::GroupRef,
    },
    scim::{
        filter::matches_element,
        group::{Group, GroupChange, Member, MemberChange, MemberKind, check_display_name},
        schema::Schemas,
    },
};

/// Up to so many people are mapped again in the request that changed their membership; more of them by the job that follows.
pub const MAPPED_AT_ONCE: usize = 200;

pub async fn create_group(tx: &mut Tx, published: &Published, occasion: &mut Occasion, group: Group) -> Result<GroupRow, ProvisionError> {
    let tenant = published.tenant();
    check_display_name(&group.display_name, None)?;
    let pinned = GroupRef {
        value: group.external_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| group.display_name.clone()),
        display: Some(group.display_name.clone()),
    };
    let row = GroupRow {
        id: occasion.ids.make(),
        connection: published.connection.id,
        external_id: group.external_id,
        display_name: group.display_name,
        pinned,
        version: 1,
        created_at: occasion.now,
        changed_at: occasion.now,
    };
    db::group::insert_group(tx, tenant, &row).await?;
    let steps = [MemberChange::Add(group.members)];
    let mut change = Membership::begin(tx, published, row.id, &steps).await?;
    for step in &steps {
        change.step(tx, step).await?;
    }
    let mut record = Record::default();
    record.note("group.created", "group", &row.id, json!({ "connection": published.connection.id, "members_added": change.added }));
    record.write(tx, tenant, occasion).await?;
    settle(tx, published, occasion, change.affected).await?;
    db::counter::add(tx, tenant, published.connection.id, db::counter::GROUPS, &[row.id], 1).await?;
    Ok(row)
}

/// Applies a change of names and members; one that changes nothing writes nothing.
pub async fn change_group(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
    change: GroupChange,
) -> Result<GroupRow, ProvisionError> {
    let tenant = published.tenant();
    let mut row = db::group::lock_group(tx, tenant, published.connection.id, id).await?.ok_or(ProvisionError::NotFound)?;
    precondition.check(row.version)?;
    let before = row.clone();
    if let Some(name) = change.display_name {
        check_display_name(&name, Some(&row.display_name))?;
        row.display_name = name;
    }
    if let Some(external_id) = change.external_id {
        row.external_id = external_id;
    }
    let mut membership = Membership::begin(tx, published, id, &change.members).await?;
    for step in &change.members {
        membership.step(tx, step).await?;
    }
    let Membership { added, removed, affected, .. } = membership;
    if row == before && added == 0 && removed == 0 {
        return Ok(row);
    }
    let mut record = Record::default();
    if row.display_name != before.display_name {
        // MAPPING.md: a rename is recorded and alarmed, and changes nothing for rules.
        let detail = json!({ "connection": published.connection.id, "pinned": before.pinned.value });
        record.note("group.renamed", "group", &id, detail.clone());
        db::attention::raise(
            tx,
            tenant,
            occasion,
            "group.renamed",
            Some(published.connection.id),
            None,
            &json!({ "group": id, "name": row.display_name }),
        )
        .await?;
    }
    row.version += 1;
    row.changed_at = occasion.now.max(row.changed_at);
    db::group::update_group(tx, tenant, &row).await?;
    record.note(
        "group.changed",
        "group",
        &id,
        json!({ "connection": published.connection.id, "members_added": added, "members_removed": removed }),
    );
    record.write(tx, tenant, occasion).await?;
    settle(tx, published, occasion, affected).await?;
    Ok(row)
}

/// PUT: the names and the members are those of the body.
pub async fn replace_group(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
    group: Group,
) -> Result<GroupRow, ProvisionError> {
    let change = GroupChange {
        display_name: Some(group.display_name),
        external_id: Some(group.external_id),
        members: vec![MemberChange::Replace(group.members)],
    };
    change_group(tx, published, occasion, id, precondition, change).await
}

pub async fn delete_group(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
) -> Result<(), ProvisionError> {
    let (tenant, connection) = (published.tenant(), published.connection.id);
    let holding = db::group::lock_holding(tx, tenant, connection, &id.to_string()).await?;
    let row = db::group::lock_group(tx, tenant, connection, id).await?.ok_or(ProvisionError::NotFound)?;
    precondition.check(row.version)?;
    db::group::lock_within(tx, tenant, &[id]).await?;
    let affected: BTreeSet<AccountId> = lock_users_within(tx, tenant, &[id], &BTreeSet::new()).await?;
    leave_all(tx, published, occasion, &id.to_string(), &holding).await?;
    db::group::delete_group(tx, tenant, id).await?;
    let mut record = Record::default();
    record.note("group.deleted", "group", &id, json!({ "connection": connection, "members": affected.len() }));
    record.write(tx, tenant, occasion).await?;
    settle(tx, published, occasion, affected).await?;
    Ok(db::counter::add(tx, tenant, connection, db::counter::GROUPS, &[id], -1).await?)
}

/// Takes whoever is deleted, an account or a group, out of the groups of the connection, each of which changes by that.
///
/// `locked` are those of them that held it when the caller began: groups are locked before accounts, and parents before their members.
/// One that came meanwhile is not locked, and everything begins again.
pub(super) async fn leave_all(
    tx: &mut Tx,
    published: &Published,
    occasion: &Occasion,
    member: &str,
    locked: &BTreeSet<GroupId>,
) -> Result<(), ProvisionError> {
    let left = db::group::delete_memberships(tx, published.tenant(), published.connection.id, member).await?;
    if !left.is_subset(locked) {
        return Err(ProvisionError::Again);
    }
    Ok(db::group::mark_changed(tx, published.tenant(), &left, occasion.now).await?)
}

/// The people whose groups changed, locked: mapped now when they are few, else marked for the job.
async fn settle(tx: &mut Tx, published: &Published, occasion: &mut Occasion, affected: BTreeSet<AccountId>) -> Result<(), ProvisionError> {
    let affected: Vec<AccountId> = affected.into_iter().collect();
    if affected.len() <= MAPPED_AT_ONCE {
        remap(tx, published, occasion, &affected).await
    } else {
        Ok(db::evaluation::mark_stale(tx, published.tenant(), published.connection.id, &affected).await?)
    }
}

/// Locks whoever is below these groups, and these users beside them.
///
/// Who is below is read first and locked then: somebody deleted in between is no longer a member, which costs an evaluation of
/// nobody; somebody added in between had to wait for the groups, which the caller has locked.
async fn lock_users_within(
    tx: &mut Tx,
    tenant: TenantId,
    groups: &[GroupId],
    users: &BTreeSet<AccountId>,
) -> Result<BTreeSet<AccountId>, ProvisionError> {
    let mut all = users.clone();
    all.extend(db::group::users_within(tx, tenant, groups).await?);
    db::account::lock_accounts(tx, tenant, &all.iter().copied().collect::<Vec<_>>()).await?;
    Ok(all)
}

/// A membership change under way: what is known of the ids that the request names, and whom it touched so far.
struct Membership<'p> {
    published: &'p Published,
    group: GroupId,
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
    added: usize,
    removed: usize,
    affected: BTreeSet<AccountId>,
}

impl<'p> Membership<'p> {
    /// Locks everybody whose membership can change, before any row of it is touched, in the order in which all writers lock:
    /// groups (this one is locked), then accounts by id. Whoever is a member already and stays one is left alone.
    async fn begin(tx: &mut Tx, published: &'p Published, group: GroupId, steps: &[MemberChange]) -> Result<Self, ProvisionError> {
        let (tenant, connection) = (published.tenant(), published.connection.id);
        let touched: Vec<String> = touched(tx, tenant, group, steps).await?.into_iter().collect();
        let others: Vec<GroupId> = touched.iter().filter_map(|id| GroupId::parse(id).ok()).collect();
        let groups = db::group::known_groups(tx, tenant, connection, &others).await?;
        db::group::lock_within(tx, tenant, &groups).await?;
        let named: BTreeSet<AccountId> = touched.iter().filter_map(|id| AccountId::parse(id).ok()).collect();
        lock_users_within(tx, tenant, &groups, &named).await?;
        let named: Vec<AccountId> = named.into_iter().collect();
        let users = db::identity::known_users(tx, tenant, connection, &named).await?;
        let (users, groups) = (users.iter().map(ToString::to_string).collect(), groups.iter().map(ToString::to_string).collect());
        Ok(Self { published, group, users, groups, added: 0, removed: 0, affected: BTreeSet::new() })
    }

    async fn step(&mut self, tx: &mut Tx, step: &MemberChange) -> Result<(), ProvisionError> {
        let tenant = self.published.tenant();
        match step {
            MemberChange::Add(members) => {
                let ids: Vec<String> = members.iter().map(|member| member.value.clone()).collect();
                let there: BTreeSet<String> = db::group::members_among(tx, tenant, self.group, &ids).await?.into_iter().collect();
                self.insert(tx, &members.iter().filter(|member| !there.contains(&member.value)).collect::<Vec<_>>()).await
            }
            MemberChange::Remove(ids) => self.remove(tx, ids).await,
            MemberChange::RemoveAll => {
                let all = db::group::list_members_locked(tx, tenant, self.group).await?;
                self.remove(tx, &all.into_iter().map(|row| row.member).collect::<Vec<_>>()).await
            }
            MemberChange::RemoveMatching(filter) => {
                let all = db::group::list_members_locked(tx, tenant, self.group).await?;
                let members = Schemas::standard().group.attribute("members").expect("the table of Group has it");
                let matching = all.into_iter().filter(|row| matches_element(filter, &element(row), members));
                self.remove(tx, &matching.map(|row| row.member).collect::<Vec<_>>()).await
            }
            MemberChange::Replace(members) => {
                let wanted: BTreeSet<&str> = members.iter().map(|member| member.value.as_str()).collect();
                let all = db::group::list_members_locked(tx, tenant, self.group).await?;
                let gone: Vec<String> =
                    all.iter().filter(|row| !wanted.contains(row.member.as_str())).map(|row| row.member.clone()).collect();
                let there: BTreeSet<&str> = all.iter().map(|row| row.member.as_str()).collect();
                let new: Vec<&Member> = members.iter().filter(|member| !there.contains(member.value.as_str())).collect();
                self.remove(tx, &gone).await?;
                self.insert(tx, &new).await
            }
        }
    }

    async fn insert(&mut self, tx: &mut Tx, members: &[&Member]) -> Result<(), ProvisionError> {
        let tenant = self.published.tenant();
        let mut unknown = Vec::new();
        let mut rows: Vec<MemberRow> = Vec::with_capacity(members.len());
        let mut seen = BTreeSet::new();
        for member in members {
            let kind = if self.users.contains(&member.value) {
                MemberKind::User
            } else if self.groups.contains(&member.value) {
                MemberKind::Group
            } else {
                unknown.push(member.value.clone());
                continue;
            };
            if seen.insert(member.value.as_str()) {
                rows.push(MemberRow { member: member.value.clone(), kind, display: member.display.clone() });
            }
        }
        match self.published.connection.scim.unknown_members {
            UnknownMembers::Refuse if !unknown.is_empty() => return Err(ProvisionError::UnknownMembers(unknown)),
            UnknownMembers::Skip if !unknown.is_empty() => {
                tracing::warn!(group.id = %self.group, connection.id = %self.published.connection.id, members.unknown = unknown.len(), "members that nobody knows were left out of a group");
            }
            UnknownMembers::Refuse | UnknownMembers::Skip => {}
        }
        let added = db::group::insert_members(tx, tenant, self.group, &rows).await?;
        self.added += added.len();
        self.touch(tx, &added).await
    }

    async fn remove(&mut self, tx: &mut Tx, ids: &[String]) -> Result<(), ProvisionError> {
        let removed = db::group::delete_members(tx, self.published.tenant(), self.group, ids).await?;
        self.removed += removed.len();
        let removed: Vec<String> = removed.into_iter().map(|row| row.member).collect();
        self.touch(tx, &removed).await
    }

    /// Users themselves, and everybody below a nested group.
    async fn touch(&mut self, tx: &mut Tx, members: &[String]) -> Result<(), ProvisionError> {
        let groups: Vec<GroupId> = members.iter().filter(|id| self.groups.contains(*id)).filter_map(|id| GroupId::parse(id).ok()).collect();
        let direct = members.iter().filter(|id| !self.groups.contains(*id)).filter_map(|id| AccountId::parse(id).ok());
        self.affected.extend(direct);
        self.affected.extend(db::group::users_within(tx, self.published.tenant(), &groups).await?);
        Ok(())
    }
}

/// The ids of those whose membership the steps can change; the group is locked.
async fn touched(tx: &mut Tx, tenant: TenantId, group: GroupId, steps: &[MemberChange]) -> Result<BTreeSet<String>, ProvisionError> {
    let mut touched = BTreeSet::new();
    let mut added = BTreeSet::new();
    let mut there: Option<BTreeSet<String>> = None;
    for step in steps {
        match step {
            MemberChange::Add(members) => added.extend(members.iter().map(|member| member.value.clone())),
            MemberChange::Remove(ids) => touched.extend(ids.iter().cloned()),
            MemberChange::RemoveMatching(_) | MemberChange::RemoveAll | MemberChange::Replace(_) => {
                if there.is_none() {
                    let rows = db::group::list_members_locked(tx, tenant, group).await?;
                    there = Some(rows.into_iter().map(|row| row.member).collect());
                }
                let there = there.as_ref().expect("read just above");
                if let MemberChange::Replace(members) = step {
                    let wanted: BTreeSet<String> = members.iter().map(|member| member.value.clone()).collect();
                    touched.extend(there.symmetric_difference(&wanted).cloned());
                } else {
                    touched.extend(there.iter().cloned());
                }
            }
        }
    }
    let added: Vec<String> = added.into_iter().collect();
    let members: BTreeSet<String> = db::group::members_among(tx, tenant, group, &added).await?.into_iter().collect();
    touched.extend(added.into_iter().filter(|id| !members.contains(id)));
    Ok(touched)
}

/// A stored member as the filter of a PATCH path sees it.
fn element(row: &MemberRow) -> Value {
    let mut element = Map::new();
    element.insert("value".to_owned(), Value::String(row.member.clone()));
    element.insert("type".to_owned(), Value::String(row.kind.as_str().to_owned()));
    if let Some(display) = &row.display {
        element.insert("display".to_owned(), Value::String(display.clone()));
    }
    Value::Object(element)
}
