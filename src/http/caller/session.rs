//! A person with a session: who it is, what they hold now, and the database, in one value.
//!
//! A change asks for more than the cookie, because another site's page can send that too: the session's token in the header
//! `X-CSRF-Token` (or in the form field `csrf_token`), and no foreign `Origin`. The token is handed out by `GET /me`.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use serde::Deserialize;

use super::{identify, report_unmarked, request_id};
use crate::{
    admin,
    app::App,
    config::PublicUrl,
    db::{self, Db, DbError, acting::Rights, session::SessionRow},
    domain::{
        actor::{AccountActor, Actor},
        assignment::live,
        id::{ApiTokenId, OrganizationId, TenantId},
        model::{RoleChangeEffect, RoleModel},
        secret::Secret,
    },
    http::{
        client,
        cookie::{self, SameSite},
        error::{Kind, Problem},
        request::RequestId,
    },
    keys,
};

/// Where the token of a session is sent.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// A session that was used is marked so at most this often.
const MARK_EVERY_SECS: i64 = 60;

/// Somebody who signed in, and whose account may still do so.
#[derive(Debug, Clone)]
pub struct SessionCaller {
    pub app: App,
    pub tenant: TenantId,
    pub actor: Actor,
    pub session: SessionRow,
    pub model: Arc<RoleModel>,
    pub request_id: RequestId,
    /// Where the caller is, as far as the gateway knows.
    pub address: Option<IpAddr>,
    pub(super) home: Option<OrganizationId>,
    secret: Secret<String>,
}

impl SessionCaller {
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.app.db
    }

    #[must_use]
    pub fn csrf_token(&self) -> Secret<String> {
        admin::session::csrf_token(&self.secret)
    }

    /// Refuses who calls from a network that the organization does not let in.
    pub(super) fn admit(&self) -> Result<(), Problem> {
        client::admit(&self.model, self.home, self.address)
    }

    async fn read(parts: &Parts, app: &App) -> Result<Option<Self>, DbError> {
        let Some(secret) = cookie::find(&parts.headers, cookie_name(&app.config.public_url)) else { return Ok(None) };
        let secret = Secret::new(secret.to_owned());
        let now = app.now();
        let Some(session) = db::session::find_session(&app.db, &keys::hash(secret.expose()), now).await? else { return Ok(None) };
        Self::of(session, None, secret, parts, app).await
    }

    /// The holder of a session as they are now; `None` if the session is no longer valid. `secret` is what was shown for it.
    pub(super) async fn of(
        session: SessionRow,
        api_token: Option<ApiTokenId>,
        secret: Secret<String>,
        parts: &Parts,
        app: &App,
    ) -> Result<Option<Self>, DbError> {
        let now = app.now();
        let (tenant, account) = (session.tenant, session.account);
        // Before everything that it is the version of: a change in between is found when the request writes.
        let rights = db::acting::find_rights(&app.db, tenant, account, session.id, api_token, now).await?;
        let Some(Rights { kind, seen }) = rights else { return Ok(None) };
        let model = app.published.model(&app.db, tenant, seen.model_version).await?;
        if !admin::session::lasts(&session, &model.settings, now) {
            return Ok(None);
        }
        if session.last_seen_at.plus_secs(MARK_EVERY_SECS) <= now {
            report_unmarked(db::session::mark_seen(&app.db, tenant, session.id, now).await);
        }
        let assignments = live(db::assignment::list_held(&app.db, tenant, account).await?);
        let at_sign_in = match &session.rights {
            Some(held) if model.settings.role_change_effect == RoleChangeEffect::NextLogin => {
                app.session_rights.read(&app.db, &model, account, held, &assignments).await?
            }
            Some(_) | None => None,
        };
        let home = seen.home;
        if model.organizations.in_force(home).session_ttl_secs.is_some_and(|ttl| session.created_at.plus_secs(ttl) <= now) {
            return Ok(None);
        }
        let address = client::address(parts, &app.config.trusted_proxies);
        let actor =
            AccountActor { account, kind, session: session.id, surface: session.surface, assignments, only: None, at_sign_in, seen };
        let actor = Actor::Account(actor);
        identify(parts, &actor);
        Ok(Some(Self { app: app.clone(), tenant, actor, session, model, request_id: request_id(parts), address, home, secret }))
    }

    /// Whether a change was asked for by a page of ours, or by a program that holds the session's token.
    pub(super) fn permit_change(&self, headers: &HeaderMap, token: Option<&str>) -> Result<(), Problem> {
        let token = token.ok_or_else(|| {
            Problem::new(
                Kind::Forbidden,
                "csrf_token_missing",
                "A change needs the session's token in the header X-CSRF-Token: GET /me as JSON has it as csrf_token.",
            )
        })?;
        if !keys::same(&keys::hash(token), &self.session.csrf_hash) {
            return Err(Problem::new(
                Kind::Forbidden,
                "csrf_token_wrong",
                "The token in X-CSRF-Token is not this session's: read /me again.",
            ));
        }
        same_origin(headers, &self.app.config.public_url)
    }
}

impl FromRequestParts<App> for SessionCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Self::read(parts, app).await?.ok_or_else(Problem::unauthenticated)?;
        caller.admit()?;
        Ok(caller)
    }
}

/// A session whose holder means to end it, by a form of our own page: the token came in the header or in the field `csrf_token`. From
/// wherever they are: who left the networks of their organization can still sign out.
#[derive(Debug, Clone)]
pub struct LeavingCaller(pub SessionCaller);

#[derive(Deserialize)]
struct CsrfForm {
    csrf_token: Option<String>,
}

impl FromRequest<App> for LeavingCaller {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = SessionCaller::read(&parts, app).await?.ok_or_else(Problem::unauthenticated)?;
        let headers = parts.headers.clone();
        let sent = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let field = match sent {
            Some(_) => None,
            None => Form::<CsrfForm>::from_request(Request::from_parts(parts, body), app).await.ok().and_then(|form| form.0.csrf_token),
        };
        caller.permit_change(&headers, sent.or(field.as_deref()))?;
        Ok(Self(caller))
    }
}

/// RFC 6265bis: `__Host-` keeps other hosts and paths from setting it, and browsers take it over https only.
#[must_use]
pub fn cookie_name(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { "__Host-rolegate_session" } else { "rolegate_session" }
}

/// Hash of the session cookie that the browser sent, whether the session lasts or not.
#[must_use]
pub fn cookie_hash(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie::find(headers, cookie_name(&app.config.public_url)).map(keys::hash)
}

/// The cookie of a new session.
#[must_use]
pub fn keep_cookie(app: &App, secret: &Secret<String>, max_age_secs: i64) -> HeaderValue {
    let url = &app.config.public_url;
    cookie::keep(cookie_name(url), secret.expose(), max_age_secs, SameSite::Lax, url.is_https())
}

#[must_use]
pub fn forget_cookie(app: &App) -> HeaderValue {
    let url = &app.config.public_url;
    cookie::forget(cookie_name(url), SameSite::Lax, url.is_https())
}

/// Browsers name the origin of the page that sends a POST; programs name none.
pub(in crate::http) fn same_origin(headers: &HeaderMap, public_url: &PublicUrl) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    if origin.to_str().is_ok_and(|origin| origin == public_url.origin()) {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "foreign_origin", "The request comes from a page of another site."))
}
