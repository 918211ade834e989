//! From facts to effects, for any number of people of one connection: the only place that writes what a sync gives and takes.
//!
//! Statements are per set, not per person; what one person costs does not depend on the size of a group or of the directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use serde_json::json;

use super::{
    Published,
    affiliation::{self, Joining},
    held_back,
    record::Record,
};
use crate::{
    db::{
        self, DbError, Tx,
        account::{AccountRow, OwnerRow},
        assignment::NewOrigin,
        identity::{IdentityRow, ScimState},
    },
    domain::{
        account::SignInStatus,
        actor::Occasion,
        assignment::{Assignment, Holding, Origin, OriginRow},
        connection::Authority,
        id::{AccountId, AssignmentId, ConnectionId, TenantId},
        identity::{GroupRef, Identity, Protocol},
        model::RoleModel,
    },
    policy::{
        diff::{self, Plan},
        invariant::{self, Alarm, OwnerFacts},
        mapping::{self, Denial, Desired, Mapping, Sight},
    },
    scim::resource::User,
};

/// One person at one connection: locked, with the facts as they shall be.
#[derive(Debug)]
pub(super) struct Person {
    pub account: AccountRow,
    pub identity: IdentityRow,
    /// What they held when they were locked.
    pub held: Vec<Assignment>,
    /// Made in this transaction: there is nothing to load.
    pub is_new: bool,
    /// Before this transaction the connection had said nothing of them.
    pub first_sight: bool,
    /// Whether sign-in was possible when the transaction began.
    pub status_before: SignInStatus,
    /// Whether the identity let its person sign in when the transaction began.
    pub live_before: bool,
}

impl Person {
    pub(super) fn is_owner(&self, model: &RoleModel) -> bool {
        invariant::is_owner(model, &self.held)
    }
}

/// What came of it, in the order of the people.
#[derive(Debug)]
pub(super) struct Outcome {
    pub denied: Option<Denial>,
    /// The account row has to be written: home organization or kind changed.
    pub account_changed: bool,
    /// What they hold, where nothing of it changed.
    pub holds: Option<Vec<Assignment>>,
}

/// Evaluates, compares and writes. The caller writes the identity rows (with the mapping's version) and the account rows.
pub(super) async fn reconcile(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    people: &mut [Person],
    record: &mut Record,
) -> Result<Vec<Outcome>, DbError> {
    let tenant = published.tenant();
    let in_groups: Vec<AccountId> = people
        .iter()
        .filter(|person| !person.is_new && person.identity.scim_state == ScimState::Live)
        .map(|person| person.account.account.id)
        .collect();
    let mut groups = db::group::groups_of(tx, tenant, published.connection.id, &in_groups).await?;
    let mut changes: Vec<Change> = people
        .iter()
        .map(|person| {
            let id = person.account.account.id;
            let groups = groups.remove(&id).unwrap_or_default();
            let desired = desire(published, person, groups.clone(), occasion);
            let by_scim = is_kept_out(person, &desired).then(|| desire_by_scim(published, person, groups, occasion)).flatten();
            Change::new(published, person, person.held.clone(), desired, by_scim)
        })
        .collect();
    let mut effects = Effects::on_new(people.iter().filter(|person| person.is_new).map(|person| person.account.account.id));
    settle_owners(tx, published, people, &mut changes, &mut effects).await?;
    let mut outcomes = Vec::with_capacity(people.len());
    let mut moved = Vec::new();
    let mut notes = BTreeSet::new();
    for (person, change) in people.iter_mut().zip(changes) {
        let home = person.account.account.home_organization;
        note_dormancy(person, &change, &published.model, &mut effects, record);
        let mut outcome = settle_account(person, &change.desired);
        let account = &person.account.account;
        moved.extend(account.home_organization.filter(|now| home != Some(*now)).map(|now| Joining::of(account, now)));
        if change.plan.is_empty() && account.home_organization == home {
            outcome.holds = Some(change.current);
        } else {
            effects.add(occasion, account.id, &change.current, change.plan);
        }
        outcomes.push(outcome);
        notes.extend(change.desired.notes);
    }
    effects.write(tx, tenant, occasion, &published.model, Some(&published.mapping), record).await?;
    affiliation::join(tx, &published.model, occasion, &moved, record).await?;
    held_back::tell(tx, published, occasion, &notes).await?;
    Ok(outcomes)
}

/// What one person has, what they should have, and how to get there.
struct Change {
    current: Vec<Assignment>,
    desired: Desired,
    /// As for [`withhold`].
    by_scim: Option<Desired>,
    plan: Plan,
    usable: Usable,
}

impl Change {
    fn new(published: &Published, person: &Person, current: Vec<Assignment>, mut desired: Desired, by_scim: Option<Desired>) -> Self {
        let mut plan = if person.identity.scim_state == ScimState::Deleted {
            diff::withdraw_all(&current, published.connection.id)
        } else {
            diff::diff(&current, &desired, &published.mapping, published.connection.id)
        };
        if is_kept_out(person, &desired) {
            let kept = by_scim.as_ref().map(|alone| (alone, diff::diff(&current, alone, &published.mapping, published.connection.id)));
            withhold(published, person, &mut desired, &mut plan, kept);
        }
        let dormancy = Dormancy::of(person, &current);
        // Where every owner assignment goes, the last one is retained, and what is retained is live.
        let can_use = |held: &BTreeSet<(Holding, Origin)>, dormant: &BTreeSet<ConnectionId>| {
            let mut owns = held.iter().filter(|(holding, _)| invariant::is_owner_assignment(&published.model, holding)).peekable();
            let gives = |origin: &Origin| origin.connection().is_none_or(|connection| !dormant.contains(&connection));
            owns.peek().is_none() || owns.any(|(_, origin)| gives(origin))
        };
        let usable = Usable {
            before: person.status_before == SignInStatus::Active && can_use(&diff::origins(&current), &dormancy.before),
            after: person.account.account.status == SignInStatus::Active && can_use(&diff::apply(&plan, &current), &dormancy.after),
        };
        Self { current, desired, by_scim, plan, usable }
    }

    fn is_owner_matter(&self, model: &RoleModel) -> bool {
        invariant::touches_owners(model, &self.plan)
            || (self.usable.before != self.usable.after && invariant::is_owner(model, &self.current))
    }
}

/// The connections whose origins of one account are dormant.
struct Dormancy {
    before: BTreeSet<ConnectionId>,
    after: BTreeSet<ConnectionId>,
}

impl Dormancy {
    /// `current` was read before the identity changed.
    fn of(person: &Person, current: &[Assignment]) -> Self {
        let own = person.identity.connection;
        let dormant = current.iter().flat_map(|held| &held.origins).filter(|row| row.dormant);
        let elsewhere: BTreeSet<ConnectionId> = dormant.filter_map(|row| row.origin.connection()).filter(|id| *id != own).collect();
        let with = |live: bool| elsewhere.iter().copied().chain((!live).then_some(own)).collect();
        Self { before: with(person.live_before), after: with(person.identity.is_live()) }
    }
}

/// Says that the roles of an identity became dormant, or that they are no longer, and has whoever keeps them read them again.
fn note_dormancy(person: &Person, change: &Change, model: &RoleModel, effects: &mut Effects, record: &mut Record) {
    let (connection, is_live) = (person.identity.connection, person.identity.is_live());
    if person.is_new || person.live_before == is_live {
        return;
    }
    let given = change.current.iter().filter(|held| held.origins.iter().any(|row| row.origin.connection() == Some(connection)));
    let names = |held: &Assignment| {
        let organization = model.organizations.find(held.holding.organization);
        json!({
            "role": { "id": held.holding.role, "name": model.role(held.holding.role).map(|role| role.name.as_str()) },
            "organization": { "id": held.holding.organization, "slug": organization.map(|o| o.slug.as_str()) },
            "resource_scope": held.holding.resource_scope,
        })
    };
    let roles: Vec<_> = given.map(names).collect();
    if roles.is_empty() {
        return;
    }
    let account = person.identity.account;
    effects.dormant.insert(account);
    // What is withdrawn in the same transaction is told as that.
    if person.identity.scim_state != ScimState::Deleted {
        let action = if is_live { "identity.roles_restored" } else { "identity.roles_dormant" };
        record.note(action, "account", &account, json!({ "connection": connection, "roles": roles }));
    }
}

/// Invariant 4, for those whose change gives or takes an owner.
async fn settle_owners(
    tx: &mut Tx,
    published: &Published,
    people: &[Person],
    changes: &mut [Change],
    effects: &mut Effects,
) -> Result<(), DbError> {
    let model = &published.model;
    let mut matters: Vec<usize> = (0..changes.len()).filter(|at| changes[*at].is_owner_matter(model)).collect();
    if matters.is_empty() {
        return Ok(());
    }
    let mut owners = Owners::Unread;
    owners.read(tx, model).await?;
    // Whoever brought an owner released what was retained, without the account's lock: what is held is read again under the floor's.
    let ids: Vec<AccountId> = matters.iter().map(|at| people[*at].account.account.id).collect();
    let mut held = db::assignment::held(tx, model.tenant, &ids).await?;
    for at in &matters {
        let current = held.remove(&people[*at].account.account.id).unwrap_or_default();
        let desired = mem::take(&mut changes[*at].desired);
        let by_scim = changes[*at].by_scim.take();
        changes[*at] = Change::new(published, &people[*at], current, desired, by_scim);
    }
    // Who becomes an owner comes first: nobody is retained for want of an owner whom the same transaction brings.
    matters.sort_by_key(|at| !invariant::brings_owner(model, &changes[*at].plan, &changes[*at].current));
    for at in matters {
        let (person, change) = (&people[at], &mut changes[at]);
        let account = (person.account.account.id, person.account.has_local_credential);
        let plan = mem::take(&mut change.plan);
        change.plan = owners.settle(tx, model, account, change.usable, plan, &change.current, effects).await?;
    }
    Ok(())
}

/// Whether sign-in is refused to somebody who is known, or was when their identity provider last spoke of them by SAML. A rule's refusal is
/// asked for anew each time: it goes with the rule. Who is made now is made with what they shall hold once they are let in.
fn is_kept_out(person: &Person, desired: &Desired) -> bool {
    let is_barred = person.account.account.status != SignInStatus::Active || !person.identity.active;
    let was_refused = person.identity.saml.as_ref().is_some_and(|facts| facts.refused);
    !person.is_new && (was_refused || is_barred || desired.denied.is_some())
}

/// MAPPING.md: a refusal commits the facts and the withdrawals they cause. What a response would give besides waits until one is accepted,
/// also when the job comes across those facts before; what SCIM says holds whether or not its person is let in. Where both count it is
/// asked what SCIM alone would give, and what it alone would take.
fn withhold(published: &Published, person: &Person, desired: &mut Desired, plan: &mut Plan, by_scim: Option<(&Desired, Plan)>) {
    if let Some((alone, kept)) = by_scim {
        plan.add = kept.add;
        plan.remove.retain(|removed| kept.remove.contains(removed));
        (desired.home_organization, desired.kind) = (alone.home_organization, alone.kind);
    } else if person.identity.scim_state != ScimState::Live || published.connection.authority == Authority::Saml {
        plan.add.clear();
        (desired.home_organization, desired.kind) = (None, None);
    }
}

/// Home organization and kind, where the mapping says so.
fn settle_account(person: &mut Person, desired: &Desired) -> Outcome {
    let account = &mut person.account.account;
    let home = desired.home_organization.or(account.home_organization);
    let kind = desired.kind.unwrap_or(account.kind);
    let account_changed = home != account.home_organization || kind != account.kind;
    account.home_organization = home;
    account.kind = kind;
    Outcome { denied: desired.denied.clone(), account_changed, holds: None }
}

/// What the mapping wants of the facts that count, by the connection's authority.
pub(super) fn desire(published: &Published, person: &Person, groups: Vec<GroupRef>, occasion: &Occasion) -> Desired {
    let sight = sight(published, person, occasion);
    let scim = (person.identity.scim_state == ScimState::Live).then(|| scim_identity(&person.identity, groups)).flatten();
    let saml = saml_identity(&person.identity);
    let counting = match published.connection.authority {
        Authority::ScimElseSaml => [scim.or(saml), None],
        Authority::Scim => [scim, None],
        Authority::Saml => [saml, None],
        Authority::Union => [scim, saml],
    };
    let mut desired = counting.into_iter().flatten().map(|identity| mapping::evaluate(&published.mapping, &identity, &sight));
    let first = desired.next().unwrap_or_default();
    match desired.next() {
        None => first,
        Some(second) => first.union(second, &published.mapping, &published.model),
    }
}

/// What the mapping wants of the live SCIM resource alone, where the facts of both protocols count.
fn desire_by_scim(published: &Published, person: &Person, groups: Vec<GroupRef>, occasion: &Occasion) -> Option<Desired> {
    let counts = published.connection.authority == Authority::Union && person.identity.scim_state == ScimState::Live;
    let identity = counts.then(|| scim_identity(&person.identity, groups)).flatten()?;
    Some(mapping::evaluate(&published.mapping, &identity, &sight(published, person, occasion)))
}

fn sight<'p>(published: &'p Published, person: &Person, occasion: &Occasion) -> Sight<'p> {
    Sight {
        model: &published.model,
        connection: &published.connection,
        now: occasion.now,
        first_sight: person.first_sight,
        home: person.account.account.home_organization,
        kind: person.account.account.kind,
    }
}

fn scim_identity(row: &IdentityRow, groups: Vec<GroupRef>) -> Option<Identity> {
    let facts = row.scim.as_ref()?;
    let mut identity = User { attributes: facts.document.clone() }.identity(Some(groups));
    identity.active = row.active;
    Some(identity)
}

fn saml_identity(row: &IdentityRow) -> Option<Identity> {
    let facts = row.saml.as_ref()?;
    let mut attributes = facts.attributes.clone();
    let authn_context = attributes.remove(AUTHN_CONTEXT).and_then(|value| value.as_str().map(str::to_owned));
    Some(Identity { source: Protocol::Saml, attributes, groups: facts.groups.clone(), active: row.active, authn_context })
}

/// Where a SAML document keeps the class of the last authentication; no SCIM attribute can have this name.
pub(super) const AUTHN_CONTEXT: &str = "authn.context";

#[derive(Debug, Clone, Copy)]
pub(super) struct Usable {
    pub before: bool,
    pub after: bool,
}

/// The owners of the tenant, read under the owner-floor lock the first time that a change touches one.
#[derive(Debug)]
pub(super) enum Owners {
    Unread,
    Read(Vec<OwnerRow>),
}

impl Owners {
    pub(super) async fn read(&mut self, tx: &mut Tx, model: &RoleModel) -> Result<&mut Vec<OwnerRow>, DbError> {
        if let Self::Unread = self {
            db::tenant::lock_owner_floor(tx, model.tenant).await?;
            *self = Self::Read(db::account::list_owners(tx, model.tenant, model.organizations.root()).await?);
        }
        match self {
            Self::Read(owners) => Ok(owners),
            Self::Unread => unreachable!("read just above"),
        }
    }

    /// Invariant 4 for a sync: it is never refused, but the last owner assignment stays.
    #[expect(clippy::too_many_arguments, reason = "the whole of one person's change, and where its effects go")]
    async fn settle(
        &mut self,
        tx: &mut Tx,
        model: &RoleModel,
        (id, has_local_credential): (AccountId, bool),
        usable: Usable,
        plan: Plan,
        current: &[Assignment],
        effects: &mut Effects,
    ) -> Result<Plan, DbError> {
        let owners = self.read(tx, model).await?;
        let others = owners.iter().filter(|owner| owner.account != id);
        let count = |n: usize| i64::try_from(n).expect("a tenant has fewer owners than that");
        let facts = OwnerFacts {
            other_owners: count(others.clone().count()),
            other_usable: count(others.filter(|owner| owner.usable).count()),
            usable_before: usable.before,
            usable_after: usable.after,
        };
        let brings = invariant::brings_owner(model, &plan, current);
        let retained = invariant::retain_last_owner(plan, current, facts, model);
        let stays = diff::apply(&retained.plan, current).iter().any(|(holding, _)| invariant::is_owner_assignment(model, holding));
        owners.retain(|owner| owner.account != id);
        if stays {
            owners.push(OwnerRow { account: id, usable: usable.after, has_local_credential });
        }
        if brings {
            release_others(tx, model, id, owners, effects).await?;
        }
        effects.alarms.extend(retained.alarms.into_iter().map(|alarm| (id, alarm)));
        Ok(retained.plan)
    }
}

/// Another owner is there: what only retention held can go.
pub(super) async fn release_others(
    tx: &mut Tx,
    model: &RoleModel,
    but: AccountId,
    owners: &mut Vec<OwnerRow>,
    effects: &mut Effects,
) -> Result<(), DbError> {
    let others: Vec<AccountId> = owners.iter().map(|owner| owner.account).filter(|owner| *owner != but).collect();
    if others.is_empty() {
        return Ok(());
    }
    for (account, current) in db::assignment::held(tx, model.tenant, &others).await? {
        let plan = invariant::release_retention(&current);
        if plan.is_empty() {
            continue;
        }
        if !diff::apply(&plan, &current).iter().any(|(holding, _)| invariant::is_owner_assignment(model, holding)) {
            owners.retain(|owner| owner.account != account);
        }
        effects.remove(account, plan);
    }
    Ok(())
}

/// Everything that the plans of one transaction change, gathered for a few set statements.
#[derive(Debug, Default)]
pub(super) struct Effects {
    assignments: Vec<(AssignmentId, AccountId, Holding)>,
    origins: Vec<(NewOrigin, Holding)>,
    removed: Vec<(AssignmentId, AccountId, Holding, Origin)>,
    alarms: Vec<(AccountId, Alarm)>,
    /// Accounts that this transaction made: nobody has seen yet what they hold.
    made: BTreeSet<AccountId>,
    /// Accounts that hold the same, and of which something became dormant or live.
    dormant: BTreeSet<AccountId>,
}

impl Effects {
    /// Effects on these accounts, that the transaction made, and on others.
    pub(super) fn on_new(made: impl IntoIterator<Item = AccountId>) -> Self {
        Self { made: made.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn add(&mut self, occasion: &mut Occasion, account: AccountId, current: &[Assignment], plan: Plan) {
        self.add_delegable(occasion, account, current, plan, false);
    }

    pub(super) fn add_delegable(
        &mut self,
        occasion: &mut Occasion,
        account: AccountId,
        current: &[Assignment],
        plan: Plan,
        may_delegate: bool,
    ) {
        let mut ids: BTreeMap<Holding, AssignmentId> = current.iter().map(|assignment| (assignment.holding, assignment.id)).collect();
        for (holding, origin) in &plan.add {
            let assignment = *ids.entry(*holding).or_insert_with(|| {
                let id = occasion.ids.make();
                self.assignments.push((id, account, *holding));
                id
            });
            self.origins.push((NewOrigin { assignment, account, origin: *origin, may_delegate }, *holding));
        }
        self.remove(account, plan);
    }

    /// What leads from one state of an account to another; an assignment keeps its id.
    pub(super) fn put(&mut self, account: AccountId, before: &[Assignment], after: &[Assignment]) {
        let had = |held: &Assignment| before.iter().find(|old| old.id == held.id);
        for held in after {
            let old: &[OriginRow] = had(held).map(|old| old.origins.as_slice()).unwrap_or_default();
            if had(held).is_none() && !held.origins.is_empty() {
                self.assignments.push((held.id, account, held.holding));
            }
            let new = held.origins.iter().filter(|row| !old.contains(row));
            self.origins.extend(new.map(|row| {
                let origin = NewOrigin { assignment: held.id, account, origin: row.origin, may_delegate: row.may_delegate };
                (origin, held.holding)
            }));
            let gone = old.iter().filter(|row| !held.origins.contains(row));
            self.removed.extend(gone.map(|row| (held.id, account, held.holding, row.origin)));
        }
    }

    fn remove(&mut self, account: AccountId, plan: Plan) {
        self.removed.extend(plan.remove.into_iter().map(|(assignment, holding, origin)| (assignment, account, holding, origin)));
    }

    /// Who holds something else than before, among those who were there before.
    fn changed(&self) -> BTreeSet<AccountId> {
        let gained = self.origins.iter().map(|(new, _)| new.account);
        let lost = self.removed.iter().map(|(_, account, _, _)| *account);
        gained.chain(lost).chain(self.dormant.iter().copied()).filter(|account| !self.made.contains(account)).collect()
    }

    pub(super) async fn write(
        mut self,
        tx: &mut Tx,
        tenant: TenantId,
        occasion: &mut Occasion,
        model: &RoleModel,
        mapping: Option<&Mapping>,
        record: &mut Record,
    ) -> Result<(), DbError> {
        // What is retained can be released by its own change and by another's in the same transaction.
        self.removed.sort_unstable();
        self.removed.dedup();
        for (account, alarm) in &self.alarms {
            let kind = match alarm {
                Alarm::LastOwnerRetained { .. } => "owner.retained",
                Alarm::BelowFloor { .. } => "owner.below_floor",
            };
            tracing::error!(account.id = %account, tenant.id = %tenant, alarm = kind, "{alarm}");
            db::attention::raise(tx, tenant, occasion, kind, None, Some(*account), &json!({ "message": alarm.to_string() })).await?;
            record.note(kind, "account", account, json!({ "message": alarm.to_string() }));
        }
        db::assignment::insert_assignments(tx, tenant, &self.assignments, occasion.now).await?;
        let origins: Vec<NewOrigin> = self.origins.iter().map(|(origin, _)| *origin).collect();
        db::assignment::insert_origins(tx, tenant, &origins, occasion.now).await?;
        let removed: Vec<(AssignmentId, Origin)> = self.removed.iter().map(|(assignment, _, _, origin)| (*assignment, *origin)).collect();
        db::assignment::delete_origins(tx, tenant, &removed).await?;
        let touched: Vec<AssignmentId> = removed.iter().map(|(assignment, _)| *assignment).collect();
        db::assignment::delete_unfounded(tx, tenant, &touched).await?;
        db::account::raise_held_versions(tx, tenant, &self.changed()).await?;
        for (_, account, holding, origin) in &self.removed {
            record.origin("assignment.origin_removed", *account, holding, origin, model, mapping);
        }
        for (new, holding) in &self.origins {
            record.origin("assignment.origin_added", new.account, holding, &new.origin, model, mapping);
        }
        Ok(())
    }
}
