//! Tests that the generated files and schemas match the wire types.

#[cfg(feature = "ts")]
#[test]
fn committed_typescript_is_up_to_date() {
    use pulltrace_core::wire::typescript;

    for (file, generated) in
        [("wire.ts", typescript::document()), ("failures.ts", typescript::failures())]
    {
        let committed = std::fs::read_to_string(format!("../web/src/api/gen/{file}")).unwrap();
        assert_eq!(
            committed, generated,
            "out of date: run the command in the first line of the file"
        );
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use std::fs;

    use serde_json::{Map, Value};

    /// Validates the subset of JSON Schema that the document uses.
    fn check(schemas: &Map<String, Value>, schema: &Value, value: &Value, at: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            return check(schemas, &schemas[name], value, at);
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return parts.iter().for_each(|part| check(schemas, part, value, at));
        }
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{at}: {value} is not one of {words:?}");
        }
        let is = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{at}: unsupported type `{other}`"),
        };
        match &schema["type"] {
            Value::String(kind) => assert!(is(kind), "{at}: expected {value} to be of type {kind}"),
            Value::Array(kinds) => {
                let mut kinds = kinds.iter().filter_map(Value::as_str);
                assert!(kinds.any(is), "{at}: {value} does not match {schema}");
            }
            _ => panic!("{at}: no type in {schema}"),
        }
        if schema["minimum"] == 0 {
            assert!(value.is_null() || value.is_u64(), "{at}: {value} is negative");
        }
        if let Some(map) = value.as_object() {
            for field in schema["required"].as_array().into_iter().flatten() {
                assert!(map.contains_key(field.as_str().unwrap()), "{at}: missing {field}");
            }
            for (name, value) in map {
                let field = &schema["properties"][name];
                let field = if field.is_null() { &schema["additionalProperties"] } else { field };
                assert!(field.is_object(), "{at}: unknown field `{name}`");
                check(schemas, field, value, &format!("{at}.{name}"));
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            let place = &schema["prefixItems"][index];
            let item_schema = if place.is_null() { &schema["items"] } else { place };
            check(schemas, item_schema, item, &format!("{at}[{index}]"));
        }
    }

    #[test]
    fn golden_files_match_openapi_schemas() {
        let schemas = &pulltrace_core::wire::openapi::schemas();
        let mut checked = 0;
        for entry in fs::read_dir("tests/golden").unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = match file.split_once("_v1").map(|(name, _)| name) {
                Some("agent_report") => "AgentReport",
                Some("report_ack") => "ReportAck",
                Some("pull_event") => "PullEvent",
                Some("pull_status") => "PullStatus",
                Some("pull_list") => "PullList",
                Some("node_list") => "NodeList",
                Some("image_list") => "ImageList",
                Some("pod_list") => "PodList",
                Some("pod_pulls") => "PodPulls",
                Some("pod_end") => "PodEnd",
                Some("server_status") => "ServerStatus",
                Some("frame") => "Frame",
                Some("problem") => "Problem",
                Some(other) => panic!("no schema for `{other}`"),
                None => continue,
            };
            let golden = fs::read_to_string(format!("tests/golden/{file}")).unwrap();
            let golden: Value = serde_json::from_str(&golden).unwrap();
            check(schemas, &schemas[name], &golden, &file);
            checked += 1;
        }
        assert!(checked >= 16, "{checked}");
    }
}
