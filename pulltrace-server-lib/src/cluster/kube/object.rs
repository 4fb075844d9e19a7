//! The objects that are listed and watched, reduced to the fields in use.

use std::borrow::Cow;
use std::fmt::Debug;

use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// The fields of an object that are in use.
pub(super) trait ObjectFields:
    DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// The kind, such as `Pod`.
    const KIND: &'static str;
    /// The name of the resource in a path, such as `pods`.
    const PLURAL: &'static str;
}

/// An object as received.
#[derive(Clone, Debug)]
pub(super) struct Object<F> {
    /// Only the resource version, which watches need.
    pub(super) meta: ObjectMeta,
    /// `None` if the object is malformed, which must not fail its list or watch.
    pub(super) fields: Option<F>,
}

impl<'de, F: ObjectFields> Deserialize<'de> for Object<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let meta =
            ObjectMeta { resource_version: version.map(str::to_owned), ..ObjectMeta::default() };
        Ok(Self { meta, fields: F::deserialize(object).ok() })
    }
}

impl<F: ObjectFields> Resource for Object<F> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        F::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        F::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
