//! Grants and withdrawals by people, any number of them in one transaction and in a few statements.
//!
//! Every one is decided by what the ones before it made: what is previewed, what is refused and what is applied come from the same
//! steps. A refusal is that one's alone; whether the others are written all the same is the caller's to say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    ProvisionError,
    owner_floor::may_leave,
    reconcile::{Effects, Owners, release_others},
    record::Record,
};
use crate::{
    db::{
        self, DbError, Tx,
        account::{AccountRow, OwnerRow},
    },
    domain::{
        actor::{Actor, Occasion},
        assignment::{Assignment, Holding, Origin, OriginRow},
        capability::Capability,
        id::{AccountId, AssignmentId, ConnectionId, GroupId},
        model::RoleModel,
        name::Slug,
    },
    policy::{
        access::{Denied, Target, permit},
        action::{GrantAssignments, ReadAccounts, ReadAssignments},
        assigning::{Assignee, authorize_grant, authorize_revoke},
        invariant::{self, Ineligible, LastLocalOwner, OwnerFloor},
        mapping::{Apply, Mapping},
        places::{Places, places, places_or_nowhere},
        rule::Rule,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Grant { may_delegate: bool },
    Revoke,
}

/// One line of what somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub account: AccountId,
    pub holding: Holding,
    pub wish: Wish,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With the assignment, which may have been there for another reason already.
    Granted(AssignmentId),
    /// `stays`: a machine's reason is left, so that the assignment is.
    Revoked {
        assignment: AssignmentId,
        stays: bool,
    },
    /// It was so before.
    Unchanged(Option<AssignmentId>),
    Refused(AssignRefusal),
}

/// Why an assignment cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignRefusal {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Ineligible(#[from] Ineligible),
    /// Of another tenant or of none: nobody is told which.
    #[error("the account is not one of this tenant; assignments stay within a tenant")]
    UnknownAccount,
    #[error(transparent)]
    OwnerFloor(#[from] OwnerFloor),
    #[error(transparent)]
    LastLocalOwner(#[from] LastLocalOwner),
    #[error(
        "this tenant does not pass roles on: grant without may_delegate, or switch it on by settings = {{ delegation = true }} under [tenant] in its file"
    )]
    NoDelegation,
    #[error("it is granted already with another may_delegate; revoke it first")]
    OtherDelegation,
    #[error("{}", held_by(.0))]
    ExternallyManaged(Vec<Cause>),
}

/// Why a person cannot take an assignment away: what machine holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The origin's kind.
    pub kind: &'static str,
    pub connection: Option<Slug>,
    pub rule: Option<String>,
    /// Groups that the rule looks for.
    pub groups: Vec<String>,
}

fn held_by(causes: &[Cause]) -> String {
    let one = |cause: &Cause| {
        let connection = cause.connection.as_ref().map_or_else(|| "a connection that is gone".to_owned(), ToString::to_string);
        match &cause.rule {
            Some(rule) if cause.groups.is_empty() => format!("the rule \"{rule}\" of {connection}"),
            Some(rule) => format!("the rule \"{rule}\" of {connection} (group {})", cause.groups.join(", ")),
            None if cause.kind == "default" => format!("the default mapping of {connection}"),
            None => format!("the directory behind {connection}"),
        }
    };
    let causes: Vec<String> = causes.iter().map(one).collect();
    format!(
        "the assignment is held by {} and would come back: change that, or the person's groups at the identity provider",
        causes.join(" and ")
    )
}

/// The stable code of problem documents.
impl AssignRefusal {
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Ineligible(ineligible) => match ineligible {
                Ineligible::UnknownRole | Ineligible::UnknownOrganization => "tenant_mismatch",
                Ineligible::RootOnly => "not_eligible",
                Ineligible::MachineOnly => "machine_only",
                Ineligible::NeedsScope | Ineligible::NeedsNoScope => "wrong_scope_kind",
                Ineligible::UnknownScope => "unknown_scope",
            },
            Self::UnknownAccount => "tenant_mismatch",
            Self::OwnerFloor(_) => "owner_floor",
            Self::LastLocalOwner(_) => "last_local_owner",
            Self::NoDelegation => "no_delegation",
            Self::OtherDelegation => "already_granted",
            Self::ExternallyManaged(_) => "externally_managed",
        }
    }
}

/// What the requests come to, in their order; written with [`Decided::write`], or dropped.
#[derive(Debug)]
pub struct Decided {
    pub outcomes: Vec<Outcome>,
    effects: Effects,
    revoked: Vec<(AccountId, Holding)>,
}

impl Decided {
    #[must_use]
    pub fn refused(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count()
    }

    pub async fn write(self, tx: &mut Tx, model: &RoleModel, occasion: &mut Occasion) -> Result<Vec<Outcome>, ProvisionError> {
        let mut record = Record::default();
        for (account, holding) in &self.revoked {
            let detail = json!({ "role": holding.role, "organization": holding.organization });
            record.note("assignment.revoked", "account", account, detail);
        }
        self.effects.write(tx, model.tenant, occasion, model, None, &mut record).await?;
        record.write(tx, model.tenant, occasion).await?;
        Ok(self.outcomes)
    }
}

/// Locks and reads what the requests touch, and decides one after the other. Nothing is written yet.
pub async fn decide(tx: &mut Tx, model: &RoleModel, occasion: &mut Occasion, requests: &[Request]) -> Result<Decided, ProvisionError> {
    // No row refers to a context or resource: its organization's is held, as for its deletion.
    let granted = requests.iter().filter(|request| request.holding.resource_scope.is_some() && request.wish != Wish::Revoke);
    let places: BTreeSet<_> = granted.map(|request| request.holding.organization).collect();
    db::organization::lock_organizations(tx, model.tenant, &places).await?;
    let ids: Vec<AccountId> = requests.iter().map(|request| request.account).collect();
    let accounts = db::account::lock_accounts(tx, model.tenant, &ids).await?;
    super::is_current(tx, model).await?;
    let concerns_owners = requests.iter().any(|request| invariant::is_owner_assignment(model, &request.holding));
    let mut owners = Owners::Unread;
    let owners = if concerns_owners { owners.read(tx, model).await?.clone() } else { Vec::new() };
    let as_owners = if concerns_owners { db::account::as_owners(tx, model.tenant, &ids).await? } else { BTreeMap::new() };
    // Under the floor's lock: another transaction may have released what was retained here.
    let held = db::assignment::held(tx, model.tenant, &accounts.keys().copied().collect::<Vec<_>>()).await?;
    let unseen = unseen(tx, model, &occasion.actor, &held, &accounts).await?;
    let actor = occasion.actor.account_id();
    let with_groups: Vec<AccountId> = accounts.keys().copied().chain(actor).collect();
    let mut groups = db::group::memberships(&mut *tx, model.tenant, &with_groups).await?;
    let own_groups = actor.and_then(|actor| groups.get(&actor).cloned()).unwrap_or_default();
    let mappings =
        if requests.iter().any(|request| is_external(&held, request)) { Mappings::load(tx, model).await? } else { Mappings::default() };
    let people = accounts
        .into_iter()
        .map(|(id, row)| {
            (id, Subject { row, groups: groups.remove(&id).unwrap_or_default(), held: held.get(&id).cloned().unwrap_or_default() })
        })
        .collect();
    let mut desk = Desk { model, people, unseen, owners, as_owners, own_groups, mappings, brought: None, revoked: Vec::new() };
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        outcomes.push(desk.decide(occasion, request).unwrap_or_else(Outcome::Refused));
    }
    let mut effects = Effects::default();
    for (id, subject) in &desk.people {
        effects.put(*id, held.get(id).map(Vec::as_slice).unwrap_or_default(), &subject.held);
    }
    if let Some(but) = desk.brought {
        release_others(tx, model, but, &mut desk.owners, &mut effects).await?;
    }
    Ok(Decided { outcomes, effects, revoked: desk.revoked })
}

/// Returns the accounts that the actor sees neither themselves nor by a role that they hold. For whoever passes a role on without another
/// right, the role says which accounts are within reach.
async fn unseen(
    tx: &mut Tx,
    model: &RoleModel,
    actor: &Actor,
    held: &BTreeMap<AccountId, Vec<Assignment>>,
    accounts: &BTreeMap<AccountId, AccountRow>,
) -> Result<BTreeSet<AccountId>, DbError> {
    let seen = places::<ReadAccounts>(actor, model).or_else(|_| places::<GrantAssignments>(actor, model));
    let Ok(seen @ Places::Only(_)) = seen else { return Ok(BTreeSet::new()) };
    let listed = places_or_nowhere::<ReadAssignments>(actor, model);
    let is_listed = |id: &AccountId| held.get(id).into_iter().flatten().any(|held| listed.contains(held.holding.organization));
    let asked: Vec<AccountId> = accounts.keys().filter(|id| actor.account_id() != Some(**id) && !is_listed(id)).copied().collect();
    let visible = db::people::list_visible(tx, model.tenant, &seen, &asked).await?;
    Ok(asked.into_iter().filter(|id| !visible.contains(id)).collect())
}

fn is_external(held: &BTreeMap<AccountId, Vec<Assignment>>, request: &Request) -> bool {
    let here = held.get(&request.account).into_iter().flatten().filter(|held| held.holding == request.holding);
    request.wish == Wish::Revoke && here.flat_map(|held| &held.origins).any(|row| row.origin.connection().is_some())
}

/// What is published, to name what holds an assignment.
#[derive(Debug, Default)]
struct Mappings {
    slugs: BTreeMap<ConnectionId, Slug>,
    published: BTreeMap<ConnectionId, Mapping>,
}

impl Mappings {
    async fn load(tx: &mut Tx, model: &RoleModel) -> Result<Self, DbError> {
        let connections = db::connection::list_connections(&mut *tx, model.tenant).await?;
        let slugs = connections.into_iter().map(|row| (row.connection.id, row.connection.slug)).collect();
        let published = db::listing::list_published_mappings(&mut *tx, model.tenant).await?.into_iter().collect();
        Ok(Self { slugs, published })
    }

    /// Whether a sync would bring the origin back, or the tenant closes its kind to people.
    fn keeps(&self, model: &RoleModel, origin: &Origin) -> bool {
        let Some(connection) = origin.connection() else { return false };
        let given_once = self.published.get(&connection).is_none_or(|mapping| mapping.default.apply == Apply::OnCreate);
        let is_default = matches!(origin, Origin::Default { .. });
        model.settings.externally_managed.iter().any(|kind| kind == origin.kind()) || !(is_default && given_once)
    }

    fn cause(&self, origin: &Origin) -> Cause {
        let mapping = origin.connection().and_then(|connection| self.published.get(&connection));
        let rule = origin.rule().and_then(|id| mapping?.rules.iter().find(|rule| rule.id == id));
        Cause {
            kind: origin.kind(),
            connection: origin.connection().and_then(|connection| self.slugs.get(&connection).cloned()),
            rule: origin.rule().map(|id| rule.map_or_else(|| id.to_string(), |rule| rule.name.clone())),
            groups: rule.map(Rule::groups).unwrap_or_default(),
        }
    }
}

/// One account as the requests so far left it. An assignment that lost its last origin stays in the list until the end.
#[derive(Debug)]
struct Subject {
    row: AccountRow,
    groups: BTreeSet<GroupId>,
    held: Vec<Assignment>,
}

impl Subject {
    fn live(&self) -> Vec<Assignment> {
        self.held.iter().filter(|held| !held.origins.is_empty()).cloned().collect()
    }
}

/// Where requests are decided, one after the other.
struct Desk<'a> {
    model: &'a RoleModel,
    people: BTreeMap<AccountId, Subject>,
    /// Accounts that the actor does not see. Nothing is granted to them.
    unseen: BTreeSet<AccountId>,
    owners: Vec<OwnerRow>,
    /// Whoever is asked for, as the owner that they would be.
    as_owners: BTreeMap<AccountId, OwnerRow>,
    /// The actor's.
    own_groups: BTreeSet<GroupId>,
    mappings: Mappings,
    /// Somebody who was made an owner: what was retained elsewhere can go.
    brought: Option<AccountId>,
    revoked: Vec<(AccountId, Holding)>,
}

impl Desk<'_> {
    fn decide(&mut self, occasion: &mut Occasion, request: &Request) -> Result<Outcome, AssignRefusal> {
        match request.wish {
            Wish::Grant { may_delegate } => self.grant(occasion, request, may_delegate),
            Wish::Revoke => self.revoke(&occasion.actor, request),
        }
    }

    /// The account, once the actor may do this to it. Who may not is told so before whether there is such an account.
    fn authorized(&self, actor: &Actor, request: &Request) -> Result<&Subject, AssignRefusal> {
        let is_hidden = request.wish != Wish::Revoke && self.unseen.contains(&request.account);
        let subject = self.people.get(&request.account).filter(|_| !is_hidden);
        let live = subject.map(Subject::live).unwrap_or_default();
        let nobodys = BTreeSet::new();
        let target = Target { assignments: &live, groups: subject.map_or(&nobodys, |subject| &subject.groups) };
        let home = subject.and_then(|subject| subject.row.account.home_organization);
        let assignee = Assignee { account: Some(request.account), home, target };
        if let Some(unknown) = unknown(self.model, &request.holding) {
            // An actor who may nowhere do this learns no more than that.
            let capability = if request.wish == Wish::Revoke { Capability::AssignmentsRevoke } else { Capability::AssignmentsGrant };
            permit(actor, self.model, capability, self.model.organizations.root())?;
            return Err(unknown.into());
        }
        match request.wish {
            Wish::Grant { .. } => authorize_grant(actor, self.model, &request.holding, &assignee, &self.own_groups).map(drop),
            Wish::Revoke => authorize_revoke(actor, self.model, &request.holding, &assignee, &self.own_groups).map(drop),
        }?;
        subject.ok_or(AssignRefusal::UnknownAccount)
    }

    fn grant(&mut self, occasion: &mut Occasion, request: &Request, may_delegate: bool) -> Result<Outcome, AssignRefusal> {
        let Request { account, holding, .. } = *request;
        let subject = self.authorized(&occasion.actor, request)?;
        invariant::eligible(self.model, &holding, subject.row.account.home_organization, subject.row.account.kind)?;
        if may_delegate && !self.model.settings.delegation {
            return Err(AssignRefusal::NoDelegation);
        }
        let known = subject.held.iter().position(|held| held.holding == holding);
        let manual = known.and_then(|at| subject.held[at].origins.iter().find(|row| matches!(row.origin, Origin::Manual { .. })));
        match (known, manual) {
            (Some(at), Some(row)) if row.may_delegate == may_delegate => return Ok(Outcome::Unchanged(Some(subject.held[at].id))),
            (Some(_), Some(_)) => return Err(AssignRefusal::OtherDelegation),
            _ => {}
        }
        if invariant::is_owner_assignment(self.model, &holding) {
            self.owners.retain(|owner| owner.account != account);
            self.owners.extend(self.as_owners.get(&account));
            self.brought = Some(account);
        }
        let origin = Origin::Manual { by: occasion.actor.account_id() };
        let row = OriginRow { origin, since: occasion.now, may_delegate };
        let brings_owner = self.brought == Some(account);
        let Some(subject) = self.people.get_mut(&account) else { return Err(AssignRefusal::UnknownAccount) };
        let at = known.unwrap_or_else(|| {
            subject.held.push(Assignment { id: occasion.ids.make(), account, holding, origins: Vec::new() });
            subject.held.len() - 1
        });
        subject.held[at].origins.push(row);
        if brings_owner {
            for held in &mut subject.held {
                held.origins.retain(|row| row.origin != Origin::Retention);
            }
        }
        Ok(Outcome::Granted(subject.held[at].id))
    }

    fn revoke(&mut self, actor: &Actor, request: &Request) -> Result<Outcome, AssignRefusal> {
        let Request { account, holding, .. } = *request;
        let subject = self.authorized(actor, request)?;
        let Some(at) = subject.held.iter().position(|held| held.holding == holding && !held.origins.is_empty()) else {
            return Ok(Outcome::Unchanged(None));
        };
        let assignment = &subject.held[at];
        let (kept, taken): (Vec<&OriginRow>, Vec<&OriginRow>) =
            assignment.origins.iter().partition(|row| self.mappings.keeps(self.model, &row.origin));
        if taken.is_empty() {
            return Err(AssignRefusal::ExternallyManaged(kept.iter().map(|row| self.mappings.cause(&row.origin)).collect()));
        }
        let (id, stays) = (assignment.id, !kept.is_empty());
        let kept: Vec<OriginRow> = kept.into_iter().cloned().collect();
        if invariant::is_owner_assignment(self.model, &holding) && !stays {
            let mut left = subject.live();
            left.retain(|held| held.id != id);
            self.check_floor(account, invariant::is_owner(self.model, &left))?;
        }
        if let Some(subject) = self.people.get_mut(&account) {
            subject.held[at].origins = kept;
        }
        self.revoked.push((account, holding));
        Ok(Outcome::Revoked { assignment: id, stays })
    }

    /// Invariant 4, for one who loses an owner assignment.
    fn check_floor(&mut self, account: AccountId, stays_owner: bool) -> Result<(), AssignRefusal> {
        if stays_owner {
            return Ok(());
        }
        may_leave(&self.owners, account, self.model.settings.min_owners)?;
        self.owners.retain(|owner| owner.account != account);
        Ok(())
    }
}

fn unknown(model: &RoleModel, holding: &Holding) -> Option<Ineligible> {
    if model.role(holding.role).is_none() {
        Some(Ineligible::UnknownRole)
    } else if model.organizations.find(holding.organization).is_none() {
        Some(Ineligible::UnknownOrganization)
    } else {
        None
    }
}
