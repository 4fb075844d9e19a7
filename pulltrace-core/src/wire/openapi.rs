//! The HTTP API as an OpenAPI document, with the wire types as schemas.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::v1;

/// Returns the OpenAPI 3.1 document as JSON. The committed copy is served at `GET
/// /api/v1/openapi.json`.
#[must_use]
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pulltrace",
            "version": v1::SCHEMA_VERSION,
            "description": "Live status of all image pulls in a cluster. Within version 1, fields and enum \
                values are only added: ignore unknown ones. Unknown values are absent, never 0.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"bearer": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": parameters(),
            "responses": {
                "Problem": response("The request was rejected or failed.", "application/problem+json", "Problem"),
            },
            "schemas": schemas(),
        },
    });
    // The alternate form is indented.
    format!("{document:#}\n")
}

fn paths() -> Value {
    let filters = ["node", "namespace", "pod", "image", "phase"];
    let pods = ["node", "namespace", "pod", "image", "limit", "continue"];
    let list = [&filters[..], &["ids", "layers", "limit", "continue"]].concat();
    let stream = [&filters[..], &["layersOfEvents", "format", "since", "lastEventId"]].concat();
    let plain = |text: &str| json!({"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}});
    json!({
        "/api/v1/report": {"post": {
            "summary": "Report the state of a node's pulls",
            "description": "The body may be compressed with gzip. Reports of agents of version 0.1, \
                which have no schemaVersion, are accepted with status 200.",
            "operationId": "report",
            "requestBody": {"required": true, "content": content("application/json", "AgentReport")},
            "responses": {
                "202": response("Accepted.", "application/json", "ReportAck"),
                "200": response("Accepted from an agent of version 0.1.", "application/json", "ReportAck"),
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }},
        "/api/v1/pulls": get_operation("listPulls", "List live pulls, and ended pulls until they expire", &list, "PullList"),
        "/api/v1/pulls/{id}": get_operation("getPull", "Get a pull", &["id"], "PullStatus"),
        "/api/v1/nodes": get_operation("listNodes", "List the nodes, with totals over their pulls", &[], "NodeList"),
        "/api/v1/images": get_operation("listImages", "List the images of all known pulls", &[], "ImageList"),
        "/api/v1/pods": get_operation("listPods", "List the pods that wait for an image", &pods, "PodList"),
        "/api/v1/namespaces/{namespace}/pods/{pod}/pulls": {"get": {
            "summary": "Get the images that a pod waits for",
            "description": "With follow=1, server-sent events: events without a name are a PodPulls, sent at \
                once and after each change; `ping` is a keep-alive; `end` is a PodEnd and the last event.",
            "operationId": "getPodPulls",
            "parameters": parameter_refs(&["namespaceOfPod", "nameOfPod", "follow"]),
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
            "summary": "Stream all changes",
            "description": "Server-sent events. Events without a name are a PullEvent, events named `frame` \
                a Frame (with format=frame). `snapshot-end`, `reset` and `ping` control the stream. Event \
                ids are `<epoch>-<seq>`.",
            "operationId": "followEvents",
            "parameters": parameter_refs(&stream),
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
        "/api/v1/server": get_operation("getServer", "Get the server's status and the download rate of all nodes", &[], "ServerStatus"),
        "/api/v1/openapi.json": {"get": {
            "summary": "Get this document",
            "operationId": "openapi",
            "responses": {"200": {
                "description": "This document.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }},
        }},
        "/healthz": {"get": {
            "summary": "Liveness check",
            "operationId": "healthz",
            "responses": {"200": plain("The server is running.")},
        }},
        "/readyz": {"get": {
            "summary": "Readiness check",
            "operationId": "readyz",
            "responses": {
                "200": {"description": "The server is ready."},
                "503": {"description": "The server is not ready; the body contains the reason."},
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
        "node": query("node", text(), "Select pulls of this node."),
        "namespace": query("namespace", text(), "Select pulls that a pod of this namespace waits or \
            waited for; select pods of it."),
        "pod": query("pod", text(), "Select pulls that a pod of this name waits or waited for; select pods \
            of this name."),
        "namespaceOfPod": {
            "name": "namespace", "in": "path", "required": true, "schema": text(),
            "description": "The namespace of the pod.",
        },
        "nameOfPod": {
            "name": "pod", "in": "path", "required": true, "schema": text(),
            "description": "The name of the pod.",
        },
        "follow": query("follow", word(&["0", "1"]), "Stream each change, until all images are present \
            or the pod is gone."),
        "image": query("image", text(), "Select pulls of images whose name contains this text, or whose \
            digest equals it."),
        "phase": query("phase", text(), "Select pulls in one of these phases, separated by commas."),
        "ids": query("id", text(), "Select these pulls: 1 to 64 ids, separated by commas."),
        "layers": query("layers", word(&["embed", "none"]), "Include the layers of each pull, or omit them."),
        "layersOfEvents": query("layers", word(&["embed", "none", "events"]), "Include layers \
            in their pull, omit them, or send them as separate events."),
        "limit": query(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": 5_000, "default": 500}),
            "The maximum number of pulls or pods per page.",
        ),
        "continue": query("continue", text(), "The value of `continue` in the previous page."),
        "format": query("format", word(&["event", "frame"]), "One event per change, or frames of \
            changes."),
        "since": query("since", text(), "Resume after this position: `<epoch>-<seq>`."),
        "lastEventId": {
            "name": "Last-Event-ID", "in": "header", "schema": text(),
            "description": "Same as `since`, which it overrides.",
        },
    })
}

fn get_operation(id: &str, summary: &str, names: &[&str], schema: &str) -> Value {
    json!({"get": {
        "summary": summary,
        "operationId": id,
        "parameters": parameter_refs(names),
        "responses": {
            "200": response(summary, "application/json", schema),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }})
}

fn parameter_refs(names: &[&str]) -> Vec<Value> {
    let one = |name: &&str| json!({"$ref": format!("#/components/parameters/{name}")});
    names.iter().map(one).collect()
}

fn response(description: &str, media: &str, schema: &str) -> Value {
    json!({"description": description, "content": content(media, schema)})
}

fn content(media: &str, schema: &str) -> Value {
    json!({media: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

/// Returns the schemas of all types used above, and of the types they contain.
fn schemas() -> Map<String, Value> {
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
