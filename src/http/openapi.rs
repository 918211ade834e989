//! `/api/openapi.json`: the table of routes as an OpenAPI 3.1 document. It says what the table says; there is nothing else to keep up to date.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, Content, Header, HttpMethod, InfoBuilder, License, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr,
        Required, ResponseBuilder, Schema, SchemaFormat, ServerBuilder,
        path::{Operation as PathOperation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{SchemaType, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::{
    caller::session::{CSRF_HEADER, cookie_name},
    error::ProblemDocument,
    operation::{Named, Operation, Version},
    routes::{Chapter, Documented, Entry, Routes},
};
use crate::app::App;

const ABOUT: &str = "Administration of a tenant as JSON. A person calls with the cookie of a session, and sends the session's token in \
    `X-CSRF-Token` with every change (`GET /me` has it); a program calls with a bearer token.\n\nRefusals are problem documents (RFC 9457): \
    `code` is stable and for programs, `detail` says what would be right, `field` where it is. Lists take `limit`, `cursor` and `filter`. Where \
    an answer carries an `ETag`, changes take `If-Match`. A POST that changes takes an `Idempotency-Key`: sent again within a day, it is done \
    once and answered twice.";

/// The document of one installation.
pub async fn get(State(app): State<App>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let mut document = DOCUMENT.clone();
    document.servers = Some(vec![ServerBuilder::new().url(app.config.public_url.join("")).build()]);
    if let Some(components) = &mut document.components {
        let session = ApiKeyValue::with_description(cookie_name(&app.config.public_url), "The session of somebody who signed in.");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
    (kind, document.to_json().unwrap_or_default()).into_response()
}

/// What is the same everywhere.
pub static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| document(&super::routes()));

fn document(routes: &Routes) -> OpenApi {
    let documented: Vec<&Documented> = routes.table().iter().filter_map(|listed| listed.documented.as_ref()).collect();
    let mut paths = Paths::new();
    for Documented { chapter, operation } in &documented {
        paths.add_path_operation(operation.path, vec![method(&operation.method)], describe(chapter, operation));
    }
    let mut tags: Vec<_> = Vec::new();
    for Documented { chapter, .. } in &documented {
        if !tags.iter().any(|tag: &Chapter| tag.title == chapter.title) {
            tags.push(*chapter);
        }
    }
    let tags = tags.iter().map(|chapter| TagBuilder::new().name(chapter.title).description(Some(chapter.about)).build());
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas(documented.iter().flat_map(|documented| &documented.operation.schemas)) {
        components = components.schema(name, schema);
    }
    let bearer = |format: &str, about: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format).description(Some(about)).build())
    };
    let components = components
        .security_scheme("api_token", bearer("rg_api_…", "A short-lived token that somebody made from a session."))
        .security_scheme("app_token", bearer("rg_app_…", "An application's token: it looks, and changes nothing."));
    let info = InfoBuilder::new()
        .title("rolegate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    OpenApiBuilder::new().info(info).paths(paths).tags(Some(tags)).components(Some(components.build())).build()
}

fn method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "GET" => HttpMethod::Get,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Post,
    }
}

/// Every schema by its name.
fn schemas<'a>(named: impl Iterator<Item = &'a Named>) -> BTreeMap<String, RefOr<Schema>> {
    let mut schemas = BTreeMap::from([(ProblemDocument::name().into_owned(), ProblemDocument::schema())]);
    for (name, schema) in named {
        let known = schemas.entry(name.clone()).or_insert_with(|| schema.clone());
        assert!(known == schema, "two shapes of the API are named {name}: give one of them a name of its own with #[schema(as = …)]");
    }
    schemas
}

fn describe(chapter: &Chapter, operation: &Operation) -> PathOperation {
    let about = [operation.about.map(str::to_owned), operation.capability_name().map(|name| format!("Needs `{name}`."))];
    let about = about.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut described = OperationBuilder::new()
        .tag(chapter.title)
        .summary(Some(operation.summary))
        .description(Some(about).filter(|about| !about.is_empty()))
        .operation_id(Some(operation_id(operation)))
        .parameters(Some(parameters(operation)));
    if let Some(schema) = &operation.body {
        let required = if operation.body_is_optional { Required::False } else { Required::True };
        let body = RequestBodyBuilder::new().content("application/json", Content::new(Some(schema.clone()))).required(Some(required));
        described = described.request_body(Some(body.build()));
    }
    for (status, response) in responses(operation) {
        described = described.response(status.to_string(), response);
    }
    let schemes = [("session", true), ("api_token", operation.takes_api_tokens()), ("app_token", operation.takes_app_tokens())];
    let schemes = schemes.into_iter().filter(|(_, is_taken)| *is_taken);
    let requirements = schemes.map(|(scheme, _)| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []));
    described.securities(Some(requirements)).build()
}

/// `post_connections_slug_certificates` of a method and a path: unique as they are.
fn operation_id(operation: &Operation) -> String {
    let words = operation.path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace(['/', '-'], "_");
    format!("{}_{words}", operation.method.as_str().to_ascii_lowercase())
}

fn text(format: Option<SchemaFormat>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).format(format).into()
}

fn parameters(operation: &Operation) -> Vec<Parameter> {
    let names = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let in_path = names.map(|name| {
        // Whatever is not called by a slug is called by its id.
        let format = (name != "slug").then(|| SchemaFormat::Custom("uuid".to_owned()));
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(text(format))).build()
    });
    let header = |name: &str, words: &str| {
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).description(Some(words)).schema(Some(text(None))).build()
    };
    let changes = operation.entry() == Entry::Change;
    let csrf = changes.then(|| header(CSRF_HEADER, "With a session's cookie: the session's token, as `GET /me` has it."));
    let once = operation.takes_idempotency_key().then(|| {
        let words = "1 to 255 visible characters, new for each request: sent again within a day, it is done once and answered twice.";
        header("Idempotency-Key", words)
    });
    let conditional = (operation.version == Version::Asked)
        .then(|| header("If-Match", "The `ETag` that was read, or `*` for any: the change is made to nothing else."));
    in_path.chain(operation.parameters.iter().cloned()).chain([csrf, once, conditional].into_iter().flatten()).collect()
}

fn responses(operation: &Operation) -> BTreeMap<u16, utoipa::openapi::Response> {
    let answers = operation.answers.iter().map(|answer| {
        let mut response = ResponseBuilder::new().description(answer.words);
        if let Some(content) = &answer.content {
            response = response.content(content.media_type, Content::new(Some(content.schema.clone())));
        }
        if operation.version != Version::None {
            response = response.header("ETag", Header::new(text(None)));
        }
        (answer.status.as_u16(), response.build())
    });
    let refusals = refusals(operation).into_iter().map(|(status, codes)| {
        let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        let problem = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(ProblemDocument::name()))));
        (status, ResponseBuilder::new().description(codes).content("application/problem+json", problem).build())
    });
    answers.chain(refusals).collect()
}

/// What it refuses itself, and what every route of its kind does.
fn refusals(operation: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut refusals = operation.refusals.clone();
    let mut add = |status: u16, codes: &[&'static str]| refusals.entry(status).or_default().extend(codes);
    if operation.capability.is_some() {
        add(403, &["sign_in_again"]);
    }
    add(403, if operation.takes_app_tokens() { &["beyond_token"] } else { &["read_only"] });
    if operation.entry() == Entry::Change {
        add(403, &["csrf_token_missing", "csrf_token_wrong", "foreign_origin"]);
    }
    if operation.takes_idempotency_key() {
        add(400, &["idempotency_key"]);
        add(409, &["idempotency_in_progress", "idempotency_unknown"]);
        add(408, &["too_slow"]);
        add(413, &["too_large"]);
        add(422, &["idempotency_key_reused"]);
    }
    refusals
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn json() -> Value {
        serde_json::to_value(&*DOCUMENT).unwrap()
    }

    #[test]
    fn every_documented_route_is_in_the_document_under_a_name_of_its_own() {
        let document = json();
        let routes = super::super::routes();
        let mut ids = HashSet::new();
        for listed in routes.table().iter().filter(|listed| listed.path.starts_with("/api/v1/")) {
            let operation = &document["paths"][&listed.path][listed.method.as_str().to_ascii_lowercase()];
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{listed:?}");
            for status in ["401", "403", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{listed:?} {status}");
            }
        }
        let count: usize = document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(ids.len(), count);
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = json();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 5, "{found:?}");
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
