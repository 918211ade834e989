//! The one attribute table: what each attribute is, by RFC 7643. Everything that is schema-aware asks here.
//! It refuses to know resources; it knows only their shape.

pub mod build;
pub mod enterprise;
pub mod group;
pub mod identity;
pub mod user;

use std::{collections::HashSet, sync::LazyLock};

use super::path::AttrPath;

pub use identity::identity;

/// RFC 7643 §2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Boolean,
    Integer,
    Decimal,
    DateTime,
    Binary,
    Reference,
    Complex,
}

/// RFC 7643 §7, `mutability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    ReadOnly,
    ReadWrite,
    Immutable,
    WriteOnly,
}

/// RFC 7643 §7, `returned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    Always,
    Never,
    Default,
    Request,
}

/// RFC 7643 §7, `uniqueness`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    None,
    Server,
}

/// One attribute or sub-attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "RFC 7643 §7 describes an attribute by them")]
pub struct Attribute {
    pub name: String,
    pub kind: Kind,
    pub multi_valued: bool,
    pub description: String,
    pub required: bool,
    pub case_exact: bool,
    pub mutability: Mutability,
    pub returned: Returned,
    pub uniqueness: Uniqueness,
    pub canonical_values: Vec<String>,
    pub reference_types: Vec<String>,
    pub attributes: Vec<Attribute>,
    /// Sub-attributes that are not listed may be there too (`custom` of an identity document).
    pub open: bool,
}

impl Attribute {
    /// A sub-attribute by name, compared without case.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

/// A schema as `/Schemas` shows it: a URN and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub urn: String,
    pub name: String,
    pub description: String,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("{0:?} cannot name a schema: give it a URN of its own, such as urn:example:scim:schemas:extension:2.0:User")]
    Urn(String),
    #[error("{0:?} cannot name an attribute: a letter, then letters, digits, '-' and '_'")]
    Name(String),
    #[error("the attribute {0:?} stands twice; names are compared without case")]
    Twice(String),
    #[error("the attribute {0:?} is complex inside a complex attribute, which RFC 7643 §2.3.8 forbids")]
    Nested(String),
}

/// The shape of one kind of document: where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub core: Definition,
    pub extensions: Vec<Definition>,
    /// URNs whose attributes stand at the top level, beside that of `core`.
    flat: Vec<String>,
}

/// Where a path leads in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `None`: the top level.
    pub extension: Option<&'a Definition>,
    /// `None`: the extension as a whole.
    pub attribute: Option<&'a Attribute>,
    pub sub: Option<&'a Attribute>,
}

/// Common attributes (RFC 7643 §3.1), which `/Schemas` does not list.
static COMMON: LazyLock<Vec<Attribute>> = LazyLock::new(|| {
    use build::{complex, date_time, reference, text};
    let own = |a: Attribute| a.read_only().exact();
    vec![
        reference("schemas", &["uri"]).many().returned(Returned::Always),
        own(text("id")).returned(Returned::Always).unique(),
        text("externalId").exact(),
        complex(
            "meta",
            vec![
                own(text("resourceType")),
                date_time("created").read_only(),
                date_time("lastModified").read_only(),
                own(reference("location", &["uri"])),
                own(text("version")),
            ],
        )
        .read_only(),
    ]
});

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name))
}

impl Schema {
    #[must_use]
    pub fn new(core: Definition, extensions: Vec<Definition>) -> Self {
        Self { core, extensions, flat: Vec::new() }
    }

    #[must_use]
    fn flattened(mut self, urns: &[&str]) -> Self {
        self.flat = urns.iter().map(ToString::to_string).collect();
        self
    }

    /// A top-level attribute, common ones included.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.core.attributes, name).or_else(|| find(&COMMON, name))
    }

    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&Definition> {
        self.extensions.iter().find(|e| e.urn.eq_ignore_ascii_case(urn))
    }

    fn is_top(&self, urn: &str) -> bool {
        self.core.urn.eq_ignore_ascii_case(urn) || self.flat.iter().any(|flat| flat.eq_ignore_ascii_case(urn))
    }

    /// Where a path leads by the RFC: extension attributes need their URN.
    #[must_use]
    pub fn lookup(&self, path: &AttrPath) -> Option<Target<'_>> {
        let (extension, attribute) = match &path.schema {
            None => (None, self.attribute(&path.name)?),
            Some(urn) if self.is_top(urn) => (None, self.attribute(&path.name)?),
            Some(urn) => {
                if let Some(extension) = self.extension(urn) {
                    (Some(extension), find(&extension.attributes, &path.name)?)
                } else {
                    // The path is the extension's own URN, whose last part was taken for an attribute.
                    let whole = self.extension(&path.to_string())?;
                    return Some(Target { extension: Some(whole), attribute: None, sub: None });
                }
            }
        };
        let sub = match &path.sub {
            None => None,
            Some(name) => match attribute.sub(name) {
                Some(sub) => Some(sub),
                None if attribute.open => Some(&*identity::ANYTHING),
                None => return None,
            },
        };
        Some(Target { extension, attribute: Some(attribute), sub })
    }

    /// As `lookup`, but an extension's attribute is also found without its URN. Entra: `manager`, `department`.
    #[must_use]
    pub fn lookup_anywhere(&self, path: &AttrPath) -> Option<Target<'_>> {
        self.lookup(path).or_else(|| {
            if path.schema.is_some() || self.attribute(&path.name).is_some() {
                return None;
            }
            let extension = self.extensions.iter().find(|e| find(&e.attributes, &path.name).is_some())?;
            self.lookup(&AttrPath { schema: Some(extension.urn.clone()), ..path.clone() })
        })
    }
}

impl Definition {
    /// A tenant's own extension.
    ///
    /// # Errors
    /// When a name cannot stand in a path, or the schema has more levels than SCIM knows.
    pub fn custom(urn: &str, name: &str, attributes: Vec<Attribute>) -> Result<Self, DefinitionError> {
        let taken = [user::URN, group::URN, enterprise::URN].iter().any(|known| known.eq_ignore_ascii_case(urn));
        if taken
            || !urn.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
            || urn.len() > 256
            || AttrPath::parse(urn).is_err()
        {
            return Err(DefinitionError::Urn(urn.chars().take(80).collect()));
        }
        check_names(&attributes, false)?;
        Ok(Self { urn: urn.to_owned(), name: name.to_owned(), description: name.to_owned(), attributes })
    }
}

fn check_names(attributes: &[Attribute], nested: bool) -> Result<(), DefinitionError> {
    let mut seen = HashSet::new();
    for attribute in attributes {
        let name = || attribute.name.chars().take(80).collect::<String>();
        if !super::path::is_name(&attribute.name) {
            return Err(DefinitionError::Name(name()));
        }
        if !seen.insert(attribute.name.to_ascii_lowercase()) {
            return Err(DefinitionError::Twice(name()));
        }
        if nested && attribute.kind == Kind::Complex {
            return Err(DefinitionError::Nested(name()));
        }
        check_names(&attribute.attributes, true)?;
    }
    Ok(())
}

/// The schemas of one connection's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemas {
    pub user: Schema,
    pub group: Schema,
}

static STANDARD: LazyLock<Schemas> = LazyLock::new(|| Schemas::with_extension(None));

impl Schemas {
    /// User with the enterprise extension, and Group.
    #[must_use]
    pub fn standard() -> &'static Self {
        &STANDARD
    }

    /// The standard schemas and a tenant's own extension of User.
    #[must_use]
    pub fn with_extension(custom: Option<Definition>) -> Self {
        let mut extensions = vec![enterprise::definition()];
        extensions.extend(custom);
        Self { user: Schema::new(user::definition(), extensions), group: Schema::new(group::definition(), Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AttrPath {
        AttrPath::parse(text).unwrap()
    }

    #[test]
    fn paths_lead_to_attributes_whatever_their_case() {
        let schema = &Schemas::standard().user;
        for text in
            ["username", "urn:ietf:params:scim:schemas:core:2.0:User:userName", "URN:IETF:params:scim:schemas:core:2.0:user:USERNAME"]
        {
            assert_eq!(schema.lookup(&path(text)).unwrap().attribute.unwrap().name, "userName", "{text}");
        }
        let target = schema.lookup(&path("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.VALUE")).unwrap();
        assert_eq!(target.extension.unwrap().urn, enterprise::URN);
        assert_eq!(target.sub.unwrap().name, "value");
    }

    #[test]
    fn an_extension_is_a_target_as_a_whole() {
        let target = Schemas::standard().user.lookup(&path(enterprise::URN)).unwrap();
        assert!(target.attribute.is_none());
    }

    #[test]
    fn an_extension_attribute_without_its_urn_is_found_only_when_that_is_forgiven() {
        let schema = &Schemas::standard().user;
        assert!(schema.lookup(&path("manager")).is_none());
        assert_eq!(schema.lookup_anywhere(&path("manager")).unwrap().extension.unwrap().urn, enterprise::URN);
        assert!(schema.lookup_anywhere(&path("nothing")).is_none());
    }

    #[test]
    fn a_tenants_extension_has_sound_names() {
        use build::{complex, text};
        let urn = "urn:example:scim:schemas:extension:2.0:User";
        assert!(Definition::custom(urn, "Example", vec![text("tenant_code")]).is_ok());
        assert!(Definition::custom(enterprise::URN, "Example", vec![]).is_err());
        assert!(Definition::custom("example", "Example", vec![]).is_err());
        assert!(Definition::custom(urn, "Example", vec![text("a b")]).is_err());
        assert!(Definition::custom(urn, "Example", vec![text("a"), text("A")]).is_err());
        assert!(Definition::custom(urn, "Example", vec![complex("a", vec![complex("b", vec![])])]).is_err());
    }
}
