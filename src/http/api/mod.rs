//! Administration as JSON below `/api/v1`. Who calls: a session's cookie with the header `X-CSRF-Token` for changes, or a bearer token.
//!
//! # How a feature is added
//!
//! One file, one noun. Its `routes()` is a [`Routes::chapter`] of [`Routes::document`] calls, each with an [`Operation`] and its handler:
//! a route below `/api/v1` without documentation is refused when the table is made, `/api/openapi.json` and `/api/docs` come from the
//! table. [`routes`] here merges the chapters.
//!
//! * **Operation**: `get|post|put|patch|delete(PATH, "Imperative half line")`, then `.about(sentences)`, `.needs::<Action>()`,
//!   `.takes::<Body>()`, `.query::<Parameters>()`, `.pages::<ListParameters>()`, `.versioned()` or, of what is only made, `.tagged()`,
//!   `.answers::<Shape>(status, words)` or `.answers_nothing(words)`, `.refuses(status, &["code"])` for every code of its own. 401, 403, 404 of
//!   paths with parameters, refused bodies and queries, 412 and the codes of `Idempotency-Key` are added by what was called. An answer that is
//!   not documented fails the tests.
//! * **Shapes** are structs of the file that derive `Serialize` or `Deserialize` (with `deny_unknown_fields`) and `ToSchema`; doc
//!   comments become descriptions. Names are unique in the document: `#[schema(as = OauthClient)]`. Ids stay their types
//!   ([`crate::domain::id`] has schemas in [`value`]), times are [`value::Moment`], enums of other layers get
//!   `#[schema(value_type = String)]`.
//! * **Handlers** take [`Caller`] to look and [`ChangingCaller`] to change (which is what lets tokens in, or not), then
//!   [`extract::Path`] (ids as their types: what is no id is 404), [`extract::Query`], [`precondition::IfMatch`], and [`extract::Body`] last.
//!   They ask for the right first and read the body after it: `caller.authorize_at::<Action>(organization)?`, `body.read()?`, use case,
//!   `caller.committed()` after a change, answer.
//! * **A POST that only asks** is `.only_reads()` and takes [`Caller`].
//! * **Lists** use [`paging`]: `{ "items": […], "next_cursor": … }`. **Versions** use [`precondition`]. `Idempotency-Key` needs nothing: the
//!   layer in [`idempotency`] covers every documented POST that changes. Nor does being in one another's way: a handler says
//!   [`ProvisionError::Again`], and the layer in [`again`] has the whole request made once more.
//! * **Refusals** are [`crate::http::error::Problem`]: 400 what cannot be read, 422 what was understood and breaks a rule
//!   (`Problem::unprocessable`), 409 what stands in the way of the state of things; `.at("field")` names the field. One `From<UseCaseError>`
//!   a file.
//!
//! [`Caller`]: super::caller::api::Caller
//! [`ChangingCaller`]: super::caller::api::ChangingCaller
//! [`Operation`]: super::operation::Operation
//! [`ProvisionError::Again`]: crate::provision::ProvisionError::Again

mod accounts;
pub(super) mod again;
mod app_tokens;
mod assignments;
mod attention;
mod attribute_schema;
mod audit;
mod catalogue;
mod certificates;
mod check;
mod connection_uses;
mod domains;
mod events;
mod extract;
mod groups;
pub(super) mod idempotency;
mod keys;
mod members;
mod metadata;
mod oauth_clients;
mod organization_moves;
mod organization_settings;
mod organizations;
mod paging;
mod precondition;
mod preset;
mod provisioning_log;
mod reports;
mod role_sets;
mod roles;
mod scopes;
mod sessions;
mod sign_in_log;
pub(super) mod test_sign_ins;
mod tokens;
mod value;

use super::routes::Routes;

pub fn routes() -> Routes {
    Routes::new()
        .merge(certificates::routes())
        .merge(keys::routes())
        .merge(oauth_clients::routes())
        .merge(provisioning_log::routes())
        .merge(events::routes())
        .merge(audit::routes())
        .merge(attention::routes())
        .merge(attribute_schema::routes())
        .merge(metadata::routes())
        .merge(sessions::routes())
        .merge(sign_in_log::routes())
        .merge(test_sign_ins::routes())
        .merge(check::routes())
        .merge(organizations::routes())
        .merge(organization_moves::routes())
        .merge(organization_settings::routes())
        .merge(domains::routes())
        .merge(members::routes())
        .merge(scopes::routes())
        .merge(connection_uses::routes())
        .merge(roles::routes())
        .merge(role_sets::routes())
        .merge(catalogue::routes())
        .merge(assignments::routes())
        .merge(accounts::routes())
        .merge(groups::routes())
        .merge(preset::routes())
        .merge(reports::routes())
        .merge(tokens::routes())
        .merge(app_tokens::routes())
}
