//! What the permission check keeps between requests: what accounts hold, by the version that every change of it raises, and names of rules.
//! Nothing here is believed unread: the statement of each check says which version counts now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use hashlink::LruCache;

use super::listing::list_rule_names;
use crate::{
    db::{
        Db, DbError,
        check::{Giver, Holdings},
    },
    domain::{
        assignment::Assignment,
        id::{AccountId, ConnectionId, RuleId, TenantId},
    },
};

/// Accounts of which it is kept, those that were asked about last: some ten megabytes.
const ACCOUNTS: usize = 10_000;
/// Who has more assignments and reasons for them than that, or from more connections, is read each time: few, and they would take the room
/// of many.
const ROWS: usize = 64;
const GIVERS: usize = 16;

type Kept = LruCache<(TenantId, AccountId), Arc<Holdings>>;

#[derive(Debug, Clone)]
pub struct CheckCache {
    holdings: Arc<Mutex<Kept>>,
    pub(super) rule_names: RuleNames,
}

impl Default for CheckCache {
    fn default() -> Self {
        Self { holdings: Arc::new(Mutex::new(LruCache::new(ACCOUNTS))), rule_names: RuleNames::default() }
    }
}

impl CheckCache {
    /// What is kept of these accounts.
    pub(super) fn known(&self, tenant: TenantId, accounts: &BTreeSet<AccountId>) -> BTreeMap<AccountId, Arc<Holdings>> {
        let mut kept = self.holdings.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.iter().filter_map(|account| Some((*account, kept.get(&(tenant, *account))?.clone()))).collect()
    }

    pub(super) fn keep(&self, tenant: TenantId, read: &BTreeMap<AccountId, Arc<Holdings>>) {
        let mut kept = self.holdings.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, holdings) in read {
            let rows: usize = holdings.assignments.iter().map(|held| 1 + held.origins.len()).sum();
            if rows <= ROWS && holdings.givers().len() <= GIVERS {
                kept.insert((tenant, *account), holdings.clone());
            } else {
                kept.remove(&(tenant, *account));
            }
        }
    }
}

type Names = Arc<HashMap<RuleId, String>>;

/// Names of rules, kept until a connection that gave something publishes anew.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleNames(Arc<RwLock<HashMap<TenantId, NamesKept>>>);

#[derive(Debug, Clone, Default)]
struct NamesKept {
    /// Of the mapping that each connection had published when this was read.
    versions: BTreeMap<ConnectionId, i64>,
    names: Names,
}

impl RuleNames {
    pub(super) async fn of<'a>(
        &self,
        db: &Db,
        tenant: TenantId,
        givers: &BTreeMap<ConnectionId, Giver>,
        shown: impl Iterator<Item = &'a Assignment>,
    ) -> Result<Names, DbError> {
        let by_rules: BTreeSet<ConnectionId> = shown
            .flat_map(|held| &held.origins)
            .filter(|row| row.origin.rule().is_some())
            .filter_map(|row| row.origin.connection())
            .collect();
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned().unwrap_or_default();
        let version = |id| givers.get(id).map(|giver: &Giver| giver.mapping_version);
        if by_rules.iter().all(|id| kept.versions.get(id).copied() == version(id)) {
            return Ok(kept.names);
        }
        let names = Arc::new(list_rule_names(db, tenant).await?);
        let mut kept = NamesKept { names: names.clone(), versions: BTreeMap::new() };
        kept.versions.extend(givers.iter().map(|(id, giver)| (*id, giver.mapping_version)));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, kept);
        Ok(names)
    }
}
