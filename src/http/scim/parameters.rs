//! The parameters of a SCIM address: the resource's id and the query.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use url::form_urlencoded;

use crate::{
    app::App,
    domain::id::Id,
    http::{
        caller::parameter,
        error::{Kind, ScimFailure},
    },
    scim::{error::ScimError, list::ListQuery, project::Projection, schema::Schema},
};

/// The id in the address. What is no id names no resource.
pub struct ResourceId<K>(pub Id<K>);

impl<K> FromRequestParts<App> for ResourceId<K> {
    type Rejection = ScimFailure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ScimFailure> {
        let text = parameter(parts, app, "id").await?.ok_or_else(ScimFailure::not_found)?;
        Id::parse(&text).map(Self).map_err(|_| ScimFailure::not_found())
    }
}

/// RFC 7644 section 4, of the discovery endpoints: "If a "filter" is provided, the service provider SHOULD respond with HTTP status
/// code 403 (Forbidden)". Everything else of a query is ignored there.
pub struct Unfiltered;

impl FromRequestParts<App> for Unfiltered {
    type Rejection = ScimFailure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ScimFailure> {
        let Ok(Parameters(query)) = Parameters::from_request_parts(parts, app).await;
        if query.iter().any(|(key, _)| key.eq_ignore_ascii_case("filter")) {
            return Err(ScimFailure::new(Kind::Forbidden, "What the service provider can do is not filtered: ask without filter."));
        }
        Ok(Self)
    }
}

/// The decoded query.
pub struct Parameters(Vec<(String, String)>);

impl FromRequestParts<App> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Parameters {
    pub fn list(&self, schema: &Schema) -> Result<ListQuery, ScimError> {
        ListQuery::parse(&self.0, schema)
    }

    /// `attributes` or `excludedAttributes`.
    pub fn projection(&self, schema: &Schema) -> Result<Projection, ScimError> {
        let names = |name: &str| -> Option<Vec<String>> {
            let (_, value) = self.0.iter().find(|(key, value)| key == name && !value.trim().is_empty())?;
            Some(value.split(',').map(|name| name.trim().to_owned()).collect())
        };
        Projection::new(names("attributes").as_deref(), names("excludedAttributes").as_deref(), schema)
    }
}
