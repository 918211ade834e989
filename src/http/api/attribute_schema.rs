//! The tenant's own extension of User, as it is declared (RFC 7643 section 7).

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    extract::Body,
    precondition::{IfMatch, etag},
};
use crate::{
    admin::attribute_schema::{self, SchemaError},
    db::custom_schema::CustomSchema,
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadAttributeSchema, UpdateAttributeSchema},
};

const PATH: &str = "/api/v1/attribute-schema";

pub fn routes() -> Routes {
    Routes::chapter("Attribute schema", "The tenant's own extension of the SCIM User, declared in the form of RFC 7643 section 7.")
        .document(
            Operation::get(PATH, "Read the tenant's extension")
                .needs::<ReadAttributeSchema>()
                .versioned()
                .answers::<SchemaDocument>(StatusCode::OK, "As it was declared")
                .refuses(StatusCode::NOT_FOUND, &["not_found"]),
            get,
        )
        .document(
            Operation::put(PATH, "Declare or replace the tenant's extension")
                .about("Values of attributes that are declared no more are kept, unseen. One that the tenant's file declares is set back by the next `apply`.")
                .needs::<UpdateAttributeSchema>()
                .versioned()
                .takes::<SchemaDocument>()
                .answers::<SchemaDocument>(StatusCode::OK, "As it was declared")
                .refuses(StatusCode::BAD_REQUEST, &["schema"]),
            put,
        )
        .document(
            Operation::delete(PATH, "Withdraw the tenant's extension")
                .about("One that the tenant's file declares is back after the next `apply`.")
                .needs::<UpdateAttributeSchema>()
                .versioned()
                .answers_nothing("It is withdrawn")
                .refuses(StatusCode::NOT_FOUND, &["not_found"]),
            delete,
        )
}

impl From<SchemaError> for Problem {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::NotFound => Self::not_found(),
            SchemaError::Stale => Self::stale(),
            SchemaError::TooLong | SchemaError::Custom(_) => Self::invalid("schema", format!("{error}.")),
            SchemaError::Db(error) => error.into(),
        }
    }
}

/// Described only: `scim::custom` reads it, and it is shown as it was written.
#[derive(Serialize, ToSchema)]
#[schema(as = AttributeSchema)]
struct SchemaDocument {
    /// A URN of the tenant's own.
    id: String,
    name: String,
    description: Option<String>,
    /// Definitions of attributes (RFC 7643 section 7).
    #[schema(value_type = Vec<Object>, min_items = 1)]
    attributes: Vec<Value>,
}

async fn get(caller: Caller) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<ReadAttributeSchema>(caller.model.organizations.root())?;
    Ok(shown(attribute_schema::find(&grant, caller.db(), &caller.model).await?))
}

async fn put(ChangingCaller(caller): ChangingCaller, IfMatch(precondition): IfMatch, body: Body) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<UpdateAttributeSchema>(caller.model.organizations.root())?;
    let schema = attribute_schema::put(&grant, caller.db(), &mut caller.occasion(), &caller.model, precondition, body.text()?).await?;
    caller.committed();
    Ok(shown(schema))
}

async fn delete(ChangingCaller(caller): ChangingCaller, IfMatch(precondition): IfMatch) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<UpdateAttributeSchema>(caller.model.organizations.root())?;
    attribute_schema::delete(&grant, caller.db(), &mut caller.occasion(), &caller.model, precondition).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(schema: CustomSchema) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], [etag(schema.version)], schema.document).into_response()
}
