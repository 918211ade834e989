//! Where people begin who know their e-mail address and nothing else. An address that leads nowhere is answered as every other one that
//! does: nobody learns here which organizations there are.

use askama::Template;
use axum::{
    extract::{Form, Query, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use url::form_urlencoded;

use super::{caller::session::same_origin, local_path::LocalPath, page};
use crate::{admin::discovery, app::App, domain::connection::Audience};

/// Longer ones are no addresses.
const EMAIL: usize = 320;
const SELF_SERVICE: &str = "self_service";

#[derive(Deserialize)]
pub struct Start {
    /// A path on this host; anything else is as good as nothing.
    return_to: Option<String>,
    /// `self_service`; anything else is the console.
    #[serde(rename = "for")]
    surface: Option<String>,
}

#[derive(Deserialize)]
pub struct Entered {
    #[serde(default)]
    email: String,
    return_to: Option<String>,
    #[serde(rename = "for")]
    surface: Option<String>,
}

fn surface(text: Option<&str>) -> Audience {
    if text == Some(SELF_SERVICE) { Audience::SelfService } else { Audience::Admin }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    action: &'a str,
    return_to: Option<&'a str>,
    /// What goes into the field `for`.
    surface: Option<&'a str>,
    failed: bool,
}

pub async fn get(State(app): State<App>, Query(query): Query<Start>) -> Response {
    show(&app, query.return_to.as_deref(), surface(query.surface.as_deref()), false)
}

pub async fn post(State(app): State<App>, headers: HeaderMap, form: Result<Form<Entered>, FormRejection>) -> Response {
    if let Err(problem) = same_origin(&headers, &app.config.public_url) {
        return problem.into();
    }
    let Ok(Form(entered)) = form else { return show(&app, None, Audience::Admin, true) };
    let surface = surface(entered.surface.as_deref());
    let return_to = entered.return_to.as_deref().and_then(LocalPath::parse);
    let found = if entered.email.len() > EMAIL { Ok(None) } else { discovery::find_start(&app.db, &entered.email, surface).await };
    let slug = match found {
        Ok(Some(slug)) => slug,
        Ok(None) => return show(&app, return_to.as_ref().map(LocalPath::as_str), surface, true),
        Err(error) => return page::failed(error.into()),
    };
    let mut location = format!("{}/connections/{slug}/saml/login", app.config.public_url.prefix());
    if let Some(path) = &return_to {
        location.push_str("?return_to=");
        location.extend(form_urlencoded::byte_serialize(path.as_str().as_bytes()));
    }
    let location = HeaderValue::from_str(&location).expect("a path of ours is visible ASCII");
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

fn show(app: &App, return_to: Option<&str>, surface: Audience, failed: bool) -> Response {
    let action = format!("{}/login", app.config.public_url.prefix());
    let return_to = return_to.and_then(LocalPath::parse);
    let surface = (surface == Audience::SelfService).then_some(SELF_SERVICE);
    let page = Page { action: &action, return_to: return_to.as_ref().map(LocalPath::as_str), surface, failed };
    page::respond_leading_on(StatusCode::OK, &page)
}
