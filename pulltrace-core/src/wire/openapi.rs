//! The wire types as schemas of an OpenAPI document.

use std::borrow::Cow;

use serde_json::{Map, Value};
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::v1;

/// Returns the schemas of the requests and responses of the API, and of the types they contain, by
/// name.
#[must_use]
pub fn schemas() -> Map<String, Value> {
    let mut found = Vec::new();
    add_schema::<v1::AgentReport>(&mut found);
    add_schema::<v1::ReportAck>(&mut found);
    add_schema::<v1::PullList>(&mut found);
    add_schema::<v1::NodeList>(&mut found);
    add_schema::<v1::ImageList>(&mut found);
    add_schema::<v1::PodList>(&mut found);
    add_schema::<v1::PodPulls>(&mut found);
    add_schema::<v1::PodEnd>(&mut found);
    add_schema::<v1::ServerStatus>(&mut found);
    add_schema::<v1::PullEvent>(&mut found);
    add_schema::<v1::Frame>(&mut found);
    add_schema::<v1::Problem>(&mut found);
    let written = found.into_iter().filter_map(|(name, schema)| {
        let mut schema = serde_json::to_value(schema).ok()?;
        apply_wire_rules(&mut schema);
        Some((name, schema))
    });
    let sorted: std::collections::BTreeMap<_, _> = written.collect();
    sorted.into_iter().collect()
}

fn add_schema<T: ToSchema>(found: &mut Vec<(String, RefOr<Schema>)>) {
    found.push((T::name().into_owned(), T::schema()));
    T::schemas(found);
}

/// Applies rules that the derives do not know: an unknown value is absent and never null, and
/// `other` is never sent, except as a failure reason.
fn apply_wire_rules(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                let is_failure_reason = words.iter().any(|word| word == "unexplained");
                words.retain(|word| is_failure_reason || word != "other");
            }
            if let Some(Value::Object(fields)) = map.get_mut("properties") {
                fields.values_mut().for_each(remove_null);
            }
            map.values_mut().for_each(apply_wire_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(apply_wire_rules),
        _ => {}
    }
}

fn remove_null(field: &mut Value) {
    let Value::Object(map) = field else { return };
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &mut types[..] {
            let only = only.take();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = map.remove("oneOf") {
        let choices = choices.into_iter().filter(|choice| choice["type"] != "null");
        for choice in choices {
            map.extend(choice.as_object().cloned().unwrap_or_default());
        }
    }
}

impl PartialSchema for v1::ReportLayer {
    fn schema() -> RefOr<Schema> {
        let number = |what| {
            let number = ObjectBuilder::new().schema_type(Type::Integer);
            Schema::from(number.minimum(Some(0)).description(Some(what)).build())
        };
        let named = |name: Cow<'_, str>| {
            Schema::from(AllOfBuilder::new().item(Ref::from_schema_name(name)).build())
        };
        ArrayBuilder::new()
            .prefix_items([
                number("The index in the image's layers."),
                number("Bytes that are present."),
                named(v1::LayerState::name()),
                named(v1::LayerDetail::name()),
            ])
            .min_items(Some(3))
            .description(Some("`[index, bytes, state]` or `[index, bytes, state, detail]`."))
            .build()
            .into()
    }
}

impl ToSchema for v1::ReportLayer {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        add_schema::<v1::LayerState>(schemas);
        add_schema::<v1::LayerDetail>(schemas);
    }
}
