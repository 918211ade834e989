//! The permission catalogue of the tenant, by category: what a role can name.

use std::collections::BTreeMap;

use axum::{Json, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::role,
    domain::{catalogue::Entity, model::RoleModel},
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::action::{self, ReadRoles},
};

pub fn routes() -> Routes {
    Routes::chapter("Catalogue", "What roles can name: entities and their actions, by category.").document(
        Operation::get("/api/v1/catalogue", "Show the permission catalogue")
            .about("A role names pairs (`entity:action`) or selectors: `*:*` is everything, `entity:*` every action of an entity, `*:read` every read right but of what is sensitive; now, and when the catalogue grows.")
            .needs::<ReadRoles>()
            .answers::<Catalogue>(StatusCode::OK, "The catalogue"),
        get,
    )
}

async fn get(caller: Caller) -> Result<Json<Catalogue>, Problem> {
    role::may_read(&caller.actor, &caller.model)?;
    let mut categories: BTreeMap<&str, Vec<ShownEntity>> = BTreeMap::new();
    for entity in caller.model.catalogue.iter() {
        categories.entry(&entity.category).or_default().push(ShownEntity::of(&caller.model, entity));
    }
    let categories = categories.into_iter().map(|(name, entities)| Category { name: name.to_owned(), entities }).collect();
    let gate = caller.model.settings.gate.as_ref();
    let gate = gate.map(|gate| ShownGate { requires: gate.requires.to_string(), guards: gate.guards.clone() });
    Ok(Json(Catalogue { categories, gate, custom_roles: caller.model.settings.custom_roles }))
}

#[derive(Debug, Serialize, ToSchema)]
struct Catalogue {
    categories: Vec<Category>,
    gate: Option<ShownGate>,
    /// Whether roles can be made here.
    custom_roles: bool,
}

/// Permissions on some entities are inert unless the same role has another one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gate)]
struct ShownGate {
    requires: String,
    guards: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Category {
    name: String,
    entities: Vec<ShownEntity>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entity)]
struct ShownEntity {
    key: String,
    name: String,
    description: String,
    /// `organization`, or `context` and `resource` for what is held in one of those.
    scope_kind: String,
    /// `*:read` leaves it out.
    sensitive: bool,
    actions: Vec<ShownAction>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CatalogueAction)]
struct ShownAction {
    /// What a role names.
    permission: String,
    action: String,
    /// How people read it.
    label: String,
    /// What it lets one do at the gateway itself.
    opens: Vec<String>,
    /// An owner's alone: no role can name it.
    owner_only: bool,
    /// Done at the root only.
    root_only: bool,
}

impl ShownEntity {
    fn of(model: &RoleModel, entity: &Entity) -> Self {
        let listed = |list: &[crate::domain::catalogue::Permission], action: &str| {
            list.iter().any(|pair| model.catalogue.covers(pair, &entity.key, action))
        };
        let shown = |name: &String| ShownAction {
            permission: format!("{}:{name}", entity.key),
            action: name.clone(),
            label: entity.labels.get(name).unwrap_or(name).clone(),
            opens: entity.opens.get(name).into_iter().flatten().map(|capability| action::name(*capability).to_owned()).collect(),
            owner_only: listed(&model.settings.owner_only, name),
            root_only: listed(&model.settings.root_only_actions, name),
        };
        Self {
            key: entity.key.clone(),
            name: entity.name.clone(),
            description: entity.description.clone(),
            scope_kind: entity.scope_kind.clone(),
            sensitive: entity.sensitive,
            actions: entity.actions.iter().map(shown).collect(),
        }
    }
}
