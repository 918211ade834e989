//! Rules that go and leave what they gave: their origins become grants by hand, in the transaction that publishes the mapping without
//! them.

use super::{ProvisionError, Published, reconcile::Effects, record::Record};
use crate::{
    db::{self, SET_LIMIT, Tx},
    domain::{
        actor::Occasion,
        assignment::{Assignment, Holding, Origin},
        id::AccountId,
    },
    policy::{
        diff::{self, Plan},
        mapping::Mapping,
        rule::{OnDelete, Rule},
    },
};

/// To be called before `next` is published in place of what `published` has; `by` is who publishes it.
pub async fn keep_as_manual(
    tx: &mut Tx,
    published: &Published,
    occasion: &mut Occasion,
    next: &Mapping,
    by: Option<AccountId>,
) -> Result<(), ProvisionError> {
    let gone = |rule: &&Rule| rule.on_delete == OnDelete::KeepAsManual && next.find(rule.id).is_none();
    let rules: Vec<&Rule> = published.mapping.rules.iter().filter(gone).collect();
    if rules.is_empty() {
        return Ok(());
    }
    let (tenant, connection) = (published.tenant(), published.connection.id);
    let accounts = db::assignment::list_accounts_given(tx, tenant, connection).await?;
    db::account::lock_accounts(tx, tenant, &accounts).await?;
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut effects = Effects::default();
        for (account, current) in db::assignment::held(tx, tenant, chunk).await? {
            let mut plan = Plan::default();
            for rule in &rules {
                let step = diff::remove_rule(&current, connection, rule, by);
                plan.add.extend(step.add.into_iter().filter(|(holding, _)| !is_by_hand(&current, holding)));
                plan.remove.extend(step.remove);
            }
            plan.add.sort_unstable();
            plan.add.dedup();
            effects.add(occasion, account, &current, plan);
        }
        let mut record = Record::default();
        effects.write(tx, tenant, occasion, &published.model, Some(&published.mapping), &mut record).await?;
        record.write(tx, tenant, occasion).await?;
    }
    Ok(())
}

/// Whoever gave it: one grant by hand is enough.
fn is_by_hand(current: &[Assignment], holding: &Holding) -> bool {
    let mut held = current.iter().filter(|held| held.holding == *holding).flat_map(|held| &held.origins);
    held.any(|row| matches!(row.origin, Origin::Manual { .. }))
}
