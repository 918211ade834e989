//! The tenant's own extension of User: declared, replaced, withdrawn. It holds for all connections of the tenant.

use serde_json::{Value, json};

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        custom_schema::CustomSchema,
    },
    domain::{actor::Occasion, id::TenantId, model::RoleModel},
    policy::{
        access::Grant,
        action::{ReadAttributeSchema, UpdateAttributeSchema},
    },
    provision::Precondition,
    scim::{
        custom::{self, CustomError},
        schema::Definition,
    },
};

/// Bytes of a declaration.
const LONGEST: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("there is no such schema")]
    NotFound,
    #[error("the schema has another version than the one named")]
    Stale,
    #[error("the declaration has more than {LONGEST} bytes")]
    TooLong,
    #[error(transparent)]
    Custom(#[from] CustomError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What is declared, if anything is.
pub async fn find(grant: &Grant<ReadAttributeSchema>, db: &Db, model: &RoleModel) -> Result<CustomSchema, SchemaError> {
    check(grant.at() == model.organizations.root())?;
    db::custom_schema::find_custom_schema(db, model.tenant).await?.ok_or(SchemaError::NotFound)
}

/// Declares it, or replaces what was declared. Values of attributes that are declared no more stay unseen.
pub async fn put(
    grant: &Grant<UpdateAttributeSchema>,
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    precondition: Precondition,
    document: &str,
) -> Result<CustomSchema, SchemaError> {
    check(grant.at() == model.organizations.root())?;
    let definition = read(document)?;
    let mut tx = begin(db, occasion, model.tenant, precondition).await?;
    db::custom_schema::put_custom_schema(&mut tx, model.tenant, document, false, occasion.now).await?;
    let entry = entry("attribute_schema.changed", model.tenant, detail(&definition));
    db::audit::tell(&mut tx, model.tenant, occasion, &[entry]).await?;
    let written = db::custom_schema::find_custom_schema(&mut tx, model.tenant).await?.ok_or(SchemaError::NotFound)?;
    tx.commit().await?;
    Ok(written)
}

/// Reads a declaration, whoever sends it.
///
/// # Errors
/// When it is too long, has another form, or declares what cannot be.
pub fn read(document: &str) -> Result<Definition, SchemaError> {
    if document.len() > LONGEST { Err(SchemaError::TooLong) } else { Ok(custom::parse(document)?) }
}

/// What the audit trail says of it.
pub(super) fn detail(definition: &Definition) -> Value {
    let names: Vec<&str> = definition.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    json!({ "schema": definition.urn, "attributes": names })
}

/// Withdraws it.
pub async fn delete(
    grant: &Grant<UpdateAttributeSchema>,
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    precondition: Precondition,
) -> Result<(), SchemaError> {
    check(grant.at() == model.organizations.root())?;
    let mut tx = begin(db, occasion, model.tenant, precondition).await?;
    if !db::custom_schema::delete_custom_schema(&mut tx, model.tenant).await? {
        return Err(SchemaError::NotFound);
    }
    let entry = entry("attribute_schema.deleted", model.tenant, json!({}));
    db::audit::tell(&mut tx, model.tenant, occasion, &[entry]).await?;
    Ok(tx.commit().await?)
}

/// Whoever names a version waits for those who change it, and sees what they left.
async fn begin(db: &Db, occasion: &Occasion, tenant: TenantId, precondition: Precondition) -> Result<Tx, SchemaError> {
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    if precondition != Precondition::None {
        // There is no version 0: a schema that is not there is none that was read.
        let version = db::custom_schema::lock_version(&mut tx, tenant).await?;
        if !version.is_some_and(|version| precondition.admits(version)) {
            return Err(SchemaError::Stale);
        }
    }
    Ok(tx)
}

fn check(at_root: bool) -> Result<(), SchemaError> {
    if at_root { Ok(()) } else { Err(SchemaError::NotFound) }
}

fn entry(action: &'static str, tenant: TenantId, detail: serde_json::Value) -> Entry {
    Entry { action, target_kind: "tenant", target_id: tenant.to_string(), detail }
}
