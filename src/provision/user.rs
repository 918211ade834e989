//! SCIM users: created, changed, deleted.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Precondition, ProvisionError, Published,
    affiliation::{self, Joining},
    correlation::{check_correlated, is_renamed, keys, keys_of, release_subject, signs_in_by, take_turn},
    group::leave_all,
    newcomer,
    reconcile::{Person, reconcile},
    record::Record,
};
use crate::{
    db::{
        self, Db, DbError, Tx,
        account::AccountRow,
        identity::{IdentityRow, ScimFacts, ScimKeys, ScimState, UserRow},
    },
    domain::{
        account::SignInStatus,
        actor::Occasion,
        connection::Connection,
        id::{AccountId, ConnectionId, TenantId},
        identity::{Identity, Protocol},
        name::fold,
    },
    scim::{error::ScimError, resource::User},
};

/// What somebody has to look at when an identity provider reaches for an owner's account.
pub(super) const OWNER_CLAIMED: &str = "identity.owner_claimed";

/// Why sessions end whose subject is no longer the account's.
const SUBJECT_RELEASED: &str = "subject_released";

/// What came of a new resource.
#[derive(Debug, Clone)]
pub struct Created {
    pub user: UserRow,
    /// Nobody knew of the account before, so that it is in no group.
    pub is_new: bool,
}

/// Creates a user, takes over the account that a SAML sign-in of this connection made, or revives a tombstone with the same
/// externalId. A re-used address alone inherits nothing.
pub async fn create_user(tx: &mut Tx, published: &Published, occasion: &mut Occasion, user: User) -> Result<Created, ProvisionError> {
    let keys = keys(&user);
    take_turn(tx, &published.connection, signs_in_by(&published.connection, &keys).as_slice()).await?;
    let taken_over = find_taken_over(tx, published, &keys).await?;
    check_correlated(tx, published, taken_over.as_ref().map(|(person, _)| person.identity.account), &keys).await?;
    if let Some((person, action)) = taken_over {
        let user = take_over(tx, published, occasion, person, action, (user, keys)).await?;
        return Ok(Created { user, is_new: false });
    }
    let user = newcomer::make_users(tx, published, occasion, vec![(user, keys)]).await?.pop().ok_or(ProvisionError::NotFound)?;
    Ok(Created { user, is_new: true })
}

/// Creates users by a few statements for all of them, as [`create_user`] would one after the other. `None`, with nothing done, where
/// the connection has ever spoken of one of them, or two may be one person: each must be looked at by itself.
pub async fn create_users(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    users: Vec<User>,
) -> Result<Option<Vec<UserRow>>, ProvisionError> {
    let users: Vec<(User, ScimKeys)> = users
        .into_iter()
        .map(|user| {
            let keys = keys(&user);
            (user, keys)
        })
        .collect();
    let connection = &published.connection;
    let all = |value: fn(&Connection, &ScimKeys) -> Option<String>| {
        users.iter().filter_map(|(_, keys)| value(connection, keys)).collect::<Vec<_>>()
    };
    let correlated = all(signs_in_by);
    let external_ids = all(|_, keys| keys.external_id.clone().filter(|id| !id.is_empty()));
    take_turn(tx, connection, &correlated).await?;
    let is_plain = all_differ(&correlated) && all_differ(&external_ids);
    if !is_plain || db::correlation::is_any_known(tx, connection.tenant, connection.id, &correlated, &external_ids).await? {
        return Ok(None);
    }
    newcomer::make_users(tx, published, occasion, users).await.map(Some)
}

fn all_differ(values: &[String]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

/// Makes the resource that of an account which the connection knows already.
async fn take_over(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    mut person: Person,
    action: &'static str,
    (user, keys): (User, ScimKeys),
) -> Result<UserRow, ProvisionError> {
    let tenant = published.tenant();
    let before = person.identity.scim.take();
    // An ETag of the time before the deletion must not be right again.
    let version = before.as_ref().map_or(1, |facts| facts.version + 1);
    let mut record = Record::default();
    if let Some(before) = before {
        let before = self::keys(&User { attributes: before.document });
        // Who comes back under another userName may be another person, whatever sign-ins go by.
        let is_renamed = is_renamed(&published.connection, &before, &keys) || fold(&before.user_name) != fold(&keys.user_name);
        if is_renamed && release_subject(&mut person, published, &mut record) {
            end_sessions_through(tx, published, person.identity.account, SUBJECT_RELEASED, &mut record).await?;
        }
    }
    newcomer::take_resource(&mut person, user, version, occasion);
    record.note(
        action,
        "account",
        &person.account.account.id,
        json!({ "connection": published.connection.id, "active": person.identity.active }),
    );
    settle_status(tx, published, &mut person, &mut record).await?;
    let mut people = [person];
    let outcome = reconcile(tx, published, occasion, &mut people, &mut record).await?.pop();
    let [person] = people;
    let row = with_mapping(&person.identity, published);
    db::identity::update_identity(tx, tenant, &row, Some(&keys)).await.map_err(taken)?;
    db::identity::replace_emails(tx, tenant, &row, &keys).await?;
    if outcome.is_some_and(|outcome| outcome.denied.is_some()) {
        end_sessions(tx, tenant, row.account, "sign_in_denied", &mut record).await?;
    }
    db::account::update_account(tx, tenant, &person.account, occasion.now).await?;
    let joining = Joining::of(&person.account.account, published.connection.organization);
    affiliation::join(tx, &published.model, occasion, &[joining], &mut record).await?;
    db::counter::add(tx, tenant, published.connection.id, db::counter::USERS, &[row.account], 1).await?;
    record.write(tx, tenant, occasion).await?;
    resource(row)
}

/// Applies a pure change to a user. A change that changes nothing writes nothing.
pub async fn change_user(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    id: AccountId,
    precondition: Precondition,
    change: impl FnOnce(&User) -> Result<User, ScimError>,
) -> Result<UserRow, ProvisionError> {
    let mut person = lock_person(tx, published, id)
        .await?
        .filter(|person| person.identity.scim_state == ScimState::Live)
        .ok_or(ProvisionError::NotFound)?;
    let facts = person.identity.scim.take().ok_or(ProvisionError::NotFound)?;
    precondition.check(facts.version)?;
    let before = User { attributes: facts.document };
    let after = change(&before)?;
    if after == before {
        person.identity.scim = Some(ScimFacts { document: before.attributes, ..facts });
        return resource(person.identity);
    }
    let tenant = published.tenant();
    let (keys_before, keys) = (keys(&before), keys(&after));
    if is_renamed(&published.connection, &keys_before, &keys) {
        take_turn(tx, &published.connection, signs_in_by(&published.connection, &keys).as_slice()).await?;
        check_correlated(tx, published, Some(id), &keys).await?;
    }
    let mut record = Record::default();
    record.note(
        "account.changed",
        "account",
        &id,
        json!({ "connection": published.connection.id, "attributes": changed_names(&before.attributes, &after.attributes) }),
    );
    if is_renamed(&published.connection, &keys_before, &keys) && release_subject(&mut person, published, &mut record) {
        end_sessions_through(tx, published, id, SUBJECT_RELEASED, &mut record).await?;
    }
    person.identity.active = after.active();
    person.identity.scim = Some(ScimFacts {
        document: after.attributes,
        version: facts.version + 1,
        created_at: facts.created_at,
        changed_at: occasion.now.max(facts.changed_at),
    });
    let mut account_changed = settle_profile(&mut person.account, &person.identity);
    account_changed |= settle_status(tx, published, &mut person, &mut record).await?;
    let mut people = [person];
    let outcome = reconcile(tx, published, occasion, &mut people, &mut record).await?.pop();
    account_changed |= outcome.as_ref().is_some_and(|outcome| outcome.account_changed);
    if outcome.is_some_and(|outcome| outcome.denied.is_some()) {
        end_sessions(tx, tenant, id, "sign_in_denied", &mut record).await?;
    }
    let [person] = people;
    let row = with_mapping(&person.identity, published);
    db::identity::update_identity(tx, tenant, &row, Some(&keys)).await.map_err(taken)?;
    if keys_before.emails != keys.emails {
        db::identity::replace_emails(tx, tenant, &row, &keys).await?;
    }
    if account_changed {
        db::account::update_account(tx, tenant, &person.account, occasion.now).await?;
    }
    record.write(tx, tenant, occasion).await?;
    resource(row)
}

/// Deletes a user: this connection's grants go, a tombstone stays, the userName is free again. Grants by hand stay, dormant.
pub async fn delete_user(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    id: AccountId,
    precondition: Precondition,
) -> Result<(), ProvisionError> {
    let holding = db::group::lock_holding(tx, published.tenant(), published.connection.id, &id.to_string()).await?;
    let mut person = lock_person(tx, published, id)
        .await?
        .filter(|person| person.identity.scim_state == ScimState::Live)
        .ok_or(ProvisionError::NotFound)?;
    let version = person.identity.scim.as_ref().map_or(0, |facts| facts.version);
    precondition.check(version)?;
    let tenant = published.tenant();
    let mut record = Record::default();
    record.note("account.deleted", "account", &id, json!({ "connection": published.connection.id }));
    person.identity.active = false;
    person.identity.scim_state = ScimState::Deleted;
    if let Some(facts) = &mut person.identity.scim {
        facts.changed_at = occasion.now.max(facts.changed_at);
    }
    let mut account_changed = settle_status(tx, published, &mut person, &mut record).await?;
    let keys = person.identity.scim.as_ref().map(|facts| keys(&User { attributes: facts.document.clone() }));
    let mut people = [person];
    account_changed |=
        reconcile(tx, published, occasion, &mut people, &mut record).await?.pop().is_some_and(|outcome| outcome.account_changed);
    let [person] = people;
    db::identity::update_identity(tx, tenant, &person.identity, keys.as_ref()).await?;
    db::identity::replace_emails(tx, tenant, &person.identity, &ScimKeys::default()).await?;
    leave_all(tx, published, occasion, &id.to_string(), &holding).await?;
    if account_changed {
        db::account::update_account(tx, tenant, &person.account, occasion.now).await?;
    }
    if db::assignment::held(tx, tenant, &[id]).await?.contains_key(&id) {
        let detail =
            json!({ "message": "the account was deleted by its identity provider and still holds grants made by hand; they are dormant" });
        db::attention::raise(tx, tenant, occasion, "account.deleted_with_grants", Some(published.connection.id), Some(id), &detail).await?;
    }
    db::counter::add(tx, tenant, published.connection.id, db::counter::USERS, &[id], -1).await?;
    record.write(tx, tenant, occasion).await?;
    Ok(())
}

/// The account and its identity at the connection, locked, then read.
pub(super) async fn lock_person(tx: &mut Tx, published: &Published, id: AccountId) -> Result<Option<Person>, ProvisionError> {
    Ok(lock_people(tx, published, &[id]).await?.pop())
}

/// As [`lock_person`], for a set; who has no identity at the connection is left out.
pub(super) async fn lock_people(tx: &mut Tx, published: &Published, ids: &[AccountId]) -> Result<Vec<Person>, ProvisionError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let locked = db::account::lock_ahead(tx, published.tenant(), ids).await?;
    published.check_current(tx).await?;
    let held = db::assignment::held_ahead(tx, published.tenant(), ids).await?;
    let mut identities = db::identity::identities_at(tx, published.tenant(), published.connection.id, ids).await?;
    let (accounts, mut held) = (locked.fetch(tx).await?, held.fetch(tx).await?);
    let person = |(id, account): (AccountId, AccountRow)| {
        let status_before = account.account.status;
        let identity = identities.remove(&id)?;
        let first_sight = identity.scim.is_none() && identity.saml.is_none();
        let held = held.remove(&id).unwrap_or_default();
        let live_before = identity.is_live();
        Some(Person { account, identity, held, is_new: false, first_sight, status_before, live_before })
    };
    Ok(accounts.into_iter().filter_map(person).collect())
}

/// An account of this connection that a POST speaks of again, with the word for the auditor.
async fn find_taken_over(tx: &mut Tx, published: &Published, keys: &ScimKeys) -> Result<Option<(Person, &'static str)>, ProvisionError> {
    let correlated = signs_in_by(&published.connection, keys);
    let external_id = keys.external_id.as_deref().filter(|id| !id.is_empty());
    if correlated.is_none() && external_id.is_none() {
        return Ok(None);
    }
    let tenant = published.tenant();
    let candidates = db::correlation::list_candidates(tx, tenant, published.connection.id, correlated.as_deref(), external_id).await?;
    let (live, others): (Vec<_>, Vec<_>) = candidates.iter().partition(|candidate| candidate.state == ScimState::Live);
    let ids: Vec<AccountId> = others.iter().map(|candidate| candidate.account).collect();
    let mut taken_over = None;
    let mut people = lock_people(tx, published, &ids).await?;
    // Who signs in today comes before who was deleted.
    people.sort_by_key(|person| person.identity.scim_state == ScimState::Deleted);
    let returning = external_id.and_then(|external_id| returning(&people, external_id, keys, !live.is_empty()));
    for person in people {
        match person.identity.scim_state {
            // Only what this connection made itself: whose account it is by another's word is for an owner to say.
            ScimState::None if person.account.profile_connection != Some(published.connection.id) => {
                return Err(ProvisionError::Taken("userName"));
            }
            ScimState::None if taken_over.is_none() => taken_over = Some((person, "account.adopted")),
            ScimState::Deleted if returning == Some(person.identity.account) && taken_over.is_none() => {
                taken_over = Some((person, "account.revived"));
            }
            // A new holder of an old address: the tombstone lets go of the subject, or the new person could never sign in.
            ScimState::Deleted => db::identity::release_subject(tx, tenant, published.connection.id, person.identity.account).await?,
            ScimState::None | ScimState::Live => {}
        }
    }
    // MAPPING.md: owners are never adopted by a machine.
    match &taken_over {
        Some((person, _)) if person.is_owner(&published.model) => Err(ProvisionError::OwnersAccount(person.identity.account)),
        _ => Ok(taken_over),
    }
}

/// Whose tombstone a new resource of this externalId revives. Where several had the externalId, or others have it, only one of the same
/// userName: nobody comes back as somebody else.
fn returning(people: &[Person], external_id: &str, keys: &ScimKeys, is_shared: bool) -> Option<AccountId> {
    let deleted = people.iter().filter(|person| person.identity.scim_state == ScimState::Deleted);
    let known = |person: &Person| Some((person.identity.account, keys_of(&person.identity)?));
    let mut same = deleted.filter_map(known).filter(|(_, known)| known.external_id.as_deref() == Some(external_id)).peekable();
    let first = same.next()?;
    if !is_shared && same.peek().is_none() {
        return Some(first.0);
    }
    std::iter::once(first).chain(same).find(|(_, known)| fold(&known.user_name) == fold(&keys.user_name)).map(|(account, _)| account)
}

/// Tells of [`ProvisionError::OwnersAccount`], once the transaction that it refused is dropped.
pub async fn tell_of_claim(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    occasion: &mut Occasion,
    owner: AccountId,
) -> Result<(), DbError> {
    let message = "the identity provider sent a new resource for an owner's account, and no machine takes over an owner: take the owner role from the account if the identity provider is right";
    let mut tx = db.begin().await?;
    let detail = json!({ "message": message });
    db::attention::raise(&mut tx, tenant, occasion, OWNER_CLAIMED, Some(connection), Some(owner), &detail).await?;
    tx.commit().await
}

/// The account takes its names from the facts of the one connection that names it. Whether they changed.
pub(super) fn settle_profile(account: &mut AccountRow, row: &IdentityRow) -> bool {
    if account.profile_connection != Some(row.connection) {
        return false;
    }
    let identity = match (&row.scim, &row.saml) {
        (Some(facts), _) if row.scim_state == ScimState::Live => User { attributes: facts.document.clone() }.identity(None),
        (_, Some(facts)) => {
            Identity { source: Protocol::Saml, attributes: facts.attributes.clone(), groups: None, active: true, authn_context: None }
        }
        _ => return false,
    };
    let account = &mut account.account;
    let user_name = identity.user_name().unwrap_or(&account.user_name).to_owned();
    let email = identity.email().map(str::to_owned);
    let display_name = identity.display_name();
    let changed = account.user_name != user_name || account.email != email || account.display_name != display_name;
    account.user_name = user_name;
    account.email = email;
    account.display_name = display_name;
    changed
}

/// MAPPING.md: the account is blocked when no live identity and no local credential is left; the sessions that began through this
/// connection end in this transaction, and with the account's last way in all of them.
///
/// An identity that comes back restores what people decided: whom one blocked stays blocked, and who waits for approval waits on.
pub(super) async fn settle_status(
    tx: &mut Tx,
    published: &Published,
    person: &mut Person,
    record: &mut Record,
) -> Result<bool, ProvisionError> {
    let tenant = published.tenant();
    let (id, connection) = (person.account.account.id, published.connection.id);
    let was = person.account.account.status;
    let live = person.identity.is_live();
    let elsewhere = if live { None } else { db::identity::find_live_elsewhere(tx, tenant, id, connection).await? };
    let has_way_in = live || person.account.has_local_credential || elsewhere.is_some();
    let status = if has_way_in { person.account.standing } else { SignInStatus::Blocked };
    if !live {
        let ended = if status == SignInStatus::Blocked {
            db::session::end_sessions_of_account(tx, tenant, id).await?
        } else {
            db::session::end_sessions_by_connection(tx, tenant, id, connection).await?
        };
        if ended > 0 {
            record.note("sessions.ended", "account", &id, json!({ "count": ended, "reason": "deactivated" }));
        }
    }
    let renamed = match elsewhere {
        // Who still knows the account names it from now on.
        Some(other) if person.identity.scim_state == ScimState::Deleted && person.account.profile_connection == Some(connection) => {
            person.account.profile_connection = Some(other.connection);
            settle_profile(&mut person.account, &other);
            true
        }
        _ => false,
    };
    if status == was {
        return Ok(renamed);
    }
    person.account.account.status = status;
    let action = match status {
        SignInStatus::Active => "account.activated",
        SignInStatus::Pending => "account.pending",
        SignInStatus::Blocked => "account.blocked",
    };
    record.note(action, "account", &id, json!({ "connection": connection }));
    Ok(true)
}

/// Every session of an account that may not be in any more.
pub(super) async fn end_sessions(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    reason: &'static str,
    record: &mut Record,
) -> Result<(), DbError> {
    let ended = db::session::end_sessions_of_account(tx, tenant, account).await?;
    if ended > 0 {
        record.note("sessions.ended", "account", &account, json!({ "count": ended, "reason": reason }));
    }
    Ok(())
}

/// The sessions that began by a sign-in through the connection.
pub(super) async fn end_sessions_through(
    tx: &mut Tx,
    published: &Published,
    account: AccountId,
    reason: &'static str,
    record: &mut Record,
) -> Result<(), DbError> {
    let ended = db::session::end_sessions_by_connection(tx, published.tenant(), account, published.connection.id).await?;
    if ended > 0 {
        record.note("sessions.ended", "account", &account, json!({ "count": ended, "reason": reason }));
    }
    Ok(())
}

pub(super) fn with_mapping(identity: &IdentityRow, published: &Published) -> IdentityRow {
    IdentityRow { mapping_version: published.mapping.version, ..identity.clone() }
}

/// Of an identity the userName alone can be another's: a subject is only ever kept or released here.
pub(super) fn taken(error: DbError) -> ProvisionError {
    match error {
        DbError::Taken(_) => ProvisionError::Taken("userName"),
        error => error.into(),
    }
}

pub(super) fn resource(row: IdentityRow) -> Result<UserRow, ProvisionError> {
    Ok(UserRow { id: row.account, scim: row.scim.ok_or(ProvisionError::NotFound)? })
}

/// Names, never values: what the auditor may read of a change of facts.
fn changed_names(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().cloned().collect()
}
