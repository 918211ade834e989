//! A verified SAML response meets the role store: who is it, may they in, and what do they hold now.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    ProvisionError, Published,
    affiliation::{self, Joining},
    correlation::{correlated_by, correlating, correlation_key, keys, keys_of, take_turn},
    newcomer::stranger,
    reconcile::{AUTHN_CONTEXT, Person, desire, reconcile},
    record::Record,
    remap::write_homes,
    user::{OWNER_CLAIMED, end_sessions, end_sessions_through, lock_person, settle_profile},
};
use crate::{
    db::{
        self, DbError, Tx,
        correlation::{CorrelatedBy, Sought},
        identity::{IdentityRow, SamlFacts, ScimState},
    },
    domain::{
        account::SignInStatus,
        actor::Occasion,
        assignment::{Assignment, live},
        connection::{Audience, Connection, Jit, MissingGroups},
        id::AccountId,
        identity::Identity,
        name::fold,
    },
    policy::{access::enters_console, invariant},
    scim::resource::User,
};

/// What a verified response claims.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Keys the account at this connection, compared byte for byte.
    pub subject: String,
    /// The SAML side of the connection's correlation pair.
    pub correlation: Option<String>,
    pub identity: Identity,
}

#[derive(Debug)]
pub enum SignIn {
    Admitted {
        account: AccountId,
        created: bool,
    },
    /// Whatever was written (facts and withdrawals of a known account) is to be committed all the same.
    Refused(Refused),
}

/// Why a person with a valid response may not in. The words are for the admin's log, not for the browser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "nobody is known by this subject, and the connection makes no accounts at sign-in (jit = \"off\"): provision the person over SCIM, or set jit = \"create\""
    )]
    Unknown,
    #[error("the account waits for approval")]
    Pending,
    #[error("the identity provider deactivated this person over SCIM")]
    Inactive,
    #[error("the identity provider deleted this person over SCIM; a new SCIM resource is needed")]
    Deleted,
    #[error("the account is blocked")]
    Blocked,
    #[error("the subject belongs to another account than the one that {0} finds: an owner has to decide who this is")]
    SubjectElsewhere(&'static str),
    #[error("the name is another one than the userName that it looks like: correct one of them, or let an owner decide who this is")]
    LooksAlike,
    #[error("the account is an owner's, and the identity provider gave it another name: an owner has to link the subject")]
    OwnerRenamed,
    #[error(
        "the account holds roles that this connection did not give, and the identity provider gave it another name: an owner has to link the subject, or to revoke those roles"
    )]
    RenamedWithGrants,
    #[error("the response says nothing of groups, and the connection refuses that (missing_groups = \"refuse_sign_in\")")]
    GroupsMissing,
    #[error(
        "no role of the account opens the console: a rule or an administrator has to give it one; for people who administer nothing there are connections with audience = \"self_service\""
    )]
    NoRole,
    #[error("refused by a rule: {0}")]
    ByRule(String),
}

/// Looks for whom the response may speak of, before anything else is decided.
pub async fn seek(tx: &mut Tx, connection: &Connection, claim: &Claim) -> Result<Sought, DbError> {
    let correlated = claim.correlation.as_deref().filter(|_| connection.scim.enabled).map(|value| (correlated_by(connection), value));
    db::correlation::seek_by_subject(tx, connection.tenant, connection.id, &claim.subject, correlated).await
}

/// Finds or makes the account, takes over the facts, and applies the mapping, in the transaction that consumed the assertion and sought
/// for whom it may speak of.
pub async fn sign_in(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    claim: Claim,
    sought: Sought,
) -> Result<SignIn, ProvisionError> {
    let connection = &published.connection;
    let by = correlated_by(connection);
    let key = claim.correlation.as_deref().map(|value| correlating(by, value));
    let (mut by_subject, mut by_scim) = sought.fetch(tx).await?;
    if by_subject.is_none() && by_scim.is_empty() {
        take_turn(tx, connection, key.as_slice()).await?;
        (by_subject, by_scim) = seek(tx, connection, &claim).await?.fetch(tx).await?;
    }
    let found: BTreeSet<AccountId> = by_subject.into_iter().chain(by_scim).collect();
    let Some(id) = by_subject.or(found.first().copied()) else {
        if lacks_groups(published, &claim) {
            return Ok(SignIn::Refused(Refused::GroupsMissing));
        }
        return meet_stranger(tx, published, occasion, claim, key).await;
    };
    let elsewhere = Refused::SubjectElsewhere(by.as_str());
    if found.len() > 1 {
        return refuse_and_tell(tx, published, occasion, id, elsewhere).await;
    }
    let Some(person) = lock_person(tx, published, id).await? else { return Err(ProvisionError::Again) };
    match &person.identity.subject {
        Some(subject) if *subject == claim.subject => {}
        // Write-once: the resource is somebody's already, under another subject.
        Some(_) => return refuse_and_tell(tx, published, occasion, id, elsewhere).await,
        // The lock was waited for, and meanwhile the subject was released.
        None if by_subject.is_some() => return Err(ProvisionError::Again),
        None => {
            let stored = correlated_value(published, &person);
            if stored != key {
                let alike = by == CorrelatedBy::UserName && stored.as_deref().map(fold) == key.as_deref().map(fold);
                if alike {
                    return refuse_and_tell(tx, published, occasion, id, Refused::LooksAlike).await;
                }
                // The same for the value that found the SCIM resource.
                return Err(ProvisionError::Again);
            }
            if person.identity.renamed && person.is_owner(&published.model) {
                return refuse_and_tell(tx, published, occasion, id, Refused::OwnerRenamed).await;
            }
            if person.identity.renamed && invariant::holds_beyond(connection.id, &person.held) {
                return refuse_and_tell(tx, published, occasion, id, Refused::RenamedWithGrants).await;
            }
        }
    }
    meet_known(tx, published, occasion, claim, key, person).await
}

async fn meet_known(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    claim: Claim,
    key: Option<String>,
    mut person: Person,
) -> Result<SignIn, ProvisionError> {
    let id = person.identity.account;
    let refused = match (person.identity.scim_state, person.identity.active, person.account.account.status) {
        // JIT never revives: of a tombstone nothing is taken over.
        (ScimState::Deleted, _, _) => return Ok(SignIn::Refused(Refused::Deleted)),
        (_, false, _) => Some(Refused::Inactive),
        (_, _, SignInStatus::Blocked) => Some(Refused::Blocked),
        (_, _, SignInStatus::Pending) => Some(Refused::Pending),
        (_, true, SignInStatus::Active) => lacks_groups(published, &claim).then_some(Refused::GroupsMissing),
    };
    let tenant = published.tenant();
    let mut record = Record::default();
    let found_by_before = found_by(&person.identity);
    if person.identity.subject.is_none() {
        record.note("identity.subject_linked", "account", &id, json!({ "connection": published.connection.id }));
    }
    take_facts(&mut person, published, claim, key, refused.is_some(), occasion);
    if person.first_sight
        && let Some(refused) = refused_at_first_sight(published, &person, refused.as_ref(), occasion)
    {
        end_sessions(tx, tenant, id, "sign_in_refused", &mut record).await?;
        record.write(tx, tenant, occasion).await?;
        return Ok(SignIn::Refused(refused));
    }
    let mut account_changed = settle_profile(&mut person.account, &person.identity);
    let mut people = [person];
    let outcome = reconcile(tx, published, occasion, &mut people, &mut record).await?.pop();
    let [mut person] = people;
    account_changed |= outcome.as_ref().is_some_and(|outcome| outcome.account_changed);
    let (denied, holds) = outcome.map_or((None, None), |outcome| (outcome.denied, outcome.holds));
    let refused = denied.map(|denial| Refused::ByRule(denial.message)).or(refused);
    let refused = match refused {
        None if !finds_entry(tx, published, id, holds).await? => Some(Refused::NoRole),
        refused => refused,
    };
    if matches!(refused, Some(Refused::NoRole)) {
        // Who holds nothing that opens the console keeps what they began through another connection.
        end_sessions_through(tx, published, id, "sign_in_refused", &mut record).await?;
    } else if refused.is_some() {
        // MAPPING.md: a refusal commits the facts and the withdrawals they cause, and ends the sessions.
        end_sessions(tx, tenant, id, "sign_in_refused", &mut record).await?;
    }
    person.identity.mapping_version = published.mapping.version;
    write_identity(tx, published, &person, &found_by_before).await?;
    if account_changed {
        db::account::update_account(tx, tenant, &person.account, occasion.now).await?;
    }
    record.write(tx, tenant, occasion).await?;
    Ok(refused.map_or(SignIn::Admitted { account: id, created: false }, SignIn::Refused))
}

/// Of somebody whom an owner linked, and of whom the connection has said nothing yet, a refusal takes nothing over, as of a stranger: what is
/// given at first sight is given at the first sign-in that is accepted.
fn refused_at_first_sight(published: &Published, person: &Person, refused: Option<&Refused>, occasion: &Occasion) -> Option<Refused> {
    let denial = desire(published, person, Vec::new(), occasion).denied.map(|denial| Refused::ByRule(denial.message));
    denial.or_else(|| refused.cloned())
}

/// A first sign-in: everything that could refuse it is asked before anything is written.
async fn meet_stranger(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    claim: Claim,
    key: Option<String>,
) -> Result<SignIn, ProvisionError> {
    let status = match published.connection.jit() {
        Jit::Off => return Ok(SignIn::Refused(Refused::Unknown)),
        Jit::Create => SignInStatus::Active,
        Jit::CreatePending => SignInStatus::Pending,
    };
    let mut person = stranger(published, occasion);
    person.account.decide(status);
    take_facts(&mut person, published, claim, key, false, occasion);
    settle_profile(&mut person.account, &person.identity);
    if let Some(denial) = desire(published, &person, Vec::new(), occasion).denied {
        return Ok(SignIn::Refused(Refused::ByRule(denial.message)));
    }
    let tenant = published.tenant();
    let id = person.identity.account;
    db::account::insert_accounts(tx, tenant, &[&person.account], occasion.now).await?;
    db::identity::insert_identities(tx, tenant, &[(&person.identity, None)]).await?;
    // Somebody with the same subject was made at the same time: the whole sign-in starts again and finds them.
    tx.settle().await.map_err(|error| if matches!(error, DbError::Taken(_)) { ProvisionError::Again } else { error.into() })?;
    let mut record = Record::default();
    record.note("account.created", "account", &id, json!({ "connection": published.connection.id, "by": "sign_in" }));
    let mut people = [person];
    let outcome = reconcile(tx, published, occasion, &mut people, &mut record).await?.pop();
    let [person] = people;
    let joining = Joining::new(&person.account.account, published.connection.organization);
    affiliation::join(tx, &published.model, occasion, &[joining], &mut record).await?;
    db::evaluation::mark_mapped(tx, tenant, published.connection.id, &[id], published.mapping.version).await?;
    write_homes(tx, tenant, occasion.now, std::iter::once(&person).zip(&outcome)).await?;
    record.write(tx, tenant, occasion).await?;
    Ok(if status == SignInStatus::Pending {
        SignIn::Refused(Refused::Pending)
    } else if finds_entry(tx, published, id, None).await? {
        SignIn::Admitted { account: id, created: true }
    } else {
        SignIn::Refused(Refused::NoRole)
    })
}

/// Whether there is something for the account behind the connection: administrators need a role that opens the console. What they hold is
/// read where it is not known.
async fn finds_entry(tx: &mut Tx, published: &Published, account: AccountId, holds: Option<Vec<Assignment>>) -> Result<bool, DbError> {
    if published.connection.audience == Audience::SelfService {
        return Ok(true);
    }
    let held = match holds {
        Some(held) => held,
        None => db::assignment::held(tx, published.tenant(), &[account]).await?.remove(&account).unwrap_or_default(),
    };
    Ok(enters_console(&published.model, &live(held)))
}

fn lacks_groups(published: &Published, claim: &Claim) -> bool {
    claim.identity.groups.is_none() && published.connection.saml.missing_groups == MissingGroups::RefuseSignIn
}

/// The value of the person's live SCIM resource by which a sign-in finds it.
fn correlated_value(published: &Published, person: &Person) -> Option<String> {
    let facts = person.identity.scim.as_ref().filter(|_| person.identity.scim_state == ScimState::Live)?;
    correlation_key(&published.connection, &keys(&User { attributes: facts.document.clone() }))
}

/// MAPPING.md: groups that were not spoken of are absent, not empty; what was last said of them stands unless the connection says otherwise.
fn take_facts(person: &mut Person, published: &Published, claim: Claim, key: Option<String>, refused: bool, occasion: &Occasion) {
    let last = person.identity.saml.take().and_then(|facts| facts.groups);
    let groups = claim.identity.groups.or(match published.connection.saml.missing_groups {
        MissingGroups::Keep | MissingGroups::RefuseSignIn => last,
        MissingGroups::Empty => Some(Vec::new()),
    });
    let mut attributes = claim.identity.attributes;
    if let Some(context) = claim.identity.authn_context {
        attributes.insert(AUTHN_CONTEXT.to_owned(), Value::String(context));
    }
    person.identity.subject = Some(claim.subject);
    person.identity.renamed = false;
    person.identity.saml = Some(SamlFacts { attributes, groups, correlation_key: key, seen_at: occasion.now, refused });
}

/// What the row of an identity is found by: subject, the SAML side of the correlation, and the mapping it was evaluated with.
type FoundBy = (Option<String>, Option<String>, i64);

fn found_by(identity: &IdentityRow) -> FoundBy {
    (identity.subject.clone(), identity.saml.as_ref().and_then(|facts| facts.correlation_key.clone()), identity.mapping_version)
}

async fn write_identity(tx: &mut Tx, published: &Published, person: &Person, before: &FoundBy) -> Result<(), ProvisionError> {
    if found_by(&person.identity) == *before {
        return Ok(db::identity::update_saml_facts(tx, published.tenant(), &person.identity).await?);
    }
    let keys = keys_of(&person.identity);
    match db::identity::update_identity(tx, published.tenant(), &person.identity, keys.as_ref()).await {
        // Only the subject is new here: another sign-in took it meanwhile.
        Err(DbError::Taken(_)) => Err(ProvisionError::Again),
        outcome => Ok(outcome?),
    }
}

/// Whose account it is, somebody has to say.
async fn refuse_and_tell(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    account: AccountId,
    refused: Refused,
) -> Result<SignIn, ProvisionError> {
    let kind = match refused {
        Refused::LooksAlike => "identity.look_alike",
        Refused::OwnerRenamed => OWNER_CLAIMED,
        Refused::RenamedWithGrants => "identity.renamed_with_grants",
        _ => "identity.subject_elsewhere",
    };
    let detail = json!({ "message": refused.to_string() });
    db::attention::raise(tx, published.tenant(), occasion, kind, Some(published.connection.id), Some(account), &detail).await?;
    Ok(SignIn::Refused(refused))
}
