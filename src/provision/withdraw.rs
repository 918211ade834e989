//! Takes back what a connection gave, whole: it was withdrawn by somebody who may. A person's action, so the owner floor refuses.

use super::{
    ProvisionError, Published,
    reconcile::{Effects, Owners},
    record::Record,
};
use crate::{
    db::{self, SET_LIMIT, Tx, account::OwnerRow},
    domain::actor::Occasion,
    policy::{
        diff,
        invariant::{self, OwnerFloor},
    },
};

/// Removes every origin of the connection's rules and default, and ends the sessions that came through it. How many accounts lost something.
pub async fn withdraw_connection(tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<usize, ProvisionError> {
    let (tenant, connection, model) = (published.tenant(), published.connection.id, &published.model);
    let accounts = db::assignment::list_accounts_given(tx, tenant, connection).await?;
    let mut before: Option<Vec<OwnerRow>> = None;
    // All of them first: the owner floor is the last lock.
    db::account::lock_accounts(tx, tenant, &accounts).await?;
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut effects = Effects::default();
        for (account, current) in db::assignment::held(tx, tenant, chunk).await? {
            let plan = diff::withdraw_all(&current, connection);
            if before.is_none() && invariant::touches_owners(model, &plan) {
                before = Some(Owners::Unread.read(tx, model).await?.clone());
            }
            effects.add(occasion, account, &current, plan);
        }
        let mut record = Record::default();
        effects.write(tx, tenant, occasion, model, Some(&published.mapping), &mut record).await?;
        record.write(tx, tenant, occasion).await?;
    }
    if let Some(before) = before {
        let after = db::account::list_owners(tx, tenant, model.organizations.root()).await?;
        invariant::person_may_leave(usable(&after), model.settings.min_owners, usable(&before))?;
        if after.is_empty() && !before.is_empty() {
            // None of them can sign in, but one may again.
            return Err(OwnerFloor { after: 0, floor: model.settings.min_owners.max(1) }.into());
        }
    }
    db::session::end_sessions_of_connection(tx, tenant, connection).await?;
    Ok(accounts.len())
}

fn usable(owners: &[OwnerRow]) -> i64 {
    i64::try_from(owners.iter().filter(|owner| owner.usable).count()).expect("a tenant has fewer owners than that")
}
