//! The settings of an organization: language, the console's networks, second factor, lifetimes, registration.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    organizations::store,
    precondition::{IfMatch, etag},
};
use crate::{
    admin::organization_settings::{self, General, Security, SettingsError, Wanted},
    domain::{network::Network, organization_settings::Language},
    http::{
        caller::api::{Caller, ChangingCaller},
        client::ClientAddress,
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadOrganizations, UpdateOrganizationSettings},
};

const PATH: &str = "/api/v1/organizations/{slug}/settings";

pub fn routes() -> Routes {
    Routes::chapter(
        "Organization settings",
        "What an organization says for itself and for all below it. A child narrows what its parent says and never widens it.",
    )
    .document(
        Operation::get(PATH, "Show the settings of an organization")
            .about("As the organization itself says them; what stands above it holds too.")
            .needs::<ReadOrganizations>()
            .versioned()
            .answers::<Shown>(StatusCode::OK, "The settings"),
        get,
    )
    .document(
        Operation::patch(PATH, "Change the settings of an organization")
            .about("What is left out stays; null takes back. All but `language` is an owner's alone.")
            .needs::<UpdateOrganizationSettings>()
            .takes::<Patch>()
            .versioned()
            .answers::<Shown>(StatusCode::OK, "The settings as they are now")
            .refuses(StatusCode::FORBIDDEN, &["owner_only"])
            .refuses(StatusCode::BAD_REQUEST, &["language", "console_networks"])
            .refuses(StatusCode::CONFLICT, &["locks_author_out"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["out_of_range", "too_many_networks", "root_only_setting"]),
        patch,
    )
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        let detail = format!("{error}.");
        match error {
            SettingsError::Organization(error) => error.into(),
            SettingsError::OutOfRange { field, .. } => Self::unprocessable("out_of_range", detail).at(field),
            SettingsError::TooManyNetworks => Self::unprocessable("too_many_networks", detail).at("console_networks"),
            SettingsError::LocksAuthorOut(_) => Self::conflict("locks_author_out", detail).at("console_networks"),
            SettingsError::RootOnly => Self::unprocessable("root_only_setting", detail).at("self_service_registration"),
        }
    }
}

async fn get(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadOrganizations>(&slug)?;
    let found = organization_settings::get(&grant, store(&caller), &caller.model).await?;
    Ok(shown(&found))
}

/// Tells what was left out from what was sent as null.
#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
#[derive(Deserialize, ToSchema)]
#[schema(as = OrganizationSettingsPatch)]
#[serde(deny_unknown_fields)]
struct Patch {
    /// A language tag such as `de` or `pt-BR`.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
    /// Networks such as `192.0.2.0/24` or `2001:db8::/32`, from which those at home here may use the console and the API; empty: from
    /// anywhere. Must hold the caller's own address.
    console_networks: Option<Vec<String>>,
    /// Of those who sign in without an identity provider. It is kept and told; nothing asks for a second factor yet.
    email_mfa_required: Option<bool>,
    /// 300 to 2592000.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<i64>)]
    session_ttl_secs: Option<Option<i64>>,
    /// 60 to 86400.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<i64>)]
    api_token_ttl_secs: Option<Option<i64>>,
    /// Of the tenant, at the root organization alone: whether organizations are made at all.
    self_service_registration: Option<bool>,
}

impl Patch {
    fn general(&self) -> Result<Option<General>, Problem> {
        let Some(language) = &self.language else { return Ok(None) };
        let parse = |text: &String| Language::try_from(text.clone());
        let language = language.as_ref().map(parse).transpose();
        let language = language.map_err(|error| Problem::invalid("language", format!("{error}.")).at("language"))?;
        Ok(Some(General { language: Some(language) }))
    }

    fn security(&self) -> Result<Option<Security>, Problem> {
        let networks = self.console_networks.as_ref().map(|texts| {
            let parse = |(n, text): (usize, &String)| {
                let refused = |error| Problem::invalid("console_networks", format!("{error}.")).at(format!("console_networks[{n}]"));
                text.trim().parse::<Network>().map_err(refused)
            };
            texts.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()
        });
        let security = Security {
            console_networks: networks.transpose()?,
            email_mfa_required: self.email_mfa_required,
            session_ttl_secs: self.session_ttl_secs,
            api_token_ttl_secs: self.api_token_ttl_secs,
            self_service_registration: self.self_service_registration,
        };
        Ok((security != Security::default()).then_some(security))
    }
}

async fn patch(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    ClientAddress(address): ClientAddress,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizationSettings>(&slug)?;
    let at = grant.at();
    let sent: Patch = body.read()?;
    let security = match sent.security()? {
        Some(security) => Some((caller.authorize_at(at)?, security)),
        None => None,
    };
    let wanted = Wanted { general: Some((grant, sent.general()?.unwrap_or_default())), security };
    let after = organization_settings::update(store(&caller), &mut caller.occasion(), precondition, wanted, address).await?;
    caller.committed();
    Ok(shown(&after))
}

#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationSettings)]
struct Shown {
    language: Option<String>,
    console_networks: Vec<String>,
    email_mfa_required: bool,
    /// Null: as the connection, or the gateway, has it.
    session_ttl_secs: Option<i64>,
    /// Null: as the gateway has it.
    api_token_ttl_secs: Option<i64>,
    /// At the root organization alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    self_service_registration: Option<bool>,
}

fn shown(found: &organization_settings::Shown) -> Response {
    let settings = &found.settings;
    let body = Shown {
        language: settings.language.clone().map(String::from),
        console_networks: settings.console_networks.iter().map(ToString::to_string).collect(),
        email_mfa_required: settings.email_mfa_required,
        session_ttl_secs: settings.session_ttl_secs,
        api_token_ttl_secs: settings.api_token_ttl_secs,
        self_service_registration: found.self_service_registration,
    };
    let headers = [etag(found.version), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (headers, Json(body)).into_response()
}
