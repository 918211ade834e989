//! Moves of organizations: who gains and loses which role, and whether the actor may make that change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    db::{self, DbError, Tx, inheritance::ReachingRow},
    domain::{
        actor::Actor,
        id::{AccountId, TenantId},
        model::RoleModel,
        organization::Organization,
        time::Timestamp,
    },
    policy::{
        access::Denied,
        inheritance::{Affected, Effects, Reaching, Relocation, authorize_relocation, owns_both_ends},
        mapping::Mapping,
    },
};

/// Roles that one move reads. Only an owner of both ends moves more.
pub const MOST: usize = 5000;

#[derive(Debug, thiserror::Error)]
pub enum RelocationError {
    #[error("the move changes who may do what in the organization: {0}")]
    Denied(#[from] Denied),
    #[error("more than {MOST} roles start or stop to reach the organization: an owner of both places has to make the move")]
    TooMany,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The effects of a move, with the accounts that they concern.
#[derive(Debug)]
pub struct Measured {
    pub effects: Effects,
    pub people: BTreeMap<AccountId, ReachingRow>,
    /// False when there are more than [`MOST`] roles.
    pub complete: bool,
}

/// Reads the effects of a move, in a constant number of statements.
pub async fn measure(tx: &mut Tx, tenant: TenantId, moved: &Relocation<'_>, now: Timestamp) -> Result<Measured, DbError> {
    let exchanged = moved.exchanged();
    let limit = i64::try_from(MOST + 1).expect("it is small");
    let mut rows = db::inheritance::list_reaching(&mut *tx, tenant, &exchanged, &moved.kept(), limit).await?;
    let complete = rows.len() <= MOST;
    rows.truncate(MOST);
    let held: Vec<Reaching> = rows.iter().map(|row| row.reaching).collect();
    let effects = Effects {
        shift: moved.shift(&held),
        settings: moved.changes_settings(),
        app_tokens: db::inheritance::have_app_tokens(&mut *tx, tenant, &exchanged, now).await?,
        rules: changes_rules(tx, tenant, moved).await?,
    };
    let people = rows.into_iter().map(|row| (row.reaching.account, row)).collect();
    Ok(Measured { effects, people, complete })
}

async fn changes_rules(tx: &mut Tx, tenant: TenantId, moved: &Relocation<'_>) -> Result<bool, DbError> {
    let published: Vec<(_, Mapping)> = db::listing::list_published_mappings(&mut *tx, tenant).await?;
    if published.is_empty() {
        return Ok(false);
    }
    let connections = db::connection::list_connections(&mut *tx, tenant).await?;
    let anchors: BTreeMap<_, _> = connections.into_iter().map(|row| (row.connection.id, row.connection.organization)).collect();
    Ok(published.iter().any(|(id, mapping)| anchors.get(id).is_some_and(|anchor| moved.changes_rules(*anchor, mapping))))
}

/// Checks that the actor may make the measured effects.
pub async fn permit(
    tx: &mut Tx,
    actor: &Actor,
    model: &RoleModel,
    moved: &Relocation<'_>,
    measured: &Measured,
) -> Result<(), RelocationError> {
    if owns_both_ends(actor, model, moved) {
        return Ok(());
    }
    if !measured.complete {
        return Err(RelocationError::TooMany);
    }
    let accounts: Vec<AccountId> = measured.effects.accounts().into_iter().collect();
    let mut held = db::assignment::held(tx, model.tenant, &accounts).await?;
    let with_actor: BTreeSet<AccountId> = accounts.iter().copied().chain(actor.account_id()).collect();
    let with_actor: Vec<AccountId> = with_actor.into_iter().collect();
    let groups = db::group::memberships(&mut *tx, model.tenant, &with_actor).await?;
    let groups_of = |id: &AccountId| groups.get(id).cloned().unwrap_or_default();
    let affected = |id: &AccountId| Affected {
        home: measured.people.get(id).and_then(|row| row.home),
        assignments: held.remove(id).unwrap_or_default(),
        groups: groups_of(id),
    };
    let people = accounts.iter().copied().zip(accounts.iter().map(affected)).collect();
    let own_groups = actor.account_id().as_ref().map(groups_of).unwrap_or_default();
    Ok(authorize_relocation(actor, model, moved, &measured.effects, &people, &own_groups)?)
}

/// Lists who gains and who loses a role in an organization that a tenant's file moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The slug.
    pub organization: String,
    pub gained: Vec<Named>,
    pub lost: Vec<Named>,
    /// False when there are more roles than one report reads.
    pub complete: bool,
}

/// An inherited role in names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    pub user_name: String,
    pub role: String,
    /// Slug of the organization of the assignment.
    pub organization: String,
}

/// Reports the moves between two states of a tenant, in the order of slugs.
pub async fn report(tx: &mut Tx, before: &RoleModel, after: &RoleModel) -> Result<Vec<Report>, DbError> {
    let (from, to) = (&before.organizations, &after.organizations);
    let is_moved = |one: &&Organization| from.find(one.id).is_some_and(|known| known.parent != one.parent);
    let relocation = |one: &Organization| Relocation { organization: one.id, before: from, after: to };
    let mut moved: Vec<_> = to.iter().filter(is_moved).map(|one| (one.slug.to_string(), relocation(one))).collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    moved.sort_by(|(one, _), (other, _)| one.cmp(other));
    let exchanged = moved.iter().flat_map(|(_, moved)| moved.exchanged()).collect();
    let kept = moved.iter().flat_map(|(_, moved)| moved.kept()).collect();
    let limit = i64::try_from(MOST + 1).expect("it is small");
    let rows = db::inheritance::list_reaching(&mut *tx, before.tenant, &exchanged, &kept, limit).await?;
    let held: Vec<Reaching> = rows.iter().map(|row| row.reaching).collect();
    let user_names: BTreeMap<AccountId, &str> = rows.iter().map(|row| (row.reaching.account, row.user_name.as_str())).collect();
    let named = |one: &Reaching| Named {
        user_name: user_names.get(&one.account).map(ToString::to_string).unwrap_or_default(),
        role: after.role(one.role).map(|role| role.name.to_string()).unwrap_or_default(),
        organization: to.find(one.organization).map(|one| one.slug.to_string()).unwrap_or_default(),
    };
    let reports = moved.into_iter().map(|(organization, moved)| {
        let shift = moved.shift(&held);
        let [gained, lost] = [shift.gained, shift.lost].map(|roles| roles.iter().map(named).collect());
        Report { organization, gained, lost, complete: held.len() <= MOST }
    });
    Ok(reports.collect())
}

impl Report {
    /// Returns a line for each person and role.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        let gained = self.gained.iter().map(|one| (one, "gains"));
        let lost = self.lost.iter().map(|one| (one, "loses"));
        let line = |(one, verb): (&Named, _)| {
            format!("  {} {verb} {:?} in {}, by the role held at {}", one.user_name, one.role, self.organization, one.organization)
        };
        let more =
            (!self.complete).then(|| format!("  more roles reach {} before or after the move: not all are listed", self.organization));
        gained.chain(lost).map(line).chain(more)
    }
}
