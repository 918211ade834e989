//! Invariant 4 as it binds people: whom they may take from among the owners. Owners are read under the floor's lock before.

use super::assign::AssignRefusal;
use crate::{
    db::account::OwnerRow,
    domain::id::AccountId,
    policy::invariant::{LastLocalOwner, OwnerFloor, person_may_leave},
};

/// Whether enough owners stay without the account, and one at least.
pub(super) fn stays_above(owners: &[OwnerRow], account: AccountId, min_owners: i64) -> Result<(), OwnerFloor> {
    let count = |n: usize| i64::try_from(n).expect("a tenant has fewer owners than that");
    let before = count(owners.iter().filter(|owner| owner.usable).count());
    let leaves = owners.iter().any(|owner| owner.account == account && owner.usable);
    person_may_leave(before - i64::from(leaves), min_owners, before)?;
    if owners.iter().all(|owner| owner.account == account) {
        // Nobody of them can sign in, but somebody may again: the last owner assignment is not a person's to take either.
        return Err(OwnerFloor { after: 0, floor: min_owners.max(1) });
    }
    Ok(())
}

/// As [`stays_above`], and one stays who needs no identity provider.
pub(super) fn may_leave(owners: &[OwnerRow], account: AccountId, min_owners: i64) -> Result<(), AssignRefusal> {
    stays_above(owners, account, min_owners)?;
    let local = |owner: &&OwnerRow| owner.has_local_credential && owner.usable;
    let is_last = owners.iter().filter(local).any(|owner| owner.account == account) && owners.iter().filter(local).count() == 1;
    if is_last { Err(LastLocalOwner.into()) } else { Ok(()) }
}
