//! The HTTP API as an OpenAPI document, with the wire's types as its schemas.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{
    AllOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::v1;
use crate::time::NodeTime;

/// OpenAPI 3.1 as JSON: what `GET /api/v1/openapi.json` answers, to be generated and committed.
#[must_use]
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pulltrace",
            "version": v1::SCHEMA_VERSION,
            "description": "Every image pull of a cluster, live. Within version 1 fields and words are \
                only added: ignore what you do not know. What is unknown is absent, never 0.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"bearer": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": parameters(),
            "responses": {
                "Problem": answer("Refused, or not possible now.", "application/problem+json", "Problem"),
            },
            "schemas": schemas(),
        },
    });
    // Its alternate form is indented.
    format!("{document:#}\n")
}

fn paths() -> Value {
    let filters = ["node", "namespace", "pod", "image", "phase"];
    let pods = ["node", "namespace", "pod", "image", "limit", "continue"];
    let list = [&filters[..], &["ids", "layers", "limit", "continue"]].concat();
    let stream = [
        &filters[..],
        &["layersOfEvents", "format", "since", "lastEventId"],
    ]
    .concat();
    let plain = |text: &str| json!({"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}});
    json!({
        "/api/v1/report": {"post": {
            "summary": "An agent reports the state of its node's pulls",
            "description": "The body may be compressed by gzip. A report of an agent of version 0.1, \
                which has no schemaVersion, is taken too, and answered with 200.",
            "operationId": "report",
            "requestBody": {"required": true, "content": content("application/json", "AgentReport")},
            "responses": {
                "202": answer("Taken.", "application/json", "ReportAck"),
                "200": answer("Taken, of an agent of version 0.1.", "application/json", "ReportAck"),
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }},
        "/api/v1/pulls": get("listPulls", "Live pulls, and ended ones until they are forgotten", &list, "PullList"),
        "/api/v1/pulls/{id}": get("getPull", "One pull", &["id"], "PullStatus"),
        "/api/v1/nodes": get("listNodes", "The nodes, with sums over their pulls", &[], "NodeList"),
        "/api/v1/images": get("listImages", "The images of all known pulls", &[], "ImageList"),
        "/api/v1/pods": get("listPods", "The pods that wait for an image", &pods, "PodList"),
        "/api/v1/namespaces/{namespace}/pods/{pod}/pulls": {"get": {
            "summary": "What one pod waits for",
            "description": "With follow=1 server-sent events: one without a name is a PodPulls, at once and \
                at each change; `ping` is a sign of life, and `end` a PodEnd, the last of them.",
            "operationId": "getPodPulls",
            "parameters": references(&["namespaceOfPod", "nameOfPod", "follow"]),
            "responses": {
                "200": {
                    "description": "The pod with its pulls, or the stream.",
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/PodPulls"}},
                        "text/event-stream": {"schema": {"anyOf": [
                            {"$ref": "#/components/schemas/PodPulls"},
                            {"$ref": "#/components/schemas/PodEnd"},
                        ]}},
                    },
                },
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }},
        "/api/v1/events": {"get": {
            "summary": "What happens, as it happens",
            "description": "Server-sent events. Those without a name are a PullEvent, those named `frame` \
                a Frame (with format=frame); `snapshot-end`, `reset` and `ping` carry the protocol. Ids \
                are `<epoch>-<seq>`.",
            "operationId": "followEvents",
            "parameters": references(&stream),
            "responses": {
                "200": {
                    "description": "The stream.",
                    "content": {"text/event-stream": {"schema": {"anyOf": [
                        {"$ref": "#/components/schemas/PullEvent"},
                        {"$ref": "#/components/schemas/Frame"},
                    ]}}},
                },
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }},
        "/api/v1/server": get("getServer", "The server, and what all nodes download together", &[], "ServerStatus"),
        "/api/v1/openapi.json": {"get": {
            "summary": "This document",
            "operationId": "openapi",
            "responses": {"200": {
                "description": "This document.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }},
        }},
        "/healthz": {"get": {
            "summary": "Whether the server runs",
            "operationId": "healthz",
            "responses": {"200": plain("It runs.")},
        }},
        "/readyz": {"get": {
            "summary": "Whether the server can do its work",
            "operationId": "readyz",
            "responses": {
                "200": {"description": "It is ready."},
                "503": {"description": "It is not; the body says why."},
            },
        }},
    })
}

fn parameters() -> Value {
    let word = |words: &[&str]| json!({"type": "string", "enum": words, "default": words.first()});
    let text = || json!({"type": "string"});
    let query = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "query", "schema": schema, "description": description});
    json!({
        "id": {
            "name": "id", "in": "path", "required": true, "schema": text(),
            "description": "The id of a pull.",
        },
        "node": query("node", text(), "Only pulls of this node."),
        "namespace": query("namespace", text(), "Only pulls that a pod of this namespace waits for, or \
            waited; only pods of it."),
        "pod": query("pod", text(), "Only pulls that a pod of this name waits for, or waited; only pods \
            of it."),
        "namespaceOfPod": {
            "name": "namespace", "in": "path", "required": true, "schema": text(),
            "description": "The namespace of the pod.",
        },
        "nameOfPod": {
            "name": "pod", "in": "path", "required": true, "schema": text(),
            "description": "The name of the pod.",
        },
        "follow": query("follow", word(&["0", "1"]), "Whether to be told of each change, until all images \
            are there or the pod is gone."),
        "image": query("image", text(), "Only pulls of images whose name has this in it, or whose \
            digest is exactly this."),
        "phase": query("phase", text(), "Only pulls in one of these phases, joined by commas."),
        "ids": query("id", text(), "Only these pulls: 1 to 64 ids, joined by commas."),
        "layers": query("layers", word(&["embed", "none"]), "Whether each pull has its layers."),
        "layersOfEvents": query("layers", word(&["embed", "none", "events"]), "Whether layers are \
            inside their pull, left out, or told by events of their own."),
        "limit": query(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": 5_000, "default": 500}),
            "The most pulls or pods of a page.",
        ),
        "continue": query("continue", text(), "What the page before said as `continue`."),
        "format": query("format", word(&["event", "frame"]), "An event per change, or frames of what \
            changed."),
        "since": query("since", text(), "`<epoch>-<seq>`: go on from there."),
        "lastEventId": {
            "name": "Last-Event-ID", "in": "header", "schema": text(),
            "description": "The same as `since`, and stronger.",
        },
    })
}

fn get(id: &str, summary: &str, names: &[&str], schema: &str) -> Value {
    json!({"get": {
        "summary": summary,
        "operationId": id,
        "parameters": references(names),
        "responses": {
            "200": answer(summary, "application/json", schema),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }})
}

fn references(names: &[&str]) -> Vec<Value> {
    let one = |name: &&str| json!({"$ref": format!("#/components/parameters/{name}")});
    names.iter().map(one).collect()
}

fn answer(description: &str, media: &str, schema: &str) -> Value {
    json!({"description": description, "content": content(media, schema)})
}

fn content(media: &str, schema: &str) -> Value {
    json!({media: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

/// Each type that is named above, with what it is made of.
fn schemas() -> Map<String, Value> {
    let mut found = Vec::new();
    add::<v1::AgentReport>(&mut found);
    add::<v1::ReportAck>(&mut found);
    add::<v1::PullList>(&mut found);
    add::<v1::NodeList>(&mut found);
    add::<v1::ImageList>(&mut found);
    add::<v1::PodList>(&mut found);
    add::<v1::PodPulls>(&mut found);
    add::<v1::PodEnd>(&mut found);
    add::<v1::ServerStatus>(&mut found);
    add::<v1::PullEvent>(&mut found);
    add::<v1::Frame>(&mut found);
    add::<v1::Problem>(&mut found);
    let written = found.into_iter().filter_map(|(name, schema)| {
        let mut schema = serde_json::to_value(schema).ok()?;
        as_written(&mut schema);
        Some((name, schema))
    });
    let sorted: std::collections::BTreeMap<_, _> = written.collect();
    sorted.into_iter().collect()
}

fn add<T: ToSchema>(found: &mut Vec<(String, RefOr<Schema>)>) {
    found.push((T::name().into_owned(), T::schema()));
    T::schemas(found);
}

/// What the derives cannot know: what is unknown is absent and never null, and no word is `other`,
/// except among the reasons of failures, where it is said.
fn as_written(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                let said = words.iter().any(|word| word == "unexplained");
                words.retain(|word| said || word != "other");
            }
            if let Some(Value::Object(fields)) = map.get_mut("properties") {
                fields.values_mut().for_each(never_null);
            }
            map.values_mut().for_each(as_written);
        }
        Value::Array(items) => items.iter_mut().for_each(as_written),
        _ => {}
    }
}

fn never_null(field: &mut Value) {
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
        let choices = choices
            .into_iter()
            .filter(|choice| choice["type"] != "null");
        for choice in choices {
            map.extend(choice.as_object().cloned().unwrap_or_default());
        }
    }
}

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

impl PartialSchema for v1::ReportLayer {
    fn schema() -> RefOr<Schema> {
        let number = |what| {
            let number = ObjectBuilder::new().schema_type(Type::Integer);
            Schema::from(number.minimum(Some(0)).description(Some(what)).build())
        };
        let named = |name: Cow<'_, str>| {
            Schema::from(
                AllOfBuilder::new()
                    .item(Ref::from_schema_name(name))
                    .build(),
            )
        };
        ArrayBuilder::new()
            .prefix_items([
                number("Its place in the image's layers, from 0."),
                number("What of it is here."),
                named(v1::LayerState::name()),
                named(v1::LayerDetail::name()),
            ])
            .min_items(Some(3))
            .description(Some(
                "`[index, bytes, state]` or `[index, bytes, state, detail]`.",
            ))
            .build()
            .into()
    }
}

impl ToSchema for v1::ReportLayer {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        add::<v1::LayerState>(schemas);
        add::<v1::LayerDetail>(schemas);
    }
}
