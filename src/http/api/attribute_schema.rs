//! The tenant's own extension of User, as it is declared (RFC 7643 section 7).

use axum::{
    body::Bytes,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    admin::attribute_schema::{self, SchemaError},
    db::custom_schema::CustomSchema,
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
    },
    policy::action::{ReadAttributeSchema, UpdateAttributeSchema},
};

impl From<SchemaError> for Problem {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::NotFound => Self::not_found(),
            SchemaError::TooLong | SchemaError::Custom(_) => Self::invalid("schema", format!("{error}.")),
            SchemaError::Db(error) => error.into(),
        }
    }
}

pub async fn get(caller: SessionCaller) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<ReadAttributeSchema>(caller.model.organizations.root())?;
    Ok(shown(attribute_schema::find(&grant, caller.db(), &caller.model).await?))
}

pub async fn put(ChangingCaller(caller): ChangingCaller, body: Bytes) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<UpdateAttributeSchema>(caller.model.organizations.root())?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::invalid("body", "The body is not UTF-8."))?;
    let schema = attribute_schema::put(&grant, caller.db(), &mut caller.occasion(), &caller.model, text).await?;
    caller.app.committed.notify_one();
    Ok(shown(schema))
}

pub async fn delete(ChangingCaller(caller): ChangingCaller) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<UpdateAttributeSchema>(caller.model.organizations.root())?;
    attribute_schema::delete(&grant, caller.db(), &mut caller.occasion(), &caller.model).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(schema: CustomSchema) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], schema.document).into_response()
}
