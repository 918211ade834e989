//! What holds on to a role: who has it, and the rules and default mappings that name it; and the way to let go: its holders are moved to
//! another role, then it is deleted.

use std::fmt;

use serde::Serialize;

use super::{
    model_change::ModelChange,
    role::{RoleError, locked, remove},
};
use crate::{
    db::{self, Db, DbError, Tx, assignment_list::ListedAssignment},
    domain::{
        actor::{Actor, Occasion},
        id::{AccountId, OrganizationId, RoleId, TenantId},
        model::RoleModel,
        role::Role,
    },
    keys,
    policy::{
        access::Grant,
        action::{DeleteRoles, ReadAssignments, ReadMapping},
        mapping::Mapping,
        places::{Places, places_or_nowhere},
        role_change,
        rule::Effect,
    },
    provision::{
        Precondition,
        assign::{self, Outcome, Request, Wish},
    },
};

/// Holders that are named one by one; the count has all of them.
const NAMED: i64 = 100;
/// Assignments that one move takes along.
pub const MOVED: i64 = 5000;

/// What holds on to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    #[serde(skip)]
    role: String,
    /// Assignments at organizations where the caller may see them.
    pub assignments: i64,
    /// The first of these.
    pub holders: Vec<Holder>,
    /// Connections whose default mapping names it, by slug, where the caller may see mappings.
    pub defaults: Vec<String>,
    pub rules: Vec<NamedRule>,
    /// Whether an assignment or a mapping that the caller may not see uses it too.
    pub others: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub account: AccountId,
    pub user_name: String,
    /// The slug.
    pub organization: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedRule {
    /// The slug.
    pub connection: String,
    pub rule: String,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = Vec::new();
        if self.assignments > 0 {
            let names: Vec<&str> = self.holders.iter().take(5).map(|holder| holder.user_name.as_str()).collect();
            let more = if self.holders.len() > names.len() || self.assignments > NAMED { " and others" } else { "" };
            reasons.push(format!("{} assignments hold it ({}{more})", self.assignments, names.join(", ")));
        }
        reasons.extend(self.rules.iter().map(|rule| format!("the rule \"{}\" of {} grants it", rule.rule, rule.connection)));
        reasons.extend(self.defaults.iter().map(|connection| format!("the default mapping of {connection} gives it")));
        if self.others {
            reasons.push("assignments, rules or default mappings that you may not see use it".to_owned());
        }
        let lever = "change the rules and defaults that name it, and move its holders to another role";
        write!(f, "the role {:?} is in use: {}; {lever}", self.role, reasons.join("; "))
    }
}

/// Where published mappings name a role, with the organizations of their connections.
#[derive(Debug, Default)]
pub struct Mappings {
    defaults: Vec<(OrganizationId, String)>,
    rules: Vec<(OrganizationId, NamedRule)>,
}

impl Mappings {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.defaults.is_empty() && self.rules.is_empty()
    }
}

pub async fn find_mappings(tx: &mut Tx, model: &RoleModel, role: RoleId) -> Result<Mappings, DbError> {
    let mut found = Mappings::default();
    let published = db::listing::list_published_mappings::<Mapping>(&mut *tx, model.tenant).await?;
    if published.is_empty() {
        return Ok(found);
    }
    let connections = db::connection::list_connections(&mut *tx, model.tenant).await?;
    for row in connections {
        let (at, connection) = (row.connection.organization, row.connection.slug.to_string());
        let Some((_, mapping)) = published.iter().find(|(id, _)| *id == row.connection.id) else { continue };
        if mapping.default.roles.contains(&role) {
            found.defaults.push((at, connection.clone()));
        }
        let names = |effect: &Effect| match effect {
            Effect::Grant { role: named, .. } | Effect::Exclude { role: named, .. } => *named == role,
            Effect::DenySignIn { .. } | Effect::SetHomeOrganization { .. } | Effect::SetKind(_) => false,
        };
        let rules = mapping.rules.iter().filter(|rule| rule.effects.iter().any(names));
        found.rules.extend(rules.map(|rule| (at, NamedRule { connection: connection.clone(), rule: rule.name.clone() })));
    }
    Ok(found)
}

/// What uses the role, as far as the actor may see it.
pub(super) async fn read(change: &mut ModelChange, actor: &Actor, role: &Role, named: Mappings) -> Result<Usage, DbError> {
    let tenant = change.model.tenant;
    let (held_at, mapped_at) =
        (places_or_nowhere::<ReadAssignments>(actor, &change.model), places_or_nowhere::<ReadMapping>(actor, &change.model));
    let rows = holders(&mut change.tx, tenant, role.id, &held_at, NAMED).await?;
    let all = db::assignment_list::count_assignments_at(&mut change.tx, tenant, role.id, &Places::Everywhere).await?;
    let assignments = db::assignment_list::count_assignments_at(&mut change.tx, tenant, role.id, &held_at).await?;
    let holder = |row: ListedAssignment| Holder { account: row.account, user_name: row.user_name, organization: row.organization_slug };
    let holders = rows.into_iter().map(holder).collect();
    let is_hidden = |at: &OrganizationId| !mapped_at.contains(*at);
    let others = all > assignments || named.defaults.iter().any(|(at, _)| is_hidden(at)) || named.rules.iter().any(|(at, _)| is_hidden(at));
    let defaults = named.defaults.into_iter().filter(|(at, _)| !is_hidden(at)).map(|(_, slug)| slug).collect();
    let rules = named.rules.into_iter().filter(|(at, _)| !is_hidden(at)).map(|(_, rule)| rule).collect();
    Ok(Usage { role: role.name.to_string(), assignments, holders, defaults, rules, others })
}

async fn holders(tx: &mut Tx, tenant: TenantId, role: RoleId, at: &Places, limit: i64) -> Result<Vec<ListedAssignment>, DbError> {
    let asked = db::assignment_list::Asked { places: Some(at), role: Some(role), ..db::assignment_list::Asked::default() };
    db::assignment_list::list_assignments(tx, tenant, &asked, None, limit).await
}

/// Holders move to another role, and the role goes.
#[derive(Debug)]
pub struct Replacement {
    /// Names what was planned: applied only while it is still the same.
    pub plan: String,
    /// Of assignments that the caller may see.
    pub moves: Vec<Move>,
    /// Whether assignments that the caller may not see are moved too.
    pub others: bool,
    pub applied: bool,
}

/// One assignment that becomes one of the other role.
#[derive(Debug)]
pub struct Move {
    pub holding: ListedAssignment,
    /// Of the grant, or of the withdrawal where that is what is refused.
    pub outcome: Outcome,
}

/// Plans the move, or does what was planned. Grants and withdrawals are decided as if each were asked for by itself.
pub async fn replace(
    grant: &Grant<DeleteRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    (id, by): (RoleId, RoleId),
    planned: Option<&str>,
) -> Result<Replacement, RoleError> {
    debug_assert_eq!(grant.actor(), &occasion.actor);
    let mut change = ModelChange::begin(db, tenant).await?;
    let row = locked(&mut change, id, Precondition::None).await?;
    role_change::may_edit(&row.role)?;
    if id == by || change.model.role(by).is_none() {
        return Err(RoleError::NotFound);
    }
    let named = find_mappings(&mut change.tx, &change.model, id).await?;
    if !named.is_empty() {
        return Err(RoleError::InUse(Box::new(read(&mut change, grant.actor(), &row.role, named).await?)));
    }
    let assignments = db::assignment_list::count_assignments_at(&mut change.tx, tenant, id, &Places::Everywhere).await?;
    if assignments > MOVED {
        return Err(RoleError::TooManyHolders(assignments));
    }
    let held = holders(&mut change.tx, tenant, id, &Places::Everywhere, MOVED).await?;
    let requests: Vec<Request> = held.iter().flat_map(|held| requests(held, id, by)).collect();
    let decided = assign::decide(&mut change.tx, &change.model, occasion, &requests).await?;
    let refused = decided.refused();
    let outcomes = decided.outcomes.clone();
    let of = |pair: &[Outcome]| pair.iter().find(|outcome| matches!(outcome, Outcome::Refused(_))).unwrap_or(&pair[0]).clone();
    let mut moves: Vec<Move> =
        held.into_iter().zip(outcomes.chunks(2)).map(|(holding, pair)| Move { holding, outcome: of(pair) }).collect();
    let plan = token(id, by, row.version, &moves);
    let (seen, all) = (places_or_nowhere::<ReadAssignments>(grant.actor(), &change.model), moves.len());
    moves.retain(|one| seen.contains(one.holding.organization));
    let others = moves.len() < all;
    let Some(planned) = planned else { return Ok(Replacement { plan, moves, others, applied: false }) };
    if planned != plan {
        return Err(RoleError::PlanStale);
    }
    if refused > 0 {
        return Err(RoleError::InUse(Box::new(read(&mut change, grant.actor(), &row.role, named).await?)));
    }
    decided.write(&mut change.tx, &change.model, occasion).await?;
    remove(&mut change, grant.actor(), &row.role).await?;
    change.commit(occasion).await?;
    Ok(Replacement { plan, moves, others, applied: true })
}

fn requests(held: &ListedAssignment, from: RoleId, to: RoleId) -> [Request; 2] {
    let holding = |role| crate::domain::assignment::Holding {
        role,
        organization: held.organization,
        resource_scope: held.resource_scope,
        reach: held.reach,
    };
    let may_delegate = held.origins.iter().any(|origin| origin.may_delegate);
    [
        Request { account: held.account, holding: holding(to), wish: Wish::Grant { may_delegate } },
        Request { account: held.account, holding: holding(from), wish: Wish::Revoke },
    ]
}

/// The same moves with the same outcomes of the same version give the same token.
fn token(id: RoleId, by: RoleId, version: i64, moves: &[Move]) -> String {
    let refused = |one: &Move| matches!(one.outcome, Outcome::Refused(_));
    let lines: Vec<String> = moves.iter().map(|one| format!("{} {}", one.holding.id, refused(one))).collect();
    keys::hash(&format!("rolegate/1 replace {id} {by} {version}\n{}", lines.join("\n")))
}
