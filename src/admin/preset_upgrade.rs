//! A tenant follows a newer version of its preset: planned first, then applied in one transaction.

use std::collections::BTreeSet;

use serde_json::json;

use super::model_change::ModelChange;
use crate::{
    db::{self, Db, DbError, tenant::Tenant},
    domain::{actor::Occasion, id::TenantId},
    keys,
    policy::{
        access::Grant,
        action::UpdateSecuritySettings,
        invariant::RoleFault,
        preset::Preset,
        upgrade::{self, Refusal, Step},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("the preset {0} is none of those that come with this version")]
    UnknownPreset(String),
    #[error("what would be done is no longer what was planned; plan again")]
    PlanStale,
    #[error("{}", refused(.0))]
    Refused(Vec<Refusal>),
    /// Names them.
    #[error(
        "it is not known whether the tenant's file names {}, because an older version applied it: apply the file, which upgrades the tenant too",
        .0.join(", ")
    )]
    FileUnknown(Vec<&'static str>),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// In words.
#[must_use]
pub fn refused(refusals: &[Refusal]) -> String {
    let one =
        |refusal: &Refusal| format!("the role {:?} could not stand: {}: {}", refusal.role.name.as_str(), refusal.fault, cure(refusal));
    refusals.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What lets the tenant through.
#[must_use]
pub fn cure(refusal: &Refusal) -> &'static str {
    match refusal.fault {
        RoleFault::Held(_) => "revoke it, or move its holders to another role first",
        RoleFault::NoPermission | RoleFault::UnknownPermission(_) | RoleFault::OwnerOnly(_) | RoleFault::WrongScopeKind(_) => {
            "edit or delete the role first"
        }
    }
}

/// What an upgrade comes to, or came to.
#[derive(Debug)]
pub struct Upgraded {
    pub preset: String,
    pub from: i64,
    pub to: i64,
    /// Names what was planned; `None` when there is nothing to do.
    pub plan: Option<String>,
    pub steps: Vec<Step>,
    pub refusals: Vec<Refusal>,
    pub applied: bool,
}

/// Plans, or does what was planned. `newest` is looked up by the tenant's preset.
pub async fn upgrade<'p>(
    grant: &Grant<UpdateSecuritySettings>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    newest: impl Fn(&str) -> Option<&'p Preset>,
    planned: Option<&str>,
) -> Result<Upgraded, UpgradeError> {
    debug_assert_eq!(grant.actor(), &occasion.actor);
    let mut change = ModelChange::begin(db, tenant, occasion).await?;
    let row = db::tenant::find_tenant(&mut change.tx, tenant).await?.ok_or_else(|| DbError::corrupt("a tenant", "it is not there"))?;
    let preset = newest(&row.preset).ok_or_else(|| UpgradeError::UnknownPreset(row.preset.clone()))?;
    let mut upgraded = Upgraded {
        preset: row.preset.clone(),
        from: row.preset_version,
        to: preset.version.max(row.preset_version),
        plan: None,
        steps: Vec::new(),
        refusals: Vec::new(),
        applied: false,
    };
    if preset.version <= row.preset_version {
        return if planned.is_some() { Err(UpgradeError::PlanStale) } else { Ok(upgraded) };
    }
    let said = match &row.file_settings {
        Some(said) => said.clone(),
        None => match upgrade::decided_by_file(&change.model.settings, preset) {
            fields if fields.is_empty() => BTreeSet::new(),
            fields => return Err(UpgradeError::FileUnknown(fields)),
        },
    };
    let holders = db::assignment_list::count_holders(&mut change.tx, tenant).await?.into_iter().collect();
    let comparison = upgrade::compare(&change.model, preset, &said, &holders, || occasion.ids.make());
    let plan = token(&row, preset, &comparison);
    upgraded.steps.clone_from(&comparison.steps);
    upgraded.refusals.clone_from(&comparison.refusals);
    upgraded.plan = Some(plan.clone());
    let Some(planned) = planned else { return Ok(upgraded) };
    if planned != plan {
        return Err(UpgradeError::PlanStale);
    }
    if !comparison.refusals.is_empty() {
        return Err(UpgradeError::Refused(comparison.refusals));
    }
    write(&mut change, occasion, row, preset, comparison).await?;
    let detail = json!({ "preset": upgraded.preset, "from": upgraded.from, "to": upgraded.to, "steps": upgraded.steps });
    change.note("preset.upgraded", "tenant", &tenant, detail);
    change.commit(occasion).await?;
    Ok(Upgraded { applied: true, ..upgraded })
}

async fn write(
    change: &mut ModelChange,
    occasion: &Occasion,
    row: Tenant,
    preset: &Preset,
    comparison: upgrade::Upgrade,
) -> Result<(), UpgradeError> {
    let tenant = row.id;
    db::role::insert_entities(&mut change.tx, tenant, &comparison.entities).await?;
    db::role::delete_entities(&mut change.tx, tenant, &comparison.removed_entities).await?;
    // As many as a preset has, and those that people made and that lose what is gone.
    for role in &comparison.changed_roles {
        if !db::role::update_role(&mut change.tx, tenant, role).await? {
            return Err(UpgradeError::PlanStale);
        }
    }
    if !db::role::insert_roles(&mut change.tx, tenant, &comparison.new_roles, false, occasion.now).await? {
        return Err(UpgradeError::PlanStale);
    }
    db::tenant::update_tenant(&mut change.tx, &Tenant { preset_version: preset.version, settings: comparison.settings, ..row }).await?;
    Ok(())
}

/// Of all that the plan was made from and comes to: the settings as they are and will be, the steps, what stands in the way.
fn token(row: &Tenant, preset: &Preset, upgrade: &upgrade::Upgrade) -> String {
    let refused: Vec<String> = upgrade.refusals.iter().map(|refusal| refusal.role.id.to_string()).collect();
    let planned = json!({
        "tenant": row.id,
        "from": row.preset_version,
        "to": preset.version,
        "settings": [row.settings, upgrade.settings],
        "file_settings": row.file_settings,
        "steps": upgrade.steps,
        "refused": refused,
    });
    keys::hash(&format!("rolegate/1 upgrade {planned}"))
}
