//! Accounts by the hand of people: looking at them, letting in and blocking, verifying, linking identities, deleting.

use std::sync::Arc;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        filter::Condition,
        people::{Asked, Lacking, PersonRow},
    },
    domain::{
        account::SignInStatus,
        actor::{Actor, Occasion},
        connection::Connection,
        id::{AccountId, OrganizationId, RoleId, TenantId},
        model::RoleModel,
    },
    policy::{
        access::{Denied, Grant, Target, authorize, authorize_over_account},
        action::{Action, ConfigureSignIn, DeleteAccounts, DisableAccounts, GrantOwners, ReadAccounts, VerifyAccounts},
        invariant,
        places::{Places, places},
    },
    provision::{
        Precondition, PublishedCache, current_model,
        person::{self, Locked, PersonError},
    },
};

/// Longest subject of an identity provider, in characters (SAML core section 8.3.7 allows 256).
pub const SUBJECT: usize = 1024;

/// Where the actor sees accounts.
///
/// # Errors
/// When it is nowhere.
pub fn may_read(actor: &Actor, model: &RoleModel) -> Result<Places, Denied> {
    places::<ReadAccounts>(actor, model)
}

/// A page of those that somebody sees, after one.
pub async fn list(
    places: &Places,
    db: &Db,
    tenant: TenantId,
    condition: Option<&Condition>,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<PersonRow>, DbError> {
    let asked = Asked { places, condition, lacking: None, ids: None };
    db::people::list_people(db, tenant, &asked, after, limit).await
}

/// A page of those whom a role does not reach at an organization.
pub async fn list_lacking(
    places: &Places,
    db: &Db,
    model: &RoleModel,
    (role, organization): (RoleId, OrganizationId),
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<PersonRow>, DbError> {
    let above: Vec<OrganizationId> = model.organizations.line(organization).skip(1).collect();
    let lacking = Lacking { role, organization, above: &above };
    let asked = Asked { places, condition: None, lacking: Some(lacking), ids: None };
    db::people::list_people(db, model.tenant, &asked, after, limit).await
}

/// One account that somebody sees.
pub async fn find(
    places: &Places,
    source: impl Into<db::Target<'_>>,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<PersonRow>, DbError> {
    let asked = Asked { places, condition: None, lacking: None, ids: Some(&[id]) };
    Ok(db::people::list_people(source, tenant, &asked, None, 1).await?.pop())
}

/// What every change of an account needs.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    pub db: &'a Db,
    pub cache: &'a PublishedCache,
    pub tenant: TenantId,
}

/// An account that may be changed so, in a transaction.
struct Opened<A> {
    tx: Tx,
    model: Arc<RoleModel>,
    locked: Locked,
    /// Proof of the right; everything that it depends on was read under the account's lock.
    _grant: Grant<A>,
}

impl Desk<'_> {
    /// Blocks the account or lets it in.
    pub async fn set_standing(
        &self,
        occasion: &mut Occasion,
        id: AccountId,
        precondition: Precondition,
        standing: SignInStatus,
    ) -> Result<(), PersonError> {
        let Opened { mut tx, model, locked, .. } = self.open::<DisableAccounts>(occasion, id, precondition).await?;
        if person::set_standing(&mut tx, &model, occasion, locked, standing).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    pub async fn set_verified(
        &self,
        occasion: &mut Occasion,
        id: AccountId,
        precondition: Precondition,
        verified: bool,
    ) -> Result<(), PersonError> {
        let Opened { mut tx, model, locked, .. } = self.open::<VerifyAccounts>(occasion, id, precondition).await?;
        if person::set_verified(&mut tx, &model, occasion, &locked, verified).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    pub async fn delete(&self, occasion: &mut Occasion, id: AccountId, precondition: Precondition) -> Result<(), PersonError> {
        let Opened { mut tx, model, locked, .. } = self.open::<DeleteAccounts>(occasion, id, precondition).await?;
        person::delete(&mut tx, &model, occasion, &locked).await?;
        Ok(tx.commit().await?)
    }

    /// Links a subject of a connection: an owner's alone, and of an owner's account an owner's at the root. Whether anything changed.
    pub async fn link(
        &self,
        grant: &Grant<ConfigureSignIn>,
        occasion: &mut Occasion,
        id: AccountId,
        precondition: Precondition,
        connection: &Connection,
        subject: &str,
    ) -> Result<bool, PersonError> {
        if grant.at() != connection.organization {
            return Err(PersonError::NotFound);
        }
        let Opened { mut tx, model, locked, .. } = self.open::<ConfigureSignIn>(occasion, id, precondition).await?;
        // Whoever links signs in as the account: what it holds elsewhere is given away with it.
        for held in &locked.held {
            authorize::<ConfigureSignIn>(&occasion.actor, &model, held.holding.organization)?;
        }
        if invariant::is_owner(&model, &locked.held) {
            authorize::<GrantOwners>(&occasion.actor, &model, model.organizations.root())?;
        }
        let linked = person::link(&mut tx, &model, occasion, locked, connection, subject).await?;
        if linked {
            tx.commit().await?;
        }
        Ok(linked)
    }

    /// Locks the account and asks for the right to do `A` to it, at its home, else at the root. Whom one does not see, there is not.
    async fn open<A: Action>(&self, occasion: &Occasion, id: AccountId, precondition: Precondition) -> Result<Opened<A>, PersonError> {
        let mut tx = acting::begin(self.db, self.tenant, occasion, Writes::Accounts(&[id])).await?;
        db::account::lock_accounts(&mut tx, self.tenant, &[id]).await?;
        let model = current_model(&mut tx, self.cache, self.tenant).await?;
        let seen = places::<ReadAccounts>(&occasion.actor, &model).or_else(|_| places::<A>(&occasion.actor, &model))?;
        find(&seen, &mut tx, self.tenant, id).await?.ok_or(PersonError::NotFound)?;
        let locked = person::lock(&mut tx, &model, occasion, id, precondition).await?;
        let home = locked.row.account.home_organization;
        let target = Target { assignments: &locked.held, groups: &locked.groups };
        let grant = authorize_over_account::<A>(&occasion.actor, &model, home, &target, &locked.own_groups)?;
        Ok(Opened { tx, model, locked, _grant: grant })
    }
}
