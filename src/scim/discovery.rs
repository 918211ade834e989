//! The discovery documents (RFC 7643 §5 to §7): what is announced is what works. Addresses start with the base passed in.

use serde_json::{Map, Value, json};

use super::{
    cursor::TTL_SECS,
    list::{MAX_PAGE, PAGE, list_response},
    role,
    schema::{Attribute, Definition, Kind, Mutability, Returned, Schema, Schemas, Uniqueness},
};

const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The optional parts of the protocol that the server around this engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is announced as a boolean of its own")]
pub struct Capabilities {
    /// Operations and bytes of a bulk request.
    pub bulk: Option<(usize, usize)>,
    pub sort: bool,
    pub etag: bool,
    pub cursor: bool,
    /// OAuth 2.0 client credentials beside long-lived tokens.
    pub oauth: bool,
}

/// `/ServiceProviderConfig`
#[must_use]
pub fn service_provider_config(base: &str, can: Capabilities) -> Value {
    let (operations, bytes) = can.bulk.unwrap_or((0, 0));
    let mut schemes = vec![json!({
        "type": "oauthbearertoken",
        "name": "OAuth Bearer Token",
        "description": "A token of this connection in the Authorization header.",
        "specUri": "https://www.rfc-editor.org/info/rfc6750",
        "primary": true,
    })];
    if can.oauth {
        schemes.push(json!({
            "type": "oauth2",
            "name": "OAuth 2.0 Client Credentials",
            "description": "A short-lived token for a client id and secret of this connection.",
            "specUri": "https://www.rfc-editor.org/info/rfc6749",
        }));
    }
    json!({
        "schemas": [CONFIG_URN],
        "patch": { "supported": true },
        "bulk": { "supported": can.bulk.is_some(), "maxOperations": operations, "maxPayloadSize": bytes },
        "filter": { "supported": true, "maxResults": MAX_PAGE },
        "changePassword": { "supported": false },
        "sort": { "supported": can.sort },
        "etag": { "supported": can.etag },
        "pagination": {
            "cursor": can.cursor, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": PAGE, "maxPageSize": MAX_PAGE,
            "cursorTimeout": if can.cursor { Value::from(TTL_SECS) } else { Value::Null },
        },
        "authenticationSchemes": schemes,
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// `/ResourceTypes`
#[must_use]
pub fn resource_types(base: &str, schemas: &Schemas, roles: bool) -> Value {
    let all: Vec<Value> = announced(schemas, roles).map(|schema| resource_type_of(base, schema)).collect();
    list_response(all.len(), 1, all)
}

/// `/ResourceTypes/{id}`
#[must_use]
pub fn resource_type(base: &str, schemas: &Schemas, id: &str) -> Option<Value> {
    types(schemas).into_iter().find(|schema| schema.core.name == id).map(|schema| resource_type_of(base, schema))
}

/// Roles are listed where they are looked for; by name they are found everywhere.
fn announced(schemas: &Schemas, roles: bool) -> impl Iterator<Item = &Schema> {
    types(schemas).into_iter().filter(move |schema| roles || schema.core.urn != role::URN)
}

fn types(schemas: &Schemas) -> [&Schema; 3] {
    [&schemas.user, &schemas.group, role::schema()]
}

fn resource_type_of(base: &str, schema: &Schema) -> Value {
    let name = &schema.core.name;
    let extensions: Vec<Value> = schema.extensions.iter().map(|e| json!({ "schema": e.urn, "required": false })).collect();
    json!({
        "schemas": [TYPE_URN],
        "id": name,
        "name": name,
        "description": schema.core.description,
        "endpoint": format!("/{name}s"),
        "schema": schema.core.urn,
        "schemaExtensions": extensions,
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}") },
    })
}

/// `/Schemas`
#[must_use]
pub fn schemas(base: &str, schemas: &Schemas, roles: bool) -> Value {
    let all: Vec<Value> = definitions(announced(schemas, roles)).map(|definition| schema_of(base, definition)).collect();
    list_response(all.len(), 1, all)
}

/// `/Schemas/{urn}`
#[must_use]
pub fn schema(base: &str, schemas: &Schemas, urn: &str) -> Option<Value> {
    definitions(types(schemas).into_iter())
        .find(|definition| definition.urn.eq_ignore_ascii_case(urn))
        .map(|definition| schema_of(base, definition))
}

fn definitions<'a>(types: impl Iterator<Item = &'a Schema>) -> impl Iterator<Item = &'a Definition> {
    types.flat_map(|schema| std::iter::once(&schema.core).chain(&schema.extensions))
}

fn schema_of(base: &str, definition: &Definition) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": definition.urn,
        "name": definition.name,
        "description": definition.description,
        "attributes": definition.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", definition.urn) },
    })
}

fn attribute(a: &Attribute) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    put("name", a.name.as_str().into());
    put("type", kind(a.kind).into());
    put("multiValued", a.multi_valued.into());
    put("description", a.description.as_str().into());
    put("required", a.required.into());
    if !a.canonical_values.is_empty() {
        put("canonicalValues", a.canonical_values.clone().into());
    }
    put("caseExact", a.case_exact.into());
    put("mutability", mutability(a.mutability).into());
    put("returned", returned(a.returned).into());
    put("uniqueness", uniqueness(a.uniqueness).into());
    if !a.reference_types.is_empty() {
        put("referenceTypes", a.reference_types.clone().into());
    }
    if a.kind == Kind::Complex {
        put("subAttributes", a.attributes.iter().map(attribute).collect());
    }
    Value::Object(map)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Decimal => "decimal",
        Kind::DateTime => "dateTime",
        Kind::Binary => "binary",
        Kind::Reference => "reference",
        Kind::Complex => "complex",
    }
}

fn mutability(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::ReadOnly => "readOnly",
        Mutability::ReadWrite => "readWrite",
        Mutability::Immutable => "immutable",
        Mutability::WriteOnly => "writeOnly",
    }
}

fn returned(returned: Returned) -> &'static str {
    match returned {
        Returned::Always => "always",
        Returned::Never => "never",
        Returned::Default => "default",
        Returned::Request => "request",
    }
}

fn uniqueness(uniqueness: Uniqueness) -> &'static str {
    match uniqueness {
        Uniqueness::None => "none",
        Uniqueness::Server => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{Definition, build, enterprise};

    const BASE: &str = "https://rolegate.example.com/connections/okta/scim/v2";

    #[test]
    fn every_address_leads_to_what_the_list_shows() {
        let known = Schemas::standard();
        for one in schemas(BASE, known, true)["Resources"].as_array().unwrap() {
            assert_eq!(schema(BASE, known, one["id"].as_str().unwrap()).as_ref(), Some(one));
            assert_eq!(one["meta"]["location"], format!("{BASE}/Schemas/{}", one["id"].as_str().unwrap()));
        }
        for one in resource_types(BASE, known, true)["Resources"].as_array().unwrap() {
            assert_eq!(resource_type(BASE, known, one["id"].as_str().unwrap()).as_ref(), Some(one));
            assert!(schema(BASE, known, one["schema"].as_str().unwrap()).is_some());
        }
        assert!(schema(BASE, known, "urn:none").is_none());
        assert_eq!(
            (resource_types(BASE, known, false)["totalResults"].as_u64(), schemas(BASE, known, false)["totalResults"].as_u64()),
            (Some(2), Some(3))
        );
        assert_eq!(resource_type(BASE, known, "Role").unwrap()["endpoint"], "/Roles");
    }

    #[test]
    fn only_what_works_is_announced() {
        let config = service_provider_config(BASE, Capabilities::default());
        for part in ["bulk", "sort", "etag", "changePassword"] {
            assert_eq!(config[part]["supported"], false, "{part}");
        }
        assert_eq!(config["patch"]["supported"], true);
        let more = service_provider_config(BASE, Capabilities { bulk: Some((1000, 10 << 20)), sort: true, ..Capabilities::default() });
        assert_eq!((&more["bulk"]["maxOperations"], &more["sort"]["supported"]), (&json!(1000), &json!(true)));
    }

    #[test]
    fn members_and_user_name_are_described_as_they_are_treated() {
        let known = Schemas::standard();
        let group = schema(BASE, known, crate::scim::schema::group::URN).unwrap();
        let members = &group["attributes"][1]["subAttributes"];
        let part = |name: &str| members.as_array().unwrap().iter().find(|a| a["name"] == name).unwrap();
        assert_eq!(part("$ref")["referenceTypes"], json!(["User", "Group"]));
        assert_eq!(part("type")["canonicalValues"], json!(["User", "Group"]));
        let user = schema(BASE, known, crate::scim::schema::user::URN).unwrap();
        insta::assert_json_snapshot!(user["attributes"][0], @r#"
        {
          "name": "userName",
          "type": "string",
          "multiValued": false,
          "description": "What the person is known by, unique here; compared without case.",
          "required": true,
          "caseExact": false,
          "mutability": "readWrite",
          "returned": "default",
          "uniqueness": "server"
        }
        "#);
    }

    #[test]
    fn a_tenants_extension_is_shown() {
        let urn = "urn:example:scim:schemas:extension:2.0:User";
        let known = Schemas::with_extension(Some(Definition::custom(urn, "Example", vec![build::text("tenant_code")]).unwrap()));
        assert_eq!(schema(BASE, &known, urn).unwrap()["attributes"][0]["name"], "tenant_code");
        let extensions = resource_type(BASE, &known, "User").unwrap()["schemaExtensions"].clone();
        assert_eq!(extensions, json!([{"schema": enterprise::URN, "required": false}, {"schema": urn, "required": false}]));
    }
}
