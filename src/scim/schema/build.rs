//! Short words to write the attribute table with. An attribute is optional, single-valued, readWrite, returned by default,
//! without uniqueness and compared without case, unless a word says otherwise.

use super::{Attribute, Kind, Mutability, Returned, Uniqueness};

fn attribute(name: &str, kind: Kind) -> Attribute {
    Attribute {
        name: name.to_owned(),
        kind,
        multi_valued: false,
        description: String::new(),
        required: false,
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        uniqueness: Uniqueness::None,
        canonical_values: Vec::new(),
        reference_types: Vec::new(),
        attributes: Vec::new(),
        open: false,
    }
}

#[must_use]
pub fn text(name: &str) -> Attribute {
    attribute(name, Kind::Text)
}

#[must_use]
pub fn boolean(name: &str) -> Attribute {
    attribute(name, Kind::Boolean)
}

#[must_use]
pub fn date_time(name: &str) -> Attribute {
    attribute(name, Kind::DateTime)
}

/// RFC 7643 §2.3.6: binary values are case exact.
#[must_use]
pub fn binary(name: &str) -> Attribute {
    attribute(name, Kind::Binary).exact()
}

/// RFC 7643 §2.3.7: "A reference is case exact."
#[must_use]
pub fn reference(name: &str, to: &[&str]) -> Attribute {
    Attribute { reference_types: to.iter().map(ToString::to_string).collect(), ..attribute(name, Kind::Reference).exact() }
}

#[must_use]
pub fn complex(name: &str, attributes: Vec<Attribute>) -> Attribute {
    Attribute { attributes, ..attribute(name, Kind::Complex) }
}

/// The default set of sub-attributes of a multi-valued attribute (RFC 7643 §2.4) around its `value`.
#[must_use]
pub fn values(name: &str, value: Attribute, types: &[&str]) -> Attribute {
    let parts = vec![
        value.says("The value itself."),
        text("display").says("A name to show to people."),
        text("type").one_of(types).says("What the value is used for."),
        boolean("primary").says("The preferred one; at most one value has true."),
    ];
    complex(name, parts).many()
}

impl Attribute {
    #[must_use]
    pub fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    #[must_use]
    pub fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same for its sub-attributes.
    #[must_use]
    pub fn read_only(self) -> Self {
        let attributes = self.attributes.into_iter().map(Attribute::read_only).collect();
        Self { mutability: Mutability::ReadOnly, attributes, ..self }
    }

    #[must_use]
    pub fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    #[must_use]
    pub fn write_only(self) -> Self {
        Self { mutability: Mutability::WriteOnly, ..self }
    }

    #[must_use]
    pub fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }

    #[must_use]
    pub fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }

    #[must_use]
    pub fn one_of(self, values: &[&str]) -> Self {
        Self { canonical_values: values.iter().map(ToString::to_string).collect(), ..self }
    }

    #[must_use]
    pub fn says(self, description: &str) -> Self {
        Self { description: description.to_owned(), ..self }
    }
}
