//! The permission check: may this account do this at this place, and because of what. ROLE-MODEL's "effective permission" as an answer
//! with its reason, for applications behind the role store and for people who ask why.
//!
//! Refuses to know who asks and whether they may: that is `access`.

use crate::domain::{
    account::SignInStatus,
    assignment::Assignment,
    id::{OrganizationId, ScopeId},
    model::RoleModel,
};

use super::permission::{Verdict, acts_at, holds, judge};

/// One pair at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'q> {
    pub entity: &'q str,
    pub action: &'q str,
    pub organization: OrganizationId,
    /// A context or resource of that organization.
    pub resource_scope: Option<ScopeId>,
}

/// What is known of the account that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    pub status: SignInStatus,
    pub assignments: &'a [Assignment],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The first assignment that allows it.
    Allowed(&'a Assignment),
    /// `nearest`: the assignment that names the pair here and lacks only what `why` says.
    Denied { why: Why, nearest: Option<&'a Assignment> },
}

impl Decision<'_> {
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Why not, in words that say what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("the tenant has no such account")]
    UnknownAccount,
    #[error("the tenant has no such organization")]
    UnknownOrganization,
    #[error("the organization has no such context or resource")]
    UnknownScope,
    #[error("the catalogue has no permission {entity}:{action}{}", known(.actions))]
    UnknownPermission {
        entity: String,
        action: String,
        /// Of the entity, when there is one.
        actions: Vec<String>,
    },
    #[error("{entity} is held in a {kind}: name one in resource_scope")]
    ScopeRequired { entity: String, kind: String },
    #[error("{entity} is held in a {kind}, and resource_scope names a {named}")]
    WrongScope { entity: String, kind: String, named: String },
    #[error("the account is {}: its assignments are dormant", .status.as_str())]
    InactiveAccount { status: SignInStatus },
    #[error("dormant: every identity provider that gives the role has blocked the account")]
    Dormant,
    #[error("no assignment of the account reaches the organization")]
    NoAssignment,
    #[error("assignments reach the organization, and none of their roles names {entity}:{action}")]
    NotNamed { entity: String, action: String },
    #[error("inert: the role that names it also needs {requires}")]
    Gate { requires: String },
    #[error("the tenant keeps it for owners")]
    OwnerOnly,
    #[error("it is done at the root only: the role must be assigned at the root organization")]
    RootOnly,
    #[error("it is held on one resource, by an assignment in that resource, and never at an organization")]
    SelfService,
    /// Of those alone who ask for themselves with a session.
    #[error("it became permitted after this session began, and changes of roles wait for the next sign-in: sign in again")]
    SinceSignIn,
}

fn known(actions: &[String]) -> String {
    if actions.is_empty() { String::new() } else { format!("; its actions are {}", actions.join(", ")) }
}

impl Why {
    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::UnknownOrganization => "unknown_organization",
            Self::UnknownScope => "unknown_scope",
            Self::UnknownPermission { .. } => "unknown_permission",
            Self::ScopeRequired { .. } => "scope_required",
            Self::WrongScope { .. } => "wrong_scope",
            Self::InactiveAccount { .. } => "inactive_account",
            Self::Dormant => "dormant",
            Self::NoAssignment => "no_assignment",
            Self::NotNamed { .. } => "not_named",
            Self::Gate { .. } => "gate",
            Self::OwnerOnly => "owner_only",
            Self::RootOnly => "root_only",
            Self::SelfService => "self_service",
            Self::SinceSignIn => "sign_in_again",
        }
    }
}

/// Decides for now, whatever a session of the account began with.
#[must_use]
pub fn decide<'a>(model: &RoleModel, holder: Option<Holder<'a>>, question: &Question) -> Decision<'a> {
    let denied = |why| Decision::Denied { why, nearest: None };
    if let Some(why) = unanswerable(model, question) {
        return denied(why);
    }
    let Some(holder) = holder else { return denied(Why::UnknownAccount) };
    if holder.status != SignInStatus::Active {
        return denied(Why::InactiveAccount { status: holder.status });
    }
    let Question { entity, action, organization, resource_scope } = *question;
    match holds(model, holder.assignments, entity, action, organization, resource_scope) {
        Some(because) => Decision::Allowed(because),
        None => explain(model, holder.assignments, question),
    }
}

/// What is wrong with the question, whoever is asked about.
fn unanswerable(model: &RoleModel, question: &Question) -> Option<Why> {
    let Some(entity) = model.catalogue.find(question.entity).filter(|entity| entity.actions.iter().any(|a| a == question.action)) else {
        let actions = model.catalogue.find(question.entity).map(|entity| entity.actions.clone()).unwrap_or_default();
        return Some(Why::UnknownPermission { entity: shown(question.entity), action: shown(question.action), actions });
    };
    if model.organizations.find(question.organization).is_none() {
        return Some(Why::UnknownOrganization);
    }
    let kind = || entity.scope_kind.clone();
    let at_organizations = entity.scope_kind == "organization";
    let Some(id) = question.resource_scope else {
        return (!at_organizations).then(|| Why::ScopeRequired { entity: entity.key.clone(), kind: kind() });
    };
    match model.organizations.find_scope(id).filter(|scope| scope.organization == question.organization) {
        None => Some(Why::UnknownScope),
        Some(scope) => {
            let named = model.settings.class_of_scope(&scope.kind);
            let wrong = !at_organizations && named != entity.scope_kind;
            wrong.then(|| Why::WrongScope { entity: entity.key.clone(), kind: kind(), named: named.to_owned() })
        }
    }
}

/// Not the whole of what a client made as long as it liked.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn explain<'a>(model: &RoleModel, assignments: &'a [Assignment], question: &Question) -> Decision<'a> {
    let (entity, action) = (question.entity, question.action);
    let here = || assignments.iter().filter(move |held| acts_at(model, held, question.organization, question.resource_scope));
    if let Some(dormant) = here().find(|held| !held.is_live() && judge(model, held, entity, action) == Verdict::Allowed) {
        return Decision::Denied { why: Why::Dormant, nearest: Some(dormant) };
    }
    let acting = here().filter(|held| held.is_live());
    let judged = acting.map(|held| (judge(model, held, entity, action), held)).max_by_key(|(verdict, _)| *verdict);
    let Some((verdict, nearest)) = judged else { return Decision::Denied { why: Why::NoAssignment, nearest: None } };
    let why = match verdict {
        Verdict::NotNamed | Verdict::Allowed => {
            return Decision::Denied { why: Why::NotNamed { entity: shown(entity), action: shown(action) }, nearest: None };
        }
        Verdict::Gated => Why::Gate { requires: model.settings.gate.as_ref().map_or_else(String::new, |gate| gate.requires.to_string()) },
        Verdict::OwnerOnly => Why::OwnerOnly,
        Verdict::SelfService => Why::SelfService,
        Verdict::RootOnly => Why::RootOnly,
    };
    Decision::Denied { why, nearest: Some(nearest) }
}

#[cfg(test)]
mod oracle;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::assignment::{Holding, Reach},
        policy::fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, in_scope, role_id, tenant},
    };

    fn ask(model: &RoleModel, held: &[Assignment], pair: &str, at: u128, scope: Option<u128>) -> (String, Option<u128>) {
        let (entity, action) = pair.split_once(':').unwrap();
        let question = Question { entity, action, organization: id(at), resource_scope: scope.map(id) };
        let number = |held: &Assignment| u128::from_str_radix(&held.id.to_string()[24..], 16).unwrap();
        match decide(model, Some(Holder { status: SignInStatus::Active, assignments: held }), &question) {
            Decision::Allowed(because) => ("granted".to_owned(), Some(number(because))),
            Decision::Denied { why, nearest } => (why.code().to_owned(), nearest.map(number)),
        }
    }

    fn word(model: &RoleModel, held: &[Assignment], pair: &str, at: u128, scope: Option<u128>) -> String {
        ask(model, held, pair, at, scope).0
    }

    #[test]
    fn an_answer_names_the_assignment_or_what_is_missing() {
        let verifier = custom_role(900, "Verifier", &["account_verification:write"]);
        let model = tenant("org-admin", vec![verifier]);
        let admin = by_hand([holding(role_id(&model, "Admin"), EU)]);
        assert_eq!(ask(&model, &admin, "account_management:read", EU_WEST, None), ("granted".to_owned(), Some(500)));
        assert_eq!(ask(&model, &admin, "account_management:read", US, None), ("no_assignment".to_owned(), None));
        assert_eq!(word(&model, &admin, "account_management:reed", EU, None), "unknown_permission");
        assert_eq!(word(&model, &admin, "accounts:read", EU, None), "unknown_permission");
        assert_eq!(word(&model, &admin, "account_management:read", 99, None), "unknown_organization");
        let verifier = by_hand([holding(id(900), ROOT)]);
        assert_eq!(ask(&model, &verifier, "account_verification:write", EU, None), ("gate".to_owned(), Some(500)));
        assert_eq!(word(&model, &verifier, "account_management:read", EU, None), "not_named");
        let narrow = by_hand([Holding { reach: Reach::Organization, ..holding(role_id(&model, "Admin"), EU) }]);
        assert_eq!(word(&model, &narrow, "account_management:read", EU_WEST, None), "no_assignment");
    }

    #[test]
    fn a_right_in_a_context_stays_there_and_what_is_held_on_a_resource_is_nobodys_by_an_organizations_role() {
        let model = tenant("owner-member", vec![]);
        let context = by_hand([in_scope(role_id(&model, "Sign-In administrator"), EU, 600)]);
        let pair = "context_administration:administer";
        assert_eq!(word(&model, &context, pair, EU, Some(600)), "granted");
        assert_eq!(word(&model, &context, pair, EU, None), "scope_required");
        assert_eq!(word(&model, &context, pair, EU_WEST, Some(600)), "unknown_scope");
        assert_eq!(word(&model, &context, "organization_structure:read", EU, None), "no_assignment");
        let owner = by_hand([holding(role_id(&model, "Organization Owner"), ROOT)]);
        assert_eq!(word(&model, &owner, pair, EU, Some(600)), "granted", "whoever holds it at an organization holds it in its contexts");
        assert_eq!(word(&model, &owner, "access_policy:manage", EU, Some(600)), "wrong_scope");
    }

    #[test]
    fn owners_and_the_root_keep_what_the_tenant_keeps_for_them() {
        let all = custom_role(900, "All", &["*:*"]);
        let model = tenant("owner-member", vec![all.clone()]);
        let held = by_hand([holding(all.id, ROOT)]);
        assert_eq!(ask(&model, &held, "idp_certificates:rotate", EU, None), ("owner_only".to_owned(), Some(500)));
        let model = tenant("delegated-user-management", vec![all]);
        let held = by_hand([holding(id(900), EU)]);
        assert_eq!(ask(&model, &held, "administrator_roles:create", EU, None), ("root_only".to_owned(), Some(500)));
    }

    #[test]
    fn dormant_assignments_and_strangers_are_told_apart() {
        let model = tenant("org-admin", vec![]);
        let admin = by_hand([holding(role_id(&model, "Admin"), ROOT)]);
        let question = Question { entity: "account_management", action: "read", organization: id(EU), resource_scope: None };
        for status in [SignInStatus::Blocked, SignInStatus::Pending] {
            let decision = decide(&model, Some(Holder { status, assignments: &admin }), &question);
            assert_eq!(decision, Decision::Denied { why: Why::InactiveAccount { status }, nearest: None });
        }
        assert_eq!(decide(&model, None, &question), Decision::Denied { why: Why::UnknownAccount, nearest: None });
    }
}
