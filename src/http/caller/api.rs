//! Who calls the API, with what they may reach and the database in one value: [`Caller`] for looking, [`ChangingCaller`] for changing.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::session::{CSRF_HEADER, SessionCaller};
use crate::{
    app::App,
    db::{self, Db},
    domain::{
        actor::{Actor, Occasion},
        connection::Connection,
        id::{OrganizationId, TenantId},
        model::RoleModel,
        name::Slug,
    },
    http::{
        error::{Kind, Problem},
        request::RequestId,
    },
    policy::{
        access::{Grant, authorize},
        action::Action,
    },
};

/// Somebody who is known. What they may do, [`Caller::authorize_at`] says.
#[derive(Debug, Clone)]
pub struct Caller {
    pub app: App,
    pub tenant: TenantId,
    pub actor: Actor,
    pub model: Arc<RoleModel>,
    pub request_id: RequestId,
}

impl Caller {
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.app.db
    }

    #[must_use]
    pub fn occasion(&self) -> Occasion {
        self.app.occasion(self.actor.clone(), self.request_id.as_str())
    }

    /// A connection of the caller's tenant; of another one's, nobody is told that it exists.
    pub async fn connection(&self, slug: &str) -> Result<Connection, Problem> {
        let slug = Slug::parse(slug).map_err(|_| Problem::not_found())?;
        let row = db::connection::find_connection_by_slug(self.db(), slug.as_str()).await?;
        let connection = row.map(|row| row.connection).filter(|connection| connection.tenant == self.tenant);
        connection.ok_or_else(Problem::not_found)
    }

    /// The right to do `A` at the organization of a connection.
    pub fn authorize<A: Action>(&self, connection: &Connection) -> Result<Grant<A>, Problem> {
        self.authorize_at(connection.organization)
    }

    /// The right to do `A` at an organization.
    pub fn authorize_at<A: Action>(&self, at: OrganizationId) -> Result<Grant<A>, Problem> {
        authorize(&self.actor, &self.model, at).map_err(|denied| Problem::new(Kind::Forbidden, denied.code(), format!("{denied}.")))
    }

    /// Wakes whoever waits for commits. After every change.
    pub fn committed(&self) {
        self.app.committed.notify_one();
    }
}

impl From<SessionCaller> for Caller {
    fn from(session: SessionCaller) -> Self {
        let SessionCaller { app, tenant, actor, model, request_id, .. } = session;
        Self { app, tenant, actor, model, request_id }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(SessionCaller::from_request_parts(parts, app).await?.into())
    }
}

/// Somebody who may be let change things: a session whose token came in the header `X-CSRF-Token`.
#[derive(Debug, Clone)]
pub struct ChangingCaller(pub Caller);

impl FromRequestParts<App> for ChangingCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = SessionCaller::from_request_parts(parts, app).await?;
        session.permit_change(&parts.headers, parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()))?;
        Ok(Self(session.into()))
    }
}
