//! What people decide of an account: whether it is let in, whether it is verified, which identity is its own too, and that it goes.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Precondition, ProvisionError, assign::AssignRefusal, owner_floor::may_leave, record::Record};
use crate::{
    db::{
        self, DbError, Tx,
        account::AccountRow,
        identity::{IdentityRow, ScimState},
    },
    domain::{
        account::SignInStatus,
        actor::Occasion,
        assignment::Assignment,
        connection::Connection,
        id::{AccountId, GroupId},
        model::RoleModel,
    },
    policy::{access::Denied, invariant},
};

/// An account under its lock, with what the right to change it depends on.
#[derive(Debug)]
pub struct Locked {
    pub row: AccountRow,
    pub version: i64,
    pub held: Vec<Assignment>,
    pub groups: BTreeSet<GroupId>,
    pub identities: Vec<IdentityRow>,
    /// The actor's.
    pub own_groups: BTreeSet<GroupId>,
}

/// Why people cannot do this to an account.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    #[error("there is no such account")]
    NotFound,
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The owner floor, or the last way in without an identity provider.
    #[error(transparent)]
    Owners(#[from] AssignRefusal),
    #[error("the account has changed: its version is not the one in If-Match. Read it again")]
    Stale,
    #[error("the account is kept by the connection {0}: delete the person at the identity provider, which deletes the account here")]
    ExternallyManaged(String),
    #[error(
        "the account is linked to another subject of this connection, and a link is written once: change the correlated SCIM attribute to release it"
    )]
    LinkedOtherwise,
    #[error("the subject is linked to another account of this connection: unlink it there first")]
    SubjectTaken,
    #[error(transparent)]
    Provision(ProvisionError),
}

impl From<ProvisionError> for PersonError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::NotFound => Self::NotFound,
            ProvisionError::Stale => Self::Stale,
            error => Self::Provision(error),
        }
    }
}

impl From<DbError> for PersonError {
    fn from(error: DbError) -> Self {
        Self::Provision(error.into())
    }
}

/// Locks the account, then reads.
pub async fn lock(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &Occasion,
    id: AccountId,
    precondition: Precondition,
) -> Result<Locked, PersonError> {
    let tenant = model.tenant;
    let row = db::account::lock_accounts(tx, tenant, &[id]).await?.remove(&id).ok_or(PersonError::NotFound)?;
    let version = db::account::find_version(tx, tenant, id).await?.ok_or(PersonError::NotFound)?;
    let held = db::assignment::held(tx, tenant, &[id]).await?.remove(&id).unwrap_or_default();
    let actor = occasion.actor.account_id();
    let ids: Vec<AccountId> = std::iter::once(id).chain(actor).collect();
    let mut groups = db::group::memberships(&mut *tx, tenant, &ids).await?;
    let own_groups = actor.and_then(|actor| groups.get(&actor).cloned()).unwrap_or_default();
    let identities = db::identity::identities_of(tx, tenant, id).await?;
    precondition.check(version)?;
    Ok(Locked { row, version, held, groups: groups.remove(&id).unwrap_or_default(), identities, own_groups })
}

/// Blocks the account, or lets it in again as far as it has a way to sign in. Whether anything changed.
pub async fn set_standing(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    mut locked: Locked,
    standing: SignInStatus,
) -> Result<bool, PersonError> {
    let id = locked.row.account.id;
    let has_way_in = locked.row.has_local_credential || locked.identities.iter().any(is_live);
    let status = if has_way_in { standing } else { SignInStatus::Blocked };
    if locked.row.standing == standing && locked.row.account.status == status {
        return Ok(false);
    }
    if status != SignInStatus::Active {
        may_go(tx, model, &locked).await?;
    }
    locked.row.decide(standing);
    locked.row.account.status = status;
    db::account::update_account(tx, model.tenant, &locked.row, occasion.now).await?;
    let mut record = Record::default();
    let action = if standing == SignInStatus::Active { "account.activated" } else { "account.blocked" };
    record.note(action, "account", &id, json!({ "by": "person", "can_sign_in": status == SignInStatus::Active }));
    if status != SignInStatus::Active {
        let ended = db::session::end_sessions_of_account(tx, model.tenant, id).await?;
        if ended > 0 {
            record.note("sessions.ended", "account", &id, json!({ "count": ended, "reason": "blocked" }));
        }
    }
    record.write(tx, model.tenant, occasion).await?;
    Ok(true)
}

/// Marks the account as verified, or takes the mark back. Whether anything changed.
pub async fn set_verified(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    locked: &Locked,
    verified: bool,
) -> Result<bool, PersonError> {
    let (tenant, id) = (model.tenant, locked.row.account.id);
    if db::account::is_verified(tx, tenant, id).await? == verified {
        return Ok(false);
    }
    db::account::set_verified(tx, tenant, id, verified.then_some(occasion.now), occasion.now).await?;
    let mut record = Record::default();
    record.note(if verified { "account.verified" } else { "account.unverified" }, "account", &id, json!({}));
    record.write(tx, tenant, occasion).await?;
    Ok(true)
}

/// Deletes the account with its assignments, identities and sessions. One that a directory keeps is deleted there.
pub async fn delete(tx: &mut Tx, model: &RoleModel, occasion: &mut Occasion, locked: &Locked) -> Result<(), PersonError> {
    let (tenant, id) = (model.tenant, locked.row.account.id);
    if let Some(identity) = locked.identities.iter().find(|identity| identity.scim_state == ScimState::Live) {
        let row = db::connection::find_connection(&mut *tx, tenant, identity.connection).await?;
        let slug = row.map_or_else(|| identity.connection.to_string(), |row| row.connection.slug.to_string());
        return Err(PersonError::ExternallyManaged(slug));
    }
    may_go(tx, model, locked).await?;
    let mut record = Record::default();
    record.note("account.deleted", "account", &id, json!({ "by": "person", "assignments": locked.held.len() }));
    for held in &locked.held {
        for row in &held.origins {
            record.origin("assignment.origin_removed", id, &held.holding, &row.origin, model, None);
        }
    }
    if !db::account::delete_account(tx, tenant, id).await? {
        return Err(PersonError::NotFound);
    }
    record.write(tx, tenant, occasion).await?;
    Ok(())
}

/// Makes the subject of a connection one more way into the account. Whether anything changed.
pub async fn link(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    mut locked: Locked,
    connection: &Connection,
    subject: &str,
) -> Result<bool, PersonError> {
    let (tenant, id) = (model.tenant, locked.row.account.id);
    let known = locked.identities.iter().find(|identity| identity.connection == connection.id);
    match known.map(|identity| identity.subject.as_deref()) {
        Some(Some(linked)) if linked == subject => return Ok(false),
        Some(Some(_)) => return Err(PersonError::LinkedOtherwise),
        Some(None) | None => {}
    }
    let (by_subject, _) = db::correlation::find_by_subject(tx, tenant, connection.id, subject, None).await?;
    if by_subject.is_some() {
        return Err(PersonError::SubjectTaken);
    }
    let linked = |identity: IdentityRow| IdentityRow { subject: Some(subject.to_owned()), renamed: false, ..identity };
    if let Some(identity) = known.cloned() {
        let identity = linked(identity);
        let keys = super::correlation::keys_of(&identity);
        db::identity::update_identity(tx, tenant, &identity, keys.as_ref()).await.map_err(taken)?;
    } else {
        db::identity::insert_identities(tx, tenant, &[(&linked(new_identity(connection, id)), None)]).await?;
        tx.settle().await.map_err(taken)?;
    }
    if locked.row.standing != locked.row.account.status && known.is_none_or(is_live) {
        locked.row.account.status = locked.row.standing;
        db::account::update_account(tx, tenant, &locked.row, occasion.now).await?;
    } else {
        db::account::raise_account_version(tx, tenant, id, occasion.now).await?;
    }
    let mut record = Record::default();
    record.note("identity.subject_linked", "account", &id, json!({ "connection": connection.id, "by": "person" }));
    record.write(tx, tenant, occasion).await?;
    Ok(true)
}

fn taken(error: DbError) -> PersonError {
    match error {
        DbError::Taken(_) => PersonError::SubjectTaken,
        error => error.into(),
    }
}

fn new_identity(connection: &Connection, account: AccountId) -> IdentityRow {
    IdentityRow {
        connection: connection.id,
        account,
        subject: None,
        renamed: false,
        active: true,
        scim_state: ScimState::None,
        scim: None,
        saml: None,
        mapping_version: 0,
    }
}

fn is_live(identity: &IdentityRow) -> bool {
    identity.is_live()
}

/// Whether the tenant can do without this account: of those who are no owners it always can.
async fn may_go(tx: &mut Tx, model: &RoleModel, locked: &Locked) -> Result<(), PersonError> {
    if !invariant::is_owner(model, &locked.held) {
        return Ok(());
    }
    db::tenant::lock_owner_floor(tx, model.tenant).await?;
    let owners = db::account::list_owners(tx, model.tenant, model.organizations.root()).await?;
    Ok(may_leave(&owners, locked.row.account.id, model.settings.min_owners)?)
}
