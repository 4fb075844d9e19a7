//! The JSON of values that are the same in the model and on the wire: instants, as RFC 3339 text, and
//! failure reasons, as their names.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::FailureReason;
use crate::time::NodeTime;

impl Serialize for NodeTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(TimeVisitor)
    }
}

/// Parses the text without copying it, as a report contains many instants.
struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = NodeTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 timestamp")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NodeTime, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for FailureReason {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FailureReason {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(ReasonVisitor)
    }
}

/// Reads reasons of later versions as [`FailureReason::Other`].
struct ReasonVisitor;

impl Visitor<'_> for ReasonVisitor {
    type Value = FailureReason;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure reason")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<FailureReason, E> {
        Ok(FailureReason::from_name(name).unwrap_or(FailureReason::Other))
    }
}

#[cfg(feature = "ts")]
mod typescript {
    use ts_rs::{Config, TS};

    use crate::failure::FailureReason;
    use crate::time::NodeTime;

    impl TS for NodeTime {
        type WithoutGenerics = Self;
        type OptionInnerType = Self;

        fn name(config: &Config) -> String {
            String::name(config)
        }

        fn inline(config: &Config) -> String {
            Self::name(config)
        }
    }

    impl TS for FailureReason {
        type WithoutGenerics = Self;
        type OptionInnerType = Self;

        fn docs() -> Option<String> {
            Some("/**\n * Why a pull failed.\n */\n".to_owned())
        }

        fn name(_: &Config) -> String {
            "FailureReason".to_owned()
        }

        fn inline(_: &Config) -> String {
            Self::ALL.map(|reason| format!("{:?}", reason.as_str())).join(" | ")
        }

        fn decl(config: &Config) -> String {
            format!("type {} = {};", Self::name(config), Self::inline(config))
        }
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use std::borrow::Cow;

    use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
    use utoipa::openapi::{RefOr, Schema};
    use utoipa::{PartialSchema, ToSchema};

    use crate::failure::FailureReason;
    use crate::time::NodeTime;

    impl PartialSchema for NodeTime {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .build()
                .into()
        }
    }

    impl ToSchema for NodeTime {
        fn name() -> Cow<'static, str> {
            "Time".into()
        }
    }

    impl PartialSchema for FailureReason {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("Why a pull failed."))
                .enum_values(Some(Self::ALL.map(Self::as_str)))
                .build()
                .into()
        }
    }

    impl ToSchema for FailureReason {}
}
