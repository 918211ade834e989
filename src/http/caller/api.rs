//! Who calls the API, with what they may reach and the database in one value: [`Caller`] for looking, [`ChangingCaller`] for changing.
//!
//! Three kinds come in: a session's cookie, the API token that somebody made from a session, an application's token. A bearer in
//! `Authorization` decides alone, whatever cookies come along; browsers send none by themselves, so it needs no token against forgery.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::{
    bearer_token, request_id,
    session::{CSRF_HEADER, SessionCaller},
};
use crate::{
    admin,
    app::App,
    db::{self, Db, api_token, app_token, session::SessionRow},
    domain::{
        actor::{AccountActor, Actor, Occasion},
        connection::Connection,
        id::{ApiTokenId, OrganizationId, TenantId},
        model::RoleModel,
        name::Slug,
        secret::Secret,
    },
    http::{
        client,
        error::{Kind, Problem},
        request::RequestId,
    },
    keys,
    policy::{
        access::{Grant, authorize, permit},
        action::{Action, ReadConnections, ReadOrganizations},
        places::places,
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
    /// Whose rules bind the caller: the home of a person, the organization of an application's token.
    pub home: Option<OrganizationId>,
    pub by: By,
}

/// What the caller showed.
#[derive(Debug, Clone)]
pub enum By {
    Session(Box<SessionRow>),
    ApiToken(ApiTokenId),
    AppToken,
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

    /// The connection of this slug, with the right to do `A` at its organization.
    ///
    /// Callers who may do it nowhere are refused before the connection is looked for. To callers who may do it elsewhere, a connection that
    /// they may not read does not exist.
    pub async fn authorize_connection<A: Action>(&self, slug: &str) -> Result<(Connection, Grant<A>), Problem> {
        places::<A>(&self.actor, &self.model)?;
        let connection = self.connection(slug).await?;
        let grant = self.authorize_named::<A, ReadConnections>(Some(connection.organization), Problem::not_found)?;
        Ok((connection, grant))
    }

    /// The right to do `A` at the organization of this slug. See [`Self::authorize_named`].
    pub fn authorize_organization<A: Action>(&self, slug: &str) -> Result<Grant<A>, Problem> {
        let found = self.model.organizations.find_slug(slug).map(|organization| organization.id);
        self.authorize_named::<A, ReadOrganizations>(found, Problem::not_found)
    }

    /// The right to do `A` at an organization that the request names.
    ///
    /// The answer depends only on what the caller may read. Callers who may do `A` nowhere get the same refusal whatever they name. Other
    /// callers get `unknown` if the organization does not exist, or if they may neither do `A` nor `Read` there.
    pub fn authorize_named<A: Action, Read: Action>(
        &self,
        at: Option<OrganizationId>,
        unknown: impl FnOnce() -> Problem,
    ) -> Result<Grant<A>, Problem> {
        places::<A>(&self.actor, &self.model)?;
        let Some(at) = at else { return Err(unknown()) };
        authorize(&self.actor, &self.model, at).map_err(|denied| {
            let is_readable = permit(&self.actor, &self.model, Read::CAPABILITY, at).is_ok();
            if is_readable { Problem::from(denied) } else { unknown() }
        })
    }

    /// The right to do `A` at an organization.
    pub fn authorize_at<A: Action>(&self, at: OrganizationId) -> Result<Grant<A>, Problem> {
        authorize(&self.actor, &self.model, at).map_err(Problem::from)
    }

    /// The person behind the call. Applications are none.
    pub fn person(&self) -> Result<&AccountActor, Problem> {
        match &self.actor {
            Actor::Account(account) => Ok(account),
            Actor::Application { .. } | Actor::Scim { .. } | Actor::Saml { .. } | Actor::HostOperator | Actor::System => {
                Err(Problem::new(Kind::Forbidden, "not_a_person", "This is for people: use a session, or a token that was made from one."))
            }
        }
    }

    /// Wakes whoever waits for commits. After every change.
    pub fn committed(&self) {
        self.app.committed.notify_one();
    }
}

impl From<SessionCaller> for Caller {
    fn from(session: SessionCaller) -> Self {
        let SessionCaller { app, tenant, actor, model, request_id, session, home, .. } = session;
        Self { app, tenant, actor, model, request_id, home, by: By::Session(Box::new(session)) }
    }
}

/// The caller behind a bearer; `None` when it is nobody's, or counts no more.
async fn by_bearer(secret: &str, parts: &Parts, app: &App) -> Result<Option<Caller>, Problem> {
    if secret.starts_with(keys::API_TOKEN_PREFIX) {
        return by_api_token(secret, parts, app).await;
    }
    if secret.starts_with(keys::APP_TOKEN_PREFIX) {
        return by_app_token(secret, parts, app).await;
    }
    Ok(None)
}

/// Whatever the session is and may do, its tokens are and may do, or less.
async fn by_api_token(secret: &str, parts: &Parts, app: &App) -> Result<Option<Caller>, Problem> {
    let now = app.now();
    let Some((token, session)) = api_token::find_bearer(&app.db, &keys::hash(secret), now).await? else { return Ok(None) };
    let Some(session) = SessionCaller::of(session, Secret::new(secret.to_owned()), parts, app).await? else { return Ok(None) };
    session.admit()?;
    let longest = session.model.organizations.in_force(session.home).api_token_ttl_secs;
    if longest.is_some_and(|secs| token.created_at.plus_secs(secs) <= now) {
        return Ok(None);
    }
    if token.last_used_at.is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
        api_token::mark_api_token_used(&app.db, session.tenant, token.id, now).await?;
    }
    let mut caller = Caller { by: By::ApiToken(token.id), ..session.into() };
    if let Actor::Account(account) = &mut caller.actor {
        account.only = token.only;
    }
    Ok(Some(caller))
}

/// Held to the networks of its organization as people at home there are.
async fn by_app_token(secret: &str, parts: &Parts, app: &App) -> Result<Option<Caller>, Problem> {
    let now = app.now();
    let Some(token) = app_token::find_bearer(&app.db, &keys::hash(secret), now).await? else { return Ok(None) };
    let Some(version) = db::tenant::find_model_version(&app.db, token.tenant).await? else { return Ok(None) };
    let model = app.published.model(&app.db, token.tenant, version).await?;
    if !admin::app_token::is_backed(&app.db, &model, &token).await? {
        return Ok(None);
    }
    let home = Some(token.organization);
    client::admit(&model, home, client::address(parts, &app.config.trusted_proxies))?;
    if token.last_used_at.is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
        app_token::mark_app_token_used(&app.db, token.tenant, token.id, now).await?;
    }
    let actor = Actor::Application { token: token.id, organization: token.organization };
    Ok(Some(Caller { app: app.clone(), tenant: token.tenant, actor, model, request_id: request_id(parts), home, by: By::AppToken }))
}

/// A token that was used is marked so at most this often.
const MARK_EVERY_SECS: i64 = 60;

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(SessionCaller::from_request_parts(parts, app).await?.into());
        }
        let secret = bearer_token(&parts.headers).ok_or_else(no_bearer)?;
        by_bearer(secret, parts, app).await?.ok_or_else(no_bearer)
    }
}

/// One and the same whatever was wrong with it.
fn no_bearer() -> Problem {
    let detail = "The bearer token counts for nothing here: it is unknown, revoked or expired, or its session has ended.";
    Problem::new(Kind::Unauthenticated, "unauthenticated", detail)
}

/// Somebody who may be let change things: a session whose token came in the header `X-CSRF-Token`, or an API token.
#[derive(Debug, Clone)]
pub struct ChangingCaller(pub Caller);

impl FromRequestParts<App> for ChangingCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            let session = SessionCaller::from_request_parts(parts, app).await?;
            session.permit_change(&parts.headers, parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()))?;
            return Ok(Self(session.into()));
        }
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.by {
            By::Session(_) | By::ApiToken(_) => Ok(Self(caller)),
            By::AppToken => Err(Problem::new(Kind::Forbidden, "read_only", "An application's token looks and changes nothing.")),
        }
    }
}
