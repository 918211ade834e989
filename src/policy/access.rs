//! Who may act: an actor, an action and an organization give a `Grant` or say which lever is missing.
//!
//! A use case takes the grant as an argument, so a forgotten check does not compile. Tokens of SCIM, responses of identity
//! providers and jobs pass nothing here: they act through `provision`, bounded by their connection.

use std::{collections::BTreeSet, fmt, marker::PhantomData};

use crate::domain::{
    actor::{AccountActor, Actor},
    assignment::{Assignment, Holding, Reach},
    capability::Capability,
    catalogue::Permission,
    connection::Audience,
    id::{AccountId, GroupId, OrganizationId},
    model::RoleModel,
    role::Role,
};

use super::{
    action::{self, Action, ReadAssignments, SignInToConsole},
    managed::{Extent, manages},
    permission::{Verdict, acts_at, is_listed, judge_role},
};

pub use super::{
    managed::{Target, manages_group},
    permission::{holds, permissions},
};

/// The right of one actor to do one thing at one organization. Only `authorize` makes one.
pub struct Grant<A> {
    actor: Actor,
    at: OrganizationId,
    action: PhantomData<fn() -> A>,
}

impl<A> Grant<A> {
    /// For the decisions of this folder, after they have been made.
    pub(super) fn new(actor: &Actor, at: OrganizationId) -> Self {
        Self { actor: actor.clone(), at, action: PhantomData }
    }

    /// Who acts: for the audit row.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where the right was asked for. It holds there, not below.
    #[must_use]
    pub fn at(&self) -> OrganizationId {
        self.at
    }
}

impl<A: Action> fmt::Debug for Grant<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({} at {})", action::name(A::CAPABILITY), self.at)
    }
}

/// Why not, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// `opened_by`: the pairs of the tenant's catalogue that would open it.
    #[error("{} is not permitted at this organization{}", action::name(*.capability), lever(.opened_by))]
    NotPermitted { capability: Capability, at: OrganizationId, opened_by: Vec<String> },
    #[error("{} is an owner's alone: ask an owner whose role reaches this organization", action::name(*.capability))]
    OwnerOnly { capability: Capability },
    #[error("{} is done at the root only: it needs a role that is assigned at the root organization", action::name(*.capability))]
    RootOnly { capability: Capability },
    #[error("{} is inert: the role that names it also needs {requires}", action::name(*.capability))]
    Gated { capability: Capability, requires: String },
    #[error("{} of this account is out of reach: it holds a role or belongs to a group that your role does not manage", action::name(*.capability))]
    OutOfReach { capability: Capability },
    /// `missing`: what the role gives there and the actor could not use, in order.
    #[error(
        "the role {role:?} gives more than you may use there yourself: {}. Ask an owner, or somebody who may use all of it",
        shortened(.missing)
    )]
    BeyondOwnRights { capability: Capability, role: String, missing: Vec<String> },
    #[error("nobody changes their own roles, except to resign one: ask another administrator")]
    SelfAssignment { capability: Capability },
    #[error("{} is for people: a {actor} cannot administer; sign in to an account that holds the right", action::name(*.capability))]
    NotAPerson { capability: Capability, actor: &'static str },
    #[error("this token was not made for {}: make one that is, or use the session", action::name(*.capability))]
    NotInToken { capability: Capability },
    #[error("{} is not for self-service: sign in through a connection for administrators", action::name(*.capability))]
    SelfService { capability: Capability },
    #[error("an application's token looks at accounts, assignments, roles, organizations, groups and events; {} is not for it", action::name(*.capability))]
    ReadOnly { capability: Capability },
    #[error("{} at this organization is beyond the token: it was made for another part of the tenant", action::name(*.capability))]
    BeyondToken { capability: Capability, at: OrganizationId },
    #[error(
        "{} takes in what is below this organization, and your role is held with reach organization: it takes one that is assigned here or above with reach subtree",
        action::name(*.capability)
    )]
    ReachTooShort { capability: Capability },
    #[error("{} became permitted after this session began, and changes of roles wait for the next sign-in: sign in again", action::name(*.capability))]
    SinceSignIn { capability: Capability },
}

impl Denied {
    #[must_use]
    pub fn capability(&self) -> Capability {
        match self {
            Self::NotPermitted { capability, .. }
            | Self::OwnerOnly { capability }
            | Self::RootOnly { capability }
            | Self::Gated { capability, .. }
            | Self::OutOfReach { capability }
            | Self::BeyondOwnRights { capability, .. }
            | Self::SelfAssignment { capability }
            | Self::NotAPerson { capability, .. }
            | Self::NotInToken { capability }
            | Self::SelfService { capability }
            | Self::ReadOnly { capability }
            | Self::BeyondToken { capability, .. }
            | Self::ReachTooShort { capability }
            | Self::SinceSignIn { capability } => *capability,
        }
    }

    /// The stable code of problem documents.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPermitted { .. } => "not_permitted",
            Self::OwnerOnly { .. } => "owner_only",
            Self::RootOnly { .. } => "root_only",
            Self::Gated { .. } => "gate",
            Self::OutOfReach { .. } => "out_of_reach",
            Self::BeyondOwnRights { .. } => "beyond_own_rights",
            Self::SelfAssignment { .. } => "self_assignment",
            Self::NotAPerson { .. } => "not_a_person",
            Self::NotInToken { .. } => "not_in_token",
            Self::SelfService { .. } => "self_service",
            Self::ReadOnly { .. } => "read_only",
            Self::BeyondToken { .. } => "beyond_token",
            Self::ReachTooShort { .. } => "reach_too_short",
            Self::SinceSignIn { .. } => "sign_in_again",
        }
    }
}

/// How many permissions a message lists.
const LISTED: usize = 20;

fn shortened(missing: &[String]) -> String {
    let listed = missing.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if missing.len() > LISTED { format!("{listed} and {} more", missing.len() - LISTED) } else { listed }
}

fn lever(opened_by: &[String]) -> String {
    if opened_by.is_empty() {
        ": only an owner's role opens it in this tenant".to_owned()
    } else {
        format!(": it takes a role with {}, assigned there or above it with reach subtree", opened_by.join(" or "))
    }
}

/// Whether the actor may do `A` at the organization.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize<A: Action>(actor: &Actor, model: &RoleModel, at: OrganizationId) -> Result<Grant<A>, Denied> {
    permit(actor, model, A::CAPABILITY, at)?;
    Ok(Grant::new(actor, at))
}

/// What a grant is for that holds at its organization and at all below it, those that are to come too.
pub struct Subtree<A>(PhantomData<fn() -> A>);

/// Whether the actor may do `A` at the organization and at all below it.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_subtree<A: Action>(actor: &Actor, model: &RoleModel, at: OrganizationId) -> Result<Grant<Subtree<A>>, Denied> {
    permit_below(actor, model, A::CAPABILITY, at)?;
    Ok(Grant::new(actor, at))
}

/// The same decision for a capability that is known only at run time.
///
/// # Errors
/// With the reason, and what would help.
pub fn permit_below(actor: &Actor, model: &RoleModel, capability: Capability, at: OrganizationId) -> Result<(), Denied> {
    permit(actor, model, capability, at)?;
    now_and_at_sign_in(actor, model, capability, |actor, model| match actor {
        Actor::Account(account) if !opens_below(&account.assignments, model, capability, at) => Err(Denied::ReachTooShort { capability }),
        // Others who are permitted at an organization are so below it.
        Actor::Account(_) | Actor::HostOperator | Actor::Application { .. } | Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => {
            Ok(())
        }
    })
}

/// Whether the actor may do `A` at the organization to this account: some role that opens it there must also manage
/// every role and group of the account.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_over<A: Action>(
    actor: &Actor,
    model: &RoleModel,
    at: OrganizationId,
    target: &Target,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Grant<A>, Denied> {
    authorize_over_extent(actor, model, at, Extent::At(at), target, own_groups)
}

/// Whether the actor may do `A` to the whole of this account: at its home, without one at the root, by a role that manages all that
/// the account holds anywhere.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_over_account<A: Action>(
    actor: &Actor,
    model: &RoleModel,
    home: Option<OrganizationId>,
    target: &Target,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Grant<A>, Denied> {
    let at = home.unwrap_or_else(|| model.organizations.root());
    authorize_over_extent(actor, model, at, Extent::Whole, target, own_groups)
}

fn authorize_over_extent<A: Action>(
    actor: &Actor,
    model: &RoleModel,
    at: OrganizationId,
    extent: Extent,
    target: &Target,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Grant<A>, Denied> {
    let grant = authorize::<A>(actor, model, at)?;
    now_and_at_sign_in(actor, model, A::CAPABILITY, |actor, model| {
        let reaches = match actor {
            // It only looks: whom a role manages says who may be changed.
            Actor::HostOperator | Actor::Application { .. } => true,
            Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => false,
            Actor::Account(account) => {
                let acting = account.assignments.iter().filter(|assignment| acts_at(model, assignment, at, None));
                let mut opening = acting.filter(|assignment| opens(model, assignment, A::CAPABILITY) == Verdict::Allowed);
                opening.any(|assignment| manages(model, assignment, extent, target, own_groups))
            }
        };
        if reaches { Ok(()) } else { Err(Denied::OutOfReach { capability: A::CAPABILITY }) }
    })?;
    Ok(grant)
}

/// A decision that a session's rights pass only when they do so today and did when the session began: what was taken is gone at once,
/// what was given waits for the next sign-in where the tenant says so.
pub(super) fn now_and_at_sign_in(
    actor: &Actor,
    model: &RoleModel,
    capability: Capability,
    decide: impl Fn(&Actor, &RoleModel) -> Result<(), Denied>,
) -> Result<(), Denied> {
    decide(actor, model)?;
    let Actor::Account(account) = actor else { return Ok(()) };
    let Some(then) = &account.at_sign_in else { return Ok(()) };
    let actor = Actor::Account(AccountActor { assignments: then.assignments.clone(), at_sign_in: None, ..account.clone() });
    decide(&actor, &then.model).map_err(|_| Denied::SinceSignIn { capability })
}

/// Every pair that the actor may use at the organization itself, in order.
#[must_use]
pub fn usable_permissions(account: &AccountActor, model: &RoleModel, at: OrganizationId) -> BTreeSet<Permission> {
    let now = permissions(model, &account.assignments, at);
    match &account.at_sign_in {
        None => now,
        Some(then) => now.intersection(&permissions(&then.model, &then.assignments, at)).cloned().collect(),
    }
}

/// Whether the actor may learn what this account may do at the organization: of itself everybody may, with a token that was made for it.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_about(actor: &Actor, model: &RoleModel, account: AccountId, at: OrganizationId) -> Result<Grant<ReadAssignments>, Denied> {
    match actor {
        Actor::Account(own) if own.account == account => {
            within_token(own, ReadAssignments::CAPABILITY)?;
            Ok(Grant::new(actor, at))
        }
        _ => authorize(actor, model, at),
    }
}

/// Whether the actor may do `A` anywhere: at the root, else at some organization where it holds a role.
/// For what has no place of its own, such as entering the console.
///
/// # Errors
/// With the reason at the root.
pub fn authorize_anywhere<A: Action>(actor: &Actor, model: &RoleModel) -> Result<Grant<A>, Denied> {
    let refused = match authorize(actor, model, model.organizations.root()) {
        Ok(grant) => return Ok(grant),
        Err(refused) => refused,
    };
    let held: &[Assignment] = match actor {
        Actor::Account(account) => &account.assignments,
        Actor::Application { organization, .. } => return authorize(actor, model, *organization),
        Actor::Scim { .. } | Actor::Saml { .. } | Actor::HostOperator | Actor::System => &[],
    };
    let mut places = held.iter().filter(|assignment| assignment.holding.resource_scope.is_none()).map(|a| a.holding.organization);
    places.find_map(|at| authorize(actor, model, at).ok()).ok_or(refused)
}

/// The same decision for a capability that is known only at run time, as in tables and previews.
///
/// # Errors
/// With the reason, and what would help.
pub fn permit(actor: &Actor, model: &RoleModel, capability: Capability, at: OrganizationId) -> Result<(), Denied> {
    now_and_at_sign_in(actor, model, capability, |actor, model| permit_by(actor, model, capability, at))
}

/// By the assignments of the actor and this model alone.
fn permit_by(actor: &Actor, model: &RoleModel, capability: Capability, at: OrganizationId) -> Result<(), Denied> {
    match actor {
        Actor::HostOperator => Ok(()),
        Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => Err(Denied::NotAPerson { capability, actor: actor.kind() }),
        Actor::Application { .. } if !capability.is_for_applications() => Err(Denied::ReadOnly { capability }),
        Actor::Application { organization, .. } if model.organizations.is_within(at, *organization) => Ok(()),
        Actor::Application { .. } => Err(Denied::BeyondToken { capability, at }),
        Actor::Account(account) => {
            within_session(account, capability)?;
            let acting = account.assignments.iter().filter(|assignment| acts_at(model, assignment, at, None));
            let best = acting.map(|assignment| opens(model, assignment, capability)).max().unwrap_or(Verdict::NotNamed);
            match best {
                Verdict::Allowed => Ok(()),
                Verdict::RootOnly => Err(Denied::RootOnly { capability }),
                Verdict::Gated => {
                    let requires = model.settings.gate.as_ref().map_or_else(String::new, |gate| gate.requires.to_string());
                    Err(Denied::Gated { capability, requires })
                }
                Verdict::OwnerOnly => Err(Denied::OwnerOnly { capability }),
                Verdict::NotNamed if capability.is_owner_only() => Err(Denied::OwnerOnly { capability }),
                // What is held on one resource opens nothing of the gateway.
                Verdict::NotNamed | Verdict::SelfService => {
                    let opened_by = opening(model, capability).map(|(entity, action)| format!("{entity}:{action}")).collect();
                    Err(Denied::NotPermitted { capability, at, opened_by })
                }
            }
        }
    }
}

/// Whether holding this opens `A` at the organization and at all below it, whoever holds it and however they come.
#[must_use]
pub fn is_open_below<A: Action>(held: &[Assignment], model: &RoleModel, at: OrganizationId) -> bool {
    opens_below(held, model, A::CAPABILITY, at)
}

fn opens_below(held: &[Assignment], model: &RoleModel, capability: Capability, at: OrganizationId) -> bool {
    let mut reaching = held.iter().filter(|held| held.holding.reach == Reach::Subtree && acts_at(model, held, at, None));
    reaching.any(|held| opens(model, held, capability) == Verdict::Allowed)
}

/// Whether holding this lets somebody into the console: some role opens it at an organization. What is held on a context or a resource
/// does not.
#[must_use]
pub fn enters_console(model: &RoleModel, held: &[Assignment]) -> bool {
    let mut at_organizations = held.iter().filter(|assignment| assignment.holding.resource_scope.is_none());
    at_organizations.any(|assignment| opens(model, assignment, SignInToConsole::CAPABILITY) == Verdict::Allowed)
}

/// A session of self-service administers nothing, whatever its account may do; of a token see [`within_token`].
pub(super) fn within_session(account: &AccountActor, capability: Capability) -> Result<(), Denied> {
    if account.surface == Audience::SelfService {
        return Err(Denied::SelfService { capability });
    }
    within_token(account, capability)
}

/// A token does what it was made for and nothing else, whatever its account may do. By itself it decides over what is one's own, which
/// takes no role.
///
/// # Errors
/// When the token was made for other things.
pub fn within_token(account: &AccountActor, capability: Capability) -> Result<(), Denied> {
    match &account.only {
        Some(only) if !only.contains(&capability) => Err(Denied::NotInToken { capability }),
        Some(_) | None => Ok(()),
    }
}

/// What the actor may do at the root or at some organization where it holds a role: what a token of theirs can be made for.
#[must_use]
pub fn capabilities_anywhere(account: &AccountActor, model: &RoleModel) -> BTreeSet<Capability> {
    let actor = Actor::Account(account.clone());
    let held = account.assignments.iter().filter(|assignment| assignment.holding.resource_scope.is_none());
    let places: BTreeSet<_> = held.map(|assignment| assignment.holding.organization).chain([model.organizations.root()]).collect();
    let anywhere = |capability: &&Capability| places.iter().any(|at| permit(&actor, model, **capability, *at).is_ok());
    action::CAPABILITIES.iter().filter(anywhere).copied().collect()
}

/// The pairs that open the capability in this tenant.
pub(super) fn opening(model: &RoleModel, capability: Capability) -> impl Iterator<Item = (&str, &str)> {
    model.catalogue.iter().flat_map(move |entity| {
        let opens = entity.opens.iter().filter(move |(_, capabilities)| capabilities.contains(&capability));
        opens.map(|(action, _)| (entity.key.as_str(), action.as_str()))
    })
}

/// Whether what the assignment holds opens the capability; that it acts at the place has been asked before.
pub(super) fn opens(model: &RoleModel, assignment: &Assignment, capability: Capability) -> Verdict {
    model.role(assignment.holding.role).map_or(Verdict::NotNamed, |role| role_opens(model, role, &assignment.holding, capability))
}

/// As [`opens`], for a role as it was, or as it would be.
pub(super) fn role_opens(model: &RoleModel, role: &Role, held: &Holding, capability: Capability) -> Verdict {
    if role.owner_class {
        // An owner-class role opens every capability within its reach; what is done at the root only, even an owner does there.
        let at_root = held.organization == model.organizations.root();
        let mut pairs = opening(model, capability).peekable();
        let root_only = |(entity, action): (&str, &str)| is_listed(model, &model.settings.root_only_actions, entity, action);
        return if !at_root && pairs.peek().is_some() && pairs.all(root_only) { Verdict::RootOnly } else { Verdict::Allowed };
    }
    if capability.is_owner_only() {
        return Verdict::OwnerOnly;
    }
    opening(model, capability).map(|(entity, action)| judge_role(model, role, held, entity, action)).max().unwrap_or(Verdict::NotNamed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        domain::{actor::AtSignIn, id::ScopeId},
        policy::{
            action::{
                CreateOrganizations, CreateRoles, ManageAppTokens, ManageScimTokens, PublishMapping, ReadAccounts, ReadCertificates,
                RotateCertificates, SignInToConsole, UpdateConnections, UpdateRoles,
            },
            fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, in_scope, person, role_id, tenant},
        },
    };

    fn holder(model: &RoleModel, role: &str, at: u128) -> Actor {
        person(by_hand([holding(role_id(model, role), at)]))
    }

    fn may<A: Action>(actor: &Actor, model: &RoleModel, at: u128) -> bool {
        authorize::<A>(actor, model, id(at)).is_ok()
    }

    fn refusal<A: Action>(actor: &Actor, model: &RoleModel, at: u128) -> &'static str {
        authorize::<A>(actor, model, id(at)).unwrap_err().code()
    }

    fn allowed(model: &RoleModel, actor: &Actor, entity: &str, action: &str, at: u128, scope: Option<u128>) -> bool {
        let Actor::Account(account) = actor else { panic!("a person was expected") };
        holds(model, &account.assignments, entity, action, id(at), scope.map(id)).is_some()
    }

    #[test]
    fn a_grant_names_who_and_where() {
        let model = tenant("dashboard", vec![]);
        let actor = holder(&model, "Tenant Administrator", ROOT);
        let grant = authorize::<RotateCertificates>(&actor, &model, id(EU)).unwrap();
        assert_eq!((grant.actor(), grant.at()), (&actor, id(EU)));
        assert!(format!("{grant:?}").starts_with("Grant(certificates.rotate at "));
    }

    #[test]
    fn a_right_over_a_subtree_takes_a_role_that_reaches_it() {
        let model = tenant("dashboard", vec![]);
        let owner = role_id(&model, "Tenant Administrator");
        let with_reach = |at, reach| Holding { reach, ..holding(owner, at) };
        let ask = |held: Vec<Holding>, at| {
            let grant = authorize_subtree::<ManageAppTokens>(&person(by_hand(held)), &model, id(at));
            grant.map(|grant| grant.at()).map_err(|denied| denied.code())
        };
        assert_eq!(ask(vec![with_reach(EU, Reach::Subtree)], EU), Ok(id(EU)));
        assert_eq!(ask(vec![with_reach(ROOT, Reach::Subtree)], EU), Ok(id(EU)), "from above");
        assert_eq!(ask(vec![with_reach(EU, Reach::Organization)], EU), Err("reach_too_short"));
        assert_eq!(ask(vec![with_reach(EU_WEST, Reach::Organization)], EU_WEST), Err("reach_too_short"), "others may come below it");
        let each = [ROOT, EU, EU_WEST, US].map(|at| with_reach(at, Reach::Organization));
        assert_eq!(ask(each.to_vec(), ROOT), Err("reach_too_short"));
        assert_eq!(ask(vec![with_reach(EU, Reach::Subtree)], ROOT), Err("owner_only"), "nor there at all");
        // Both here and there, now and when the session began.
        let Actor::Account(now) = person(by_hand([with_reach(EU, Reach::Subtree)])) else { panic!("a person was expected") };
        let then = AtSignIn { assignments: by_hand([with_reach(EU, Reach::Organization)]), model: std::sync::Arc::new(model.clone()) };
        let actor = Actor::Account(AccountActor { at_sign_in: Some(then), ..now });
        assert_eq!(authorize_subtree::<ManageAppTokens>(&actor, &model, id(EU)).map(drop).unwrap_err().code(), "sign_in_again");
        assert!(authorize_subtree::<ManageAppTokens>(&Actor::HostOperator, &model, id(EU)).is_ok());
        let machine = Actor::Saml { connection: id(1) };
        assert_eq!(authorize_subtree::<ManageAppTokens>(&machine, &model, id(EU)).map(drop).unwrap_err().code(), "not_a_person");
    }

    #[test]
    fn the_host_operator_passes_and_machines_never_do() {
        let model = tenant("owner-member", vec![]);
        assert!(may::<RotateCertificates>(&Actor::HostOperator, &model, ROOT));
        for machine in [Actor::System, Actor::Saml { connection: id(1) }, Actor::Scim { connection: id(1), token: id(2) }] {
            for capability in action::CAPABILITIES {
                assert_eq!(permit(&machine, &model, *capability, id(ROOT)).unwrap_err().code(), "not_a_person");
            }
        }
    }

    #[test]
    fn nobody_may_do_anything() {
        let model = tenant("org-admin", vec![]);
        for capability in action::CAPABILITIES {
            assert!(permit(&person(vec![]), &model, *capability, id(ROOT)).is_err());
        }
    }

    #[test]
    fn a_refusal_says_which_lever_would_help() {
        let model = tenant("dashboard", vec![]);
        let editor = holder(&model, "Editor - Users", ROOT);
        let message = authorize::<UpdateConnections>(&editor, &model, id(ROOT)).unwrap_err().to_string();
        assert!(message.contains("connections:update") && message.contains("connections.update"), "{message}");
        let message = authorize::<RotateCertificates>(&editor, &model, id(ROOT)).unwrap_err().to_string();
        assert!(message.contains("owner"), "{message}");
    }

    #[rstest]
    #[case::child(EU, EU_WEST, Reach::Subtree, true)]
    #[case::itself(EU, EU, Reach::Organization, true)]
    #[case::sibling(EU, US, Reach::Subtree, false)]
    #[case::parent(EU, ROOT, Reach::Subtree, false)]
    #[case::child_out_of_reach(EU, EU_WEST, Reach::Organization, false)]
    #[case::nowhere(ROOT, 99, Reach::Subtree, false)]
    fn authority_flows_down_the_tree_only(#[case] held: u128, #[case] asked: u128, #[case] reach: Reach, #[case] expected: bool) {
        let model = tenant("org-admin", vec![]);
        let held = Holding { reach, ..holding(role_id(&model, "Admin"), held) };
        let actor = person(by_hand([held]));
        assert_eq!(may::<ReadAccounts>(&actor, &model, asked), expected);
        assert_eq!(allowed(&model, &actor, "account_management", "read", asked, None), expected);
    }

    #[test]
    fn org_admin_account_rights_sleep_without_the_gate() {
        let half = custom_role(900, "Verifier", &["account_verification:write", "personal_data_download:export"]);
        let whole = custom_role(901, "Reader", &["account_management:read"]);
        let both = custom_role(902, "Verifying reader", &["account_management:read", "account_verification:write"]);
        let model = tenant("org-admin", vec![half, whole, both]);
        let actor = holder(&model, "Verifier", ROOT);
        assert_eq!(refusal::<crate::policy::action::VerifyAccounts>(&actor, &model, ROOT), "gate");
        assert!(!allowed(&model, &actor, "account_verification", "write", ROOT, None));
        // The gate stands within one role: another role's right to read does not wake this one.
        let actor = person(by_hand([holding(role_id(&model, "Verifier"), ROOT), holding(role_id(&model, "Reader"), ROOT)]));
        assert!(!allowed(&model, &actor, "account_verification", "write", ROOT, None));
        assert!(allowed(&model, &holder(&model, "Verifying reader", ROOT), "account_verification", "write", ROOT, None));
    }

    #[test]
    fn org_admin_auditors_read_and_do_not_export() {
        let model = tenant("org-admin", vec![]);
        let auditor = holder(&model, "Org auditor", EU);
        assert!(allowed(&model, &auditor, "account_identities", "read", EU_WEST, None));
        assert!(!allowed(&model, &auditor, "personal_data_download", "export", EU, None));
        assert!(!may::<crate::policy::action::ExportAccounts>(&auditor, &model, EU));
        assert!(may::<crate::policy::action::ExportAccounts>(&holder(&model, "Admin", EU), &model, EU));
    }

    #[test]
    fn dashboard_editors_together_still_have_no_right_that_none_names() {
        let model = tenant("dashboard", vec![]);
        let editors = ["Editor - Organizations", "Editor - Connections", "Editor - Users"];
        let actor = person(by_hand(editors.map(|role| holding(role_id(&model, role), ROOT))));
        for entity in ["applications", "rules"] {
            for action in ["read", "create", "update", "delete"] {
                assert!(!allowed(&model, &actor, entity, action, ROOT, None), "{entity}:{action}");
            }
        }
        assert!(may::<CreateOrganizations>(&actor, &model, EU) && may::<UpdateConnections>(&actor, &model, EU));
    }

    #[test]
    fn dashboard_editors_keep_to_their_own_field() {
        use crate::policy::action::{DeleteConnections, EnableConnections};
        let model = tenant("dashboard", vec![]);
        let organizations = holder(&model, "Editor - Organizations", ROOT);
        assert!(may::<EnableConnections>(&organizations, &model, EU));
        assert!(!may::<UpdateConnections>(&organizations, &model, EU));
        let connections = holder(&model, "Editor - Connections", ROOT);
        assert!(may::<UpdateConnections>(&connections, &model, ROOT) && !may::<DeleteConnections>(&connections, &model, ROOT));
        assert!(!may::<CreateOrganizations>(&holder(&model, "Editor - Users", ROOT), &model, ROOT));
    }

    #[test]
    fn delegated_partner_admins_cannot_make_roles_below_the_root() {
        let partner = custom_role(900, "Partner admin", &["administrator_roles:*", "users:*"]);
        let model = tenant("delegated-user-management", vec![partner]);
        let actor = holder(&model, "Partner admin", EU);
        assert_eq!(refusal::<CreateRoles>(&actor, &model, EU), "root_only");
        assert_eq!(refusal::<CreateRoles>(&actor, &model, ROOT), "not_permitted");
        assert!(!allowed(&model, &actor, "administrator_roles", "update", EU, None));
        assert!(may::<ReadAccounts>(&actor, &model, EU_WEST));
        let at_root = holder(&model, "Partner admin", ROOT);
        assert!(may::<CreateRoles>(&at_root, &model, ROOT));
        // Even an owner-class role does at the root what is done at the root only.
        assert_eq!(refusal::<UpdateRoles>(&holder(&model, "Super administrator", EU), &model, EU), "root_only");
        assert!(may::<UpdateRoles>(&holder(&model, "Super administrator", ROOT), &model, ROOT));
    }

    #[test]
    fn owner_member_managers_have_no_part_in_keys_settings_or_administrators() {
        use crate::policy::action::{ConfigureSignIn, CreateAccounts, UpdateOrganizationSettings};
        let model = tenant("owner-member", vec![]);
        let manager = holder(&model, "Organization Context Manager", ROOT);
        assert!(!may::<UpdateOrganizationSettings>(&manager, &model, ROOT));
        assert!(!may::<CreateAccounts>(&manager, &model, ROOT));
        assert_eq!(refusal::<ConfigureSignIn>(&manager, &model, ROOT), "owner_only");
        assert_eq!(refusal::<RotateCertificates>(&manager, &model, ROOT), "owner_only");
        assert!(!may::<ReadCertificates>(&manager, &model, ROOT) && !may::<PublishMapping>(&manager, &model, ROOT));
        assert!(allowed(&model, &manager, "service_contexts", "administer", ROOT, None));
        let owner = holder(&model, "Organization Owner", ROOT);
        assert!(may::<RotateCertificates>(&owner, &model, EU) && may::<ManageScimTokens>(&owner, &model, EU));
        assert!(may::<PublishMapping>(&owner, &model, ROOT) && may::<ReadAssignments>(&owner, &model, ROOT));
    }

    #[test]
    fn an_owner_opens_everything_within_reach_and_nothing_beside_it() {
        let model = tenant("owner-member", vec![]);
        let owner = holder(&model, "Organization Owner", EU);
        assert!(action::CAPABILITIES.iter().all(|capability| permit(&owner, &model, *capability, id(EU_WEST)).is_ok()));
        assert!(action::CAPABILITIES.iter().all(|capability| permit(&owner, &model, *capability, id(US)).is_err()));
    }

    #[test]
    fn what_is_kept_for_owners_is_not_opened_by_a_wildcard() {
        let wide = custom_role(900, "Everything", &["*:*"]);
        let model = tenant("owner-member", vec![wide]);
        let actor = holder(&model, "Everything", ROOT);
        assert_eq!(refusal::<crate::policy::action::CreateAccounts>(&actor, &model, ROOT), "owner_only");
        assert!(!allowed(&model, &actor, "idp_certificates", "read", ROOT, None));
        assert!(may::<ReadAccounts>(&actor, &model, ROOT));
    }

    #[test]
    fn a_role_in_a_context_acts_only_there_and_opens_no_console() {
        let model = tenant("owner-member", vec![]);
        let (member, context) = (role_id(&model, "Organization Member"), role_id(&model, "EasyPSK administrator"));
        let only_context = person(by_hand([in_scope(context, EU, 600)]));
        assert!(authorize_anywhere::<SignInToConsole>(&only_context, &model).is_err());
        assert!(allowed(&model, &only_context, "context_administration", "administer", EU, Some(600)));
        for (at, scope) in [(EU, Some(601)), (EU, None), (ROOT, Some(600)), (EU_WEST, Some(600))] {
            assert!(!allowed(&model, &only_context, "context_administration", "administer", at, scope), "{at} {scope:?}");
        }
        let both = person(by_hand([in_scope(context, EU, 600), holding(member, EU)]));
        assert_eq!(authorize_anywhere::<SignInToConsole>(&both, &model).unwrap().at(), id(EU));
        assert!(!allowed(&model, &both, "context_administration", "administer", EU, Some(601)));
        assert!(!allowed(&model, &both, "context_administration", "administer", EU, None));
    }

    #[test]
    fn idaas_roles_reach_what_they_name() {
        let marketing = custom_role(900, "Marketing", &["account_branding_customization:*"]);
        let model = tenant("idaas", vec![marketing]);
        let actor = holder(&model, "Marketing", ROOT);
        let Actor::Account(account) = &actor else { panic!("a person was expected") };
        let pairs: Vec<_> = permissions(&model, &account.assignments, id(ROOT)).iter().map(ToString::to_string).collect();
        let expected = ["create", "delete", "read", "update"].map(|action| format!("account_branding_customization:{action}"));
        assert_eq!(pairs, expected);
        let auditor = holder(&model, "Auditor", ROOT);
        assert!(allowed(&model, &auditor, "otp_management", "read", ROOT, None));
        assert!(!allowed(&model, &auditor, "magic_link_content_management", "read", ROOT, None), "sensitive");
        for capability in [Capability::WebhooksManage, Capability::AuditExport, Capability::AccountsExport] {
            assert!(permit(&auditor, &model, capability, id(ROOT)).is_err(), "{}", action::name(capability));
        }
        assert!(permit(&holder(&model, "SIEM Add-on", ROOT), &model, Capability::AuditExport, id(ROOT)).is_ok());
    }

    #[test]
    fn permissions_are_those_that_the_check_allows() {
        let model = tenant("dashboard", vec![]);
        let assignments = by_hand([holding(role_id(&model, "Editor - Connections"), EU)]);
        let pairs: Vec<_> = permissions(&model, &assignments, id(EU_WEST)).iter().map(ToString::to_string).collect();
        assert_eq!(pairs, ["connections:create", "connections:read", "connections:update"]);
        assert!(permissions(&model, &assignments, id(ROOT)).is_empty());
    }

    #[test]
    fn the_answer_names_the_assignment_that_is_the_reason() {
        let model = tenant("dashboard", vec![]);
        let assignments = by_hand(["Editor - Users", "Editor - Connections"].map(|role| holding(role_id(&model, role), EU)));
        let because = holds(&model, &assignments, "connections", "update", id(EU), None::<ScopeId>).unwrap();
        assert_eq!(because.id, assignments[1].id);
    }

    #[test]
    fn a_role_that_is_no_more_allows_nothing() {
        let model = tenant("dashboard", vec![]);
        let gone: Role = custom_role(901, "Gone", &["*:*"]);
        let assignments = by_hand([holding(gone.id, ROOT)]);
        assert!(permissions(&model, &assignments, id(ROOT)).is_empty());
        assert!(permit(&person(assignments), &model, Capability::ConsoleSignIn, id(ROOT)).is_err());
    }
}
