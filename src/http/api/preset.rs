//! The preset that a tenant was made from, and the way to its newest version. An owner's alone.

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Body;
use crate::{
    admin::preset_upgrade::{self, UpgradeError, Upgraded},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::UpdateSecuritySettings,
        invariant::RoleFault,
        preset::Preset,
        upgrade::{Refusal, Step},
    },
};

const PATH: &str = "/api/v1/preset/upgrade";

pub fn routes() -> Routes {
    Routes::chapter(
        "Preset",
        "The role system that the tenant was made from. With a newer version of it, its catalogue and its roles follow; roles of the tenant's own stay.",
    )
    .document(
        Operation::get(PATH, "Plan the upgrade to the newest version of the preset")
            .needs::<UpdateSecuritySettings>()
            .answers::<UpgradePlan>(StatusCode::OK, "What would be done; `plan` is null when there is nothing to do")
            .refuses(StatusCode::CONFLICT, &["apply_first"]),
        plan,
    )
    .document(
        Operation::post(PATH, "Upgrade to the newest version of the preset")
            .about("What was planned, in one transaction, or nothing.")
            .needs::<UpdateSecuritySettings>()
            .takes::<UpgradeRequest>()
            .answers::<UpgradePlan>(StatusCode::OK, "It is done")
            .refuses(StatusCode::CONFLICT, &["role_needs_permission", "role_in_use", "apply_first"])
            .refuses(StatusCode::PRECONDITION_FAILED, &["plan_stale"]),
        upgrade,
    )
}

impl From<UpgradeError> for Problem {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::UnknownPreset(_) => Self::internal(&error),
            UpgradeError::PlanStale => Self::new(Kind::PreconditionFailed, "plan_stale", format!("{error}.")).at("plan"),
            UpgradeError::Refused(ref refusals) => {
                Self::conflict(refusals.first().map_or("role_needs_permission", code), format!("{error}."))
            }
            UpgradeError::FileUnknown(_) => Self::conflict("apply_first", format!("{error}.")),
            UpgradeError::Db(error) => error.into(),
        }
    }
}

fn code(refusal: &Refusal) -> &'static str {
    match refusal.fault {
        RoleFault::Held(_) => "role_in_use",
        RoleFault::NoPermission | RoleFault::UnknownPermission(_) | RoleFault::OwnerOnly(_) | RoleFault::WrongScopeKind(_) => {
            "role_needs_permission"
        }
    }
}

async fn plan(caller: Caller) -> Result<Json<UpgradePlan>, Problem> {
    run(&caller, None).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpgradeRequest {
    /// As the plan answered it.
    plan: String,
}

async fn upgrade(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Json<UpgradePlan>, Problem> {
    caller.authorize_at::<UpdateSecuritySettings>(caller.model.organizations.root())?;
    let sent: UpgradeRequest = body.read()?;
    let done = run(&caller, Some(&sent.plan)).await;
    caller.committed();
    done
}

async fn run(caller: &Caller, planned: Option<&str>) -> Result<Json<UpgradePlan>, Problem> {
    let grant = caller.authorize_at::<UpdateSecuritySettings>(caller.model.organizations.root())?;
    let mut occasion = caller.occasion();
    let done = preset_upgrade::upgrade(&grant, caller.db(), &mut occasion, caller.tenant, Preset::find, planned).await?;
    Ok(Json(UpgradePlan::of(done)))
}

#[derive(Debug, Serialize, ToSchema)]
struct UpgradePlan {
    preset: String,
    from: i64,
    to: i64,
    /// Names what would be done; null: nothing.
    plan: Option<String>,
    applied: bool,
    steps: Vec<UpgradeStep>,
    /// What stands in the way.
    refusals: Vec<UpgradeRefusal>,
}

#[derive(Debug, Serialize, ToSchema)]
struct UpgradeStep {
    /// `entity`, `role` or `settings`.
    kind: &'static str,
    /// `added`, `changed` or `removed`.
    change: &'static str,
    name: String,
    what: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct UpgradeRefusal {
    /// The name.
    role: String,
    code: &'static str,
    detail: String,
}

impl UpgradePlan {
    fn of(done: Upgraded) -> Self {
        let step = |step: Step| UpgradeStep { kind: step.kind, change: step.change, name: step.name, what: step.what };
        let refusal = |refusal: Refusal| UpgradeRefusal {
            role: refusal.role.name.to_string(),
            code: code(&refusal),
            detail: format!("{}: {}.", refusal.fault, preset_upgrade::cure(&refusal)),
        };
        Self {
            preset: done.preset,
            from: done.from,
            to: done.to,
            plan: done.plan,
            applied: done.applied,
            steps: done.steps.into_iter().map(step).collect(),
            refusals: done.refusals.into_iter().map(refusal).collect(),
        }
    }
}
