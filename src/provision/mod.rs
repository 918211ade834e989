//! The core: everything that changes accounts, groups or assignments.
//!
//! Facts in, effects out, in one transaction that the caller begins and commits: lock, load, decide (`policy`), write, with the
//! audit rows and the events of the change beside it. SCIM, SAML, the command line and people differ only in how they get here.

mod affiliation;
pub mod assign;
mod correlation;
pub mod grant;
pub mod group;
mod held_back;
pub mod keep;
pub mod local_group;
pub mod membership;
mod newcomer;
mod owner_floor;
pub mod person;
pub mod published;
mod reconcile;
mod record;
pub mod remap;
pub mod schemas;
pub mod shut_out;
pub mod sign_in;
pub mod user;
pub mod withdraw;

use std::sync::Arc;

use crate::{
    db::{self, DbError, Tx},
    domain::{
        id::{AccountId, TenantId},
        model::RoleModel,
    },
    policy::invariant::{Ineligible, OwnerFloor},
    scim::error::ScimError,
};

pub use published::{Published, PublishedCache};
pub use schemas::SchemaCache;

/// Why a change was refused. Nothing of it was written once the transaction is dropped.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error("there is no such resource")]
    NotFound,
    /// A unique name belongs to somebody else at this connection.
    #[error("{0} is taken by another resource of this connection")]
    Taken(&'static str),
    /// Nothing is kept of the change, and somebody hears of it all the same: see [`user::tell_of_claim`].
    #[error("the resource is an owner's account, which no machine takes over")]
    OwnersAccount(AccountId),
    #[error("the resource has changed: its version is no longer the one named in If-Match")]
    Stale,
    #[error(transparent)]
    Scim(#[from] ScimError),
    #[error("these members are unknown: {}", .0.join(", "))]
    UnknownMembers(Vec<String>),
    #[error(transparent)]
    OwnerFloor(#[from] OwnerFloor),
    #[error(transparent)]
    Ineligible(#[from] Ineligible),
    /// Another request was first; the same work may succeed when it is done again from the start.
    #[error("another request was in the way; try again")]
    Again,
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for ProvisionError {
    fn from(error: DbError) -> Self {
        match error {
            error if error.is_transient() => Self::Again,
            error => Self::Db(error),
        }
    }
}

/// The model as of now, for what has locked already what it decides about.
pub async fn current_model(tx: &mut Tx, cache: &PublishedCache, tenant: TenantId) -> Result<Arc<RoleModel>, DbError> {
    let version = db::tenant::find_model_version(&mut *tx, tenant).await?;
    cache.model(tx, tenant, version.ok_or_else(|| DbError::corrupt("a tenant", "it is not there"))?).await
}

/// Whether the model with which a decision began still holds, once what it is about is locked.
///
/// # Errors
/// [`ProvisionError::Again`] when it does not.
pub(crate) async fn is_current(tx: &mut Tx, model: &RoleModel) -> Result<(), ProvisionError> {
    let version = db::tenant::find_model_version(tx, model.tenant).await?;
    if version == Some(model.version) { Ok(()) } else { Err(ProvisionError::Again) }
}

/// What must be true of the version of a resource before it may be changed (RFC 7644 section 3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// `If-Match: *`
    Any,
    /// It is one of these; none of them is one that nobody ever had.
    OneOf(Vec<i64>),
}

impl Precondition {
    pub(crate) fn check(&self, version: i64) -> Result<(), ProvisionError> {
        if self.admits(version) { Ok(()) } else { Err(ProvisionError::Stale) }
    }

    /// Whether what has this version may be changed.
    #[must_use]
    pub fn admits(&self, version: i64) -> bool {
        match self {
            Self::None | Self::Any => true,
            Self::OneOf(expected) => expected.contains(&version),
        }
    }
}
