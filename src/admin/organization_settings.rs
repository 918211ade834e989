//! The settings of an organization. Language is for who may change its settings; networks, second factor, lifetimes and registration are
//! an owner's alone.

use std::net::IpAddr;

use serde_json::json;

use super::organization::{OrganizationError, Store, begin, finish};
use crate::{
    db::{self, DbError},
    domain::{
        actor::Occasion,
        model::RoleModel,
        network::Network,
        organization_settings::{API_TOKEN_TTL_SECS, Language, MOST_NETWORKS, OrganizationSettings, SESSION_TTL_SECS},
    },
    policy::{
        access::Grant,
        action::{ReadOrganizations, UpdateOrganizationSettings, UpdateSecuritySettings},
    },
    provision::Precondition,
};

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    #[error("{field} lies between {least} and {most} seconds")]
    OutOfRange { field: &'static str, least: i64, most: i64 },
    #[error("console_networks has more than {MOST_NETWORKS} networks")]
    TooManyNetworks,
    #[error(
        "your own address {} is in none of these networks, and you would lock yourself out: add a network that holds it",
        .0.map_or_else(|| "(unknown)".to_owned(), |address| address.to_string())
    )]
    LocksAuthorOut(Option<IpAddr>),
    #[error("self_service_registration is a switch of the tenant: it is set at the root organization")]
    RootOnly,
}

impl From<DbError> for SettingsError {
    fn from(error: DbError) -> Self {
        Self::Organization(error.into())
    }
}

/// The settings with what they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub settings: OrganizationSettings,
    /// The tenant's switch, at the root alone.
    pub self_service_registration: Option<bool>,
    /// Of the organization.
    pub version: i64,
}

/// What is to be different; `None` stays, `Some(None)` is taken back.
#[derive(Debug, Default)]
pub struct General {
    pub language: Option<Option<Language>>,
}

/// What an owner alone sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub console_networks: Option<Vec<Network>>,
    pub email_mfa_required: Option<bool>,
    pub session_ttl_secs: Option<Option<i64>>,
    pub api_token_ttl_secs: Option<Option<i64>>,
    pub self_service_registration: Option<bool>,
}

/// One of the two, or both: each with the right to it.
#[derive(Debug, Default)]
pub struct Wanted {
    pub general: Option<(Grant<UpdateOrganizationSettings>, General)>,
    pub security: Option<(Grant<UpdateSecuritySettings>, Security)>,
}

pub async fn get(grant: &Grant<ReadOrganizations>, store: Store<'_>, model: &RoleModel) -> Result<Shown, SettingsError> {
    let version = super::organization::get(grant, store).await?.version;
    let settings = db::organization_settings::find_settings(store.db, store.tenant, grant.at()).await?;
    let at_root = grant.at() == model.organizations.root();
    Ok(Shown { settings, self_service_registration: at_root.then_some(model.settings.self_service_org_registration), version })
}

/// `address` is the author's, as the gateway sees it.
pub async fn update(
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: Precondition,
    wanted: Wanted,
    address: Option<IpAddr>,
) -> Result<Shown, SettingsError> {
    let places = [wanted.general.as_ref().map(|(grant, _)| grant.at()), wanted.security.as_ref().map(|(grant, _)| grant.at())];
    let id = places.into_iter().flatten().next().ok_or(OrganizationError::NotFound)?;
    if places.into_iter().flatten().any(|at| at != id) {
        return Err(OrganizationError::NotFound.into());
    }
    let (mut tx, model) = begin(store, occasion).await?;
    let version = db::organization::lock_organization(&mut tx, store.tenant, id).await?.ok_or(OrganizationError::NotFound)?;
    if !precondition.admits(version) {
        return Err(OrganizationError::Stale.into());
    }
    let before = db::organization_settings::find_settings(&mut tx, store.tenant, id).await?;
    let mut after = before.clone();
    let mut registration = None;
    if let Some((_, general)) = wanted.general {
        after.language = general.language.unwrap_or(after.language);
    }
    if let Some((_, security)) = wanted.security {
        registration = security.self_service_registration;
        secure(&mut after, security)?;
    }
    if after.console_networks != before.console_networks {
        admit(&after.console_networks, address)?;
    }
    let at_root = id == model.organizations.root();
    if registration.is_some() && !at_root {
        return Err(SettingsError::RootOnly);
    }
    let switched = registration.filter(|on| *on != model.settings.self_service_org_registration);
    let on = registration.unwrap_or(model.settings.self_service_org_registration);
    let shown = |settings, version| Shown { settings, self_service_registration: at_root.then_some(on), version };
    if after == before && switched.is_none() {
        return Ok(shown(after, version));
    }
    db::organization_settings::put_settings(&mut tx, store.tenant, id, &after).await?;
    if let Some(on) = switched {
        // Whoever else changes the tenant's settings waits from here on.
        db::tenant::raise_model_version(&mut tx, store.tenant).await?;
        let mut tenant = db::tenant::find_tenant(&mut tx, store.tenant).await?.ok_or(OrganizationError::NotFound)?;
        tenant.settings.self_service_org_registration = on;
        db::tenant::update_tenant(&mut tx, &tenant).await?;
    }
    let version = db::organization::raise_organization_version(&mut tx, store.tenant, id).await?;
    let detail = json!({ "from": before, "to": after, "self_service_registration": switched });
    finish(tx, store.tenant, occasion, "organization.settings_changed", id, detail).await?;
    Ok(shown(after, version))
}

fn secure(settings: &mut OrganizationSettings, security: Security) -> Result<(), SettingsError> {
    let within = |field, secs: Option<i64>, range: std::ops::RangeInclusive<i64>| match secs {
        Some(secs) if !range.contains(&secs) => Err(SettingsError::OutOfRange { field, least: *range.start(), most: *range.end() }),
        secs => Ok(secs),
    };
    if let Some(secs) = security.session_ttl_secs {
        settings.session_ttl_secs = within("session_ttl_secs", secs, SESSION_TTL_SECS)?;
    }
    if let Some(secs) = security.api_token_ttl_secs {
        settings.api_token_ttl_secs = within("api_token_ttl_secs", secs, API_TOKEN_TTL_SECS)?;
    }
    if let Some(networks) = security.console_networks {
        if networks.len() > MOST_NETWORKS {
            return Err(SettingsError::TooManyNetworks);
        }
        settings.console_networks = networks;
    }
    settings.email_mfa_required = security.email_mfa_required.unwrap_or(settings.email_mfa_required);
    Ok(())
}

/// The author stays in, also where the list is for an organization that is not the author's own.
fn admit(networks: &[Network], address: Option<IpAddr>) -> Result<(), SettingsError> {
    let inside = networks.is_empty() || address.is_some_and(|address| networks.iter().any(|network| network.contains(address)));
    if inside { Ok(()) } else { Err(SettingsError::LocksAuthorOut(address)) }
}
