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
        id::{AccountId, GroupId},
        identity::GroupRef,
    },
    scim::{
        filter::matches_element,
        group::{Group, GroupChange, Member, MemberChange, MemberKind},
        schema::Schemas,
    },
};

/// The name of the counter of groups.
pub const GROUPS: &str = "groups";

/// Up to so many people are mapped again in the request that changed their membership; more of them by the job that follows.
pub const MAPPED_AT_ONCE: usize = 200;

pub async fn create_group(tx: &mut Tx, published: &Published, occasion: &mut Occasion, group: Group) -> Result<GroupRow, ProvisionError> {
    let tenant = published.tenant();
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
    let mut change = Membership::new(tx, published, &row, named(&[MemberChange::Add(group.members.clone())])).await?;
    change.add(tx, &group.members).await?;
    let mut record = Record::default();
    record.note("group.created", "group", &row.id, json!({ "connection": published.connection.id, "members_added": change.added }));
    db::counter::add(tx, tenant, published.connection.id, GROUPS, row.id, 1).await?;
    record.write(tx, tenant, occasion).await?;
    let affected = change.affected;
    settle(tx, published, occasion, affected).await?;
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
        row.display_name = name;
    }
    if let Some(external_id) = change.external_id {
        row.external_id = external_id;
    }
    let mut membership = Membership::new(tx, published, &row, named(&change.members)).await?;
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
    row.changed_at = occasion.now;
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
    let tenant = published.tenant();
    let row = db::group::lock_group(tx, tenant, published.connection.id, id).await?.ok_or(ProvisionError::NotFound)?;
    precondition.check(row.version)?;
    let affected: BTreeSet<AccountId> = db::group::users_within(tx, tenant, &[id]).await?.into_iter().collect();
    db::group::delete_group(tx, tenant, id).await?;
    db::counter::add(tx, tenant, published.connection.id, GROUPS, id, -1).await?;
    let mut record = Record::default();
    record.note("group.deleted", "group", &id, json!({ "connection": published.connection.id, "members": affected.len() }));
    record.write(tx, tenant, occasion).await?;
    settle(tx, published, occasion, affected).await
}

/// The people whose groups changed: mapped now when they are few, else marked for the job.
async fn settle(tx: &mut Tx, published: &Published, occasion: &mut Occasion, affected: BTreeSet<AccountId>) -> Result<(), ProvisionError> {
    let affected: Vec<AccountId> = affected.into_iter().collect();
    if affected.len() <= MAPPED_AT_ONCE {
        remap(tx, published, occasion, &affected).await
    } else {
        Ok(db::identity::mark_stale(tx, published.tenant(), published.connection.id, &affected).await?)
    }
}

/// The ids that the steps name: whoever is few enough to be mapped at once is locked before their rows are touched,
/// in the order in which all writers lock (group, then accounts by id).
fn named(steps: &[MemberChange]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for step in steps {
        match step {
            MemberChange::Add(members) | MemberChange::Replace(members) => ids.extend(members.iter().map(|member| member.value.clone())),
            MemberChange::Remove(members) => ids.extend(members.iter().cloned()),
            MemberChange::RemoveMatching(_) | MemberChange::RemoveAll => {}
        }
    }
    ids
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
    async fn new(tx: &mut Tx, published: &'p Published, group: &GroupRow, named: BTreeSet<String>) -> Result<Self, ProvisionError> {
        let tenant = published.tenant();
        let accounts: Vec<AccountId> = named.iter().filter_map(|id| AccountId::parse(id).ok()).collect();
        if !accounts.is_empty() && accounts.len() <= MAPPED_AT_ONCE {
            db::account::lock_accounts(tx, tenant, &accounts).await?;
        }
        let users: BTreeSet<String> =
            db::identity::known_users(tx, tenant, published.connection.id, &accounts).await?.iter().map(ToString::to_string).collect();
        let others: Vec<GroupId> = named.iter().filter(|id| !users.contains(*id)).filter_map(|id| GroupId::parse(id).ok()).collect();
        let groups = db::group::known_groups(tx, tenant, published.connection.id, &others).await?.iter().map(ToString::to_string).collect();
        Ok(Self { published, group: group.id, users, groups, added: 0, removed: 0, affected: BTreeSet::new() })
    }

    async fn step(&mut self, tx: &mut Tx, step: &MemberChange) -> Result<(), ProvisionError> {
        let tenant = self.published.tenant();
        match step {
            MemberChange::Add(members) => self.add(tx, members).await,
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
                let gone: Vec<String> = all.into_iter().map(|row| row.member).filter(|member| !wanted.contains(member.as_str())).collect();
                self.remove(tx, &gone).await?;
                self.add(tx, members).await
            }
        }
    }

    async fn add(&mut self, tx: &mut Tx, members: &[Member]) -> Result<(), ProvisionError> {
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
