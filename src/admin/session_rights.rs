//! The rights of a session where changes of roles wait for the next sign-in: kept when it begins, looked up with every request.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    db::{self, Db, DbError, Tx, role_version},
    domain::{
        actor::AtSignIn,
        assignment::{Assignment, live},
        id::{AccountId, TenantId},
        model::{RoleChangeEffect, RoleModel, Settings},
        time::Timestamp,
    },
    keys,
    policy::session_rights::{Held, RoleVersion, model_then, nothing_gained},
};

/// Keeps what the account holds now, in the transaction that opens its session. `None` where nothing has to be kept.
pub async fn keep(
    tx: &mut Tx,
    settings: &Settings,
    tenant: TenantId,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<Vec<Held>>, DbError> {
    if settings.role_change_effect == RoleChangeEffect::Immediate {
        return Ok(None);
    }
    let held = live(db::assignment::held(tx, tenant, &[account]).await?.remove(&account).unwrap_or_default());
    let roles = db::role::list_roles(&mut *tx, tenant).await?;
    let versions: BTreeMap<_, _> = roles
        .iter()
        .filter(|row| held.iter().any(|assignment| assignment.holding.role == row.role.id))
        .map(|row| RoleVersion::of(&row.role))
        .map(|version| (version.role, (keys::hash(&serde_json::to_string(&version).unwrap_or_default()), version)))
        .collect();
    let kept = held.iter().filter_map(|assignment| {
        let (hash, _) = versions.get(&assignment.holding.role)?;
        Some(Held::of(assignment, hash.clone()))
    });
    let kept = kept.collect();
    // In the order of hashes, as every other sign-in writes them: two that meet do not lock one another out.
    let mut versions: Vec<_> = versions.into_values().collect();
    versions.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    role_version::keep_versions(tx, tenant, &versions, now).await?;
    Ok(Some(kept))
}

/// Above so many, what is kept in memory is forgotten.
const KEPT: usize = 1_000;

type Of = (TenantId, i64, Vec<String>);
/// Versions of roles by their hashes.
type Versions = HashMap<(TenantId, String), Arc<RoleVersion>>;

/// What was looked up: versions of roles never change, and today's model with them depends on nothing else.
#[derive(Debug, Clone, Default)]
pub struct SessionRightsCache {
    versions: Arc<RwLock<Versions>>,
    models: Arc<RwLock<HashMap<Of, Arc<RoleModel>>>>,
}

impl SessionRightsCache {
    /// What a session may besides what it may now; `None` where that is no limit. `held` was kept when it began.
    pub async fn read(
        &self,
        db: &Db,
        model: &RoleModel,
        account: AccountId,
        held: &[Held],
        now: &[Assignment],
    ) -> Result<Option<AtSignIn>, DbError> {
        let mut hashes: Vec<String> = held.iter().map(|held| held.version.clone()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let versions = self.versions(db, model.tenant, &hashes).await?;
        if nothing_gained(now, model, held, &versions) {
            return Ok(None);
        }
        let assignments = held.iter().map(|held| held.assignment(account)).collect();
        Ok(Some(AtSignIn { assignments, model: self.model(model, hashes, &versions) }))
    }

    async fn versions(&self, db: &Db, tenant: TenantId, hashes: &[String]) -> Result<Vec<RoleVersion>, DbError> {
        let mut found = Vec::with_capacity(hashes.len());
        let mut missing = Vec::new();
        {
            let known = self.versions.read().unwrap_or_else(PoisonError::into_inner);
            for hash in hashes {
                match known.get(&(tenant, hash.clone())) {
                    Some(version) => found.push((**version).clone()),
                    None => missing.push(hash.as_str()),
                }
            }
        }
        if !missing.is_empty() {
            let read = role_version::find_versions(db, tenant, &missing).await?;
            let mut known = self.versions.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() > KEPT {
                known.clear();
            }
            for (hash, version) in read {
                found.push(version.clone());
                known.insert((tenant, hash), Arc::new(version));
            }
        }
        Ok(found)
    }

    fn model(&self, model: &RoleModel, hashes: Vec<String>, versions: &[RoleVersion]) -> Arc<RoleModel> {
        let of = (model.tenant, model.version, hashes);
        if let Some(kept) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(&of) {
            return kept.clone();
        }
        let made = Arc::new(model_then(model, versions));
        let mut kept = self.models.write().unwrap_or_else(PoisonError::into_inner);
        // A version of the model that is over is asked for no more.
        kept.retain(|(tenant, version, _), _| *tenant != model.tenant || *version == model.version);
        if kept.len() > KEPT {
            kept.clear();
        }
        kept.insert(of, made.clone());
        made
    }
}
