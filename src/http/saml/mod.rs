//! SAML over HTTP: what a connection's identity provider is told of us, where a sign-in begins, and where its response arrives.

mod acs;
mod admit;
mod browser;
mod form;
pub mod intake;
mod login;
pub mod logout;
mod metadata;
mod refusal;
mod resume;
mod test;
mod verify;

use axum::http::Method;

use super::{
    error::Problem,
    routes::{Entry, Routes},
};
use crate::{
    admin::own_keys::OwnKeysError,
    app::App,
    config::PublicUrl,
    db::{self, DbError},
    domain::{connection::Connection, name::Slug},
};

pub fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/connections/{slug}/saml/metadata", Entry::Open, metadata::get)
        .add(Method::GET, "/connections/{slug}/saml/login", Entry::Open, login::get)
        .add(Method::POST, "/connections/{slug}/saml/acs", Entry::Open, acs::post)
        .add(Method::GET, "/connections/{slug}/saml/test", Entry::Open, test::begin)
        .add(Method::GET, "/connections/{slug}/test-sign-ins/{id}", Entry::Session, test::page)
        .add(Method::GET, "/connections/{slug}/saml/logout", Entry::Open, logout::get)
        .add(Method::POST, "/connections/{slug}/saml/logout", Entry::Open, logout::post)
}

/// Our side of a connection, as the identity provider knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Also where the metadata is.
    pub entity_id: String,
    pub acs_url: String,
    pub logout_url: String,
}

impl Addresses {
    #[must_use]
    pub fn of(public_url: &PublicUrl, slug: &Slug) -> Self {
        let below = |name: &str| public_url.join(&format!("/connections/{slug}/saml/{name}"));
        Self { entity_id: below("metadata"), acs_url: below("acs"), logout_url: below("logout") }
    }
}

impl From<OwnKeysError> for Problem {
    fn from(error: OwnKeysError) -> Self {
        match error {
            OwnKeysError::OtherMasterKey => {
                tracing::error!("a sign-in waits: {error}");
                Self::unavailable(format!("{error}."))
            }
            OwnKeysError::Db(error) => error.into(),
        }
    }
}

/// The connection of an address, switched on or not.
async fn find(app: &App, slug: &str) -> Result<Option<Connection>, DbError> {
    let Ok(slug) = Slug::parse(slug) else { return Ok(None) };
    Ok(db::connection::find_connection_by_slug(&app.db, slug.as_str()).await?.map(|row| row.connection))
}

/// As [`find`], if people may sign in through it.
async fn find_enabled(app: &App, slug: &str) -> Result<Option<Connection>, DbError> {
    Ok(find(app, slug).await?.filter(Connection::signs_in))
}
