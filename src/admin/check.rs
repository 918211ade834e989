//! The permission check with the database beside it: who may ask, one statement for all that is asked, and answers in names.
//!
//! An answer is as new as the statement: the role model and what accounts hold are cached by the versions which that statement reads, and
//! read anew where they are others, on every node.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::Serialize;
use utoipa::ToSchema;

use super::{check_cache::CheckCache, listing::Origin};
use crate::{
    db::{
        self, Db, DbError,
        check::{Facts, Giver, Holdings},
    },
    domain::{
        actor::Actor,
        assignment::Assignment,
        capability::Capability,
        id::{AccountId, ConnectionId, OrganizationId, RuleId, ScopeId, TenantId},
        model::RoleModel,
    },
    policy::{
        access::{Denied, authorize_about, holds, permit as permit_action},
        check::{Decision, Holder, Question, Why, decide},
    },
    provision::PublishedCache,
};

/// Questions in one request.
pub const MOST: usize = 100;
/// A model that changes between the two readings is read again so many times.
const ROUNDS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("the tenant is not there")]
    NotFound,
    #[error("the tenant's roles and organizations are being changed; try again")]
    Again,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A question that may be asked: only [`permit`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    account: AccountId,
    entity: String,
    action: String,
    organization: OrganizationId,
    resource_scope: Option<ScopeId>,
    /// Somebody asks for themselves with a session that began without it.
    is_beyond_session: bool,
    /// Somebody asks for themselves.
    is_own: bool,
}

/// Whether the actor may ask this: about itself always, about others with the right to see who holds which role at the organization.
///
/// # Errors
/// With the reason, and what would help.
pub fn permit(actor: &Actor, model: &RoleModel, account: AccountId, question: &Question) -> Result<Permitted, Denied> {
    // What does not exist is asked at the root, so that nobody learns of a difference.
    let known = model.organizations.find(question.organization).is_some();
    let at = if known { question.organization } else { model.organizations.root() };
    authorize_about(actor, model, account, at)?;
    Ok(Permitted {
        account,
        entity: question.entity.to_owned(),
        action: question.action.to_owned(),
        organization: question.organization,
        resource_scope: question.resource_scope,
        is_beyond_session: is_beyond_session(actor, account, question),
        is_own: actor.account_id() == Some(account),
    })
}

/// A session's rights are those it began with that are still there, where changes of roles wait for the next sign-in. A question about
/// somebody else has no session: it is answered for now.
fn is_beyond_session(actor: &Actor, account: AccountId, question: &Question) -> bool {
    let Actor::Account(own) = actor else { return false };
    let Some(then) = own.at_sign_in.as_ref().filter(|_| own.account == account) else { return false };
    let Question { entity, action, organization, resource_scope } = *question;
    holds(&then.model, &then.assignments, entity, action, organization, resource_scope).is_none()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Answer {
    pub allowed: bool,
    pub because: Because,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Because {
    /// `granted`, or what is missing.
    pub code: &'static str,
    pub detail: String,
    /// The one that allows it; in a refusal the one that lacks only what the code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assignment: Option<Named>,
}

/// An assignment in names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DecidingAssignment)]
pub struct Named {
    pub id: String,
    pub role: String,
    /// The slug.
    pub organization: String,
    pub reach: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource_scope: Option<String>,
    pub origins: Vec<Origin>,
}

/// Answers in the order of the questions; all of them see one state of the database. The assignment behind an answer is named where the actor
/// may see it.
pub async fn answer(
    db: &Db,
    published: &PublishedCache,
    cache: &CheckCache,
    tenant: TenantId,
    actor: &Actor,
    asked: &[Permitted],
) -> Result<Vec<Answer>, CheckError> {
    let accounts: BTreeSet<_> = asked.iter().map(|question| question.account).collect();
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let (facts, model) = read(db, published, cache, tenant, &accounts).await?;
    let decided: Vec<_> = asked.iter().map(|question| (question, question.decide(&model, &facts))).collect();
    let shown = decided.iter().filter_map(|(_, decision)| assignment_of(decision));
    let rules = cache.rule_names.of(db, tenant, &facts.givers, shown).await?;
    let naming = Naming { model: &model, actor, givers: &facts.givers, rules: &rules };
    Ok(decided.iter().map(|(question, decision)| naming.answer(question, decision)).collect())
}

/// The facts with the role model of the same moment. What is kept of some accounts is not read again; where one statement finds that
/// somebody holds something else by now, the next one reads it, so that all answers are of one state.
async fn read(
    db: &Db,
    published: &PublishedCache,
    cache: &CheckCache,
    tenant: TenantId,
    accounts: &BTreeSet<AccountId>,
) -> Result<(Facts, Arc<RoleModel>), CheckError> {
    let mut known = cache.known(tenant, accounts);
    for _ in 0..ROUNDS {
        let facts = db::check::read_facts(db, tenant, accounts, &known).await?.ok_or(CheckError::NotFound)?;
        cache.keep(tenant, &facts.read);
        known.extend(facts.read.iter().map(|(account, holdings)| (*account, holdings.clone())));
        let is_current = |account: &AccountId, known: &Arc<Holdings>| {
            facts.accounts.get(account).is_some_and(|state| state.held_version == known.version)
        };
        known.retain(|account, holdings| is_current(account, holdings));
        if known.len() < facts.accounts.len() {
            continue;
        }
        let model = published.model(db, tenant, facts.model_version).await?;
        // A newer one was committed in between: what the accounts hold may have changed with it.
        if model.version == facts.model_version {
            return Ok((Facts { read: known, ..facts }, model));
        }
    }
    Err(CheckError::Again)
}

impl Permitted {
    fn decide<'f>(&self, model: &RoleModel, facts: &'f Facts) -> Decision<'f> {
        let state = facts.accounts.get(&self.account).zip(facts.read.get(&self.account));
        let holder = state.map(|(state, holdings)| Holder { status: state.status, assignments: &holdings.assignments });
        let question =
            Question { entity: &self.entity, action: &self.action, organization: self.organization, resource_scope: self.resource_scope };
        match decide(model, holder, &question) {
            Decision::Allowed(because) if self.is_beyond_session => Decision::Denied { why: Why::SinceSignIn, nearest: Some(because) },
            decision => decision,
        }
    }
}

fn assignment_of<'a>(decision: &Decision<'a>) -> Option<&'a Assignment> {
    match decision {
        Decision::Allowed(because) => Some(because),
        Decision::Denied { nearest, .. } => *nearest,
    }
}

struct Naming<'n> {
    model: &'n RoleModel,
    actor: &'n Actor,
    givers: &'n BTreeMap<ConnectionId, Giver>,
    rules: &'n HashMap<RuleId, String>,
}

impl Naming<'_> {
    fn answer(&self, asked: &Permitted, decision: &Decision) -> Answer {
        let assignment = assignment_of(decision).filter(|held| self.may_see(asked, held)).map(|held| self.named(held));
        let because = match decision {
            Decision::Allowed(_) => {
                let above = || "a role held at an organization above".to_owned();
                let by = assignment.as_ref().map_or_else(above, |held| format!("{} at {}", held.role, held.organization));
                let detail = format!("{}:{} is among the permissions of {by}.", asked.entity, asked.action);
                Because { code: "granted", detail, assignment }
            }
            Decision::Denied { why, .. } => Because { code: why.code(), detail: sentence(&why.to_string()), assignment },
        };
        Answer { allowed: decision.is_allowed(), because }
    }

    /// The right was asked for at the organization of the question. What reaches it from above may be hidden.
    fn may_see(&self, asked: &Permitted, held: &Assignment) -> bool {
        let at = held.holding.organization;
        asked.is_own || at == asked.organization || permit_action(self.actor, self.model, Capability::AssignmentsRead, at).is_ok()
    }

    fn named(&self, held: &Assignment) -> Named {
        let organization = self.model.organizations.find(held.holding.organization);
        let origins = held.origins.iter().map(|row| Origin {
            kind: row.origin.kind().to_owned(),
            connection: row.origin.connection().map(|id| self.givers.get(&id).map_or_else(|| id.to_string(), |giver| giver.slug.clone())),
            rule: row.origin.rule().map(|id| self.rules.get(&id).cloned().unwrap_or_else(|| id.to_string())),
            by: row.origin.granted_by().map(|id| id.to_string()),
            since: row.since.to_string(),
        });
        Named {
            id: held.id.to_string(),
            role: self.model.role(held.holding.role).map_or_else(String::new, |role| role.name.as_str().to_owned()),
            organization: organization.map_or_else(String::new, |organization| organization.slug.as_str().to_owned()),
            reach: held.holding.reach.as_str(),
            resource_scope: held.holding.resource_scope.map(|id| id.to_string()),
            origins: origins.collect(),
        }
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
