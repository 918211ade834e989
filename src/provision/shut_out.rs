//! Whom a change of a connection or its mapping keeps from signing in, by what their identity provider said of them last.

use super::{ProvisionError, Published, reconcile::desire, user::lock_people};
use crate::{
    db::{self, Tx},
    domain::{account::SignInStatus, actor::Occasion, id::AccountId},
};

/// Of these accounts, those that are refused now and were not before; who is not let in for another reason is not among them.
pub async fn shut_out(
    tx: &mut Tx,
    before: &Published,
    after: &Published,
    occasion: &Occasion,
    ids: &[AccountId],
) -> Result<Vec<AccountId>, ProvisionError> {
    if ids.is_empty() || !after.connection.signs_in() || !after.mapping.refuses() {
        return Ok(Vec::new());
    }
    let people = lock_people(tx, after, ids).await?;
    let mut groups = db::group::groups_of(tx, after.tenant(), after.connection.id, ids).await?;
    let mut refused = Vec::new();
    for person in people {
        let id = person.account.account.id;
        let groups = groups.remove(&id).unwrap_or_default();
        let may_in = person.account.account.status == SignInStatus::Active && person.identity.is_live();
        if may_in
            && desire(after, &person, groups.clone(), occasion).denied.is_some()
            && desire(before, &person, groups, occasion).denied.is_none()
        {
            refused.push(id);
        }
    }
    Ok(refused)
}
